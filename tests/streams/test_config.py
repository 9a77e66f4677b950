"""Blueprint's configuration of streams, read and held to the rules."""

import json

import pytest

from spade_spark.errors import InputError, SettingsError, UsageError
from spade_spark.settings import Settings
from spade_spark.streams.targets import select_streams
from tests.streams.harness import entry, spade_config

CONDITION = {"Field": "country", "Values": ["US"], "Operator": "in_set"}


@pytest.fixture
def blueprint(tmp_path):
    """Chooses out of what is published."""

    def chosen(*entries, names=("all",), tables=("login", "chat"), streams=None, s3=None):
        path = tmp_path / "streams.json"
        path.write_text(json.dumps(list(entries)))
        settings = Settings.model_validate(
            {"blueprint": {"streams": str(path)}, "streams": streams or {}, "s3": s3 or {}}
        )
        return select_streams(names, tables, settings)

    return chosen


def rule(**more):
    return {"Events": {"login": {"Fields": ["n"], **more}}}


def test_a_stream_that_breaks_no_rule_is_chosen(blueprint):
    (target,) = blueprint(entry(spade_config(), AWSAccount=123)).targets
    assert target.id == "stream/123/views"
    assert target.stream.events["login"].fields == ("login", "n")


BROKEN = {
    "no name": ({"StreamName": ""}, "StreamName is missing"),
    "no type": ({"StreamType": ""}, "StreamType is ''"),
    "another type": (
        {"StreamType": "kafka"},
        "StreamType is 'kafka', should be stream or firehose",
    ),
    "a region": ({"StreamRegion": "us-west-3"}, "StreamRegion us-west-3 is none of us-east-1"),
    "redshift, stream": ({"FirehoseRedshiftStream": True}, "FirehoseRedshiftStream goes with"),
    "redshift, compressed": (
        {"FirehoseRedshiftStream": True, "StreamType": "firehose", "Compress": True},
        "FirehoseRedshiftStream goes with a firehose that is not compressed",
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
        "country has the Operator 'IN_SET', should be in_set or not_in_set",
    ),
    "all and some fields": (rule(AllFields=True), "Fields must be empty with AllFields"),
    "all fields, renamed": (
        rule(AllFields=True, Fields=[], FieldRenames={"n": "m"}),
        "FieldRenames must be empty with AllFields",
    ),
    "types": (rule(Fields="n"), "SpadeConfig.Events.login.Fields: Input should be a valid tuple"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_rule_that_is_broken_is_named(blueprint, broken):
    more, said = BROKEN[broken]
    with pytest.raises(InputError) as refused:
        blueprint(entry(spade_config(**more)))
    assert said in str(refused.value)
    assert "mend it in Blueprint" in str(refused.value)


def test_all_that_is_wrong_is_said_at_once(blueprint):
    broken = [entry(spade_config("a", Compress=1)), entry(spade_config("b", RetryDelay="x"))]
    with pytest.raises(InputError) as refused:
        blueprint(*broken)
    assert "a: SpadeConfig.Compress: Input should be a valid boolean" in str(refused.value)
    assert "b: RetryDelay: 'x' is not a duration" in str(refused.value)


def test_a_stream_that_nobody_asked_for_may_break_rules(blueprint):
    entries = [entry(spade_config()), entry(spade_config("b", RetryDelay="x"))]
    assert blueprint(*entries, names=["views"]).ids == ("stream/views",)


def test_names_of_members_match_in_any_case_and_null_is_nothing(blueprint):
    config = {name.upper(): value for name, value in spade_config().items()}
    config |= {"STREAMROLE": None, "more": 1}
    assert blueprint({"spadeconfig": config, "version": None}).ids == ("stream/views",)


def test_dropped_streams_are_passed_over(blueprint):
    entries = [entry(spade_config("gone", RetryDelay="x"), Dropped=True), entry(spade_config())]
    assert blueprint(*entries).ids == ("stream/views",)
    with pytest.raises(UsageError, match="stream gone was dropped in Blueprint"):
        blueprint(*entries, names=["gone"])


def test_the_newest_version_of_a_stream_counts(blueprint):
    entries = [
        entry(spade_config(RetryDelay="2s"), version=2),
        entry(spade_config(RetryDelay="1s"), version=1),
        entry(spade_config("other"), version=1),
        entry(spade_config("other"), version=2, Dropped=True),
    ]
    (target,) = blueprint(*entries).targets
    assert target.stream.retry_delay == "2s"


def test_streams_of_one_name_are_told_apart_by_account_and_type(blueprint):
    entries = [
        entry(spade_config(), AWSAccount=1),
        entry(spade_config(), AWSAccount=2),
        entry(spade_config(kind="firehose"), AWSAccount=2),
    ]
    ids = ("stream/1/views", "stream/2/views", "firehose/2/views")
    assert blueprint(*entries, names=["views"]).ids == ids


def test_a_name_that_is_not_there_is_refused_with_the_closest(blueprint):
    with pytest.raises(UsageError, match=r"no stream vews: did you mean views\?"):
        blueprint(entry(spade_config()), names=["vews"])


def test_a_stream_that_takes_none_of_the_tables_is_refused_or_passed_over(blueprint):
    with pytest.raises(UsageError, match="stream views takes none of the tables"):
        blueprint(entry(spade_config()), names=["views"], tables=["chat"])
    chosen = blueprint(
        entry(spade_config()),
        entry(spade_config("chats", Events={"chat": {"AllFields": True}})),
        tables=["chat"],
    )
    assert (chosen.ids, chosen.idle) == (("stream/chats",), ("views",))


@pytest.mark.parametrize("entries", [[], [entry(spade_config())]])
def test_all_streams_where_none_takes_a_table_are_refused_and_not_taken_for_done(
    blueprint, entries
):
    with pytest.raises(UsageError, match="no stream that takes these tables: leave --publish out"):
        blueprint(*entries, tables=["chat"])


def test_the_settings_bring_filters_and_regions(blueprint):
    isolated = {"filters": {"isCat": [{"field": "n", "operator": "in_set", "values": ["1"]}]}}
    config = spade_config(StreamRegion="eu-west-1", **rule(Filter="isCat"))
    assert blueprint(entry(config), streams={**isolated, "regions": ["eu-west-1"]}).ids


def test_a_stream_without_a_region_has_that_of_the_settings_and_is_held_to_the_same_rule(blueprint):
    said = "s3.region eu-west-1 is none of us-east-1, us-west-2 .see streams.regions"
    with pytest.raises(InputError, match=said):
        blueprint(entry(spade_config()), s3={"region": "eu-west-1"})
    own = entry(spade_config(StreamRegion="us-east-1"))
    assert blueprint(own, s3={"region": "eu-west-1"}).ids


def test_what_is_allowed_and_has_no_effect_is_said(blueprint):
    batcher = {"MaxSize": 10**8, "MaxEntries": 1000, "MaxAge": "1s"}
    config = spade_config(Batcher=batcher, **rule(FilterParameters=[CONDITION]))
    said = "\n".join(blueprint(entry(config)).remarks)
    assert "MaxEntries is 1000: no more than 500 records are sent at once" in said
    assert "MaxSize is 100000000: no more than 5242880 bytes are sent at once" in said
    assert "event login: FilterParameters count with Filter isOneOf alone" in said


def test_whatever_decides_what_is_published_changes_the_hash(blueprint):
    condition = {"field": "n", "operator": "in_set", "values": ["1"]}
    configurations = [
        blueprint(entry(spade_config())),
        blueprint(entry(spade_config(ExcludeEmptyFields=True))),
        blueprint(entry(spade_config()), streams={"default_filter": [condition]}),
        blueprint(entry(spade_config(), AWSAccount=1)),
        blueprint(entry(spade_config()), streams={"endpoint_url": "http://other.example"}),
        blueprint(entry(spade_config()), s3={"region": "us-east-1"}),
    ]
    assert len({each.sha256 for each in configurations}) == len(configurations)


@pytest.mark.parametrize("published", ["no JSON", "{}"])
def test_what_is_no_list_is_refused(tmp_path, published):
    path = tmp_path / "streams.json"
    path.write_text(published)
    settings = Settings.model_validate({"blueprint": {"streams": str(path)}})
    with pytest.raises(InputError, match=r"blueprint\.streams in the settings"):
        select_streams(["all"], ["login"], settings)


def test_a_list_that_is_not_there_is_refused():
    settings = Settings.model_validate({"blueprint": {"streams": "none.json"}})
    with pytest.raises(SettingsError, match=r"no file none\.json"):
        select_streams(["all"], ["login"], settings)
