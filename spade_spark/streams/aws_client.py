"""The clients of Kinesis Data Streams and Firehose. No other module imports them."""

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

_SERVER_ERROR: Final = 500
# The sender retries as the stream's configuration says, so the client must not.
_CONFIG: Final = Config(
    retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=30
)
_SESSION_NAME: Final = "spade-spark"


class AwsService:
    """One Kinesis or Firehose stream at AWS, or at a server with the same API.

    The client is created on first use, in the process that uses it.

    Args:
        stream: The stream.
        settings: The settings: the default region, and the endpoint if it is not AWS.
    """

    def __init__(self, stream: Stream, settings: Settings) -> None:
        self._stream = stream
        self._region = region_of(stream, settings)
        self._name = f"{stream.stream_type} {stream.stream_name} in {self._region}"
        self._endpoint = settings.streams.endpoint_url or None

    def put(self, records: Sequence[Record]) -> list[str]:
        """See :class:`~spade_spark.streams.sender.Service`."""
        try:
            results = self._put(records)
        except aws.ClientError as error:
            return [self._throttling_code(error)] * len(records)
        except (aws.HTTPClientError, aws.ConnectionError, ResponseParserError) as error:
            raise RequestFailedError(
                f"{self._name} does not respond ({type(error).__name__}); check the network, then "
                "run the same command again",
                in_doubt=not isinstance(error, aws.ConnectionError),  # otherwise nothing was sent
            ) from None
        except aws.BotoCoreError as error:
            raise InputError(f"{self._name}: {error}; check the credentials") from None
        if len(results) != len(records):  # a truncated body can look like an empty one
            raise RequestFailedError(
                f"{self._name} returned results for {len(results)} of {len(records)} records; "
                "run the same command again",
                in_doubt=True,
            )
        return [str(result.get("ErrorCode") or "") for result in results]

    def _throttling_code(self, error: aws.ClientError) -> str:
        """Return the error code of a request that was throttled as a whole.

        Raises:
            RequestFailedError: The service failed.
            InputError: The service refused the request for another reason.
        """
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in THROTTLED:
            return code
        if status >= _SERVER_ERROR:
            raise RequestFailedError(
                f"{self._name} returned {status} {code}; run the same command again", in_doubt=True
            ) from None
        raise InputError(
            f"{self._name} refused the request ({status} {code}): check the stream's name, region "
            "and role in Blueprint, and the role's permissions; then run the same command again"
        ) from None

    def _put(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        name = self._stream.stream_name
        if self._stream.stream_type == FIREHOSE:
            response = self._client.put_record_batch(
                DeliveryStreamName=name, Records=[{"Data": record.data} for record in records]
            )
            return list(response.get("RequestResponses", ()))
        response = self._client.put_records(
            StreamName=name,
            Records=[{"Data": record.data, "PartitionKey": record.key} for record in records],
        )
        return list(response.get("Records", ()))

    @cached_property
    def _client(self) -> Any:
        service = "firehose" if self._stream.stream_type == FIREHOSE else "kinesis"
        session = new_session()
        if self._stream.stream_role:
            # botocore has no public API for setting refreshable credentials.
            session._credentials = self._role_credentials()  # type: ignore[attr-defined] # noqa: SLF001
        return self._new_client(session, service)

    def _role_credentials(self) -> RefreshableCredentials:
        sts = self._new_client(new_session(), "sts")
        assume_role = _role_assumer(sts, self._stream.stream_role)
        return RefreshableCredentials.create_from_metadata(
            assume_role(), assume_role, "sts-assume-role"
        )

    def _new_client(self, session: Session, service: str) -> Any:
        client: Callable[..., Any] = boto3.Session(botocore_session=session).client
        return client(
            service, region_name=self._region, endpoint_url=self._endpoint, config=_CONFIG
        )


def _role_assumer(sts: Any, role: str) -> Callable[[], dict[str, Any]]:
    def assume_role() -> dict[str, Any]:
        credentials = sts.assume_role(RoleArn=role, RoleSessionName=_SESSION_NAME)["Credentials"]
        return {
            "access_key": credentials["AccessKeyId"],
            "secret_key": credentials["SecretAccessKey"],
            "token": credentials["SessionToken"],
            "expiry_time": credentials["Expiration"].isoformat(),
        }

    return assume_role
