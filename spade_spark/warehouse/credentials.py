"""The credentials of COPY for S3: an IAM role, or the AWS keys of this process."""

from __future__ import annotations

import re
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

# What S3 answers if a role may read an object that does not exist. Redshift's message is then:
# "Problem reading manifest file - S3ServiceException:The specified key does not exist.,Status 404,
# Error NoSuchKey": https://github.com/databricks/spark-redshift/issues/136
_NO_SUCH_KEY = re.compile(r"S3ServiceException:The specified key does not exist|Error NoSuchKey\b")

_ROLE_ADVICE = (
    (
        re.compile(r"Status 301|PermanentRedirect|different region", re.I),
        "set s3.region to the region of the bucket",
    ),
    (
        re.compile(r"authorized to (?:assume|get credentials)|not associated", re.I),
        "associate the role in warehouse.iam_role with the cluster or workgroup, and allow "
        "redshift.amazonaws.com to assume it in its trust policy",
    ),
    (
        re.compile(r"ExpiredToken|token .*expired|InvalidToken", re.I),
        "run the same command again; if the error remains, remove the role from the cluster and "
        "associate it again",
    ),
    (
        re.compile(r"NoSuchBucket"),
        "create the bucket, or correct output.base",
    ),
    (
        # COPY also reports a manifest that it may not read as one without a full path:
        # https://github.com/PostHog/posthog/pull/61603
        re.compile(r"Access ?Denied|Status 403|not authorized to perform|requires full path", re.I),
        "grant the role in warehouse.iam_role s3:GetObject and s3:ListBucket there, and "
        "kms:Decrypt if the bucket is encrypted with a KMS key",
    ),
)
_UNKNOWN_ADVICE = "check warehouse.iam_role, s3.region and the network between the cluster and S3"


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


def role_problem(message: str) -> str:
    """Return what is wrong with the role of a COPY that failed, and what to do about it.

    Args:
        message: The error of a COPY of an object that does not exist.

    Returns:
        The message with advice; empty if only the object is missing, so the role can read there.
    """
    if _NO_SUCH_KEY.search(message):
        return ""
    advice = (advice for error, advice in _ROLE_ADVICE if error.search(message))
    return f"{message}; {next(advice, _UNKNOWN_ADVICE)}"


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
