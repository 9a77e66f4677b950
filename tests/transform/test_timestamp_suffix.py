"""The check of what follows the seconds of a time, for one time and for many."""

from hypothesis import example, given
from hypothesis import strategies as st

from spade_spark.transform.codegen_runtime import all_have_fraction_suffix, check_utc_suffix

SECOND = "2006-01-02T15:04:05."
SUFFIXES = st.text("019Z.-T:,+\n\u0660a", max_size=6) | st.from_regex(
    r"[0-9]{1,9}Z", fullmatch=True
)


def has_valid_suffix(at):
    try:
        check_utc_suffix(at)
    except ValueError:
        return False
    return True


def test_a_time_ends_in_z_after_an_optional_fraction():
    assert has_valid_suffix(f"{SECOND}123Z")
    assert has_valid_suffix(f"{SECOND[:-1]}Z")
    for suffix in ("Z", "1", "1z", "1ZZ", "Z1", "+00:00", "\u0661Z"):
        assert not has_valid_suffix(SECOND + suffix)


@given(st.lists(SUFFIXES, min_size=1, max_size=20))
@example(["Z--T::.Z", "1"])
@example(["1Z2", "3"])
@example(["1Z\n2006-01-02T15:04:05.1Z", "1Z"])
@example(["", "1ZZ"])
def test_the_check_of_many_times_agrees_with_the_check_of_each(suffixes):
    times = [SECOND + suffix for suffix in suffixes]
    assert all_have_fraction_suffix(times) == all(map(has_valid_suffix, times))
