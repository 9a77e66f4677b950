"""SQL statements composed of fixed text, identifiers and literals, never formatted.

``str(statement)`` is for plans, logs and errors: it shows ``***`` instead of a secret.
``statement.sql()`` is for the driver only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from spade_spark.errors import WarehouseError

HIDDEN = "***"
_MAX_LISTED = 1000
_DIGEST = 16  # hexadecimal digits


@dataclass(frozen=True)
class Identifier:
    """A name, optionally qualified: ``Identifier("physical", "login")``."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    def sql(self) -> str:
        """Return the quoted name."""
        return ".".join('"' + _clean(name).replace('"', '""') + '"' for name in self.names)


@dataclass(frozen=True)
class Literal:
    """A string, an integer or a timestamp without time zone."""

    value: str | int | datetime

    def sql(self) -> str:
        """Return the value as an SQL literal."""
        if isinstance(self.value, int):
            return str(self.value)
        if isinstance(self.value, datetime):
            return "'" + self.value.isoformat(sep=" ") + "'"
        return _quoted(self.value)


@dataclass(frozen=True, repr=False)
class Secret:
    """A string literal that only the driver sees."""

    value: str

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def sql(self) -> str:
        """Return the value as an SQL literal, in clear text."""
        return _quoted(self.value)


@dataclass(frozen=True)
class Placeholder:
    """A value in a plan that is known only after an earlier statement has run."""

    name: str

    def sql(self) -> str:
        """Raise an error: a statement with a placeholder cannot be run."""
        raise WarehouseError(f"a statement without a value for {self.name} cannot be run")


Part = str | Identifier | Literal | Secret | Placeholder
"""A part of a statement. A plain string is fixed SQL text."""


@dataclass(frozen=True)
class Sql:
    """One SQL statement or a fragment of one. ``str()`` of it does not contain secrets."""

    parts: tuple[Part, ...]

    def __init__(self, *parts: Part | Sql) -> None:
        flat: list[Part] = []
        for part in parts:
            flat.extend(part.parts if isinstance(part, Sql) else (part,))
        object.__setattr__(self, "parts", tuple(flat))

    def sql(self) -> str:
        """Return the text for the driver, with secrets in clear text."""
        return "".join(part if isinstance(part, str) else part.sql() for part in self.parts)

    def __str__(self) -> str:
        return "".join(_shown(part) for part in self.parts)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets in the statement, to be removed from error messages."""
        return tuple(part.value for part in self.parts if isinstance(part, Secret))


def joined(parts: Iterable[Part | Sql], separator: str = ", ") -> Sql:
    """Join ``parts`` with ``separator`` between them."""
    flat: list[Part | Sql] = []
    for part in parts:
        if flat:
            flat.append(separator)
        flat.append(part)
    return Sql(*flat)


def identifiers(names: Iterable[str]) -> Sql:
    """Return a list of identifiers: ``"a", "b"``."""
    return joined(Identifier(name) for name in names)


def literal_lists(values: Iterable[str]) -> Iterator[Sql]:
    """Yield lists for ``IN``, ``('a', 'b')``, of at most 1,000 of the values each.

    https://docs.aws.amazon.com/redshift/latest/dg/c_redshift-sql.html limits a statement to 16 MB.
    """
    distinct = sorted(set(values))
    for start in range(0, len(distinct), _MAX_LISTED):
        batch = distinct[start : start + _MAX_LISTED]
        yield Sql("(", joined(Literal(value) for value in batch), ")")


def fit_name(base: str, max_bytes: int, suffix: str = "") -> str:
    """Return ``base`` and ``suffix`` as a name of at most ``max_bytes``.

    The warehouse truncates long names silently, so two could become the same. Instead, a digest
    replaces the end of a long ``base``.
    """
    available = max_bytes - len(suffix)
    data = base.encode()
    if len(data) <= available:
        return base + suffix
    digest = hashlib.sha256(data).hexdigest()[:_DIGEST]
    head = data[: available - _DIGEST - 2].decode(errors="ignore")
    return f"{head}__{digest}{suffix}"


def _shown(part: Part) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Secret):
        return f"'{HIDDEN}'"
    if isinstance(part, Placeholder):
        return f":{part.name}"
    return part.sql()


def _quoted(text: str) -> str:
    """Return a string literal that PostgreSQL and Redshift read in the same way.

    The two treat backslashes in literals differently, so backslashes are rejected. The error does
    not show the text, which may be a secret.
    """
    if "\\" in text:
        raise WarehouseError(
            "a value with a backslash is ambiguous in SQL; use a run tag, table name or setting "
            "without a backslash"
        )
    return "'" + _clean(text).replace("'", "''") + "'"


def _clean(text: str) -> str:
    if "\0" in text:
        raise WarehouseError("SQL cannot contain a NUL character: remove it from the name or value")
    return text
