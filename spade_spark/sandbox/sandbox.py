"""The sandbox: a local S3 server, warehouse and users service with sample data and wrong rows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec
from isal import igzip

from spade_spark.sandbox import sample_streams
from spade_spark.sandbox.sample_geo_users import (
    SampleData,
    make_sample_data,
    write_asn_database,
    write_city_database,
)
from spade_spark.sandbox.sample_logs import edge_objects
from spade_spark.sandbox.sample_schemas import MISTAKES, TABLES, published
from spade_spark.sandbox.sample_warehouse import fill_warehouse
from spade_spark.sandbox.services import PostgresServer, S3Server, ScratchDirectory
from spade_spark.sandbox.settings_file import SandboxEndpoints
from spade_spark.sandbox.users_service import UsersService
from spade_spark.settings import Settings, load
from spade_spark.storage.base import open_store
from spade_spark.window import PACIFIC, Window

if TYPE_CHECKING:
    from typing_extensions import Self

LOG_WINDOW = Window.parse("2026-10-14 15:00:00", "2026-10-14 20:59:59")
"""The window of the logs; it spans two UTC days."""

WRONG_WINDOW = Window.parse("2026-10-14 16:00:00", "2026-10-14 18:59:59")
"""The window that was loaded with the wrong schemas."""

EVENTS = 210_000
DATABASE = "dev"
_BUCKETS = ("blueprint", "edge-logs", "compacter", "lake")
_SCHEMAS_KEY = "schemas.json.gz"
_STREAMS_KEY = "streams.json"
_SEED = 20261014


class Sandbox:
    """All services that a replay needs, with sample data, during a ``with`` block.

    ::

        with Sandbox() as sandbox:
            sandbox.settings_path, sandbox.window, sandbox.tables, sandbox.warehouse_url

    Args:
        events: Approximate number of events in the logs.
        log: Called with a line at the start of each step.

    Attributes:
        directory: The directory of the settings file and the GeoIP databases; removed at the end.
        settings_path: The settings file for the sandbox.
        settings: The settings in that file.
        endpoint_url: URL of the S3 server.
        warehouse_url: URL of the warehouse, for ``--rsurl``.
        window: The window with wrong rows in the warehouse.
        tables: The tables with wrong rows.
    """

    directory: Path
    settings_path: Path
    settings: Settings
    endpoint_url: str
    warehouse_url: str

    window = WRONG_WINDOW
    tables = tuple(mistake.table for mistake in MISTAKES)

    def __init__(
        self, events: int = EVENTS, log: Callable[[str], None] = lambda _line: None
    ) -> None:
        self._events = events
        self._log = log
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = stack.enter_context(ScratchDirectory()).path
            self._start(stack)
            stack.enter_context(_environment(self.environ))
            self._fill()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables that commands need; S3 accepts any keys."""
        return {"AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox"}

    def _start(self, stack: ExitStack) -> None:
        self._log("Starting PostgreSQL, an S3 server and a users service on this machine")
        self._sample = make_sample_data(_SEED)
        users = stack.enter_context(UsersService(self._write_lookups(self._sample)))
        s3 = stack.enter_context(S3Server(*_BUCKETS))
        postgres = stack.enter_context(PostgresServer())
        self.endpoint_url = s3.endpoint_url
        self.warehouse_url = postgres.create_database(DATABASE)
        self._write_settings(users.url)

    def _write_lookups(self, sample: SampleData) -> Path:
        write_city_database(self.directory / "city.mmdb")
        write_asn_database(self.directory / "asn.mmdb")
        users = self.directory / "users.json"
        users.write_bytes(msgspec.json.encode(sample.users))
        return users

    def _write_settings(self, users_url: str) -> None:
        endpoints = SandboxEndpoints(
            schemas=f"s3://blueprint/{_SCHEMAS_KEY}",
            streams=f"s3://blueprint/{_STREAMS_KEY}",
            edge="s3://edge-logs/",
            base="s3://compacter/",
            warehouse=self.warehouse_url,
            city=self.directory / "city.mmdb",
            asn=self.directory / "asn.mmdb",
            users=users_url,
            endpoint=self.endpoint_url,
        )
        self.settings_path = self.directory / "sandbox.toml"
        self.settings_path.write_text(endpoints.toml(), "utf-8")
        self.settings = load(self.settings_path, environ={})

    def _fill(self) -> None:
        s3 = self.settings.s3
        blueprint = open_store("s3://blueprint/", s3)
        blueprint.write(_SCHEMAS_KEY, igzip.compress(published(TABLES)))
        blueprint.write(_STREAMS_KEY, sample_streams.published())
        sample_streams.create_streams(s3)
        edge = open_store(self.settings.input.edge, s3)
        objects = events = 0
        start, end = LOG_WINDOW.start, _second_after(LOG_WINDOW.end)
        for log in edge_objects(self._sample, _SEED, start, end, self._events):
            edge.write(log.key, log.data)
            objects, events = objects + 1, events + log.events
        self._log(f"Wrote {events:,} events to S3, in {objects} gzip objects")
        self._log("Loading the warehouse: all events, then three hours again with wrong schemas")
        fill_warehouse(self.settings, LOG_WINDOW, WRONG_WINDOW, self.directory / "history")
        shutil.rmtree(self.directory / "history")


def _second_after(end: datetime) -> datetime:
    """The second after ``end``, which is the last second of a window."""
    return datetime.fromtimestamp(end.timestamp() + 1, PACIFIC)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables during the block; the S3 client reads its keys from them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
