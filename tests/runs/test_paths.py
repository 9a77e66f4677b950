"""Keys below the output store."""

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.errors import UsageError
from spade_spark.runs.paths import RunPaths, check_tag, generate_tag, table_folder

NOW = datetime(2017, 11, 3, 10, 20, 30, tzinfo=timezone.utc)


def test_a_generated_tag_contains_the_namespace_and_the_time():
    assert generate_tag(NOW) == "20171103T102030"
    assert generate_tag(NOW, "lake") == "lake-20171103T102030"


@pytest.mark.parametrize("tag", ["", "a/b", "../x", "_plan", "a b", "-x", "a" * 129])
def test_a_tag_that_is_not_a_valid_prefix_is_refused(tag):
    with pytest.raises(UsageError, match="is not a valid run tag"):
        check_tag(tag)


def test_rows_are_stored_below_their_table_and_version():
    assert RunPaths("r").tsv_file("login", 3, "x.gz") == "r/login/v3/x.gz"


@given(st.text(min_size=1))
def test_no_event_name_escapes_its_folder_or_collides_with_the_records_of_the_run(name):
    try:
        folder = table_folder(name)
    except UnicodeEncodeError:
        assert any("\ud800" <= character <= "\udfff" for character in name)
        return
    assert "/" not in folder
    assert folder[0] not in "_."


@given(
    st.text(st.characters(codec="utf-8"), min_size=1),
    st.text(st.characters(codec="utf-8"), min_size=1),
)
def test_two_tables_never_share_a_folder(one, other):
    assert (table_folder(one) == table_folder(other)) == (one == other)
