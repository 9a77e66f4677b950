"""What a run shows to those who watch many: counters and timings to StatsD, where a host is set.

The driver sends them from the ledger, once what they count is sealed or loaded: what tasks that
were tried again did does not count twice, and a run that is gone on with or loaded later sends no
counter that was sent before. A driver that dies in between leaves them unsent: at most once. They
go by UDP, and a server that is not there fails no replay; where that can be seen, it is said.

The client is Datadog's, which is kept up, set up to speak StatsD's own protocol and nothing else.
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

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_NO_TABLE: Final = "_"
"""Stands for the table of events that have none."""


@dataclass(frozen=True)
class Metric:
    """One counter or timing.

    Attributes:
        name: Its name, below the prefix of the settings.
        value: What is added to a counter; milliseconds of a timing.
        timing: Whether it is a timing.
    """

    name: str
    value: int
    timing: bool = False


class Metrics:
    """Sends metrics where the settings name a host, and none elsewhere.

    Args:
        settings: Where to.
        tell: Told in a line what could not be sent.

    Raises:
        SettingsError: A host is set, and the client is not installed.
    """

    def __init__(self, settings: MetricsSettings, tell: Callable[[str], None]) -> None:
        self._server = settings.statsd
        self._address = settings.address
        self._tell = tell
        self._client = _client(settings) if settings.statsd else None

    def send(self, metrics: Iterable[Metric]) -> None:
        """Sends all of ``metrics``, as many as fit in a packet."""
        if self._client is None:
            return
        try:
            socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)
        # All that can be known of a server that UDP does not reach; a name that could be none is
        # refused by the codec of names.
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"no host's name: {error}"
            self._tell(f"metrics could not be sent to {self._server}: {reason}")
            return
        with self._client as batch:
            for metric in metrics:
                send = batch.timing if metric.timing else batch.increment
                send(metric.name, metric.value)


def _client(settings: MetricsSettings) -> DogStatsd:
    try:
        # Imported where it is needed: it is an extra, and takes its time.
        from datadog.dogstatsd.base import DogStatsd  # noqa: PLC0415 - see above
    except ImportError:
        raise SettingsError(
            "metrics.statsd is set, and its client is not installed: pip install "
            "'spade-spark[metrics]', or leave it out"
        ) from None
    host, port = settings.address
    client = DogStatsd(
        host=host,
        port=port,
        namespace=settings.prefix or None,
        disable_telemetry=True,
        origin_detection_enabled=False,
    )
    # DD_ENV, DATADOG_TAGS and their like, which are set where Datadog's agent runs, would add
    # fields to each line that StatsD does not have, and its servers refuse.
    client.constant_tags = []
    client._external_data = None  # noqa: SLF001 - of DD_EXTERNAL_ENV; there is no public way
    return client


def of_run(ledger: AuditCounts, seconds: float) -> Iterator[Metric]:
    """What a run has read and made.

    Args:
        ledger: The whole run's.
        seconds: How long it took to make the rows.
    """
    yield Metric("replay.transform", round(seconds * 1000), timing=True)
    yield from _counters("replay", {name: getattr(ledger, name) for name in _OF_LEDGER})
    for table, outcomes in ledger.events.items():
        counts = {outcome.value: count for outcome, count in outcomes.items()}
        yield from _counters(f"replay.{_part(table)}", counts)
    for table, types in ledger.edge_types.items():
        counts = {"edge_mismatched": types.mismatched, "edge_unknown": types.unknown}
        yield from _counters(f"replay.{_part(table)}", counts)
    for stream, published in ledger.streams.items():
        yield from _counters(f"replay.stream.{_part(stream)}", asdict(published))


def of_loads(loads: Iterable[LoadOutcome]) -> Iterator[Metric]:
    """What the loads of one command came to; what an earlier one loaded is not told again."""
    for load in loads:
        name = f"replay.{_part(load.table)}"
        if isinstance(load, TableLoaded):
            yield Metric(f"{name}.load", round(load.seconds * 1000), timing=True)
            yield from _counters(name, {"deleted": load.deleted, "inserted": load.inserted})
        elif isinstance(load, LoadFailed):
            yield Metric(f"{name}.not_loaded", 1)


_OF_LEDGER: Final = (
    *("objects", "bytes_in", "lines", "undecodable", "filtered", "records"),
    *("globs", "repeated_globs", "repeated"),
)


def _counters(prefix: str, counts: dict[str, int]) -> Iterator[Metric]:
    """The counts that are not zero."""
    return (Metric(f"{prefix}.{name}", count) for name, count in counts.items() if count)


def _part(name: str) -> str:
    """``name`` as one part of a metric's name, in which dots, colons and bars have a meaning."""
    return _NO_NAME.sub("_", name) or _NO_TABLE
