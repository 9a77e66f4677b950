"""A StatsD server that keeps what it is sent."""

from __future__ import annotations

import socket
from collections import Counter


class StatsdServer:
    """Listens on a port of its own until it is closed.

    Attributes:
        address: ``host:port``.
    """

    def __init__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def packets(self):
        """What has come since the last time."""
        found: list[str] = []
        try:
            while True:
                found.append(self._socket.recv(65536).decode())
        except TimeoutError:
            return found

    def received(self):
        """The counters' sums and the timings of what has come since the last time."""
        counters: Counter[str] = Counter()
        timings: dict[str, int] = {}
        for line in "".join(self.packets()).splitlines():
            name, _, rest = line.partition(":")
            value, kind = rest.split("|")
            if kind == "c":
                counters[name] += int(value)
            else:
                assert kind == "ms"
                timings[name] = int(value)
        return dict(counters), timings
