"""Names that columns can have, from names that clients gave their properties.

The rules are Blueprint's: a letter or underscore, then letters, digits, underscores and hyphens, at
most 127 characters, and not ``date``. Redshift folds the case of names, so that two of them must
differ in more than that.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

MAX_LENGTH: Final = 127
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_OTHERS: Final = re.compile(r"[^a-z0-9_]+")
_RESERVED: Final = frozenset({"date"})


def is_event_name(name: str) -> bool:
    """Whether Blueprint takes an event of this name."""
    return len(name) <= MAX_LENGTH and _IDENTIFIER.fullmatch(name) is not None


def column_name(inbound: str, taken: Collection[str]) -> str:
    """A name for the column of the property ``inbound``, in lower case and none of ``taken``."""
    name = _OTHERS.sub("_", inbound.lower())
    if not name or name[0].isdigit() or name in _RESERVED:
        name = f"_{name}"
    name, number = name[:MAX_LENGTH], 1
    plain = name
    while name in taken:
        number += 1
        suffix = f"_{number}"
        name = plain[: MAX_LENGTH - len(suffix)] + suffix
    return name
