"""The credentials of COPY for S3: an IAM role, or the AWS keys of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import boto3
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected

from spade_spark.errors import ConnectionLostError, SettingsError, WarehouseError
from spade_spark.settings import S3Settings
from spade_spark.warehouse.sql import Secret, Sql

DEFAULT_ROLE = "default"

_SERVER_ERROR = 500
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
}


@dataclass(frozen=True)
class CopyCredentials:
    """Either a role, or a key pair with an optional session token. Not shown by ``repr``."""

    role: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def clause(self) -> Sql:
        """Return the authorization parameters of COPY."""
        if self.role == DEFAULT_ROLE:
            return Sql("IAM_ROLE default")
        if self.role:
            return Sql("IAM_ROLE ", Secret(self.role))
        keys = Sql("ACCESS_KEY_ID ", Secret(self.key), " SECRET_ACCESS_KEY ", Secret(self.secret))
        return Sql(keys, " SESSION_TOKEN ", Secret(self.token)) if self.token else keys


def copy_credentials(role: str, s3: S3Settings) -> Callable[[], CopyCredentials]:
    """Return a function for the credentials: the role, or else the current AWS keys.

    The keys of a role expire during a long run. boto3 renews them when they are requested, so COPY
    requests them each time.

    Raises:
        SettingsError: There are neither.
    """
    if role:
        return lambda: CopyCredentials(role=role)
    credentials = boto3.Session(region_name=s3.region).get_credentials()
    if credentials is None:
        raise SettingsError(
            "COPY needs credentials for S3: set warehouse.iam_role, or provide AWS keys to "
            "this process (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )

    def current() -> CopyCredentials:
        with translated_aws_errors(
            "the AWS keys for COPY cannot be renewed", "log in to AWS again"
        ):
            frozen = credentials.get_frozen_credentials()
        return CopyCredentials(
            key=frozen.access_key or "", secret=frozen.secret_key or "", token=frozen.token or ""
        )

    return current


@contextmanager
def translated_aws_errors(what: str, advice: str) -> Iterator[None]:
    """Translate boto3's errors.

    Args:
        what: What has failed, for the message.
        advice: What to do about an error that a retry does not fix.

    Raises:
        ConnectionLostError: AWS does not respond, or limits the requests.
        WarehouseError: AWS refuses the request.
    """
    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        text = f"{what}: {details.get('Code')}: {details.get('Message')}"
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= _SERVER_ERROR or details.get("Code") in _THROTTLED:
            raise ConnectionLostError(text) from None
        raise WarehouseError(f"{text}; {advice}") from None
    except (HTTPClientError, NotConnected) as error:
        raise ConnectionLostError(f"{what}: AWS does not respond: {error}") from None
    except (BotoCoreError, RuntimeError) as error:  # RuntimeError: renewed keys are expired
        raise WarehouseError(f"{what}: {str(error).strip()}; {advice}") from None
