"""``ipCity``, ``ipCountry``, ``ipRegion``, ``ipAsn`` and ``ipAsnInteger``: where an address is.

A string that is no address, or one that nothing is known of, is no failure except to
``ipAsnInteger``: the text is empty.
"""

from __future__ import annotations

from typing import Final, Literal

from spade_spark.edge.integers import parse_integer
from spade_spark.edge.strict_json import Value
from spade_spark.lookups import GeoLookup
from spade_spark.transform.transformers.base import ConversionFailed, Converter, text

_PREFIX: Final = "AS"


def to_place(part: Literal["city", "country", "region", "asn"], geo: GeoLookup) -> Converter:
    """The converter to one member of an address's place."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        return str(getattr(geo.place(text(value)), part))

    return convert


def to_asn_integer(geo: GeoLookup) -> Converter:
    """The converter of ``ipAsnInteger``."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        return asn_number(geo.place(text(value)).asn)

    return convert


def asn_number(asn: str) -> str:
    """The number in ``AS<number> <organisation>``: what stands before the first space.

    Raises:
        ConversionFailed: There is none.
    """
    number = asn.partition(" ")[0]
    if not number.startswith(_PREFIX):
        raise ConversionFailed("no autonomous system is known")
    try:
        return str(parse_integer(number.removeprefix(_PREFIX), 64))
    except ValueError as error:
        raise ConversionFailed(f"the autonomous system's number: {error}") from None
