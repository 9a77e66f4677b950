"""A local Spark cluster: two workers with one core each.

Each worker has its own loopback address, because Spark does not start a speculative attempt of a
task on the host of the first attempt.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pyspark
from typing_extensions import Self

from tests.chaos.processes import Process, in_sessions, python_workers

_HOSTS = ("127.0.0.1", "127.0.0.2")
_STARTUP_SECONDS = 60.0  # until the master listens


class Cluster:
    """A cluster that runs inside its ``with`` block, with the environment of this process.

    Args:
        folder: The folder for logs and executors.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._sessions: set[int] = set()
        with socket.create_server((_HOSTS[0], 0)) as free:
            self._port = free.getsockname()[1]

    @property
    def url(self) -> str:
        """The value of ``spark.master``."""
        return f"spark://{_HOSTS[0]}:{self._port}"

    def __enter__(self) -> Self:
        self._start("master.Master", "--host", _HOSTS[0], "--port", f"{self._port}")
        deadline = time.monotonic() + _STARTUP_SECONDS
        while not self._listens():
            assert time.monotonic() < deadline, "Spark's master does not listen"
            time.sleep(0.1)
        for host in _HOSTS:
            options = ("--host", host, "--cores", "1", "--memory", "1g")
            self._start("worker.Worker", *options, "--work-dir", f"{self._folder}/work", self.url)
        return self

    def __exit__(self, *_: object) -> None:
        for process in in_sessions(self._sessions):
            process.kill()
        self._stack.close()

    def workers(self) -> list[Process]:
        """The Python workers of the executors."""
        return python_workers(in_sessions(self._sessions))

    def _start(self, name: str, *options: str) -> None:
        program = Path(pyspark.__path__[0], "bin", "spark-class")
        log = self._stack.enter_context(
            (self._folder / f"spark-{len(self._sessions)}.txt").open("wb")
        )
        process = subprocess.Popen(
            [program, f"org.apache.spark.deploy.{name}", *options, "--webui-port", "0"],
            env={**os.environ, "SPARK_LOCAL_IP": _HOSTS[0]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._stack.callback(process.wait)
        self._sessions.add(process.pid)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection((_HOSTS[0], self._port), 1):
            return True
        return False
