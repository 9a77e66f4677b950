"""Derives column names from the property names of clients.

The rules are Blueprint's: a letter or underscore, then letters, digits, underscores and hyphens, at
most 127 characters, and not ``date``. Column names must be unique regardless of case, because
Redshift ignores it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

MAX_LENGTH: Final = 127
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_INVALID: Final = re.compile(r"[^a-z0-9_]+")
_RESERVED: Final = frozenset({"date"})


def is_event_name(name: str) -> bool:
    """Whether Blueprint accepts this event name."""
    return len(name) <= MAX_LENGTH and _IDENTIFIER.fullmatch(name) is not None


def column_name(inbound: str, taken: Collection[str]) -> str:
    """Return a lower-case column name, not in ``taken``, for the property ``inbound``."""
    name = _INVALID.sub("_", inbound.lower())
    if not name or name[0].isdigit() or name in _RESERVED:
        name = f"_{name}"
    name, number = name[:MAX_LENGTH], 1
    base = name
    while name in taken:
        number += 1
        suffix = f"_{number}"
        name = base[: MAX_LENGTH - len(suffix)] + suffix
    return name
