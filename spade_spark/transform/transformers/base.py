"""The specification of a transformer.

All packages use this module, so it imports neither pyarrow nor msgspec. It only names their types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import partial
from typing import Final

from spade_spark.gocompat.json import Value
from spade_spark.lookups.base import Lookups

Converter = Callable[[Value, tuple[Value, ...]], str]
"""Converts a property and its supporting properties to the text of a column.

A missing property is None, like null. No transformer accepts null.

Raises:
    ConversionError: The transformer does not accept the property.
    LookupUnavailableError: A lookup service does not respond.
"""

ConverterFactory = Callable[[Lookups, str], Converter]
"""Creates a converter from the lookups and the parameter of the transformer.

To be picklable, it must be a module-level function or a ``functools.partial`` of one.
"""


class ConversionError(ValueError):
    """The transformer does not accept the property; the column is left empty."""


class ArrowType(str, Enum):
    """The Parquet type of a column, by its name in Arrow."""

    INT32 = "int32"
    INT64 = "int64"
    DOUBLE = "double"
    BOOL = "bool"
    TIMESTAMP = "timestamp[ms]"
    STRING = "string"


class FieldType(Enum):
    """How generated code decodes a property from JSON; other values raise an exception."""

    TEXT = "a string"
    INT32 = "an integer of 32 bits"
    INT64 = "an integer of 64 bits"
    FLOAT = "a number"
    TIME = "a number of Unix seconds"
    BOOL = "true or false"
    RAW = "any value, as its JSON text"
    ANY = "any value"


class GeoField(IntEnum):
    """What a geo column contains. The value is its index in the list of texts of an address."""

    ADDRESS = 0
    CITY = 1
    COUNTRY = 2
    REGION = 3
    ASN = 4
    ASN_NUMBER = 5


class ValueKind(str, Enum):
    """The kind of an observed JSON value. Each value except null has exactly one kind."""

    BOOL = "bool"
    INT = "int"
    BIGINT = "bigint"
    FLOAT = "float"
    TEXT = "text"
    INT_TEXT = "int as text"
    BIGINT_TEXT = "bigint as text"
    FLOAT_TEXT = "float as text"
    NESTED = "list or object"
    HUGE = "number out of range"


class ValueTrait(Enum):
    """A trait of an observed JSON value of any kind."""

    SWITCH = "the number 0 or 1"
    UNIX_TIME = "a number of Unix seconds within the range of a timestamp"
    ADDRESS = "the text of an IP address"


@dataclass(frozen=True)
class Inference:
    """When schema inference proposes a transformer for a property.

    Attributes:
        kinds: The kinds of values that the transformer accepts.
        traits: The traits of other values that it accepts.
        requires: The transformer is considered only if a value of one of these kinds was observed.
            If this is empty, it is always considered, and loses a tie.
        names: If not empty, the transformer is considered only for properties of these names, and
            proposed if it accepts more than half of the values.
    """

    kinds: tuple[ValueKind, ...] = ()
    traits: tuple[ValueTrait, ...] = ()
    requires: tuple[ValueKind, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValueCodegen:
    """How the fast path generates code for a column that is converted from a property.

    The templates are Python expressions. They may use ``{value}`` (the property), ``{supporting}``
    (the supporting property), ``{convert}`` (the name of the column's converter), ``{cache}`` (the
    name of its cache) and the names in ``RowCaches.namespace``. The result must be escaped unless
    ``as_sent`` is set, or ``MISSING`` if the column cannot be filled.

    Attributes:
        field: How a property of the expected type is decoded.
        typed: The template for a property of the expected type.
        any_type: The template for a property of any type.
        any_field: How a property of any type is decoded.
        batch: The template for all rows at once, with ``[{value} for p in properties]``; empty if
            ``typed`` is as fast.
        supporting: How the supporting property is decoded; None if there is none. If set, it is
            the key of the cache.
        as_sent: Whether the text is the property as sent, which may need escapes.
        as_time: Whether ``typed`` also accepts a property that is decoded as ``FieldType.TIME``
            because another column needs it as a time.
        server_time: The attribute of ``TimestampTexts`` for the server's time; empty if the
            transformer does not accept Unix seconds.
    """

    field: FieldType
    typed: str
    any_type: str
    any_field: FieldType = FieldType.ANY
    batch: str = ""
    supporting: FieldType | None = None
    as_sent: bool = False
    as_time: bool = False
    server_time: str = ""


@dataclass(frozen=True)
class GeoCodegen:
    """How the fast path generates code for a geo column, which locates an IP address.

    Adjacent geo columns of one address are filled from one lookup.

    Attributes:
        field: What the column contains.
    """

    field: GeoField


CACHED: Final = "known_{cache}.get(x := {value}) or fill_{cache}(x)"
"""The template of a text that is cached by property; see :class:`ValueCodegen`."""

CACHED_TEXT: Final = ValueCodegen(
    FieldType.TEXT, typed=CACHED, any_type="coerce_text({cache}, {value})"
)
"""For a converter that accepts only strings and always returns the same text for a string."""


@dataclass(frozen=True)
class TransformerSpec:
    """The specification of one Blueprint transformer.

    Attributes:
        name: The name in Blueprint, or the prefix of the name if it has a parameter.
        converter: Creates the converter, which defines what the transformer does.
        accepted_sql_types: A regular expression for the types that a warehouse column may have,
            as returned by ``format_type()``.
        sql_type: The type of a warehouse column in CREATE TABLE, without the column's options.
        arrow_type: The type of the column in Parquet.
        codegen: How the fast path generates code. If None, tables with such a column use the
            reference path.
        inference: When schema inference proposes the transformer; None for never.
        examples: JSON values that it accepts, for tests and the fuzzer.
        example_parameter: An example of the parameter after ``name``; empty without a parameter.
        clock: The description of a timestamp's clock in the Parquet metadata.
    """

    name: str
    converter: ConverterFactory
    accepted_sql_types: str
    sql_type: str
    arrow_type: ArrowType
    codegen: ValueCodegen | GeoCodegen | None
    inference: Inference | None
    examples: tuple[str, ...]
    example_parameter: str = ""
    clock: str = ""

    @property
    def example_name(self) -> str:
        """An example of the transformer's name in a column."""
        return self.name + self.example_parameter

    @property
    def display_name(self) -> str:
        """The name for messages, with a placeholder for the parameter."""
        return f"{self.name}<parameter>" if self.example_parameter else self.name

    @property
    def geo_field(self) -> GeoField | None:
        """What a column contains if its property is an address; None if the property is not one."""
        if isinstance(self.codegen, GeoCodegen):
            return self.codegen.field
        return GeoField.ADDRESS if self.codegen and self.codegen.as_sent else None

    def parameter(self, name: str) -> str | None:
        """Return the parameter in a transformer name; None for another transformer."""
        if self.example_parameter:
            return name.removeprefix(self.name) if name.startswith(self.name) else None
        return "" if name == self.name else None


def constant(convert: Converter) -> ConverterFactory:
    """Return a factory of ``convert``, which needs neither lookups nor a parameter."""
    return partial(_constant, convert)


def _constant(convert: Converter, _lookups: Lookups, _parameter: str) -> Converter:
    return convert


def text(value: Value) -> str:
    """Return ``value`` if it is a string.

    Raises:
        ConversionError: It is not a string.
    """
    if not isinstance(value, str):
        raise ConversionError("not a string")
    return value
