"""`varchar`, `bool`, the geo transformers and `userIDWithMapping`."""

from __future__ import annotations

import pytest

from spade_spark.blueprint.schema import Column
from spade_spark.errors import LookupUnavailableError
from spade_spark.gocompat.json import JsonContainer, Number
from spade_spark.lookups.base import GeoLocation, Lookups
from spade_spark.lookups.static import StaticGeo, StaticUserIds
from spade_spark.transform.transformers.base import ConversionError
from spade_spark.transform.transformers.registry import TRANSFORMERS
from spade_spark.transform.transformers.users import WHITE_SPACE

LOOKUPS = Lookups(
    StaticGeo(
        {
            "192.0.2.1": GeoLocation("Köln", "DE", "NW", "AS64500 Beispiel"),
            "zeros": GeoLocation(asn="AS0042"),
            "signed": GeoLocation(asn="AS-3 x"),
            "space": GeoLocation(asn="AS 3"),
            "lower": GeoLocation(asn="as3 x"),
            "letters": GeoLocation(asn="ASX3 x"),
            "large": GeoLocation(asn="AS9223372036854775808"),
        }
    ),
    StaticUserIds({"ada": 1, "grace hopper": -2}),
)
OTHER_TYPES = [None, True, Number("1.5"), JsonContainer.ARRAY, JsonContainer.OBJECT]


def convert(transformer, value, *supporting):
    column = Column("in", "out", transformer, supporting=("login",))
    try:
        return TRANSFORMERS.converter(column, LOOKUPS)(value, supporting)
    except ConversionError:
        return None


def test_a_varchar_is_any_string():
    assert convert("varchar", " \0é") == " \0é"
    assert [convert("varchar", value) for value in OTHER_TYPES] == [None] * 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (Number("1"), "true"),
        (Number("0"), "false"),
        (Number("-0"), None),
        (Number("1.0"), None),
        (Number("1e0"), None),
        (Number("2"), None),
        ("true", None),
        ("1", None),
        (None, None),
        (JsonContainer.ARRAY, None),
    ],
)
def test_a_bool_is_true_false_1_or_0(value, text):
    assert convert("bool", value) == text


def test_only_a_known_address_has_a_location():
    names = ["ipCity", "ipCountry", "ipRegion", "ipAsn", "ipAsnInteger"]
    known = [convert(name, "192.0.2.1") for name in names]
    assert known == ["Köln", "DE", "NW", "AS64500 Beispiel", "64500"]
    assert [convert(name, "unknown") for name in names] == ["", "", "", "", None]
    assert [convert(name, value) for name in names for value in OTHER_TYPES] == [None] * 25


@pytest.mark.parametrize(
    ("address", "number"),
    [("zeros", "42"), ("signed", "-3"), ("space", None), ("lower", None), ("letters", None),
     ("large", None)],
)  # fmt: skip
def test_the_number_of_an_autonomous_system(address, number):
    assert convert("ipAsnInteger", address) == number


@pytest.mark.parametrize(
    ("value", "login", "user_id"),
    [
        (Number("42"), "ada", "42"),
        ("+42", None, "42"),
        (None, "ada", "1"),
        (Number("42.0"), " ada\t", "1"),
        (" 42", "\u00a0grace hopper\u3000", "-2"),
        ("9223372036854775808", "ada", "1"),
        (None, "Ada", None),
        (None, "ada\x1f", None),
        (None, "ada\u200b", None),
        (None, " \n", None),
        (None, "", None),
        (None, None, None),
        (None, Number("1"), None),
        (True, True, None),
    ],
)
def test_a_user_id_is_sent_or_looked_up_by_login(value, login, user_id):
    assert convert("userIDWithMapping", value, login) == user_id


@pytest.mark.parametrize("supporting", [(), ("ada", "ada")])
def test_a_user_id_needs_exactly_one_supporting_column(supporting):
    assert convert("userIDWithMapping", Number("42"), *supporting) is None


def test_an_unavailable_user_id_service_is_not_a_failed_conversion():
    class Down(StaticUserIds):
        def user_id(self, login):
            raise LookupUnavailableError(f"no answer for {login}")

    column = Column("id", "id", "userIDWithMapping", supporting=("login",))
    convert_user_id = TRANSFORMERS.converter(column, Lookups(LOOKUPS.geo, Down({})))
    with pytest.raises(LookupUnavailableError):
        convert_user_id(None, ("ada",))


def test_white_space_is_defined_by_unicode():
    """`str.isspace` also includes U+001C to U+001F."""
    python = {chr(code) for code in range(0x110000) if chr(code).isspace()}
    assert set(WHITE_SPACE) == python - set("\x1c\x1d\x1e\x1f")
