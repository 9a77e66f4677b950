"""Checks that Spark will find Java, which pip cannot install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from spade_spark.errors import UsageError

MIN_VERSION = 17
"""The minimum Java version of Spark 4."""

_VERSION = re.compile(r'version "(?:1\.)?(\d+)', re.ASCII)  # "1.8.0_402" was Java 8
_REMEDY = "install a JDK (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"


def java_program(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the ``java`` that Spark would start: from JAVA_HOME if set, otherwise from PATH."""
    home = environ.get("JAVA_HOME")
    if home:
        program = Path(home, "bin", "java")
        return str(program) if os.access(program, os.X_OK) else None
    return shutil.which("java", path=environ.get("PATH"))


def java_version(program: str) -> int | None:
    """Return the feature release (8, 17, 21) of a ``java``, or None if it prints no version."""
    try:
        result = subprocess.run(  # noqa: S603 - the program that Spark starts itself
            [program, "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(result.stderr + result.stdout)
    return int(match[1]) if match else None


def require_java(environ: Mapping[str, str] = os.environ) -> None:
    """Check that Spark will find a supported Java.

    Raises:
        UsageError: Java is missing or too old.
    """
    program = java_program(environ)
    version = java_version(program) if program else None
    if version is None:
        home = environ.get("JAVA_HOME")
        where = f" (JAVA_HOME is {home})" if home else ""
        raise UsageError(
            f"Java {MIN_VERSION} or newer is required but was not found{where}: {_REMEDY}"
        )
    if version < MIN_VERSION:
        raise UsageError(
            f"Java {MIN_VERSION} or newer is required but {program} is Java {version}: {_REMEDY}"
        )
