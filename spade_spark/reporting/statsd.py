"""Counters and timings for StatsD, sent if the settings name a host.

The driver sends them once, when the transform is complete and when the tables are loaded, from the
audit counts. Retried tasks are therefore not counted twice, and a command that resumes or loads the
run later does not send a counter again. Delivery is at most once: if the driver dies first, nothing
is sent. An unreachable server does not fail a replay. It is logged if it is detected, which UDP
does not guarantee.

The client is Datadog's, restricted to the plain StatsD protocol.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from spade_spark.errors import SettingsError
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.load_results import LoadFailed, LoadOutcome, TableLoaded
from spade_spark.settings import MetricsSettings

if TYPE_CHECKING:
    from datadog.dogstatsd.base import DogStatsd

_INVALID_CHARACTERS: Final = re.compile(r"[^A-Za-z0-9_-]")
_NO_TABLE: Final = "_"
"""The part of a metric's name that stands for no table."""


@dataclass(frozen=True)
class Metric:
    """One counter or timing.

    Attributes:
        name: The name, without the prefix of the settings.
        value: A counter's increment, or a timing in milliseconds.
        timing: Whether this is a timing.
    """

    name: str
    value: int
    timing: bool = False


class Metrics:
    """Sends metrics if the settings name a host.

    Args:
        settings: The host and the prefix.
        log: Called with a message if metrics could not be sent.

    Raises:
        SettingsError: A host is set, but the client is not installed.
    """

    def __init__(self, settings: MetricsSettings, log: Callable[[str], None]) -> None:
        self._server = settings.statsd
        self._address = settings.address
        self._log = log
        self._client = _client(settings) if settings.statsd else None

    def send(self, metrics: Iterable[Metric]) -> None:
        """Send all of ``metrics``, as many per packet as fit."""
        if self._client is None:
            return
        try:
            socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)
        # UDP reports no other failure. The IDNA codec rejects invalid names with UnicodeError.
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"invalid host name: {error}"
            self._log(f"metrics could not be sent to {self._server}: {reason}")
            return
        with self._client as batch:
            for metric in metrics:
                send = batch.timing if metric.timing else batch.increment
                send(metric.name, metric.value)


def _client(settings: MetricsSettings) -> DogStatsd:
    try:
        # Imported here: it is an optional dependency and slow to import.
        from datadog.dogstatsd.base import DogStatsd  # noqa: PLC0415 - see above
    except ImportError:
        raise SettingsError(
            "metrics.statsd is set, but its client is not installed: pip install "
            "'spade-spark[metrics]', or remove the setting"
        ) from None
    host, port = settings.address
    client = DogStatsd(
        host=host,
        port=port,
        namespace=settings.prefix or None,
        disable_telemetry=True,
        origin_detection_enabled=False,
    )
    # DD_ENV, DATADOG_TAGS and similar variables, set on hosts with Datadog's agent, would add tags
    # to each line, which plain StatsD servers reject.
    client.constant_tags = []
    client._external_data = None  # noqa: SLF001 - from DD_EXTERNAL_ENV; no public API
    return client


def run_metrics(counts: AuditCounts, seconds: float) -> Iterator[Metric]:
    """The metrics of a completed transform.

    Args:
        counts: The audit counts of the whole run.
        seconds: The duration of the transform.
    """
    yield Metric("replay.transform", round(seconds * 1000), timing=True)
    yield from _counters("replay", {name: getattr(counts, name) for name in _AUDIT_COUNTERS})
    for table, outcomes in counts.events.items():
        by_outcome = {outcome.value: count for outcome, count in outcomes.items()}
        yield from _counters(f"replay.{_part(table)}", by_outcome)
    for table, types in counts.edge_types.items():
        by_match = {"edge_mismatched": types.mismatched, "edge_unknown": types.unknown}
        yield from _counters(f"replay.{_part(table)}", by_match)
    for stream, published in counts.streams.items():
        yield from _counters(f"replay.stream.{_part(stream)}", asdict(published))


def load_metrics(loads: Iterable[LoadOutcome]) -> Iterator[Metric]:
    """The metrics of this command's loads; tables that an earlier command loaded are omitted."""
    for load in loads:
        name = f"replay.{_part(load.table)}"
        if isinstance(load, TableLoaded):
            yield Metric(f"{name}.load", round(load.seconds * 1000), timing=True)
            yield from _counters(name, {"deleted": load.deleted, "inserted": load.inserted})
        elif isinstance(load, LoadFailed):
            yield Metric(f"{name}.not_loaded", 1)


_AUDIT_COUNTERS: Final = (
    *("objects", "bytes_in", "lines", "undecodable", "filtered", "records"),
    *("globs", "repeated_globs", "repeated"),
)


def _counters(prefix: str, counts: dict[str, int]) -> Iterator[Metric]:
    """Counters for the counts that are not zero."""
    return (Metric(f"{prefix}.{name}", count) for name, count in counts.items() if count)


def _part(name: str) -> str:
    """``name`` as one part of a metric name, without the separators ``.``, ``:`` and ``|``."""
    return _INVALID_CHARACTERS.sub("_", name) or _NO_TABLE
