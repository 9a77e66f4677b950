"""SQL as values: composed from fixed words, identifiers and literals, never from formatted text.

A statement has two renderings. ``str(statement)`` is for people (plans, logs, errors) and shows
``***`` where a secret stands; ``statement.sql()`` is for the driver alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from spade_spark.errors import WarehouseError

HIDDEN = "***"


@dataclass(frozen=True)
class Identifier:
    """A name, qualified or not: ``Identifier("physical", "login")`` is ``"physical"."login"``."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    def sql(self) -> str:
        """The quoted name."""
        return ".".join('"' + _clean(name).replace('"', '""') + '"' for name in self.names)


@dataclass(frozen=True)
class Literal:
    """A text, whole number or time without a zone."""

    value: str | int | datetime

    def sql(self) -> str:
        """The quoted value."""
        if isinstance(self.value, int):
            return str(self.value)
        if isinstance(self.value, datetime):
            return "'" + self.value.isoformat(sep=" ") + "'"
        return _quoted(self.value)


@dataclass(frozen=True, repr=False)
class Secret:
    """A text that is shown to the warehouse and to nobody else."""

    value: str

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def sql(self) -> str:
        """The quoted value, in clear."""
        return _quoted(self.value)


@dataclass(frozen=True)
class Placeholder:
    """A value that is known only once the statement before it has run; shown in plans only."""

    name: str

    def sql(self) -> str:
        """Refuses: a statement with an open place is not for the warehouse."""
        raise WarehouseError(f"the statement still lacks {self.name}: it is a plan, not to be run")


Part = str | Identifier | Literal | Secret | Placeholder
"""A piece of a statement; plain text is fixed SQL words of this package's own."""


@dataclass(frozen=True)
class Sql:
    """One SQL statement; ``str()`` of it is safe to show."""

    parts: tuple[Part, ...]

    def __init__(self, *parts: Part | Sql) -> None:
        flat: list[Part] = []
        for part in parts:
            flat.extend(part.parts if isinstance(part, Sql) else (part,))
        object.__setattr__(self, "parts", tuple(flat))

    def sql(self) -> str:
        """What the driver sends, secrets in clear."""
        return "".join(part if isinstance(part, str) else part.sql() for part in self.parts)

    def __str__(self) -> str:
        return "".join(_shown(part) for part in self.parts)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets in it, so that they can be taken out of whatever answers it."""
        return tuple(part.value for part in self.parts if isinstance(part, Secret))


def joined(parts: Iterable[Part | Sql], separator: str = ", ") -> Sql:
    """The parts with ``separator`` between them."""
    flat: list[Part | Sql] = []
    for part in parts:
        if flat:
            flat.append(separator)
        flat.append(part)
    return Sql(*flat)


def identifiers(names: Iterable[str]) -> Sql:
    """``"a", "b"``."""
    return joined(Identifier(name) for name in names)


def _shown(part: Part) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Secret):
        return f"'{HIDDEN}'"
    if isinstance(part, Placeholder):
        return f":{part.name}"
    return part.sql()


def _quoted(text: str) -> str:
    """A string literal that PostgreSQL and Redshift read alike.

    The two disagree about backslashes in literals, and nothing that this package writes needs
    one, so they are refused. The text itself may be a secret: the message does not show it.
    """
    if "\\" in text:
        raise WarehouseError(
            "a value with a backslash cannot be written in SQL that every warehouse reads alike; "
            "use a run tag, table name or setting without one"
        )
    return "'" + _clean(text).replace("'", "''") + "'"


def _clean(text: str) -> str:
    if "\0" in text:
        raise WarehouseError("a name or value with a NUL character cannot be written in SQL")
    return text
