"""A StatsD server that stores what it receives."""

from __future__ import annotations

import socket
from collections import Counter


class StatsdServer:
    """Listens on a free port until it is closed.

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
        """Return the packets since the last call."""
        packets: list[str] = []
        try:
            while True:
                packets.append(self._socket.recv(65536).decode())
        except TimeoutError:
            return packets

    def received(self):
        """Return the sums of counters, and the timings, since the last call."""
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
