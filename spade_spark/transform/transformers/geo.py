"""``ipCity``, ``ipCountry``, ``ipRegion``, ``ipAsn`` and ``ipAsnInteger``: where an address is.

A string that is no address, or one that nothing is known of, is no failure except to
``ipAsnInteger``: the text is empty.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

from spade_spark.gocompat.json import Value
from spade_spark.gocompat.strconv import parse_integer
from spade_spark.lookups.base import GeoLookup, Lookups
from spade_spark.transform.transformers.base import (
    AddressCodegen,
    AddressPart,
    ArrowType,
    ConversionError,
    Converter,
    TransformerSpec,
    text,
)
from spade_spark.transform.transformers.strings import SQL_TEXT_TYPES

_PREFIX: Final = "AS"


_Place = Literal["city", "country", "region", "asn"]


def to_geo_field(part: _Place, geo: GeoLookup) -> Converter:
    """The converter to one member of an address's place."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        return str(getattr(geo.locate(text(value)), part))

    return convert


def to_asn_integer(geo: GeoLookup) -> Converter:
    """The converter of ``ipAsnInteger``."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        return asn_number(geo.locate(text(value)).asn)

    return convert


def asn_number(asn: str) -> str:
    """The number in ``AS<number> <organisation>``: what stands before the first space.

    Raises:
        ConversionError: There is none.
    """
    number = asn.partition(" ")[0]
    if not number.startswith(_PREFIX):
        raise ConversionError("no autonomous system is known")
    try:
        return str(parse_integer(number.removeprefix(_PREFIX), 64))
    except ValueError as error:
        raise ConversionError(f"the autonomous system's number: {error}") from None


def _place_converter(part: _Place, lookups: Lookups, _parameter: str) -> Converter:
    return to_geo_field(part, lookups.geo)


def _asn_integer_converter(lookups: Lookups, _parameter: str) -> Converter:
    return to_asn_integer(lookups.geo)


def _place_spec(name: str, place: _Place, part: AddressPart) -> TransformerSpec:
    return TransformerSpec(
        name=name,
        converter=partial(_place_converter, place),
        sql_types=SQL_TEXT_TYPES,
        sql_type="VARCHAR",
        arrow_type=ArrowType.STRING,
        codegen=AddressCodegen(part),
        inference=None,
        examples=('"10.1.0.1"', '"2001:db8::1"'),
    )


SPECS: Final = (
    _place_spec("ipCity", "city", AddressPart.CITY),
    _place_spec("ipCountry", "country", AddressPart.COUNTRY),
    _place_spec("ipRegion", "region", AddressPart.REGION),
    _place_spec("ipAsn", "asn", AddressPart.ASN),
    TransformerSpec(
        name="ipAsnInteger",
        converter=_asn_integer_converter,
        sql_types=r"integer|bigint|numeric.*",
        sql_type="BIGINT",
        arrow_type=ArrowType.INT64,
        codegen=AddressCodegen(AddressPart.ASN_NUMBER),
        inference=None,
        examples=('"10.1.0.1"', '"2001:db8::1"'),
    ),
)
