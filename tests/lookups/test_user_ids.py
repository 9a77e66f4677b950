"""Lookups of user ids with a real HTTP service and a real memcached."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spade_spark.errors import LookupUnavailableError, SettingsError
from spade_spark.lookups.base import LookupStats
from spade_spark.lookups.cache import CachedUserId, Memcached
from spade_spark.lookups.factory import open_lookups
from spade_spark.lookups.user_ids import CachedUserIdLookup
from spade_spark.settings import LookupSettings, S3Settings, UsersSettings
from tests.lookups.user_service import Reply, UserService

Open = Callable[..., CachedUserIdLookup]


# Requests


def test_a_configured_url_opens_the_service(users: UserService) -> None:
    users.ids["bob"] = 5
    configured = LookupSettings(users=UsersSettings(url=users.url))
    lookups = open_lookups(configured, S3Settings())
    assert lookups.user_ids.user_id("bob") == 5
    assert lookups.stats() == LookupStats(asked=1, service_asked=1)


@pytest.mark.parametrize("stored", [0, -12, 77, "77", "+5", "-12", 2**63 - 1, str(-(2**63))])
def test_an_id_is_an_integer_or_its_decimal_text(
    users: UserService, open_lookup: Open, stored: int | str
) -> None:
    users.ids["bob"] = stored
    assert open_lookup().user_id("bob") == int(stored)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(min_size=1, max_size=20))
def test_any_login_reaches_the_service_unchanged(
    users: UserService, open_lookup: Open, login: str
) -> None:
    users.ids[login] = 9
    assert open_lookup().user_id(login) == 9
    assert users.logins[-1] == login


def test_a_space_is_percent_encoded(users: UserService, open_lookup: Open) -> None:
    open_lookup().user_id("two words+&=/?#%é")
    assert users.paths == ["/lookup?login=two%20words%2B%26%3D%2F%3F%23%25%C3%A9"]


def test_the_query_of_the_url_is_preserved(users: UserService, open_lookup: Open) -> None:
    open_lookup(url=f"{users.url}?realm=a%20b#part").user_id("bob")
    assert users.paths == ["/lookup?realm=a%20b&login=bob"]


def test_a_user_and_password_in_the_url_are_sent_as_basic_authentication(
    users: UserService, open_lookup: Open
) -> None:
    open_lookup(url=f"http://me:p%40ss%C3%A9@{users.host}/lookup").user_id("bob")
    assert users.headers[0]["Authorization"] == "Basic bWU6cEBzc8Op"


def test_the_path_selects_the_id_in_the_response(users: UserService, open_lookup: Open) -> None:
    users.always = Reply(body=b'{"data": [{"kind": "a", "n": 1}, {"kind": "b", "n": 2}]}')
    assert open_lookup(path="data[?kind=='b'].n | [0]").user_id("bob") == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=404),
        Reply(body=b"{}"),
        Reply(body=b"null"),
        Reply(body=b'{"results": []}'),
        Reply(body=b'{"results": [{"id": null}]}'),
        Reply(body=b'{"results": [{"id": ""}]}'),
    ],
)
def test_status_404_and_an_empty_value_are_cached_misses(
    users: UserService, open_lookup: Open, reply: Reply
) -> None:
    users.always = reply
    lookup = open_lookup()
    assert [lookup.user_id("ghost"), lookup.user_id("ghost")] == [None, None]
    assert users.logins == ["ghost"]
    assert lookup.stats() == LookupStats(asked=2, memory_hits=1, service_asked=1, service_misses=1)


def test_requests_share_a_connection(users: UserService, open_lookup: Open) -> None:
    lookup = open_lookup()
    for number in range(10):
        lookup.user_id(f"login{number}")
    assert len(users.logins) == 10
    assert users.connections == 1


def test_requests_do_not_exceed_the_rate(users: UserService, open_lookup: Open) -> None:
    lookup = open_lookup(rate_per_second=50)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lookup.user_id, (f"login{number}" for number in range(6))))
    # Five intervals of 20 ms, minus the delay of the first request.
    assert users.times[-1] - users.times[0] > 0.08


# The cache of the process


def test_an_id_is_requested_once(users: UserService, open_lookup: Open) -> None:
    users.ids["bob"] = 5
    lookup = open_lookup()
    assert [lookup.user_id("bob") for _ in range(3)] == [5, 5, 5]
    assert users.logins == ["bob"]
    assert lookup.stats() == LookupStats(asked=3, memory_hits=2, service_asked=1)
    assert lookup.stats().service_hits == 1


def test_an_id_is_requested_again_after_its_lifetime(users: UserService, open_lookup: Open) -> None:
    users.ids["bob"] = 5
    lookup = open_lookup(cache_lifetime="50ms")
    lookup.user_id("bob")
    users.ids["bob"] = 6
    time.sleep(0.06)
    assert lookup.user_id("bob") == 6


def test_without_cache_entries_nothing_is_cached(users: UserService, open_lookup: Open) -> None:
    lookup = open_lookup(cache_entries=0)
    lookup.user_id("bob")
    lookup.user_id("bob")
    assert users.logins == ["bob", "bob"]


def test_threads_that_look_up_the_same_login_share_one_request(
    users: UserService, open_lookup: Open
) -> None:
    users.ids["bob"] = 5
    users.delay = 0.2
    lookup = open_lookup()
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lookup.user_id, ["bob"] * 8)) == [5] * 8
    assert users.logins == ["bob"]
    assert lookup.stats() == LookupStats(asked=8, memory_hits=7, service_asked=1)


def test_threads_that_share_a_failed_request_fail_too(
    users: UserService, open_lookup: Open
) -> None:
    users.always = Reply(status=401, delay=0.2)
    lookup = open_lookup()
    with ThreadPoolExecutor(4) as threads:
        results = [threads.submit(lookup.user_id, "bob") for _ in range(4)]
    assert [type(result.exception()) for result in results] == [LookupUnavailableError] * 4
    assert users.logins == ["bob"]
    assert lookup.stats() == LookupStats(asked=4, service_asked=1, service_failures=4)
    users.always = None
    assert lookup.user_id("bob") is None, "the failed request must not stay in flight"


def test_different_logins_do_not_wait_for_each_other(users: UserService, open_lookup: Open) -> None:
    users.delay = 0.3
    lookup = open_lookup()
    start = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lookup.user_id, "abcd"))
    assert time.monotonic() - start < 0.9


# Failures


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=500),
        Reply(status=503),
        Reply(status=408),
        Reply(status=429),
        Reply(body=b"<html>a proxy's page</html>"),
        Reply(body=b"[" * 100_000),
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=429, headers={"Retry-After": "soon"}),
    ],
)
def test_a_transient_failure_is_retried(
    users: UserService, open_lookup: Open, fault: Reply
) -> None:
    users.ids["bob"] = 5
    users.next_replies.extend([fault, fault])
    lookup = open_lookup()
    assert lookup.user_id("bob") == 5
    assert users.logins == ["bob"] * 3
    assert lookup.stats() == LookupStats(asked=1, service_asked=1)


def test_a_retry_is_logged_without_the_url_or_the_login(
    users: UserService, open_lookup: Open, caplog: pytest.LogCaptureFixture
) -> None:
    users.next_replies.append(Reply(status=503))
    open_lookup(url=f"http://me:hush@{users.host}/lookup?token=secret").user_id("somebody")
    assert [text for text in caplog.messages if "retried" in text] == [
        "the user service at 127.0.0.1: attempt 1 failed and will be retried: HTTP status 503"
    ]
    assert not any(word in caplog.text for word in ("hush", "secret", "somebody"))


def test_a_timeout_is_retried(users: UserService, open_lookup: Open) -> None:
    users.ids["bob"] = 5
    users.next_replies.append(Reply(delay=1))
    assert open_lookup(timeout="100ms").user_id("bob") == 5


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=401),
        Reply(status=301, headers={"Location": "/elsewhere"}),
        Reply(body=b'{"results": [{"id": 42.0}]}'),
        Reply(body=b'{"results": [{"id": true}]}'),
        Reply(body=b'{"results": [{"id": "4 2"}]}'),
        Reply(body='{"results": [{"id": "４２"}]}'.encode()),  # noqa: RUF001 - other scripts' digits
        Reply(body=b'{"results": [{"id": 9223372036854775808}]}'),
        Reply(body=b'{"results": [{"id": [5]}]}'),
        Reply(body=b" " * 2_000_000),
    ],
)
def test_a_permanent_failure_is_not_retried(
    users: UserService, open_lookup: Open, fault: Reply
) -> None:
    users.always = fault
    with pytest.raises(
        LookupUnavailableError, match=r"1 attempt\): check lookups\.users\.url and lookups"
    ):
        open_lookup().user_id("bob")
    assert users.logins == ["bob"]


def test_retry_after_is_respected(users: UserService, open_lookup: Open) -> None:
    in_two_seconds = formatdate(time.time() + 2, usegmt=True)
    for wait in ("2", in_two_seconds):
        users.next_replies.append(Reply(status=429, headers={"Retry-After": wait}))
        open_lookup().user_id("bob")
    waited = [users.times[1] - users.times[0], users.times[3] - users.times[2]]
    # max_wait is 0.3 s in the tests; without the header, the wait would be at most 0.02 s.
    assert all(0.29 < seconds < 1.9 for seconds in waited)


def test_a_service_that_stays_down_fails_the_task(users: UserService, open_lookup: Open) -> None:
    users.always = Reply(status=500)
    lookup = open_lookup(url=f"http://me:hush@{users.host}/lookup?token=secret")
    with pytest.raises(LookupUnavailableError) as caught:
        lookup.user_id("somebody")
    message = str(pickle.loads(pickle.dumps(caught.value)))
    assert message == (
        "the user service at 127.0.0.1 did not return a user id (HTTP status 500; 3 attempts): run "
        "the command again when the service is available, or set lookups.users.on_failure to "
        '"empty" to leave the columns empty'
    )
    assert caught.value.__suppress_context__, "the chained error may contain the URL"
    assert users.logins == ["somebody"] * 3
    assert lookup.stats() == LookupStats(asked=1, service_asked=1, service_failures=1)


def test_an_unreachable_service_fails_the_task(open_lookup: Open) -> None:
    with pytest.raises(LookupUnavailableError, match=r"at 127\.0\.0\.1 .*the connection failed"):
        open_lookup(url="http://127.0.0.1:1/lookup").user_id("bob")


def test_a_failure_is_not_cached(users: UserService, open_lookup: Open) -> None:
    users.ids["bob"] = 5
    users.always = Reply(status=401)
    lookup = open_lookup()
    with pytest.raises(LookupUnavailableError):
        lookup.user_id("bob")
    users.always = None
    assert lookup.user_id("bob") == 5


def test_with_on_failure_empty_a_failure_is_counted_and_retried_after_a_pause(
    users: UserService, open_lookup: Open
) -> None:
    users.ids["bob"] = 5
    users.always = Reply(status=401)
    lookup = open_lookup(on_failure="empty", pause=0.3)
    assert [lookup.user_id("bob"), lookup.user_id("bob")] == [None, None]
    assert users.logins == ["bob"], "the other rows must not wait for the service"
    assert lookup.stats() == LookupStats(asked=2, service_asked=1, service_failures=2)
    users.always = None
    time.sleep(0.31)
    assert lookup.user_id("bob") == 5


def test_cached_ids_are_available_while_the_service_is_down(
    users: UserService, open_lookup: Open
) -> None:
    users.ids["bob"] = 5
    lookup = open_lookup()
    lookup.user_id("bob")
    users.always = Reply(status=500)
    assert lookup.user_id("bob") == 5


@pytest.mark.parametrize(
    "url", ["users.internal/lookup", "ftp://me:hush@host/", "http://", "http://me:hush@host:x/"]
)
def test_an_invalid_url_is_an_error_that_does_not_show_it(open_lookup: Open, url: str) -> None:
    with pytest.raises(SettingsError, match=r"lookups\.users\.url must be http") as caught:
        open_lookup(url=url)
    assert "hush" not in str(caught.value)


def test_a_path_that_is_not_a_jmespath_is_an_error(open_lookup: Open) -> None:
    with pytest.raises(
        SettingsError, match=r"lookups\.users\.path 'results\[' is not a JMESPath expression"
    ):
        open_lookup(path="results[")


# Memcached


def test_another_worker_finds_ids_and_misses_in_memcached(
    users: UserService, open_lookup: Open, memcached: Any
) -> None:
    users.ids["bob"] = -12
    first, second = (open_lookup(memcached=memcached.address) for _ in range(2))
    assert [first.user_id("bob"), first.user_id("ghost")] == [-12, None]
    assert [second.user_id("bob"), second.user_id("ghost")] == [-12, None]
    assert users.logins == ["bob", "ghost"]
    assert second.stats() == LookupStats(asked=2, memcached_hits=2)
    second.user_id("bob")
    assert second.stats() == LookupStats(asked=3, memcached_hits=2, memory_hits=1)


@pytest.mark.parametrize("login", ["two words", "zoë", "\n\r\0", "x" * 1000, "日本", "\ud800"])
def test_any_login_can_be_stored_in_memcached(
    users: UserService, open_lookup: Open, memcached: Any, login: str
) -> None:
    first, second = (open_lookup(memcached=memcached.address) for _ in range(2))
    users.always = Reply(body=b'{"results": [{"id": 7}]}')
    first.user_id(login)
    assert second.user_id(login) == 7
    assert (first.stats().memcached_failures, second.stats().memcached_hits) == (0, 1)


def test_entries_of_another_service_or_path_are_not_used(
    users: UserService, open_lookup: Open, memcached: Any
) -> None:
    users.always = Reply(body=b'{"a": 1, "b": 2}')
    assert open_lookup(memcached=memcached.address, path="a").user_id("bob") == 1
    assert open_lookup(memcached=memcached.address, path="b").user_id("bob") == 2
    assert open_lookup(memcached=memcached.address, url=users.url + "2").stats().asked == 0
    open_lookup(memcached=memcached.address, url=users.url + "2", path="a").user_id("bob")
    assert users.logins == ["bob"] * 3


def test_entries_in_memcached_expire_after_the_lifetime(
    users: UserService, open_lookup: Open, memcached: Any
) -> None:
    open_lookup(memcached=memcached.address, cache_lifetime="100d").user_id("bob")
    open_lookup(memcached=memcached.address, cache_lifetime="1ms", path="other").user_id("bob")
    open_lookup(memcached=memcached.address, cache_lifetime="0s", path="none").user_id("bob")
    ends = [int(line.split()[1][4:]) - time.time() for line in all_keys(memcached)]
    assert sorted(round(seconds / 86400) for seconds in ends) == [0, 30]
    assert all(seconds > -1 for seconds in ends), "an expiry of 0 would never expire"


def all_keys(memcached: Any) -> list[str]:
    """Return a line ``key=… exp=… …`` for each key in memcached."""
    client = memcached.client()
    client.sock or client._connect()
    client.sock.sendall(b"lru_crawler metadump all\r\n")
    response = b""
    while not response.endswith(b"END\r\n"):
        response += client.sock.recv(4096)
    client.close()
    return response.decode().splitlines()[:-1]


def test_no_lookup_fails_while_memcached_is_down(
    users: UserService, open_lookup: Open, memcached: Any
) -> None:
    users.ids |= {"a": 1, "b": 2}
    lookup = open_lookup(memcached=memcached.address)
    memcached.stop()
    assert [lookup.user_id("a"), lookup.user_id("b")] == [1, 2]
    # One failure: after it, memcached is not used during the cooldown.
    assert lookup.stats() == LookupStats(asked=2, service_asked=2, memcached_failures=1)


def test_memcached_that_restarts_is_used_again(memcached: Any) -> None:
    cache = Memcached(memcached.address, namespace="test", lifetime=60, pause=0.05)
    cache.put("bob", CachedUserId(5))
    memcached.stop()
    assert cache.get("bob") is None
    memcached.start()
    time.sleep(0.06)
    cache.put("bob", CachedUserId(6))
    assert cache.get("bob") == CachedUserId(6)
    assert cache.failures == 1


def test_an_invalid_entry_in_memcached_is_counted_and_not_used(
    users: UserService, open_lookup: Open, memcached: Any
) -> None:
    users.ids["bob"] = 5
    open_lookup(memcached=memcached.address).user_id("bob")
    (line,) = all_keys(memcached)
    memcached.client().set(unquote(line.split()[0].removeprefix("key=")), b"5; drop", noreply=False)
    lookup = open_lookup(memcached=memcached.address)
    assert lookup.user_id("bob") == 5
    assert lookup.stats() == LookupStats(asked=1, service_asked=1, memcached_failures=1)


def test_no_lookup_fails_if_the_server_is_not_memcached(
    users: UserService, open_lookup: Open
) -> None:
    users.ids["bob"] = 5
    lookup = open_lookup(memcached=users.host)
    assert lookup.user_id("bob") == 5
    assert lookup.stats().memcached_failures == 1


def test_an_invalid_memcached_address_is_an_error(open_lookup: Open) -> None:
    with pytest.raises(SettingsError, match=r"lookups\.users\.memcached must look like"):
        open_lookup(memcached="host:port")
