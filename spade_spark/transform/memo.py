"""What generated row functions call: texts remembered by what they were made of, and conversions.

Times, addresses, logins and user agents repeat, and making their text anew costs more than the
rest of a row. A memo is a dict that makes what it lacks, so that what it has costs one look-up in
C. It forgets everything when it is full: cheaper than to keep an order, and bounded.

Texts are escaped as in a row, without the quotes around them; :data:`MISSING` stands for a column
that cannot be filled.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from spade_spark.blueprint.schema import Column, Table
from spade_spark.edge.address import canonical
from spade_spark.edge.instants import rfc3339_seconds
from spade_spark.edge.strict_json import Number, Value
from spade_spark.lookups import Lookups
from spade_spark.transform.conversion import ConversionFailed, Converter
from spade_spark.transform.numbers import shortest
from spade_spark.transform.quoting import escape
from spade_spark.transform.registry import BY_NAME, converter
from spade_spark.transform.timestamps import EARLIEST, LATEST, PACIFIC, UTC, unix_time

MISSING: Final = "\0"
"""Stands for a column that could not be filled; no finished row has this character."""

_ENTRIES: Final = 50_000


class Memo(dict[Any, Any]):
    """A dict that makes what it lacks by ``make`` and forgets all when it is full."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Any) -> Any:
        made = self._make(key)
        if len(self) >= _ENTRIES:
            self.clear()
        self[key] = made
        return made


class Second(NamedTuple):
    """A whole second of Unix time, as columns of ``time`` show it.

    Attributes:
        text: In base 10.
        text32: The same, missing where it has more than 32 bits.
        pacific: Date and time on the Pacific wall clock.
        utc: Date and time in UTC.
    """

    text: str
    text32: str
    pacific: str
    utc: str


def second_of(prefix: str) -> Second:
    """The second that a ``receivedAt`` with these first 19 characters, in UTC, lies in.

    Raises:
        ValueError: They are no time, or one that a plain row does not show.
    """
    seconds = rfc3339_seconds(prefix + "Z")
    if not EARLIEST <= seconds <= LATEST:
        raise ValueError("a time out of range")
    text = str(seconds)
    return Second(
        text,
        text if seconds < 2**31 else MISSING,
        unix_time(seconds, PACIFIC),
        unix_time(seconds, UTC),
    )


class Memos:
    """The memos of one worker's transform; shared by its tables."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._by_transformer: dict[str, Memo] = {}
        self.seconds = Memo(second_of)
        self._logins = _Found(_texts(BY_NAME["userIDWithMapping"](lookups), supporting=True))
        self._user_id = BY_NAME["userIDWithMapping"](lookups)
        pacific, utc = (_unix_clock(zone) for zone in (PACIFIC, UTC))
        self._shared = {
            "addresses": Memo(canonical),
            "agents": Memo(lambda agent: escape(agent) if agent else MISSING),
            "booleans": {True: "true", False: "false", MISSING: MISSING},
            "logins": self._logins,
            "float_text": float_text,
            "unix_pacific": pacific,
            "unix_utc": utc,
            "any_varchar": any_varchar,
            "any_int": _any_integer(BY_NAME["int"](lookups), 32),
            "any_bigint": _any_integer(BY_NAME["bigint"](lookups), 64),
            "any_float": _any_float(BY_NAME["float"](lookups)),
            "any_bool": any_bool,
            "any_unix_pacific": _any_unix(pacific),
            "any_unix_utc": _any_unix(utc),
            "any_text": any_text,
            "any_user_id": self._any_user_id,
        }

    def names(self, table: Table) -> dict[str, Any]:
        """The names that the generated code of ``table`` uses."""
        memos = {memo_name(column): self._memo(column) for column in table.columns}
        return {**self._shared, **memos}

    def _memo(self, column: Column) -> Memo:
        name = column.transformer
        if name not in self._by_transformer:
            self._by_transformer[name] = Memo(_texts(converter(column, self._lookups)))
        return self._by_transformer[name]

    def _any_user_id(self, value: Any, login: Any) -> str:
        if type(value) is int or (type(value) is str and value is not MISSING):
            try:
                return self._user_id(_value(value), (None,))
            except ConversionFailed:
                pass
        return self._logins[login] if type(login) is str else MISSING


def memo_name(column: Column) -> str:
    """The name that generated code knows the memo of a column's transformer by."""
    return "memo_" + re.sub(
        r"[^0-9A-Za-z]", lambda match: f"_{ord(match[0]):x}", column.transformer
    )


class _Found(Memo):
    """A memo that does not remember what is missing: what has no id now may have one later."""

    __slots__ = ()

    def __missing__(self, key: Any) -> Any:
        made = super().__missing__(key)
        if made is MISSING:
            del self[key]
        return made


def _texts(convert: Converter, *, supporting: bool = False) -> Callable[[str], str]:
    """``convert`` of a string, or of a string as the one supporting property, escaped."""

    def text(value: str) -> str:
        if value is MISSING:
            return MISSING
        try:
            return escape(convert(None, (value,)) if supporting else convert(value, ()))
        except ConversionFailed:
            return MISSING

    return text


def float_text(number: float) -> str:
    """A float as its column shows it."""
    if number is MISSING:  # type: ignore[comparison-overlap] # a field's default
        return MISSING
    return shortest(number)


def _unix_clock(zone: Any) -> Callable[[Any], str]:
    def whole(seconds: int) -> str:
        return unix_time(seconds, zone)

    walls = Memo(whole)

    def clock(seconds: Any) -> str:
        if seconds is MISSING:
            return MISSING
        if not EARLIEST <= seconds < LATEST + 1:
            return MISSING
        second = int(seconds)
        wall = walls[second]
        if seconds == second:
            return wall
        thousandths = int((seconds - second) * 1e9) // 1_000_000
        return f"{wall}.{thousandths:03}".rstrip("0").rstrip(".") if thousandths else wall

    return clock


def any_varchar(value: Any) -> str:
    if type(value) is not str:
        return MISSING
    if value is MISSING:
        return MISSING
    return (
        value
        if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value
        else escape(value)
    )


def any_text(memo: Memo, value: Any) -> str:
    return memo[value] if type(value) is str else MISSING


_BOOLEANS: Final = {b"true": "true", b"false": "false", b"1": "true", b"0": "false"}


def any_bool(value: Any) -> str:
    return MISSING if value is MISSING else _BOOLEANS.get(bytes(value), MISSING)


def _any_integer(convert: Converter, bits: int) -> Callable[[Any], str]:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def text(value: Any) -> str:
        if type(value) is int:
            return str(value) if low <= value <= high else MISSING
        return _converted(convert, value) if type(value) is str else MISSING

    return text


def _any_float(convert: Converter) -> Callable[[Any], str]:
    def text(value: Any) -> str:
        if type(value) is float or type(value) is int:
            return shortest(float(value))
        return _converted(convert, value) if type(value) is str else MISSING

    return text


def _any_unix(clock: Callable[[float], str]) -> Callable[[Any], str]:
    def text(value: Any) -> str:
        if type(value) is float or type(value) is int:
            return clock(float(value))
        return MISSING

    return text


def _converted(convert: Converter, value: str) -> str:
    if value is MISSING:
        return MISSING
    try:
        return escape(convert(value, ()))
    except ConversionFailed:
        return MISSING


def _value(value: Any) -> Value:
    return Number(str(value)) if type(value) is int else value
