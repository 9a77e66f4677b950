"""The LRU cache with expiry, against a model that scans a list."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spade_spark.lookups.cache import CachedUserId, TtlCache

LOGINS = st.sampled_from("abcdef")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), LOGINS),
        st.tuples(st.just("put"), LOGINS, st.none() | st.integers(0, 9)),
        st.tuples(st.just("wait"), st.integers(1, 7)),
    ),
    max_size=60,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Model:
    """A simple model: a list from the least to the most recently used entry."""

    def __init__(self, size: int, lifetime: float) -> None:
        self.size, self.lifetime = size, lifetime
        self.entries: list[tuple[str, float, CachedUserId]] = []

    def get(self, login: str, now: float) -> CachedUserId | None:
        for entry in self.entries:
            if entry[0] == login:
                self.entries.remove(entry)
                if now >= entry[1]:
                    return None
                self.entries.append(entry)
                return entry[2]
        return None

    def put(self, login: str, cached: CachedUserId, now: float) -> None:
        others = [entry for entry in self.entries if entry[0] != login]
        entries = [*others, (login, now + self.lifetime, cached)]
        self.entries = entries[max(0, len(entries) - self.size) :]


@given(st.integers(0, 4), st.integers(0, 10), STEPS)
def test_the_cache_behaves_like_the_model(size: int, lifetime: int, steps: list[Any]) -> None:
    clock = Clock()
    cache, model = TtlCache(size, lifetime, clock), Model(size, lifetime)
    for step, *arguments in steps:
        if step == "wait":
            clock.now += arguments[0]
        elif step == "get":
            assert cache.get(arguments[0]) == model.get(arguments[0], clock.now)
        else:
            login, user_id = arguments
            cache.put(login, CachedUserId(user_id))
            model.put(login, CachedUserId(user_id), clock.now)
        assert len(cache) <= size


def test_a_cached_miss_differs_from_no_entry() -> None:
    cache = TtlCache(2, 60)
    cache.put("ghost", CachedUserId(None))
    assert cache.get("ghost") == CachedUserId(None)
    assert cache.get("bob") is None


def test_the_least_recently_used_login_is_evicted_first() -> None:
    cache = TtlCache(2, 60)
    cache.put("a", CachedUserId(1))
    cache.put("b", CachedUserId(2))
    cache.get("a")
    cache.put("c", CachedUserId(3))
    entries = [cache.get(login) for login in ("a", "b", "c")]
    assert entries == [CachedUserId(1), None, CachedUserId(3)]
