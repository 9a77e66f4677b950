"""The LRU map with lifetime, against a model that scans a list."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spade_spark.lookups.memory import Answer, Memory

LOGINS = st.sampled_from("abcdef")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), LOGINS),
        st.tuples(st.just("put"), LOGINS, st.none() | st.integers(0, 9)),
        st.tuples(st.just("pass"), st.integers(1, 7)),
    ),
    max_size=60,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Model:
    """The same, as plainly as can be: a list from the least recent entry to the most recent."""

    def __init__(self, size: int, lifetime: float) -> None:
        self.size, self.lifetime = size, lifetime
        self.entries: list[tuple[str, float, Answer]] = []

    def get(self, login: str, now: float) -> Answer | None:
        for entry in self.entries:
            if entry[0] == login:
                self.entries.remove(entry)
                if now >= entry[1]:
                    return None
                self.entries.append(entry)
                return entry[2]
        return None

    def put(self, login: str, answer: Answer, now: float) -> None:
        others = [entry for entry in self.entries if entry[0] != login]
        entries = [*others, (login, now + self.lifetime, answer)]
        self.entries = entries[max(0, len(entries) - self.size) :]


@given(st.integers(0, 4), st.integers(0, 10), STEPS)
def test_memory_answers_as_the_model_does(size: int, lifetime: int, steps: list[Any]) -> None:
    clock = Clock()
    memory, model = Memory(size, lifetime, clock), Model(size, lifetime)
    for step, *arguments in steps:
        if step == "pass":
            clock.now += arguments[0]
        elif step == "get":
            assert memory.get(arguments[0]) == model.get(arguments[0], clock.now)
        else:
            login, user_id = arguments
            memory.put(login, Answer(user_id))
            model.put(login, Answer(user_id), clock.now)
        assert len(memory) <= size


def test_a_miss_is_told_from_nothing_remembered() -> None:
    memory = Memory(2, 60)
    memory.put("ghost", Answer(None))
    assert memory.get("ghost") == Answer(None)
    assert memory.get("bob") is None


def test_the_login_asked_longest_ago_goes_first() -> None:
    memory = Memory(2, 60)
    memory.put("a", Answer(1))
    memory.put("b", Answer(2))
    memory.get("a")
    memory.put("c", Answer(3))
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (Answer(1), None, Answer(3))
