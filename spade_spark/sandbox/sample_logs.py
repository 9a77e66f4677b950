"""The sandbox's edge logs: gzip objects of edge records, made one after the other."""

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

from spade_spark.sandbox.sample_events import SHARES, EventGenerator, moment
from spade_spark.sandbox.sample_geo_users import SampleData

NODES = (("edge-a", "i-0a1b2c3d"), ("edge-b", "i-0d4c3b2a"))
"""Groups and nodes: each closes a file every :data:`FILE_SECONDS`."""

FILE_SECONDS = 600

_ENCODER = msgspec.json.Encoder()
_GZIP_LEVEL = 1
_MALFORMED, _LISTS, _URL_SAFE, _ESCAPED = 0.002, 0.1, 0.02, 0.02  # shares of the records


class EdgeRecord(msgspec.Struct):
    """One line of the log (transform.md, section 1)."""

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
        events: Events in it, of all kinds.
    """

    key: str
    data: bytes
    events: int


def edge_objects(
    world: SampleData, seed: int, start: datetime, end: datetime, events: int
) -> Iterator[EdgeObject]:
    """The objects that the edge's nodes close from ``start`` to ``end``, in order of time.

    Args:
        world: Who sends events, and from where.
        seed: The same objects for the same seed.
        start: When the first files were opened.
        end: When the last files were closed.
        events: About how many events there are in all of them.
    """
    opened = range(int(start.timestamp()), int(end.timestamp()), FILE_SECONDS)
    share = events // (len(opened) * len(NODES))
    for moment_opened in opened:
        for group, node in NODES:
            rng = random.Random(f"{seed} {moment_opened} {node}")  # noqa: S311 - sample data
            # Nodes do not close their files at the same second.
            closed = moment_opened + FILE_SECONDS + rng.randrange(5)
            day = datetime.fromtimestamp(closed, timezone.utc).strftime("%Y%m%d")
            key = f"{day}/{group}/{closed}.{node}.{rng.getrandbits(64):016x}.log.gz"
            writer = _Writer(EventGenerator(world, rng), moment_opened)
            yield EdgeObject(key, writer.gzip(share), writer.events)


class _Writer:
    """Writes the lines of one object and counts its events."""

    def __init__(self, clients: EventGenerator, opened: int) -> None:
        self._clients, self._rng, self._opened = clients, clients.rng, opened
        self._names = [name for name, _, _ in SHARES]
        self._weights = [share for _, _, share in SHARES]
        self._makers = {name: maker for name, maker, _ in SHARES}
        self.events = 0

    def gzip(self, events: int) -> bytes:
        """The lines of about ``events`` events, in order of time."""
        lines = chain(self._lines(events), (b'{"receivedAt": the node was restarted\n',))
        return igzip.compress(b"".join(lines), _GZIP_LEVEL, mtime=0)

    def _lines(self, events: int) -> Iterator[bytes]:
        kinds = iter(self._rng.choices(self._names, self._weights, k=events))
        step = FILE_SECONDS / events
        for kind in kinds:
            now = round(self._opened + self.events * step, 3)
            listed = self._rng.random() < _LISTS
            more = [next(kinds, kind) for _ in range(self._rng.randrange(1, 4))] if listed else ()
            made = [self._event(name, now) for name in (kind, *more)]
            self.events += len(made)
            yield self._line(now, made if listed else made[0])

    def _event(self, name: str, now: float) -> dict[str, object]:
        return {"event": name, "properties": self._makers[name](self._clients, now)}

    def _line(self, now: float, payload: object) -> bytes:
        rng = self._rng
        record = EdgeRecord(
            receivedAt=moment(now),
            clientIp=rng.choice(self._clients.world.addresses),
            uuid=str(uuid.UUID(int=rng.getrandbits(128))),
            data=self._data(_ENCODER.encode(payload)),
            userAgent=self._clients.agent,
        )
        return _ENCODER.encode(record) + b"\n"

    def _data(self, payload: bytes) -> str:
        """Base64 as clients write it: mostly plain, some URL-safe, some percent-encoded."""
        dice = self._rng.random()
        if dice < _MALFORMED:
            return base64.b64encode(payload).decode()[:-3]
        dice -= _MALFORMED
        if dice < _URL_SAFE:
            return base64.urlsafe_b64encode(payload).decode()
        data = base64.b64encode(payload).decode()
        return quote(data, safe="") if dice < _URL_SAFE + _ESCAPED else data
