"""The login to the warehouse; and COPY's credentials for S3, a role or this process's AWS keys."""

from __future__ import annotations

from dataclasses import dataclass, field

import boto3

from spade_spark.errors import SettingsError
from spade_spark.settings import S3Settings, WarehouseSettings
from spade_spark.warehouse.connection import ConnectionInfo
from spade_spark.warehouse.sql import Secret, Sql

DEFAULT_ROLE = "default"


def connection_info(settings: WarehouseSettings) -> ConnectionInfo:
    """Return how to connect to the configured warehouse.

    Raises:
        SettingsError: The URL is missing or invalid.
    """
    return ConnectionInfo.parse(settings.url.get_secret_value(), settings.session)


@dataclass(frozen=True)
class CopyCredentials:
    """Either a role, or a key pair with an optional session token. Not shown by ``repr``."""

    role: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def find(cls, role: str, s3: S3Settings) -> CopyCredentials:
        """Return the configured role, or else the credentials that boto3 finds.

        Raises:
            SettingsError: There are neither.
        """
        if role:
            return cls(role=role)
        credentials = boto3.Session(region_name=s3.region).get_credentials()
        if credentials is None:
            raise SettingsError(
                "COPY needs credentials for S3: set warehouse.iam_role, or provide AWS keys to "
                "this process (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
            )
        frozen = credentials.get_frozen_credentials()
        return cls(
            key=frozen.access_key or "", secret=frozen.secret_key or "", token=frozen.token or ""
        )

    def clause(self) -> Sql:
        """Return the authorization parameters of COPY."""
        if self.role == DEFAULT_ROLE:
            return Sql("IAM_ROLE default")
        if self.role:
            return Sql("IAM_ROLE ", Secret(self.role))
        keys = Sql("ACCESS_KEY_ID ", Secret(self.key), " SECRET_ACCESS_KEY ", Secret(self.secret))
        return Sql(keys, " SESSION_TOKEN ", Secret(self.token)) if self.token else keys
