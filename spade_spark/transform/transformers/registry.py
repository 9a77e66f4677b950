"""The transformers by the names that Blueprint gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from spade_spark.blueprint.schema import Column
from spade_spark.lookups import Lookups
from spade_spark.transform.layout import Layout
from spade_spark.transform.transformers.base import Converter
from spade_spark.transform.transformers.booleans import to_bool
from spade_spark.transform.transformers.geo import to_asn_integer, to_place
from spade_spark.transform.transformers.numbers import BIGINT_BITS, INT_BITS, to_float, to_integer
from spade_spark.transform.transformers.strings import to_varchar
from spade_spark.transform.transformers.timestamps import UTC, to_layout_time, to_unix_time
from spade_spark.transform.transformers.users import to_user_id
from spade_spark.window import PACIFIC

TIMESTAMP: Final = "f@timestamp@"
"""What the name of a transformer begins with that reads the rest as the layout of a time."""

BY_NAME: Final[Mapping[str, Callable[[Lookups], Converter]]] = MappingProxyType(
    {
        "int": lambda _: to_integer(INT_BITS),
        "bigint": lambda _: to_integer(BIGINT_BITS),
        "float": lambda _: to_float,
        "varchar": lambda _: to_varchar,
        "bool": lambda _: to_bool,
        "ipCity": lambda lookups: to_place("city", lookups.geo),
        "ipCountry": lambda lookups: to_place("country", lookups.geo),
        "ipRegion": lambda lookups: to_place("region", lookups.geo),
        "ipAsn": lambda lookups: to_place("asn", lookups.geo),
        "ipAsnInteger": lambda lookups: to_asn_integer(lookups.geo),
        "f@timestamp@unix": lambda _: to_unix_time(PACIFIC),
        "f@timestamp@unix-utc": lambda _: to_unix_time(UTC),
        "userIDWithMapping": lambda lookups: to_user_id(lookups.logins),
    }
)


def is_transformer(name: str) -> bool:
    """Whether columns can be converted by the transformer of this name."""
    return name in BY_NAME or name.startswith(TIMESTAMP)


def converter(column: Column, lookups: Lookups) -> Converter:
    """What converts the properties that ``column`` names to its text.

    Raises:
        KeyError: There is no such transformer.
    """
    name = column.transformer
    if name not in BY_NAME and name.startswith(TIMESTAMP):
        return to_layout_time(Layout.parse(name.removeprefix(TIMESTAMP)))
    return BY_NAME[name](lookups)
