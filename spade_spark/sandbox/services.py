"""Local S3 and PostgreSQL servers as child processes, on loopback and Unix sockets only.

Their processes and files are removed at the end of the ``with`` block, even if this process is
killed (see :mod:`spade_spark.sandbox.subprocesses`). Any number of servers can run concurrently.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from spade_spark.errors import SpadeError
from spade_spark.sandbox.postgres_programs import program
from spade_spark.sandbox.subprocesses import ChildProcess

_SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 103  # the shortest limit of the systems that PostgreSQL runs on (macOS)


class S3Server(ChildProcess):
    """Moto's in-memory S3 server; it accepts any keys.

    ::

        with S3Server() as s3:
            boto3.client("s3", endpoint_url=s3.endpoint_url, ...)

    Args:
        buckets: Buckets to create.
    """

    def __init__(self, *buckets: str) -> None:
        super().__init__("spade_spark.sandbox.moto_process", *buckets)

    @property
    def endpoint_url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return self.ready_line


class ScratchDirectory(ChildProcess):
    """A temporary directory, removed even if this process is killed."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="spade-sandbox-"))
        super().__init__("spade_spark.sandbox.tempdir_process", str(self.path))


class PostgresServer(ChildProcess):
    """PostgreSQL on a Unix socket that only its own user and root can open.

    ::

        with PostgresServer() as postgres:
            psycopg2.connect(postgres.create_database("dev"))

    Args:
        directory: A new or empty directory for the data and the socket, removed at the end;
            temporary by default. If root starts the server, ``nobody`` needs access to it.

    Raises:
        SpadeError: The directory is not empty, or its path is too long for a socket.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or Path(tempfile.mkdtemp(prefix="spade-postgres-"))
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(self.directory.iterdir()):
            raise SpadeError(f"{self.directory} is not empty: use a new directory for PostgreSQL")
        if len(bytes(self.directory / _SOCKET_NAME)) > _SOCKET_PATH_BYTES:
            raise SpadeError(f"{self.directory} is too long for a Unix socket: use a shorter path")
        super().__init__("spade_spark.sandbox.postgres_process", str(self.directory))

    def url(self, database: str = "postgres") -> str:
        """The ``postgres://`` URL of a database, for psycopg2, psql and ``--rsurl``."""
        return f"postgres://postgres@/{quote(database)}?host={quote(str(self.directory))}"

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        command = [
            str(program("createdb")),
            f"--host={self.directory}",
            "--username=postgres",
            name,
        ]
        subprocess.run(command, check=True)  # noqa: S603 - no shell
        return self.url(name)
