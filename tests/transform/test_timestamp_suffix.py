"""How a time ends: asked of each, and of many at once."""

from hypothesis import example, given
from hypothesis import strategies as st

from spade_spark.transform.row_context import all_have_fraction_suffix, check_utc_suffix

SECOND = "2006-01-02T15:04:05."
ENDS = st.text("019Z.-T:,+\n\u0660a", max_size=6) | st.from_regex(r"[0-9]{1,9}Z", fullmatch=True)


def ends_well(at):
    try:
        check_utc_suffix(at)
    except ValueError:
        return False
    return True


def test_a_time_ends_in_a_fraction_and_z_or_in_a_whole_second():
    assert ends_well(f"{SECOND}123Z")
    assert ends_well(f"{SECOND[:-1]}Z")
    for end in ("Z", "1", "1z", "1ZZ", "Z1", "+00:00", "\u0661Z"):
        assert not ends_well(SECOND + end)


@given(st.lists(ENDS, min_size=1, max_size=20))
@example(["Z--T::.Z", "1"])
@example(["1Z2", "3"])
@example(["1Z\n2006-01-02T15:04:05.1Z", "1Z"])
@example(["", "1ZZ"])
def test_of_many_times_it_is_said_that_all_end_well_only_if_each_does(ends):
    times = [SECOND + end for end in ends]
    assert all_have_fraction_suffix(times) == all(map(ends_well, times))
