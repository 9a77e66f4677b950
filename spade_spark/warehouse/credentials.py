"""What COPY shows S3: an IAM role, or the keys and the token of this process's AWS session."""

from __future__ import annotations

from dataclasses import dataclass, field

import boto3

from spade_spark.errors import SettingsError
from spade_spark.settings import S3Settings
from spade_spark.warehouse.sql import Secret, Sql

DEFAULT_ROLE = "default"


@dataclass(frozen=True)
class CopyCredentials:
    """Either a role, or a key pair with or without a token; showing it shows none of them."""

    role: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def find(cls, role: str, s3: S3Settings) -> CopyCredentials:
        """The configured role, else what boto3's chain finds.

        Raises:
            SettingsError: Neither is there.
        """
        if role:
            return cls(role=role)
        found = boto3.Session(region_name=s3.region).get_credentials()
        if found is None:
            raise SettingsError(
                "COPY needs credentials for S3: set warehouse.iam_role, or give this process AWS "
                "keys (AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
            )
        frozen = found.get_frozen_credentials()
        return cls(
            key=frozen.access_key or "", secret=frozen.secret_key or "", token=frozen.token or ""
        )

    def clause(self) -> Sql:
        """The authorization parameters of COPY."""
        if self.role == DEFAULT_ROLE:
            return Sql("IAM_ROLE default")
        if self.role:
            return Sql("IAM_ROLE ", Secret(self.role))
        keys = Sql("ACCESS_KEY_ID ", Secret(self.key), " SECRET_ACCESS_KEY ", Secret(self.secret))
        return Sql(keys, " SESSION_TOKEN ", Secret(self.token)) if self.token else keys
