"""Which rows are published to a stream, and with which fields."""

import pytest

from spade_spark.settings import StreamSettings
from spade_spark.streams.filters import BUILT_IN_FILTERS
from spade_spark.streams.routing import Selector, SkipReason, WindowFilter
from tests.streams.harness import stream

COLUMNS = ("time", "login", "country", "n")
ROW = ["2017-11-03 11:00:00", "ann", "US", ""]


def fields(rule, row=ROW, columns=COLUMNS, *, settings=None, window=None, **more):
    configured = stream(Events={"login": rule}, **more)
    settings = StreamSettings.model_validate(settings or {})
    return Selector(configured, "login", columns, settings, window).fields(row)


def condition(field, operator, *values):
    return {"Field": field, "Operator": operator, "Values": list(values)}


def test_selected_fields_without_a_value_are_empty_strings():
    rule = {"Fields": ["login", "n", "no_such"]}
    assert fields(rule) == {"login": "ann", "n": "", "no_such": ""}


def test_fields_are_renamed():
    rule = {"Fields": ["login", "n"], "FieldRenames": {"login": "who", "country": "where"}}
    assert fields(rule) == {"who": "ann", "n": ""}


def test_empty_fields_can_be_omitted():
    assert fields({"Fields": ["login", "n"]}, ExcludeEmptyFields=True) == {"login": "ann"}


def test_all_fields_are_those_with_a_value():
    assert fields({"AllFields": True}) == {"time": ROW[0], "login": "ann", "country": "US"}


def test_the_event_name_is_a_field():
    assert fields({"Fields": ["n"]}, EventNameTargetField="event") == {"event": "login", "n": ""}


def test_a_field_overrides_the_event_name():
    assert fields({"Fields": ["login"]}, EventNameTargetField="login") == {"login": "ann"}


def test_a_row_without_any_field_is_skipped():
    assert fields({"Fields": ["n"]}, ExcludeEmptyFields=True) is SkipReason.EMPTY
    assert fields({"Fields": []}) is SkipReason.EMPTY


def test_the_last_value_counts_if_columns_have_the_same_name():
    row, columns = ["a", "b", ""], ["x", "x", "x"]
    assert fields({"Fields": ["x"]}, row, columns) == {"x": "b"}


@pytest.mark.parametrize(
    ("conditions", "passes"),
    [
        ([condition("country", "in_set", "US", "CA")], True),
        ([condition("country", "in_set", "us")], False),
        ([condition("country", "not_in_set", "US")], False),
        ([condition("country", "not_in_set", "CA")], True),
        ([condition("n", "in_set", "")], True),
        ([condition("no_such", "not_in_set", "")], False),
        ([condition("country", "in_set", "US"), condition("login", "in_set", "bob")], False),
        ([condition("country", "in_set", "US"), condition("login", "in_set", "ann")], True),
    ],
)
def test_every_condition_must_hold(conditions, passes):
    rule = {"Fields": ["n"], "Filter": "isOneOf", "FilterParameters": conditions}
    assert fields(rule) == ({"n": ""} if passes else SkipReason.FILTERED)


def test_parameters_without_their_filter_are_ignored():
    rule = {"Fields": ["n"], "FilterParameters": [condition("country", "in_set", "CA")]}
    assert fields(rule) == {"n": ""}


@pytest.mark.parametrize(
    ("name", "row", "passes"),
    [
        ("isAGSEvent", {"adg_product_id": "600505cc-de2f-4b99-9960-c47ee5d23f04"}, True),
        ("isAGSEvent", {"adg_product_id": ""}, False),
        ("isChannelIDSet", {"channel_id": "x"}, True),
        ("isChannelIDSet", {}, False),
        ("isUserIDSet", {"user_id": "x"}, True),
        ("isUserIDSet", {"user_id": ""}, False),
        ("isVod", {"vod_id": "x", "vod_type": "archive"}, True),
        ("isVod", {"vod_id": "x", "vod_type": "clip"}, False),
        ("isVod", {"vod_id": "", "vod_type": "archive"}, False),
        ("isVod", {"vod_id": "x"}, True),
        ("isLiveClipContent", {"source_content_type": "live"}, True),
        ("isTwilightApp", {"client_app": "twilight"}, True),
        ("isTwilightApp", {"client_app": "other"}, False),
    ],
)
def test_built_in_filters(name, row, passes):
    assert name in BUILT_IN_FILTERS
    got = fields({"AllFields": True, "Filter": name}, list(row.values()), list(row))
    assert (got is not SkipReason.FILTERED) is passes


DEFAULT = {"default_filter": [{"field": "country", "operator": "not_in_set", "values": ["US"]}]}


def test_the_default_filter_applies_unless_the_rule_skips_it():
    assert fields({"Fields": ["n"]}, settings=DEFAULT) is SkipReason.FILTERED
    assert fields({"Fields": ["n"], "SkipDefaultFilter": True}, settings=DEFAULT) == {"n": ""}


def test_a_rules_own_filter_applies_in_addition_to_the_default_one():
    rule = {"Fields": ["n"], "Filter": "isUserIDSet", "SkipDefaultFilter": True}
    assert fields(rule, settings=DEFAULT) is SkipReason.FILTERED


def test_a_filter_of_the_settings_overrides_a_built_in_one():
    settings = {"filters": {"isVod": [{"field": "login", "operator": "in_set", "values": ["ann"]}]}}
    assert fields({"Fields": ["n"], "Filter": "isVod"}, settings=settings) == {"n": ""}


@pytest.mark.parametrize(
    ("time", "inside"),
    [
        ("2017-11-03 10:00:00", True),
        ("2017-11-03 09:59:59.999", False),
        ("2017-11-03 11:59:59", True),
        ("2017-11-03 11:59:59.001", False),
        ("", False),
    ],
)
def test_rows_outside_the_window_are_skipped_as_in_the_load(time, inside):
    window = WindowFilter("time", "2017-11-03 10:00:00", "2017-11-03 11:59:59")
    got = fields({"Fields": ["n"]}, [time, *ROW[1:]], window=window)
    assert got == ({"n": ""} if inside else SkipReason.OUTSIDE)


def test_all_rows_of_a_table_without_the_time_column_are_published():
    window = WindowFilter("when", "2017-11-03 10:00:00", "2017-11-03 11:59:59")
    assert fields({"Fields": ["n"]}, window=window) == {"n": ""}
