"""Kinesis Streams and Firehose. The only file that imports their clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import boto3
from botocore import exceptions as aws
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.parsers import ResponseParserError
from botocore.session import Session

from spade_spark.errors import InputError
from spade_spark.settings import Settings
from spade_spark.storage.aws import new_session
from spade_spark.streams.config import Stream
from spade_spark.streams.envelope import Record
from spade_spark.streams.limits import FIREHOSE
from spade_spark.streams.sender import THROTTLED, RequestFailedError
from spade_spark.streams.validation import region_of

_SERVER_FAULT: Final = 500
# Tries are counted by the configuration of the stream; the client must not try by itself.
_CONFIG: Final = Config(
    retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=30
)
_SESSION_NAME: Final = "spade-spark"


class AwsService:
    """One stream or Firehose at AWS, or at what speaks its API.

    The client is opened at the first use, in the process that uses it.

    Args:
        stream: The stream.
        settings: The region where the stream names none, and another endpoint than AWS's.
    """

    def __init__(self, stream: Stream, settings: Settings) -> None:
        self._stream = stream
        self._region = region_of(stream, settings)
        self._name = f"{stream.stream_type} {stream.stream_name} in {self._region}"
        self._endpoint = settings.streams.endpoint_url or None

    def put(self, records: Sequence[Record]) -> list[str]:
        """See :class:`~spade_spark.streams.sender.Service`."""
        try:
            answers = self._put(records)
        except aws.ClientError as error:
            return [self._throttle(error)] * len(records)
        except (aws.HTTPClientError, aws.ConnectionError, ResponseParserError) as error:
            raise RequestFailedError(
                f"{self._name} does not answer ({type(error).__name__}); check the network, then "
                "run the same command again",
                in_doubt=not isinstance(error, aws.ConnectionError),  # that was never sent
            ) from None
        except aws.BotoCoreError as error:
            raise InputError(f"{self._name}: {error}; check the credentials") from None
        if len(answers) != len(records):  # a body that was cut can look like an empty answer
            raise RequestFailedError(
                f"{self._name} answered {len(answers)} of {len(records)} records; run the same "
                "command again",
                in_doubt=True,
            )
        return [str(answer.get("ErrorCode") or "") for answer in answers]

    def _throttle(self, error: aws.ClientError) -> str:
        """The code of a refusal that was for all records, since there were too many.

        Raises:
            RequestFailedError: The service failed instead.
            InputError: It refused for another reason.
        """
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in THROTTLED:
            return code
        if status >= _SERVER_FAULT:
            raise RequestFailedError(
                f"{self._name} answered {status} {code}; run the same command again", in_doubt=True
            ) from None
        raise InputError(
            f"{self._name} refused what was sent ({status} {code}): check name, region and role "
            "in Blueprint, and the role's permissions; then run the same command again"
        ) from None

    def _put(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        name = self._stream.stream_name
        if self._stream.stream_type == FIREHOSE:
            answer = self._client.put_record_batch(
                DeliveryStreamName=name, Records=[{"Data": each.data} for each in records]
            )
            return list(answer.get("RequestResponses", ()))
        answer = self._client.put_records(
            StreamName=name,
            Records=[{"Data": each.data, "PartitionKey": each.key} for each in records],
        )
        return list(answer.get("Records", ()))

    @cached_property
    def _client(self) -> Any:
        service = "firehose" if self._stream.stream_type == FIREHOSE else "kinesis"
        session = new_session()
        if self._stream.stream_role:
            # There is no public way to give a session credentials that renew themselves.
            session._credentials = self._role()  # type: ignore[attr-defined] # noqa: SLF001
        return self._open(session, service)

    def _role(self) -> RefreshableCredentials:
        sts = self._open(new_session(), "sts")
        assume = _assuming(sts, self._stream.stream_role)
        return RefreshableCredentials.create_from_metadata(assume(), assume, "sts-assume-role")

    def _open(self, session: Session, service: str) -> Any:
        client: Callable[..., Any] = boto3.Session(botocore_session=session).client
        return client(
            service, region_name=self._region, endpoint_url=self._endpoint, config=_CONFIG
        )


def _assuming(sts: Any, role: str) -> Callable[[], dict[str, Any]]:
    def assume() -> dict[str, Any]:
        given = sts.assume_role(RoleArn=role, RoleSessionName=_SESSION_NAME)["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }

    return assume
