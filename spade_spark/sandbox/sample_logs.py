"""The sample's edge logs: gzip objects of edge records, generated one at a time."""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain
from urllib.parse import quote

import msgspec
from isal import igzip

from spade_spark.sandbox.sample_events import SHARES, EventGenerator, rfc3339
from spade_spark.sandbox.sample_geo_users import SampleData

NODES = (("edge-a", "i-0a1b2c3d"), ("edge-b", "i-0d4c3b2a"))
"""The edge nodes, each with its group. A node starts a new file every :data:`FILE_SECONDS`."""

FILE_SECONDS = 600

_ENCODER = msgspec.json.Encoder()
_GZIP_LEVEL = 1
_MALFORMED, _LISTS, _URL_SAFE, _PERCENT_ENCODED = 0.002, 0.1, 0.02, 0.02  # shares of records


class EdgeRecord(msgspec.Struct):
    """One line of the edge logs."""

    receivedAt: str  # noqa: N815 - the edge's name
    clientIp: str  # noqa: N815 - the edge's name
    uuid: str
    data: str
    userAgent: str  # noqa: N815 - the edge's name
    recordversion: int = 4
    edgeType: str = "external"  # noqa: N815 - the edge's name


@dataclass(frozen=True)
class EdgeObject:
    """One object of the edge bucket.

    Attributes:
        key: ``YYYYMMDD/<group>/<unix seconds>.<node>.<random hex>.log.gz``.
        data: The gzip file.
        events: Number of events.
    """

    key: str
    data: bytes
    events: int


def edge_objects(
    sample: SampleData, seed: int, start: datetime, end: datetime, events: int
) -> Iterator[EdgeObject]:
    """Generate the objects that the nodes close from ``start`` to ``end``, in time order.

    Args:
        sample: The sample data to generate events from.
        seed: The seed; equal seeds give equal objects.
        start: Opening time of the first files.
        end: Closing time of the last files.
        events: Approximate number of events in total.
    """
    opening_times = range(int(start.timestamp()), int(end.timestamp()), FILE_SECONDS)
    events_per_object = events // (len(opening_times) * len(NODES))
    for opened in opening_times:
        for group, node in NODES:
            rng = random.Random(f"{seed} {opened} {node}")  # noqa: S311 - sample data
            # Nodes do not close their files simultaneously.
            closed = opened + FILE_SECONDS + rng.randrange(5)
            day = datetime.fromtimestamp(closed, timezone.utc).strftime("%Y%m%d")
            key = f"{day}/{group}/{closed}.{node}.{rng.getrandbits(64):016x}.log.gz"
            generator = _ObjectGenerator(EventGenerator(sample, rng), opened)
            yield EdgeObject(key, generator.gzip(events_per_object), generator.events)


class _ObjectGenerator:
    """Generates the lines of one object and counts its events."""

    def __init__(self, generator: EventGenerator, opened: int) -> None:
        self._generator, self._rng, self._opened = generator, generator.rng, opened
        self._names = [name for name, _, _ in SHARES]
        self._weights = [share for _, _, share in SHARES]
        self._factories = {name: factory for name, factory, _ in SHARES}
        self.events = 0

    def gzip(self, events: int) -> bytes:
        """Return about ``events`` events in time order, gzipped, with an undecodable last line."""
        lines = chain(self._lines(events), (b'{"receivedAt": the node was restarted\n',))
        return igzip.compress(b"".join(lines), _GZIP_LEVEL, mtime=0)

    def _lines(self, events: int) -> Iterator[bytes]:
        names = iter(self._rng.choices(self._names, self._weights, k=events))
        step = FILE_SECONDS / events
        for name in names:
            now = round(self._opened + self.events * step, 3)
            is_list = self._rng.random() < _LISTS
            more = [next(names, name) for _ in range(self._rng.randrange(1, 4))] if is_list else ()
            batch = [self._event(event, now) for event in (name, *more)]
            self.events += len(batch)
            yield self._line(now, batch if is_list else batch[0])

    def _event(self, name: str, now: float) -> dict[str, object]:
        return {"event": name, "properties": self._factories[name](self._generator, now)}

    def _line(self, now: float, payload: object) -> bytes:
        rng = self._rng
        record = EdgeRecord(
            receivedAt=rfc3339(now),
            clientIp=rng.choice(self._generator.sample.addresses),
            uuid=str(uuid.UUID(int=rng.getrandbits(128))),
            data=self._data(_ENCODER.encode(payload)),
            userAgent=self._generator.agent,
        )
        return _ENCODER.encode(record) + b"\n"

    def _data(self, payload: bytes) -> str:
        """Encode a payload in Base64 as clients do: some URL-safe, percent-encoded or malformed."""
        draw = self._rng.random()
        if draw < _MALFORMED:
            return base64.b64encode(payload).decode()[:-3]
        draw -= _MALFORMED
        if draw < _URL_SAFE:
            return base64.urlsafe_b64encode(payload).decode()
        data = base64.b64encode(payload).decode()
        return quote(data, safe="") if draw < _URL_SAFE + _PERCENT_ENCODED else data
