"""Java, which Spark needs and pip cannot bring: looked for as Spark itself does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from spade_spark.errors import UsageError

NEEDED = 17
"""The oldest Java that Spark 4 runs on."""

_VERSION = re.compile(r'version "(?:1\.)?(\d+)', re.ASCII)  # "1.8.0_402" was Java 8
_REMEDY = "install a JDK (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"


def java_program(environ: Mapping[str, str] = os.environ) -> str | None:
    """The ``java`` that Spark would start: of JAVA_HOME where it is set, else of PATH."""
    home = environ.get("JAVA_HOME")
    if home:
        program = Path(home, "bin", "java")
        return str(program) if os.access(program, os.X_OK) else None
    return shutil.which("java", path=environ.get("PATH"))


def java_version(program: str) -> int | None:
    """The feature release (8, 17, 21) of a ``java``, or None where it does not say."""
    try:
        answer = subprocess.run(  # noqa: S603 - the program that Spark starts itself
            [program, "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer.stderr + answer.stdout)
    return int(found[1]) if found else None


def require_java(environ: Mapping[str, str] = os.environ) -> None:
    """Checks that Spark will find a Java that it runs on.

    Raises:
        UsageError: There is none, or it is too old.
    """
    program = java_program(environ)
    version = java_version(program) if program else None
    if version is None:
        home = environ.get("JAVA_HOME")
        where = f" (JAVA_HOME is {home})" if home else ""
        raise UsageError(f"Java {NEEDED} or newer is needed and was not found{where}: {_REMEDY}")
    if version < NEEDED:
        raise UsageError(
            f"Java {NEEDED} or newer is needed, and {program} is Java {version}: {_REMEDY}"
        )
