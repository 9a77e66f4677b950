"""The settings: a TOML file, overridden by the environment, overridden by options.

The driver reads them once; executors get the same immutable value.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from spade_spark.errors import SettingsError
from spade_spark.gocompat.duration import parse_duration

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "SPADE_"
_HOST_PORT = r"^(?:(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(?::(\d{1,5}))?)?$"
_STATSD_PORT = 8125
_MAX_PORT = 65535
_DAYS = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)d", re.ASCII)


def _parse_duration_setting(value: object) -> object:
    """Parse ``"1h"``, ``"1h30m"`` or ``"500ms"`` as in Go, or with days: ``"14d"``, ``"1d12h"``."""
    if not isinstance(value, str):
        return value
    try:
        if value[:1] in {"+", "-"}:
            raise ValueError("signed")
        hours = _DAYS.sub(lambda days: f"{float(days[1]) * 24:f}h", value)
        return timedelta(seconds=parse_duration(hours))
    except (ValueError, OverflowError):
        raise ValueError('write a duration such as "1h", "90s" or "14d"') from None


Duration = Annotated[timedelta, BeforeValidator(_parse_duration_setting)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BlueprintSettings(_Section):
    """Where Blueprint publishes its schemas, event metadata and streams."""

    schemas: str = ""
    metadata: str = ""
    streams: str = ""


class InputSettings(_Section):
    """Where the edge logs are, and which of them belong to a window."""

    edge: str = ""
    form: Literal["lines", "globs"] = "lines"
    time_source: Literal["last_modified", "key"] = "last_modified"
    margin: Duration = timedelta(hours=1)


def _formats(value: object) -> object:
    """Normalize ``"parquet, tsv"`` to ``"tsv,parquet"``; leave other values to the validation."""
    if not isinstance(value, str):
        return value
    return ",".join(sorted({word.strip() for word in value.split(",")}, reverse=True))


class OutputSettings(_Section):
    """Where runs are written, and the format and size of their files."""

    base: str = ""
    untracked: str = ""
    format: Annotated[Literal["tsv", "parquet", "tsv,parquet"], BeforeValidator(_formats)] = "tsv"
    max_file_bytes: Annotated[int, Field(gt=0)] = 128 * 1024 * 1024
    row_group_bytes: Annotated[int, Field(gt=0)] = 128 * 1024 * 1024


# Reasons why a parameter cannot be in ``[warehouse.session]``, and the parameters with each reason.
# https://docs.aws.amazon.com/redshift/latest/dg/cm_chap_ConfigurationRef.html
# https://www.postgresql.org/docs/current/runtime-config-client.html
_REFUSED_SESSION_PARAMETERS = {
    "spade-spark sets it": (
        "search_path datestyle timezone client_encoding client_min_messages "
        "standard_conforming_strings extra_float_digits row_security"
    ),
    "it changes how names are read": (
        "enable_case_sensitive_identifier downcase_delimited_identifier "
        "describe_field_name_in_uppercase quote_all_identifiers"
    ),
    "it changes the user": "role session_authorization",
    "a replacement needs its own isolation level and a writable transaction": (
        "default_transaction_isolation transaction_isolation default_transaction_read_only "
        "transaction_read_only default_transaction_deferrable transaction_deferrable autocommit"
    ),
    "a committed load could be lost": "synchronous_commit zero_damaged_pages",
    "it turns off triggers and constraints": "session_replication_role",
    "the lookup after an unknown commit waits for a lock; use statement_timeout": (
        "lock_timeout transaction_timeout"
    ),
    "it changes the meaning or the text of values": (
        "intervalstyle interval_forbid_composite_literals lc_messages lc_monetary lc_numeric "
        "lc_time bytea_output xmlbinary xmloption timezone_abbreviations transform_null_equals "
        "array_nulls backslash_quote enable_numeric_rounding cast_super_null_on_error "
        "default_array_search_null_handling default_geometry_encoding "
        "enable_case_sensitive_super_attribute json_parse_dedup_attributes "
        "json_parse_truncate_strings json_serialization_enable "
        "json_serialization_parse_nested_strings navigate_super_null_on_error "
        "parse_super_null_on_error"
    ),
}
_REFUSED_SESSION_REASONS = {
    name: reason for reason, names in _REFUSED_SESSION_PARAMETERS.items() for name in names.split()
}
# A parameter of the server, or a variable with a prefix: app.user.
_SESSION_PARAMETER = re.compile(r"[a-z_][a-z0-9_$]*(?:\.[a-z_][a-z0-9_$]*)?")


def session_parameter(name: str) -> str:
    """Return the name of a session parameter in lower case, as the servers compare it.

    Raises:
        ValueError: The name is invalid, or the parameter could change what a load does.
    """
    folded = name.lower()
    if not _SESSION_PARAMETER.fullmatch(folded):
        raise ValueError(f'"{name}" is not the name of a session parameter')
    if folded in _REFUSED_SESSION_REASONS:
        raise ValueError(f"{folded} cannot be set: {_REFUSED_SESSION_REASONS[folded]}")
    return folded


def _session_parameters(values: object) -> object:
    """Check the names and write numbers and booleans as text; leave the rest to the validation."""
    if not isinstance(values, Mapping):
        return values
    return {session_parameter(name): _parameter_text(name, value) for name, value in values.items()}


def _parameter_text(name: str, value: object) -> object:
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value) if isinstance(value, int | float) else value
    if isinstance(text, str) and re.search(r"[\\\0]", text):
        raise ValueError(f"the value of {name} contains a backslash or a NUL character")
    return text


SessionParameters = Annotated[Mapping[str, str], BeforeValidator(_session_parameters)]


SslMode = Literal["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
"""libpq's modes; empty for the default. https://www.postgresql.org/docs/current/libpq-ssl.html"""


class WarehouseSettings(_Section):
    """The warehouse and the limits of a load.

    Attributes:
        secret: The name or ARN of a Secrets Manager secret with user and password.
        iam_login: Whether to log in with a temporary password from IAM.
        cluster: The cluster to request that password for; by default from the host name.
        workgroup: The serverless workgroup to request it for; by default from the host name.
        region: The AWS region of the secret, cluster or workgroup; by default from its ARN or the
            host name.
        sslmode: Whether connections are encrypted and certificates verified; by default according
            to the host.
        session: Parameters that each session sets.
        check_privileges: Whether a privilege that seems to be missing prevents a replay. If false,
            it is a warning.
        analyze: Whether to run ANALYZE for each table whose rows were replaced, after the commit.
    """

    url: SecretStr = SecretStr("")
    secret: str = ""
    iam_login: bool = False
    cluster: str = ""
    workgroup: str = ""
    region: str = ""
    sslmode: SslMode = ""
    session: SessionParameters = Field(default_factory=dict)
    schema_name: str = Field("physical", alias="schema")
    control: str = "infra"
    time_column: str = "time"
    iam_role: str = ""
    min_rows_ratio: Annotated[float, Field(ge=0)] = 0.5
    backup: bool = True
    backup_schema: Annotated[str, Field(pattern=r"^[^.]+$")] = "replay_backup"
    backup_keep: Duration = timedelta(days=14)
    check_privileges: bool = True
    analyze: bool = False


class GeoipSettings(_Section):
    """The GeoIP databases, or a static table."""

    city: str = ""
    asn: str = ""
    table: str = ""


class UsersSettings(_Section):
    """The service that resolves a login to a user id, or a static table."""

    url: str = ""
    path: str = "results[0].id"
    timeout: Duration = timedelta(seconds=1)
    rate_per_second: Annotated[float, Field(gt=0)] = 50
    memcached: str = ""
    cache_entries: Annotated[int, Field(ge=0)] = 100_000
    cache_lifetime: Duration = timedelta(hours=1)
    table: str = ""
    on_failure: Literal["fail", "empty"] = "fail"


class LookupSettings(_Section):
    """Lookups of column values that are not in the event."""

    geoip: GeoipSettings = GeoipSettings()
    users: UsersSettings = UsersSettings()


def _tuple(value: object) -> object:
    """Convert a TOML list to a tuple; leave other values to the validation."""
    return tuple(value) if isinstance(value, list) else value


class FilterCondition(_Section):
    """A condition on one field of a row."""

    field: Annotated[str, Field(min_length=1)]
    operator: Literal["in_set", "not_in_set"]
    values: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_tuple)]


Conditions = Annotated[tuple[FilterCondition, ...], BeforeValidator(_tuple)]


class StreamSettings(_Section):
    """How to publish to streams; Blueprint has the configuration of each stream."""

    endpoint_url: str = ""
    regions: Annotated[tuple[str, ...], BeforeValidator(_tuple)] = ("us-east-1", "us-west-2")
    default_filter: Conditions = ()
    filters: Mapping[str, Conditions] = Field(default_factory=dict)


def _host_port(text: str) -> str:
    """Check the port in ``HOST:PORT``."""
    port = re.fullmatch(_HOST_PORT, text)
    if port and port[2] and not 0 < int(port[2]) <= _MAX_PORT:
        msg = f"a port is between 1 and {_MAX_PORT}"
        raise ValueError(msg)
    return text


class MetricsSettings(_Section):
    """The StatsD server for counters and timings; empty for no metrics."""

    statsd: Annotated[str, Field(pattern=_HOST_PORT), AfterValidator(_host_port)] = ""
    prefix: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; the default port is that of StatsD."""
        match = re.fullmatch(_HOST_PORT, self.statsd)
        assert match is not None  # the pattern of ``statsd`` has checked it
        return (match[1] or "").strip("[]"), int(match[2] or _STATSD_PORT)


class S3Settings(_Section):
    """The S3 API."""

    endpoint_url: str = ""
    region: str = "us-west-2"


class Settings(_Section):
    """All settings, under the names in the settings file."""

    blueprint: BlueprintSettings = BlueprintSettings()
    input: InputSettings = InputSettings()
    output: OutputSettings = OutputSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    lookups: LookupSettings = LookupSettings()
    streams: StreamSettings = StreamSettings()
    metrics: MetricsSettings = MetricsSettings()
    s3: S3Settings = S3Settings()
    spark: Mapping[str, str] = Field(default_factory=dict)

    def require(self, name: str) -> str:
        """Return the text of the setting with the full name ``name``.

        Raises:
            SettingsError: It is not set.
        """
        value: str = attrgetter(name)(self)
        if not value:
            raise SettingsError(f"{name} is not set: set it in the settings file (--conf FILE)")
        return value

    def for_tasks(self) -> Settings:
        """The settings for executors, without the warehouse, whose URL contains a password."""
        return self.model_copy(update={"warehouse": WarehouseSettings(), "spark": {}})

    def output_affecting(self, *, publishing: bool = False) -> dict[str, str]:
        """Return the settings that affect the rows of a run, by full name, without secrets.

        Args:
            publishing: Whether to include the settings that decide which rows are published.
        """
        geoip, users = self.lookups.geoip, self.lookups.users
        return {
            "input.form": self.input.form,
            "input.time_source": self.input.time_source,
            "input.margin": str(self.input.margin),
            "output.format": self.output.format,
            **self._partitioning_affecting(publishing=publishing),
            "lookups.geoip.city": geoip.city,
            "lookups.geoip.asn": geoip.asn,
            "lookups.geoip.table": geoip.table,
            "lookups.users.path": users.path,
            "lookups.users.table": users.table,
            "lookups.users.on_failure": users.on_failure,
        }

    def _partitioning_affecting(self, *, publishing: bool) -> dict[str, str]:
        """The settings that decide the Parquet file of a row and whether it is published."""
        if "parquet" not in self.output.format and not publishing:
            return {}
        return {"warehouse.time_column": self.warehouse.time_column}


def load(
    path: Path | None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] = MappingProxyType({}),
) -> Settings:
    """Read the settings file, if any; ``SPADE_SECTION__KEY`` variables and options override it.

    Args:
        path: The settings file.
        environ: The environment variables.
        flags: The options of the command line, in sections as in the file.

    Raises:
        SettingsError: The file cannot be read, or a key is unknown or has an invalid value.
    """
    values = _read_toml(path) if path else {}
    build(values, str(path), strict=True)
    # The file is valid, so a problem of the merged values is in a variable.
    over = _merge(_from_environment(environ), flags)
    return build(_merge(values, over), f"environment variables {PREFIX}SECTION__KEY")


def build(values: Mapping[str, Any], where: str, *, strict: bool = False) -> Settings:
    """Validate ``values``; errors name ``where`` as their origin.

    The values of a file must have the right types (``strict``); the environment only has text.
    """
    try:
        return Settings.model_validate(values, strict=strict)
    except ValidationError as error:
        raise SettingsError(f"{where}: {_format_problems(error)}") from None


def _format_problems(error: ValidationError) -> str:
    """Format all problems in one line, with the full names of the keys and without values."""
    problems = []
    for problem in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        unknown = problem["type"] == "extra_forbidden"
        reason = f"unknown setting{_suggest_name(name)}" if unknown else problem["msg"]
        problems.append(f"{name}: {reason}")
    return "; ".join(problems)


def _suggest_name(name: str) -> str:
    """Suggest the setting of the same section with the closest name."""
    section, dot, key = name.rpartition(".")
    siblings = [
        full.removeprefix(section + dot)
        for full in _full_names(Settings)
        if full.rpartition(".")[0] == section
    ]
    closest = get_close_matches(key, siblings, n=1)
    return f" (did you mean {section}{dot}{closest[0]}?)" if closest else ""


def _full_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The full names of all sections and settings."""
    for name, field in model.model_fields.items():
        full = prefix + (field.alias or name)
        yield full
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _full_names(field.annotation, f"{full}.")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"the settings file {path} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Convert ``SPADE_OUTPUT__BASE=x`` to ``{"output": {"base": "x"}}``; values stay text.

    Variables without a section (``SPADE_CONF``, ``SPADE_RSURL``) belong to the command line.
    """
    values: dict[str, Any] = {}
    for name, text in environ.items():
        sections = name.removeprefix(PREFIX).lower().split("__")
        if not name.startswith(PREFIX) or len(sections) == 1:
            continue
        node = values
        for section in sections[:-1]:
            node = node.setdefault(section, {})
        node[sections[-1]] = text
    return values


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _merge(below, value) if both else value  # type: ignore[arg-type] # both
    return merged
