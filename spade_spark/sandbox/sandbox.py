"""The sandbox: an S3, a warehouse and a users service of one's own, filled with a day's mistake."""

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

WHOLE = Window.parse("2026-10-14 15:00:00", "2026-10-14 20:59:59")
"""The hours that there are logs of; they begin on one UTC day and end on the next."""

MISTAKEN = Window.parse("2026-10-14 16:00:00", "2026-10-14 18:59:59")
"""The hours that were loaded by the schemas with mistakes: what there is to replay."""

EVENTS = 210_000
DATABASE = "dev"
_BUCKETS = ("blueprint", "edge-logs", "compacter", "lake")
_SCHEMAS_KEY = "schemas.json.gz"
_STREAMS_KEY = "streams.json"
_SEED = 20261014


class Sandbox:
    """Everything that a replay needs, running and filled inside the ``with`` block.

    ::

        with Sandbox() as sandbox:
            sandbox.settings_path, sandbox.window, sandbox.tables, sandbox.warehouse_url

    Args:
        events: About how many events the logs hold.
        say: Told in one line what is being done.

    Attributes:
        directory: Holds the settings file and the GeoIP databases; removed at the end.
        settings_path: The settings file that fits.
        settings: The same, read.
        endpoint_url: The S3 server.
        warehouse_url: The warehouse, for ``--rsurl``.
        window: The hours that are wrong in the warehouse.
        tables: The tables that are wrong in it.
    """

    directory: Path
    settings_path: Path
    settings: Settings
    endpoint_url: str
    warehouse_url: str

    window = MISTAKEN
    tables = tuple(mistake.table for mistake in MISTAKES)

    def __init__(
        self, events: int = EVENTS, say: Callable[[str], None] = lambda _line: None
    ) -> None:
        self._events = events
        self._say = say
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
        """The variables that a command needs beside the settings file: any keys do for S3."""
        return {"AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox"}

    def _start(self, stack: ExitStack) -> None:
        self._say("starting PostgreSQL, an S3 server and a users service, on this machine only")
        world = make_sample_data(_SEED)
        self._world = world
        users = stack.enter_context(UsersService(self._write_world(world)))
        s3 = stack.enter_context(S3Server(*_BUCKETS))
        postgres = stack.enter_context(PostgresServer())
        self.endpoint_url = s3.endpoint_url
        self.warehouse_url = postgres.create_database(DATABASE)
        self._write_settings(users.url)

    def _write_world(self, world: SampleData) -> Path:
        write_city_database(self.directory / "city.mmdb")
        write_asn_database(self.directory / "asn.mmdb")
        users = self.directory / "users.json"
        users.write_bytes(msgspec.json.encode(world.users))
        return users

    def _write_settings(self, users_url: str) -> None:
        places = SandboxEndpoints(
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
        self.settings_path.write_text(places.toml(), "utf-8")
        self.settings = load(self.settings_path, environ={})

    def _fill(self) -> None:
        s3 = self.settings.s3
        blueprint = open_store("s3://blueprint/", s3)
        blueprint.write(_SCHEMAS_KEY, igzip.compress(published(TABLES)))
        blueprint.write(_STREAMS_KEY, sample_streams.published())
        sample_streams.create_streams(s3)
        edge = open_store(self.settings.input.edge, s3)
        objects = events = 0
        start, end = WHOLE.start, _full_hour(WHOLE.end)
        for each in edge_objects(self._world, _SEED, start, end, self._events):
            edge.write(each.key, each.data)
            objects, events = objects + 1, events + each.events
        self._say(f"{events:,} events lie on S3, in {objects} gzip objects of edge logs")
        self._say("loading the warehouse as it was, the mistake included")
        fill_warehouse(self.settings, WHOLE, MISTAKEN, self.directory / "history")
        shutil.rmtree(self.directory / "history")


def _full_hour(end: datetime) -> datetime:
    """The first second after a window that ends at 59:59."""
    return datetime.fromtimestamp(end.timestamp() + 1, PACIFIC)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables for a while: S3's client takes its keys from the environment alone."""
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
