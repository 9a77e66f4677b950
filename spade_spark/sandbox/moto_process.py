"""The child process of :class:`~spade_spark.sandbox.services.S3Server`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable

import urllib3
from moto.server import ThreadedMotoServer

from spade_spark.sandbox.subprocesses import report_ready, wait_for_parent


def main(buckets: Iterable[str]) -> None:
    """Serve an in-memory S3 on a free loopback port until the parent ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no request log
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for bucket in buckets:
        urllib3.request("PUT", f"http://{host}:{port}/{bucket}")
    report_ready(f"http://{host}:{port}")
    wait_for_parent()


if __name__ == "__main__":
    main(sys.argv[1:])
