"""How to log in: a password in the URL, a secret in Secrets Manager, or IAM.

A session asks for its login when it is opened, because a run can last longer than a password is
valid. See :class:`spade_spark.warehouse.connection_info.LoginSource`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3.session
from botocore.config import Config

from spade_spark.errors import ConnectionLostError, SettingsError, WarehouseError
from spade_spark.settings import S3Settings, WarehouseSettings
from spade_spark.storage.aws import new_session
from spade_spark.warehouse.connection_info import ConnectionInfo, Login
from spade_spark.warehouse.credentials import translated_aws_errors

# https://docs.aws.amazon.com/redshift/latest/mgmt/managing-cluster-cross-vpc.html and
# https://docs.aws.amazon.com/redshift/latest/mgmt/serverless-connecting.html have such names.
_CLUSTER_HOST = re.compile(
    r"(?P<name>[a-z0-9-]+)\.[a-z0-9]+\.(?P<region>[a-z0-9-]+)\.redshift\.amazonaws\.com(?:\.cn)?"
)
_WORKGROUP_HOST = re.compile(
    r"(?P<name>[a-z0-9-]+)\.\d{12}\.(?P<region>[a-z0-9-]+)\.redshift-serverless"
    r"\.amazonaws\.com(?:\.cn)?"
)
_SECRET_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:(?P<region>[a-z0-9-]+):.*")

_PASSWORD_SECONDS = 900  # the default and the minimum of the APIs
_EXPIRY_MARGIN = timedelta(seconds=60)
_CONFIG = Config(
    connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 5}
)


def connection_info(settings: WarehouseSettings, s3: S3Settings) -> ConnectionInfo:
    """Return how to connect to the configured warehouse, and how to log in.

    Args:
        settings: The warehouse's settings.
        s3: The settings of S3, with the AWS region to use if nothing else gives it.

    Raises:
        SettingsError: The URL is missing or invalid, or settings contradict each other.
    """
    info = ConnectionInfo.parse(settings.url.get_secret_value(), settings.session, settings.sslmode)
    _check_consistent(settings, info)
    if settings.secret:
        fetch = _secret(settings, info, _region(settings, info, s3))
        logins = CachedLogins(fetch, "warehouse.secret and its value")
        return replace(info, logins=logins, unnamed_user="(user of warehouse.secret)")
    if settings.iam_login:
        fetch = _iam_login(settings, info, _region(settings, info, s3))
        logins = CachedLogins(fetch, "warehouse.iam_login, the IAM permissions and the user")
        return replace(info, logins=logins, unnamed_user="(IAM identity)")
    return info


def _check_consistent(settings: WarehouseSettings, info: ConnectionInfo) -> None:
    """Check that there is one source of the password."""
    sources = {
        "the password in warehouse.url": bool(info.password),
        "warehouse.secret": bool(settings.secret),
        "warehouse.iam_login": settings.iam_login,
    }
    given = [name for name, is_given in sources.items() if is_given]
    if len(given) > 1:
        raise SettingsError(f"{' and '.join(given)} contradict each other: use one of them")
    if settings.cluster and settings.workgroup:
        raise SettingsError(
            "warehouse.cluster and warehouse.workgroup contradict each other: set the one that "
            "the warehouse is"
        )


class CachedLogins:
    """Fetches a login and keeps it until it expires or the warehouse refuses it; thread-safe.

    Attributes:
        advice: What to check if the warehouse refuses the login.
    """

    def __init__(self, fetch: Callable[[], ExpiringLogin], advice: str) -> None:
        self.advice = advice
        self._fetch = fetch
        self._lock = threading.Lock()
        self._cached: ExpiringLogin | None = None
        self._accepted: Login | None = None

    def current(self) -> Login:
        """Return the login for a new session.

        Raises:
            WarehouseError: It cannot be fetched.
            ConnectionLostError: AWS does not respond.
        """
        with self._lock:
            if self._cached is None or self._cached.is_expired:
                self._cached = self._fetch()
            return self._cached.login

    def renewed(self, refused: Login) -> Login | None:
        """Return a login other than the one that the warehouse refused, or None.

        Raises:
            WarehouseError: It cannot be fetched.
            ConnectionLostError: AWS does not respond, or the password was accepted before: a
                rotation changes it in the warehouse first and in the secret later.
        """
        with self._lock:
            # Another session may have fetched it since.
            if self._cached is None or self._cached.login == refused:
                self._cached = self._fetch()
            if self._cached.login != refused:
                return self._cached.login
            if refused == self._accepted:
                raise ConnectionLostError(
                    "the warehouse refuses a password that it accepted before, perhaps because it "
                    f"is being rotated; check {self.advice}"
                )
            return None

    def accepted(self, login: Login) -> None:
        """Note that the warehouse accepted a login."""
        with self._lock:
            self._accepted = login


@dataclass(frozen=True)
class ExpiringLogin:
    """A login, and when it expires; None if that is not known."""

    login: Login
    expires: datetime | None = None

    @property
    def is_expired(self) -> bool:
        """Whether the login is no longer valid, or not for long."""
        return self.expires is not None and (
            datetime.now(timezone.utc) >= self.expires - _EXPIRY_MARGIN
        )


def _secret(
    settings: WarehouseSettings, info: ConnectionInfo, region: str
) -> Callable[[], ExpiringLogin]:
    """Return a function that reads the secret; it has the form of a Redshift secret.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
    """
    arn = _SECRET_ARN.fullmatch(settings.secret)
    region = arn["region"] if arn else region

    def fetch() -> ExpiringLogin:
        with translated_aws_errors(
            f"warehouse.secret cannot be read in {region}",
            "check its name, warehouse.region and the permission secretsmanager:GetSecretValue",
        ):
            value = _client("secretsmanager", region).get_secret_value(SecretId=settings.secret)
        login = _parse_secret(value.get("SecretString"))
        if info.user and login.user != info.user:
            raise WarehouseError(
                f"warehouse.url has the user {info.user}, but the secret in warehouse.secret has "
                "another user: leave the user out of warehouse.url"
            )
        return ExpiringLogin(login)

    return fetch


def _parse_secret(text: str | None) -> Login:
    """Return the login in a secret; errors do not show the secret."""
    try:
        values = json.loads(text or "")
    except ValueError:
        values = None
    user, password = (
        (values.get(name) for name in ("username", "password"))
        if isinstance(values, dict)
        else (None, None)
    )
    if not (isinstance(user, str) and isinstance(password, str) and user and password):
        raise WarehouseError(
            "the secret in warehouse.secret is not a JSON object with username and password, as "
            "Secrets Manager stores the credentials of Redshift"
        )
    return Login(user, password)


def _iam_login(
    settings: WarehouseSettings, info: ConnectionInfo, region: str
) -> Callable[[], ExpiringLogin]:
    """Return a function that requests a temporary password.

    Raises:
        SettingsError: It is not known for which cluster or workgroup, or which database.
    """
    if not info.database:
        raise SettingsError("warehouse.iam_login needs the database in warehouse.url")
    host = info.host.lower().rstrip(".")
    cluster, workgroup = _CLUSTER_HOST.fullmatch(host), _WORKGROUP_HOST.fullmatch(host)
    if settings.workgroup or (workgroup and not settings.cluster):
        if info.user:
            raise SettingsError(
                "a serverless workgroup logs in the user of the IAM identity: leave the user out "
                "of warehouse.url"
            )
        name = settings.workgroup or (workgroup["name"] if workgroup else "")
        return _workgroup_login(name, info.database, region)
    name = settings.cluster or (cluster["name"] if cluster else "")
    if not name:
        raise SettingsError(
            f"warehouse.iam_login needs the cluster or workgroup, which the host name {info.host} "
            "does not contain: set warehouse.cluster or warehouse.workgroup"
        )
    return _cluster_login(name, info.user, info.database, region)


def _cluster_login(
    cluster: str, user: str, database: str, region: str
) -> Callable[[], ExpiringLogin]:
    """Return a function that requests a password of a cluster.

    The returned user is the one to log in with: ``IAM:user``, or ``IAMR:role`` without a user.
    https://docs.aws.amazon.com/redshift/latest/APIReference/API_GetClusterCredentials.html
    https://docs.aws.amazon.com/redshift/latest/APIReference/API_GetClusterCredentialsWithIAM.html
    """
    action = "GetClusterCredentials" if user else "GetClusterCredentialsWithIAM"

    def fetch() -> ExpiringLogin:
        arguments = {
            "ClusterIdentifier": cluster,
            "DbName": database,
            "DurationSeconds": _PASSWORD_SECONDS,
        }
        with translated_aws_errors(
            f"IAM issued no password for cluster {cluster} in {region}",
            f"check warehouse.cluster, warehouse.region and the permission redshift:{action}",
        ):
            client = _client("redshift", region)
            if user:
                answer = client.get_cluster_credentials(**arguments, DbUser=user, AutoCreate=False)
            else:
                answer = client.get_cluster_credentials_with_iam(**arguments)
        login = Login(answer["DbUser"], answer["DbPassword"])
        return ExpiringLogin(login, answer["Expiration"])

    return fetch


def _workgroup_login(workgroup: str, database: str, region: str) -> Callable[[], ExpiringLogin]:
    """Return a function that requests a password of a serverless workgroup.

    https://docs.aws.amazon.com/redshift-serverless/latest/APIReference/API_GetCredentials.html
    """

    def fetch() -> ExpiringLogin:
        with translated_aws_errors(
            f"IAM issued no password for workgroup {workgroup} in {region}",
            "check warehouse.workgroup, warehouse.region and the permission "
            "redshift-serverless:GetCredentials",
        ):
            answer = _client("redshift-serverless", region).get_credentials(
                workgroupName=workgroup, dbName=database, durationSeconds=_PASSWORD_SECONDS
            )
        return ExpiringLogin(Login(answer["dbUser"], answer["dbPassword"]), answer["expiration"])

    return fetch


def _region(settings: WarehouseSettings, info: ConnectionInfo, s3: S3Settings) -> str:
    """Return the region: that of the settings, the host name, the AWS session, or of S3."""
    host = info.host.lower().rstrip(".")
    match = _CLUSTER_HOST.fullmatch(host) or _WORKGROUP_HOST.fullmatch(host)
    if settings.region or match:
        return settings.region or (match["region"] if match else "")
    return new_session().get_config_variable("region") or s3.region


def _client(service: str, region: str) -> Any:
    """Create a client with the current AWS credentials of this process."""
    session = boto3.session.Session(botocore_session=new_session())
    return session.client(service, region_name=region, config=_CONFIG)  # type: ignore[call-overload] # the name varies
