"""The plan: how objects are assigned to partitions, and which differences prevent a resume."""

from dataclasses import replace
from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st

from spade_spark.plan import (
    PARTITION_BYTES,
    InputObject,
    Plan,
    assign_to_partitions,
    plan_differences,
)

MEGABYTE = 1024 * 1024


def sources(*sizes):
    return [InputObject(f"k{number:03d}", size, f"e{number}") for number, size in enumerate(sizes)]


def plan(**changes):
    base = Plan(
        run_tag="r",
        created=datetime(2017, 11, 3, tzinfo=timezone.utc),
        window=("a", "b"),
        tables=("login",),
        all_tables=False,
        schemas_sha256="abc",
        edge="s3://edge/",
        partitions=assign_to_partitions(sources(1, 2, 3)),
        settings={"input.margin": "1:00:00"},
        version="1",
    )
    return replace(base, **changes)


@given(st.lists(st.integers(0, 200 * MEGABYTE), max_size=60))
def test_every_object_is_assigned_once(sizes):
    assigned = [source for part in assign_to_partitions(sources(*sizes)) for source in part.sources]
    assert sorted(assigned, key=lambda source: source.key) == sources(*sizes)


@given(st.lists(st.integers(1, 40 * MEGABYTE), min_size=1, max_size=60))
def test_no_partition_is_much_larger_than_another(sizes):
    """Graham's bound: the largest has at most the mean size plus one object."""
    parts = assign_to_partitions(sources(*sizes))
    mean = sum(sizes) / len(parts)
    assert max(part.size for part in parts) <= mean + max(sizes)


def test_the_number_of_partitions_depends_on_bytes_not_on_objects():
    assert len(assign_to_partitions(sources(*[1000] * 500))) == 1
    assert len(assign_to_partitions(sources(*[PARTITION_BYTES] * 20))) == 20
    assert len(assign_to_partitions(sources(*[PARTITION_BYTES // 100] * 2000))) == 20


def test_a_small_window_has_partitions_for_several_cores():
    assert len(assign_to_partitions(sources(*[MEGABYTE] * 40))) == 8


def test_empty_objects_are_distributed():
    parts = assign_to_partitions(sources(10 * MEGABYTE, *[0] * 100, 10 * MEGABYTE))
    assert min(len(part.sources) for part in parts) > 0


def test_no_objects_make_no_partitions():
    assert assign_to_partitions([]) == ()


def test_equal_plans_have_no_differences():
    later = plan(created=datetime(2018, 1, 1, tzinfo=timezone.utc), version="2")
    assert plan_differences(plan(), later) == []


def test_a_setting_that_an_earlier_version_lacks_had_its_default():
    later = plan(settings={"input.margin": "1:00:00", "input.form": "lines"})
    assert plan_differences(plan(), later) == []
    other = plan(settings={"input.margin": "1:00:00", "input.form": "globs"})
    assert plan_differences(plan(), other) == ["setting input.form was 'lines', is 'globs'"]


def test_each_difference_is_named():
    other = plan(
        schemas_sha256="def",
        settings={"input.margin": "2:00:00"},
        partitions=assign_to_partitions(
            [*sources(1, 2)[1:], InputObject("new", 3, "e"), InputObject("k002", 3, "other")]
        ),
    )
    assert plan_differences(plan(), other) == [
        "schemas_sha256 was abc, is def",
        "setting input.margin was '1:00:00', is '2:00:00'",
        "1 input object missing: k000",
        "1 input object new: new",
        "1 input object changed: k002",
    ]
