"""The transformers by their names in Blueprint."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from spade_spark.blueprint.schema import Column
from spade_spark.errors import InputError
from spade_spark.lookups.base import Lookups
from spade_spark.transform.transformers import geo, numbers, strings, timestamps, users
from spade_spark.transform.transformers.base import Converter, TransformerSpec


@dataclass(frozen=True)
class Registry:
    """An immutable set of transformers.

    Attributes:
        specs: The transformers. If several accept equally many values of a property, schema
            inference proposes the first.
    """

    specs: tuple[TransformerSpec, ...]

    def knows(self, name: str) -> bool:
        """Return whether there is a transformer of this name."""
        return self._find(name) is not None

    def spec(self, name: str) -> TransformerSpec:
        """Return the specification of the transformer of this name.

        Raises:
            InputError: There is no such transformer.
        """
        spec = self._find(name)
        if spec is None:
            known = ", ".join(spec.display_name for spec in self.specs)
            raise InputError(
                f"unknown transformer {name!a}: known are {known}; correct the column in "
                "Blueprint, or add a TransformerSpec"
            )
        return spec

    def converter(self, column: Column, lookups: Lookups) -> Converter:
        """Return the converter of ``column``.

        Raises:
            InputError: There is no such transformer.
        """
        spec = self.spec(column.transformer)
        return spec.converter(lookups, spec.parameter(column.transformer) or "")

    def with_spec(self, spec: TransformerSpec) -> Registry:
        """Return a registry with ``spec`` added, or replacing the one of the same name."""
        return Registry((*(other for other in self.specs if other.name != spec.name), spec))

    def _find(self, name: str) -> TransformerSpec | None:
        """Return the transformer with exactly this name, or else one with a parameter."""
        if name in self._by_name:
            return self._by_name[name]
        matches = (spec for spec in self.specs if spec.parameter(name) is not None)
        return next(matches, None)

    @cached_property
    def _by_name(self) -> dict[str, TransformerSpec]:
        """The transformers without a parameter; cached, because columns are looked up often."""
        return {spec.name: spec for spec in self.specs if not spec.example_parameter}


TRANSFORMERS: Final = Registry(
    (*strings.SPECS, *numbers.SPECS, *timestamps.SPECS, *geo.SPECS, *users.SPECS)
)
"""The transformers of Blueprint."""


def is_transformer(name: str) -> bool:
    """Return whether Blueprint has a transformer of this name."""
    return TRANSFORMERS.knows(name)
