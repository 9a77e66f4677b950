"""The client of the HTTP service that maps logins to user ids."""

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

_MAX_RESPONSE_BYTES = 1 << 20
_DECIMAL = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_MIN_ID, _MAX_ID = -(2**63), 2**63 - 1
_RETRYABLE = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}

USER_ID_RETRIES = RetryPolicy(max_attempts=5, max_seconds=60, initial_wait=0.2, max_wait=10)
"""The retries of the request for one login. ``max_wait`` also limits ``Retry-After``."""


class UserIdClient:
    """Sends ``GET url?login=…``. Thread-safe; without a cache.

    Args:
        settings: The client uses ``url``, ``path``, ``timeout`` and ``rate_per_second``. A user and
            password in the URL are sent as basic authentication.
        retries: The retries of failed requests.

    Raises:
        SettingsError: The URL is invalid, or the path is not a JMESPath expression.
    """

    def __init__(self, settings: UsersSettings, retries: RetryPolicy) -> None:
        url = _parse_url(settings.url)
        self.host = url.host or ""
        self._url = url._replace(auth=None, fragment=None)
        self._headers = {"Accept": "application/json", "User-Agent": "spade-spark"}
        if url.auth:
            self._headers["Authorization"] = _basic_auth(url.auth)
        self._path = _compile_path(settings.path)
        self._timeout = settings.timeout.total_seconds()
        self._retries = retries
        self._rate_limiter = RateLimiter(settings.rate_per_second)
        self._http = urllib3.PoolManager(num_pools=1, maxsize=8)

    def user_id(self, login: str) -> int | None:
        """Return the user id of ``login``; None if the service does not know the login.

        Raises:
            LookupUnavailableError: No attempt received a valid response.
        """
        attempts = 0

        def request() -> int | None:
            nonlocal attempts
            attempts += 1
            return self._request(login)

        try:
            return self._retries.call(
                request,
                retry_if=lambda error: isinstance(error, _UserIdRequestError) and error.retryable,
                requested_wait=_requested_wait,
                before_wait=self._log_retry,
            )
        except _UserIdRequestError as error:
            remedy = (
                "run the command again when the service is available"
                if error.retryable
                else "check lookups.users.url and lookups.users.path"
            )
            raise LookupUnavailableError(
                f"the user service at {self.host} did not return a user id "
                f"({error}; {attempts} attempt{'s' if attempts > 1 else ''}): {remedy}, "
                'or set lookups.users.on_failure to "empty" to leave the columns empty'
            ) from None

    def _log_retry(self, attempt: int, error: BaseException) -> None:
        _LOG.warning(
            "the user service at %s: attempt %d failed and will be retried: %s",
            self.host,
            attempt,
            error,
        )

    def _request(self, login: str) -> int | None:
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
            # Reading the complete body returns the connection to the pool.
            body = response.read(_MAX_RESPONSE_BYTES + 1)
        except HTTPError as error:
            raise _UserIdRequestError(_describe(error, self._timeout)) from None
        if len(body) > _MAX_RESPONSE_BYTES:
            response.close()
            raise _UserIdRequestError("the response is larger than 1 MB", retryable=False)
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if response.status != HTTPStatus.OK:
            raise _status_error(response.status, response.headers, self._retries.max_wait)
        return self._read(body)

    def _url_of(self, login: str) -> str:
        # Spaces are percent-encoded too: not every server decodes a plus sign as a space.
        parameter = "login=" + quote(login.encode("utf-8", "surrogatepass"), safe="")
        query = f"{self._url.query}&{parameter}" if self._url.query else parameter
        return self._url._replace(query=query).url

    def _read(self, body: bytes) -> int | None:
        try:
            value = self._path.search(json.loads(body))
        except (ValueError, RecursionError):
            raise _UserIdRequestError("the response is not JSON") from None
        except JMESPathError:
            raise _UserIdRequestError(
                "lookups.users.path cannot be applied to the response"
            ) from None
        if value is None or value in ("", []):
            return None
        user_id = _integer(value)
        if user_id is None or not _MIN_ID <= user_id <= _MAX_ID:
            raise _UserIdRequestError(
                "the value at lookups.users.path in the response is not a 64-bit integer",
                retryable=False,
            )
        return user_id


class _UserIdRequestError(Exception):
    """A request failed. The message contains neither the URL nor the login.

    ``retry_after`` is the wait in seconds that the service requested.
    """

    def __init__(
        self, reason: str, *, retryable: bool = True, retry_after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.retry_after = retry_after


def _requested_wait(error: BaseException) -> float | None:
    return error.retry_after if isinstance(error, _UserIdRequestError) else None


def _parse_url(text: str) -> Url:
    try:
        url = parse_url(text)
    except LocationParseError:
        url = Url()
    if url.scheme not in {"http", "https"} or not url.host:
        # The URL may contain a password: never show it.
        raise SettingsError("lookups.users.url must be http://host/path or https://host/path")
    return url


def _basic_auth(auth: str) -> str:
    """Encode ``user:password`` of a URL for HTTP basic authentication in UTF-8 (RFC 7617)."""
    return "Basic " + b64encode(unquote(auth).encode()).decode()


def _compile_path(path: str) -> Any:
    try:
        return jmespath.compile(path)
    except JMESPathError as error:
        raise SettingsError(
            f"lookups.users.path {path!r} is not a JMESPath expression: {error}"
        ) from None


def _integer(value: object) -> int | None:
    """Return a JSON integer or an integer as decimal text; None for any other value."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _describe(error: HTTPError, timeout: float) -> str:
    """Describe a failed request without the text of the error, which contains the URL."""
    # In urllib3, a refused connection is a timeout error.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
        return f"no response within {timeout:g} s"
    if isinstance(error, urllib3.exceptions.SSLError):
        return "its TLS certificate or protocol was rejected"
    return f"the connection failed, {type(error).__name__}"


def _status_error(status: int, headers: Any, max_wait: float) -> _UserIdRequestError:
    retryable = status in _RETRYABLE or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    retry_after = _parse_retry_after(headers.get("Retry-After", "")) if retryable else None
    return _UserIdRequestError(
        f"HTTP status {status}",
        retryable=retryable,
        retry_after=None if retry_after is None else min(retry_after, max_wait),
    )


def _parse_retry_after(text: str) -> float | None:
    """Parse ``Retry-After``, seconds or a date, to seconds; None if it is invalid."""
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
