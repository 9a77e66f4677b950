"""What generated row functions call: texts remembered by what they were made of, and conversions.

Times, addresses, logins and user agents repeat, and making their text anew costs more than the
rest of a row. A memo is a dict that makes what it lacks, so that what it has costs one look-up in
C. It forgets everything when it is full: that is cheaper than to keep an order, and bounded.

Texts are escaped as in a row, without the quotes around them. :data:`MISSING` stands for a column
that cannot be filled.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Final, TypeVar

from spade_spark.blueprint.schema import Column
from spade_spark.edge.address import canonical
from spade_spark.edge.instants import rfc3339_seconds
from spade_spark.edge.strict_json import Number
from spade_spark.lookups import GeoLookup, Lookups, Place
from spade_spark.transform.conversion import ConversionFailed, Converter
from spade_spark.transform.numbers import shortest
from spade_spark.transform.quoting import escape
from spade_spark.transform.registry import converter
from spade_spark.transform.timestamps import EARLIEST, LATEST, UTC, unix_time
from spade_spark.window import PACIFIC

BETWEEN: Final = '"\t"'
"""What stands between two values of a row. Rows are made without their first and last quote."""

MISSING: Final = "\0"
"""Stands for a column that could not be filled; no finished row has this character."""

MISSING_FLOAT: Final = 2.0**62
"""Stands for a property that was not sent where a float is due; told from the same number by
identity. It has no fraction, and is no time."""

FRACTIONS: Final = tuple(
    f".{thousandths:03}".rstrip("0").rstrip(".") for thousandths in range(1000)
)
"""Thousandths of a second as a time shows them."""

_Made = TypeVar("_Made")

_ENTRIES: Final = 32_768
_NO_FRACTION: Final = 2**53
"""Floats from here on are whole numbers."""
_INT32_END: Final = 2**31


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


class _Found(Memo):
    """A memo that does not remember what is missing: what has no id now may have one later."""

    __slots__ = ()

    def __missing__(self, key: Any) -> Any:
        made = super().__missing__(key)
        if made is MISSING:
            del self[key]
        return made


@dataclass(frozen=True, slots=True)
class Second:
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
        ValueError: They are no time, or one that a generated row does not show.
    """
    seconds = rfc3339_seconds(prefix + "Z")
    if not EARLIEST <= seconds <= LATEST:
        raise ValueError("a time out of range")
    text = str(seconds)
    text32 = text if seconds < _INT32_END else MISSING
    return Second(text, text32, unix_time(seconds, PACIFIC), unix_time(seconds, UTC))


def _canonical(address: str) -> str:
    """As :func:`~spade_spark.edge.address.canonical`, quicker for an IPv4 address that is so."""
    try:
        if socket.inet_ntoa(socket.inet_pton(socket.AF_INET, address)) == address:
            return address
    except (OSError, ValueError):
        pass
    return canonical(address)


class _RememberedPlaces:
    """Asks for the place of an address once for all columns that show a part of it."""

    def __init__(self, geo: GeoLookup) -> None:
        self._places = Memo(geo.place)

    def place(self, address: str) -> Place:
        """See :class:`~spade_spark.lookups.GeoLookup`."""
        place: Place = self._places[address]
        return place


class Memos:
    """The memos of one worker's transform, shared by its tables.

    Attributes:
        seconds: The first 19 characters of a ``receivedAt`` to its :class:`Second`.
        addresses: An address as the edge wrote it to its canonical text.
    """

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = Lookups(_RememberedPlaces(lookups.geo), lookups.logins)
        self._made: dict[str, Any] = {}
        self.seconds = Memo(second_of)
        self.addresses = Memo(_canonical)

    def names(self, columns: Iterable[tuple[Column, ...]]) -> dict[str, Any]:
        """What the generated code of these columns calls, by the names that it uses.

        Args:
            columns: A table's columns, those together that one memo fills together.
        """
        return {
            "join": BETWEEN.join,
            "MISSING": MISSING,
            "MISSING_FLOAT": MISSING_FLOAT,
            "agents": self._once("agents", lambda: Memo(_agent)),
            "fractions": FRACTIONS,
            "float_text": float_text,
            "pacific": self._once("pacific", lambda: Memo(_wall_clock(PACIFIC))),
            "utc": self._once("utc", lambda: Memo(_wall_clock(UTC))),
            "any_varchar": any_varchar,
            "any_text": any_text,
            "any_bool": any_bool,
            "any_number": any_number,
            "any_user_id": any_user_id,
            **{memo_name(group): self._memo(group) for group in columns},
            **{converter_name(c): self._converter(c) for group in columns for c in group},
        }

    def _memo(self, group: tuple[Column, ...]) -> Memo:
        """The texts of columns that are filled from one string, joined as in a row."""
        converters = [self._converter(column) for column in group]
        if group[0].transformer == "userIDWithMapping":
            return self._once(memo_name(group), lambda: _Found(_login_text(converters[0])))
        return self._once(memo_name(group), lambda: Memo(_joined(converters)))

    def _converter(self, column: Column) -> Converter:
        name = converter_name(column)
        return self._once(name, lambda: converter(column, self._lookups))

    def _once(self, name: str, make: Callable[[], _Made]) -> _Made:
        if name not in self._made:
            self._made[name] = make()
        made: _Made = self._made[name]
        return made


def memo_name(group: tuple[Column, ...]) -> str:
    """The name by which generated code knows the memo of columns filled from one string."""
    return "memo_" + "_".join(_identifier(column.transformer) for column in group)


def converter_name(column: Column) -> str:
    """The name by which generated code knows the converter of a column."""
    return "convert_" + _identifier(column.transformer)


def _identifier(text: str) -> str:
    """``text`` as a part of an identifier, different for each text."""
    return "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in text)


def _agent(agent: str) -> str:
    return escape(agent) if agent else MISSING


def _joined(converters: list[Converter]) -> Callable[[str], str]:
    def text(value: str) -> str:
        return BETWEEN.join(_text(convert, value) for convert in converters)

    return text


def _login_text(convert: Converter) -> Callable[[str], str]:
    def text(login: str) -> str:
        return _text(convert, None, login)

    return text


def _text(convert: Converter, value: Any, *supporting: str) -> str:
    """The escaped text of a column; :data:`MISSING` where it cannot be filled."""
    if value is MISSING or MISSING in supporting:
        return MISSING
    try:
        return escape(convert(value, supporting))
    except ConversionFailed:
        return MISSING


def _wall_clock(zone: tzinfo) -> Callable[[int], str]:
    def text(seconds: int) -> str:
        """Whole Unix seconds as a wall clock shows them.

        Raises:
            ValueError: They are no time, and what was sent may have had a fraction.
        """
        if EARLIEST <= seconds <= LATEST:
            return unix_time(seconds, zone)
        if seconds < _NO_FRACTION:
            raise ValueError("no time")
        return MISSING

    return text


def float_text(number: float) -> str:
    """A float as its column shows it."""
    return MISSING if number is MISSING_FLOAT else shortest(number)


def any_varchar(value: Any) -> str:
    """The text of a ``varchar`` column, whatever was sent."""
    if type(value) is not str or value is MISSING:
        return MISSING
    plain = value.isascii() and value.isprintable() and '"' not in value and "\\" not in value
    return value if plain else escape(value)


def any_text(memo: Memo, value: Any) -> str:
    """The text of columns that take a string, whatever was sent."""
    text: str = memo[value if type(value) is str else MISSING]
    return text


_BOOLEANS: Final = {b"true": "true", b"false": "false", b"1": "true", b"0": "false"}


def any_bool(value: Any) -> str:
    """The text of a ``bool`` column from what was sent as it was spelt."""
    return MISSING if value is MISSING else _BOOLEANS.get(bytes(value), MISSING)


def any_number(convert: Converter, value: Any, *supporting: str) -> str:
    """The text of a column that takes numbers and perhaps strings, whatever was sent.

    A float may have been spelt in many ways; its converter is given the shortest.
    """
    kind = type(value)
    if kind is int or kind is float:
        return _text(convert, Number(repr(value)), *supporting)
    return _text(convert, value, *supporting) if kind is str else MISSING


def any_user_id(convert: Converter, logins: Memo, value: Any, login: Any) -> str:
    """The text of a ``userIDWithMapping`` column, whatever was sent."""
    sent = any_number(convert, value, "") if type(value) is not float else MISSING
    return sent if sent is not MISSING else any_text(logins, login)
