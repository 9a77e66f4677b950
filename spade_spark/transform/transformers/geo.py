"""The geo transformers ``ipCity``, ``ipCountry``, ``ipRegion``, ``ipAsn`` and ``ipAsnInteger``.

The text of an invalid or unknown address is empty; only ``ipAsnInteger`` fails on it.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

from spade_spark.gocompat.json import Value
from spade_spark.gocompat.strconv import parse_integer
from spade_spark.lookups.base import GeoLookup, Lookups
from spade_spark.transform.transformers.base import (
    ArrowType,
    ConversionError,
    Converter,
    GeoCodegen,
    GeoField,
    TransformerSpec,
    text,
)
from spade_spark.transform.transformers.strings import SQL_TEXT_TYPES

_PREFIX: Final = "AS"


_LocationField = Literal["city", "country", "region", "asn"]


def to_location_field(field: _LocationField, geo: GeoLookup) -> Converter:
    """Return the converter of an address to one field of its location."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        return str(getattr(geo.locate(text(value)), field))

    return convert


def to_asn_integer(geo: GeoLookup) -> Converter:
    """Return the converter of ``ipAsnInteger``."""

    def convert(value: Value, _: tuple[Value, ...]) -> str:
        return asn_number(geo.locate(text(value)).asn)

    return convert


def asn_number(asn: str) -> str:
    """Return the number in ``AS<number> <organisation>``.

    Raises:
        ConversionError: There is none.
    """
    number = asn.partition(" ")[0]
    if not number.startswith(_PREFIX):
        raise ConversionError("the autonomous system is unknown")
    try:
        return str(parse_integer(number.removeprefix(_PREFIX), 64))
    except ValueError as error:
        raise ConversionError(f"the autonomous system's number: {error}") from None


def _geo_converter(field: _LocationField, lookups: Lookups, _parameter: str) -> Converter:
    return to_location_field(field, lookups.geo)


def _asn_integer_converter(lookups: Lookups, _parameter: str) -> Converter:
    return to_asn_integer(lookups.geo)


def _geo_spec(name: str, field: _LocationField, geo_field: GeoField) -> TransformerSpec:
    return TransformerSpec(
        name=name,
        converter=partial(_geo_converter, field),
        accepted_sql_types=SQL_TEXT_TYPES,
        sql_type="VARCHAR",
        arrow_type=ArrowType.STRING,
        codegen=GeoCodegen(geo_field),
        inference=None,
        examples=('"10.1.0.1"', '"2001:db8::1"'),
    )


SPECS: Final = (
    _geo_spec("ipCity", "city", GeoField.CITY),
    _geo_spec("ipCountry", "country", GeoField.COUNTRY),
    _geo_spec("ipRegion", "region", GeoField.REGION),
    _geo_spec("ipAsn", "asn", GeoField.ASN),
    TransformerSpec(
        name="ipAsnInteger",
        converter=_asn_integer_converter,
        accepted_sql_types=r"integer|bigint|numeric.*",
        sql_type="BIGINT",
        arrow_type=ArrowType.INT64,
        codegen=GeoCodegen(GeoField.ASN_NUMBER),
        inference=None,
        examples=('"10.1.0.1"', '"2001:db8::1"'),
    ),
)
