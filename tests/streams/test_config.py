"""Blueprint's stream configurations: parsing, validation and selection."""

import json

import pytest

from spade_spark.errors import InputError, SettingsError, UsageError
from spade_spark.settings import Settings
from spade_spark.streams.targets import select_streams
from tests.streams.harness import entry, spade_config

CONDITION = {"Field": "country", "Values": ["US"], "Operator": "in_set"}


@pytest.fixture
def blueprint(tmp_path):
    """Selects from a published list."""

    def select(*entries, names=("all",), tables=("login", "chat"), streams=None, s3=None):
        path = tmp_path / "streams.json"
        path.write_text(json.dumps(list(entries)))
        settings = Settings.model_validate(
            {"blueprint": {"streams": str(path)}, "streams": streams or {}, "s3": s3 or {}}
        )
        return select_streams(names, tables, settings)

    return select


def rule(**more):
    return {"Events": {"login": {"Fields": ["n"], **more}}}


def test_a_valid_stream_is_selected(blueprint):
    (target,) = blueprint(entry(spade_config(), AWSAccount=123)).targets
    assert target.id == "stream/123/views"
    assert target.stream.events["login"].fields == ("login", "n")


INVALID = {
    "no name": ({"StreamName": ""}, "StreamName is missing"),
    "no type": ({"StreamType": ""}, "StreamType is ''"),
    "another type": (
        {"StreamType": "kafka"},
        "StreamType is 'kafka', must be stream or firehose",
    ),
    "a region": ({"StreamRegion": "us-west-3"}, "StreamRegion us-west-3 is not one of us-east-1"),
    "redshift, stream": ({"FirehoseRedshiftStream": True}, "FirehoseRedshiftStream requires"),
    "redshift, compressed": (
        {"FirehoseRedshiftStream": True, "StreamType": "firehose", "Compress": True},
        "FirehoseRedshiftStream requires StreamType firehose without Compress",
    ),
    "no attempts": ({"MaxAttemptsPerRecord": 0}, "MaxAttemptsPerRecord must be positive"),
    "a delay": ({"RetryDelay": "soon"}, "RetryDelay: 'soon' is not a duration"),
    "no delay": ({"RetryDelay": None}, "RetryDelay: '' is not a duration"),
    "glob's age": ({"Globber": {"MaxSize": 1, "MaxAge": "0s"}}, "Globber: MaxAge must be positive"),
    "glob's age's form": ({"Globber": {"MaxSize": 1, "MaxAge": 1}}, "Globber.MaxAge: Input should"),
    "glob's size": ({"Globber": {"MaxAge": "1s"}}, "Globber: MaxSize must be positive"),
    "glob's buffer": (
        {"Globber": {"MaxSize": 1, "MaxAge": "1s", "BufferLength": 0}},
        "Globber: BufferLength must be positive",
    ),
    "no globber": ({"Globber": None}, "Globber: MaxAge"),
    "batch's age": (
        {"Batcher": {"MaxSize": 1, "MaxEntries": 1, "MaxAge": "-1s"}},
        "Batcher: MaxAge must be positive",
    ),
    "batch's size": (
        {"Batcher": {"MaxSize": -1, "MaxEntries": 1, "MaxAge": "1s"}},
        "Batcher: MaxSize must be positive",
    ),
    "batch's entries": (
        {"Batcher": {"MaxSize": 1, "MaxEntries": -2, "MaxAge": "1s"}},
        "Batcher: MaxEntries must be positive, or -1",
    ),
    "a filter": (rule(Filter="isCat"), "event login: unknown filter: isCat"),
    "a filter's case": (rule(Filter="isvod"), "event login: unknown filter: isvod"),
    "no parameters": (rule(Filter="isOneOf"), "Filter isOneOf needs FilterParameters"),
    "no field": (
        rule(Filter="isOneOf", FilterParameters=[{**CONDITION, "Field": ""}]),
        "FilterParameters: a Field is missing",
    ),
    "no values": (
        rule(Filter="isOneOf", FilterParameters=[CONDITION, {**CONDITION, "Values": []}]),
        "FilterParameters: country has no Values",
    ),
    "an operator": (
        rule(Filter="isOneOf", FilterParameters=[{**CONDITION, "Operator": "IN_SET"}]),
        "country has the Operator 'IN_SET', must be in_set or not_in_set",
    ),
    "all and some fields": (rule(AllFields=True), "Fields must be empty with AllFields"),
    "all fields, renamed": (
        rule(AllFields=True, Fields=[], FieldRenames={"n": "m"}),
        "FieldRenames must be empty with AllFields",
    ),
    "types": (rule(Fields="n"), "SpadeConfig.Events.login.Fields: Input should be a valid tuple"),
}


@pytest.mark.parametrize("invalid", INVALID)
def test_an_invalid_value_is_reported(blueprint, invalid):
    more, error = INVALID[invalid]
    with pytest.raises(InputError) as refused:
        blueprint(entry(spade_config(**more)))
    assert error in str(refused.value)
    assert "fix it in Blueprint" in str(refused.value)


def test_all_errors_are_reported_at_once(blueprint):
    invalid = [entry(spade_config("a", Compress=1)), entry(spade_config("b", RetryDelay="x"))]
    with pytest.raises(InputError) as refused:
        blueprint(*invalid)
    assert "a: SpadeConfig.Compress: Input should be a valid boolean" in str(refused.value)
    assert "b: RetryDelay: 'x' is not a duration" in str(refused.value)


def test_a_stream_that_is_not_requested_may_be_invalid(blueprint):
    entries = [entry(spade_config()), entry(spade_config("b", RetryDelay="x"))]
    assert blueprint(*entries, names=["views"]).ids == ("stream/views",)


def test_member_names_match_in_any_case_and_null_is_missing(blueprint):
    config = {name.upper(): value for name, value in spade_config().items()}
    config |= {"STREAMROLE": None, "more": 1}
    assert blueprint({"spadeconfig": config, "version": None}).ids == ("stream/views",)


def test_dropped_streams_are_skipped(blueprint):
    entries = [entry(spade_config("gone", RetryDelay="x"), Dropped=True), entry(spade_config())]
    assert blueprint(*entries).ids == ("stream/views",)
    with pytest.raises(UsageError, match="stream gone was dropped in Blueprint"):
        blueprint(*entries, names=["gone"])


def test_the_newest_version_of_a_stream_is_used(blueprint):
    entries = [
        entry(spade_config(RetryDelay="2s"), version=2),
        entry(spade_config(RetryDelay="1s"), version=1),
        entry(spade_config("other"), version=1),
        entry(spade_config("other"), version=2, Dropped=True),
    ]
    (target,) = blueprint(*entries).targets
    assert target.stream.retry_delay == "2s"


def test_streams_of_the_same_name_are_distinguished_by_account_and_type(blueprint):
    entries = [
        entry(spade_config(), AWSAccount=1),
        entry(spade_config(), AWSAccount=2),
        entry(spade_config(kind="firehose"), AWSAccount=2),
    ]
    ids = ("stream/1/views", "stream/2/views", "firehose/2/views")
    assert blueprint(*entries, names=["views"]).ids == ids


def test_the_error_about_an_unknown_stream_suggests_the_closest_name(blueprint):
    with pytest.raises(UsageError, match=r"no stream vews \(did you mean views\?\)"):
        blueprint(entry(spade_config()), names=["vews"])


def test_a_stream_that_receives_none_of_the_tables_is_refused_if_named_and_skipped_with_all(
    blueprint,
):
    with pytest.raises(UsageError, match="stream views receives none of the requested tables"):
        blueprint(entry(spade_config()), names=["views"], tables=["chat"])
    selection = blueprint(
        entry(spade_config()),
        entry(spade_config("chats", Events={"chat": {"AllFields": True}})),
        tables=["chat"],
    )
    assert (selection.ids, selection.idle) == (("stream/chats",), ("views",))


@pytest.mark.parametrize("entries", [[], [entry(spade_config())]])
def test_publishing_to_all_streams_is_refused_if_none_receives_a_table(blueprint, entries):
    with pytest.raises(UsageError, match="no stream that receives these tables: omit --publish"):
        blueprint(*entries, tables=["chat"])


def test_the_settings_can_add_filters_and_regions(blueprint):
    filters = {"filters": {"isCat": [{"field": "n", "operator": "in_set", "values": ["1"]}]}}
    config = spade_config(StreamRegion="eu-west-1", **rule(Filter="isCat"))
    assert blueprint(entry(config), streams={**filters, "regions": ["eu-west-1"]}).ids


def test_the_default_region_is_that_of_the_settings_and_is_validated_too(blueprint):
    error = "s3.region eu-west-1 is not one of us-east-1, us-west-2 .see streams.regions"
    with pytest.raises(InputError, match=error):
        blueprint(entry(spade_config()), s3={"region": "eu-west-1"})
    own = entry(spade_config(StreamRegion="us-east-1"))
    assert blueprint(own, s3={"region": "eu-west-1"}).ids


def test_values_without_effect_are_warned_about(blueprint):
    batcher = {"MaxSize": 10**8, "MaxEntries": 1000, "MaxAge": "1s"}
    config = spade_config(Batcher=batcher, **rule(FilterParameters=[CONDITION]))
    warnings = "\n".join(blueprint(entry(config)).remarks)
    assert "MaxEntries is 1000: a request has at most 500 records" in warnings
    assert "MaxSize is 100000000: a request has at most 5242880 bytes" in warnings
    assert "event login: FilterParameters are ignored unless Filter is isOneOf" in warnings


def test_everything_that_affects_what_is_published_changes_the_hash(blueprint):
    condition = {"field": "n", "operator": "in_set", "values": ["1"]}
    configurations = [
        blueprint(entry(spade_config())),
        blueprint(entry(spade_config(ExcludeEmptyFields=True))),
        blueprint(entry(spade_config()), streams={"default_filter": [condition]}),
        blueprint(entry(spade_config(), AWSAccount=1)),
        blueprint(entry(spade_config()), streams={"endpoint_url": "http://other.example"}),
        blueprint(entry(spade_config()), s3={"region": "us-east-1"}),
    ]
    assert len({selection.sha256 for selection in configurations}) == len(configurations)


@pytest.mark.parametrize("published", ["no JSON", "{}"])
def test_a_document_that_is_not_a_list_is_refused(tmp_path, published):
    path = tmp_path / "streams.json"
    path.write_text(published)
    settings = Settings.model_validate({"blueprint": {"streams": str(path)}})
    with pytest.raises(InputError, match=r"blueprint\.streams in the settings"):
        select_streams(["all"], ["login"], settings)


def test_a_missing_list_is_refused():
    settings = Settings.model_validate({"blueprint": {"streams": "none.json"}})
    with pytest.raises(SettingsError, match=r"the file none\.json does not exist"):
        select_streams(["all"], ["login"], settings)
