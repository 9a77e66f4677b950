"""The JSON HTTP service that knows the id of a login."""

from __future__ import annotations

import json
import logging
import re
import time
from base64 import b64encode
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

import jmespath
import urllib3
from jmespath.exceptions import JMESPathError
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from spade_spark.errors import LookupUnavailableError, SettingsError
from spade_spark.lookups.rate_limit import RateLimiter
from spade_spark.retry import RetryPolicy
from spade_spark.settings import UsersSettings

_LOG = logging.getLogger(__name__)

_LARGEST_ANSWER = 1 << 20
_DECIMAL = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_LEAST_ID, _GREATEST_ID = -(2**63), 2**63 - 1
_ASK_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


USER_ID_RETRIES = RetryPolicy(max_attempts=5, max_seconds=60, initial_wait=0.2, max_wait=10)
"""Of the request for one login. ``max_wait`` also limits a ``Retry-After`` of the service."""


class UserIdClient:
    """Asks ``GET url?login=…``; no memory of its own. Safe among threads.

    Args:
        settings: ``url`` (its user and password, if any, are sent as basic authentication),
            ``path``, ``timeout`` and ``rate_per_second`` are used.
        retries: How long a failing service is asked again.

    Raises:
        SettingsError: The URL is none, or the path is no JMESPath.
    """

    def __init__(self, settings: UsersSettings, retries: RetryPolicy) -> None:
        url = _checked(settings.url)
        self.host = url.host or ""
        self._url = url._replace(auth=None, fragment=None)
        self._headers = {"Accept": "application/json", "User-Agent": "spade-spark"}
        if url.auth:
            self._headers["Authorization"] = _basic(url.auth)
        self._path = _compiled(settings.path)
        self._timeout = settings.timeout.total_seconds()
        self._retries = retries
        self._rate_limiter = RateLimiter(settings.rate_per_second)
        self._http = urllib3.PoolManager(num_pools=1, maxsize=8)

    def user_id(self, login: str) -> int | None:
        """The id of ``login``, or None where the service does not know it.

        Raises:
            LookupUnavailableError: No usable answer, however often it was asked.
        """
        tries = 0

        def request() -> int | None:
            nonlocal tries
            tries += 1
            return self._ask(login)

        try:
            return self._retries.call(
                request,
                retry_if=lambda error: isinstance(error, _UserIdRequestError) and error.again,
                requested_wait=_requested_wait,
                before_wait=self._log_retry,
            )
        except _UserIdRequestError as error:
            what_now = (
                "run again when it does" if error.again else "check lookups.users.url and .path"
            )
            raise LookupUnavailableError(
                f"the user service at {self.host} did not give the id of a login "
                f"({error}; asked {tries} time{'s' if tries > 1 else ''}): {what_now}, "
                'or set lookups.users.on_failure to "empty" to leave such columns empty'
            ) from None

    def _log_retry(self, attempt: int, error: BaseException) -> None:
        _LOG.warning(
            "the user service at %s: attempt %d failed and will be retried: %s",
            self.host,
            attempt,
            error,
        )

    def _ask(self, login: str) -> int | None:
        self._rate_limiter.wait()
        try:
            response = self._http.request(
                "GET",
                self._url_of(login),
                headers=self._headers,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            # Read to its end, unless too large, a body gives its connection back to the pool.
            body = response.read(_LARGEST_ANSWER + 1)
        except HTTPError as error:
            raise _UserIdRequestError(_broken(error, self._timeout)) from None
        if len(body) > _LARGEST_ANSWER:
            response.close()
            raise _UserIdRequestError("it answered more than 1 MB", again=False)
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if response.status != HTTPStatus.OK:
            raise _refused(response.status, response.headers, self._retries.max_wait)
        return self._read(body)

    def _url_of(self, login: str) -> str:
        # Percent-encoded throughout: a plus sign for a space is not understood everywhere.
        asked = "login=" + quote(login.encode("utf-8", "surrogatepass"), safe="")
        query = f"{self._url.query}&{asked}" if self._url.query else asked
        return self._url._replace(query=query).url

    def _read(self, body: bytes) -> int | None:
        try:
            found = self._path.search(json.loads(body))
        except (ValueError, RecursionError):
            raise _UserIdRequestError("its answer is no JSON") from None
        except JMESPathError:
            raise _UserIdRequestError(
                "lookups.users.path cannot be followed in its answer"
            ) from None
        if found is None or found in ("", []):
            return None
        user_id = _integer(found)
        if user_id is None or not _LEAST_ID <= user_id <= _GREATEST_ID:
            raise _UserIdRequestError(
                "what lookups.users.path finds in its answer is no integer of 64 bits", again=False
            )
        return user_id


class _UserIdRequestError(Exception):
    """One request without a usable answer; the message holds neither URL nor login.

    ``after`` is how many seconds the service asked to be left alone.
    """

    def __init__(self, reason: str, *, again: bool = True, after: float | None = None) -> None:
        super().__init__(reason)
        self.again = again
        self.after = after


def _requested_wait(error: BaseException) -> float | None:
    return error.after if isinstance(error, _UserIdRequestError) else None


def _checked(text: str) -> Url:
    try:
        url = parse_url(text)
    except LocationParseError:
        url = Url()
    if url.scheme not in {"http", "https"} or not url.host:
        # The value is not shown: it may hold a password.
        raise SettingsError("lookups.users.url must be http://host/path or https://host/path")
    return url


def _basic(auth: str) -> str:
    """``user:password`` of a URL as HTTP's basic authentication, in UTF-8 (RFC 7617)."""
    return "Basic " + b64encode(unquote(auth).encode()).decode()


def _compiled(path: str) -> Any:
    try:
        return jmespath.compile(path)
    except JMESPathError as error:
        raise SettingsError(f"lookups.users.path {path!r} is no JMESPath: {error}") from None


def _integer(found: object) -> int | None:
    """A JSON integer or the decimal text of one."""
    if isinstance(found, str) and _DECIMAL.fullmatch(found):
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _broken(error: HTTPError, timeout: float) -> str:
    """Why there was no answer at all, without the error's text, which names the URL."""
    # urllib3 counts connections that were refused among the timeouts.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
        return f"no answer within {timeout:g} s"
    if isinstance(error, urllib3.exceptions.SSLError):
        return "its TLS certificate or protocol was refused"
    return f"the connection failed, {type(error).__name__}"


def _refused(status: int, headers: Any, longest_wait: float) -> _UserIdRequestError:
    again = status in _ASK_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    after = _retry_after(headers.get("Retry-After", "")) if again else None
    return _UserIdRequestError(
        f"it answered {status}",
        again=again,
        after=None if after is None else min(after, longest_wait),
    )


def _retry_after(text: str) -> float | None:
    """Seconds, of ``Retry-After: 120`` or of a date; None where there is nothing to be read."""
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
