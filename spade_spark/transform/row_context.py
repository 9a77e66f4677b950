"""What generated row functions call: memos, conversions, and the names that it knows them by.

Texts are as in :mod:`~spade_spark.transform.coerce`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from operator import itemgetter
from typing import Any, Final, TypeVar, cast

import msgspec

from spade_spark.blueprint.schema import Column
from spade_spark.gocompat.ip import canonical_ip
from spade_spark.gocompat.rfc3339 import rfc3339_seconds
from spade_spark.lookups.base import Lookups
from spade_spark.transform.bounded_cache import Cache, HitOnlyCache
from spade_spark.transform.coerce import (
    BOOLEANS,
    FRACTIONS,
    MISSING,
    MISSING_FLOAT,
    MISSING_TIME,
    SEPARATOR,
    coerce_bool,
    coerce_float,
    coerce_integer,
    coerce_string,
    coerce_text,
    coerce_time,
    coerce_user_id,
    escaped,
    float_text,
    float_texts,
    text_or_missing,
)
from spade_spark.transform.transformers.base import (
    AddressPart,
    ConversionError,
    Converter,
    ValueCodegen,
)
from spade_spark.transform.transformers.geo import asn_number
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry
from spade_spark.transform.transformers.timestamps import EARLIEST, LATEST, UTC, unix_time
from spade_spark.window import PACIFIC

Address = tuple[str, ...]
"""The address itself, not escaped, and what groups of columns show of it."""

_Join = Callable[[list[str]], str]
"""The texts of all parts of an address to those of a group of them, as a row has them."""

_Parts = tuple[AddressPart, ...]
"""The parts of an address that neighbouring columns show."""

_Made = TypeVar("_Made")

_SECONDS: Final = 1_024
"""Lines come nearly in the order of their time, so that few seconds do."""
_NO_FRACTION: Final = 2**53
"""Floats from here on are whole numbers."""
_INT32_END: Final = 2**31
_MINUTE: Final = len("2006-01-02T15:04:")
_SIXTIETH: Final = re.compile("[0-5][0-9]")


class TimestampTexts(msgspec.Struct, frozen=True, gc=False):
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


def _canonical(address: str) -> str:
    """As :func:`~spade_spark.gocompat.ip.canonical_ip`, quicker for an IPv4 address that is so."""
    try:
        if socket.inet_ntoa(socket.inet_pton(socket.AF_INET, address)) == address:
            return address
    except (OSError, ValueError):
        pass
    return canonical_ip(address)


class RowCaches:
    """The memos of one worker's transform, shared by its tables.

    Attributes:
        registry: The transformers.
        seconds: The first 20 characters of a ``receivedAt`` with a fraction to its
            :class:`TimestampTexts`; see :meth:`timestamp`.
        addresses: An address as the edge wrote it to the texts of ``geo_by_address`` for its
            canonical
            form, the first of which is that form.
        places: The text of an address to the texts of groups of columns, each by the number that
            :func:`geo_group_name` stands for in generated code.
    """

    def __init__(self, lookups: Lookups, registry: Registry = TRANSFORMERS) -> None:
        self.registry = registry
        self._lookups = lookups
        self._groups: dict[_Parts, _Join] = {}
        self._shown: set[AddressPart] = set()  # the parts of groups that show a place
        self._made: dict[str, Any] = {}
        self._pacific = _WallClock(PACIFIC)
        self._utc = _WallClock(UTC)
        self._minutes = Cache(self._parse_minute)
        self._asn_numbers = Cache(_asn_number)
        self.seconds = Cache(self._parse_second, _SECONDS)
        self.geo_by_address = Cache(self._place_texts)
        self.geo_by_raw_address = Cache(lambda written: self._place_texts(_canonical(written)))

    def names(self, groups: Iterable[tuple[Column, ...]]) -> dict[str, Any]:
        """What the generated code of these columns calls, by the names that it uses.

        Args:
            groups: A table's columns, those together that show parts of one address.
        """
        groups = list(groups)
        columns = [column for group in groups for column in group]
        placed = [group for group in groups if is_geo_group(group, self.registry)]
        return {
            "join": SEPARATOR.join,
            "MISSING": MISSING,
            "MISSING_FLOAT": MISSING_FLOAT,
            "MISSING_TIME": MISSING_TIME,
            "booleans": BOOLEANS,
            "fractions": FRACTIONS,
            "float_text": float_text,
            "float_texts": float_texts,
            **_parts("pacific", self._pacific),
            **_parts("utc", self._utc),
            "any_integer": coerce_integer,
            "any_text": coerce_text,
            "any_bool": coerce_bool,
            "any_float": coerce_float,
            "any_time": coerce_time,
            "any_user_id": coerce_user_id,
            "places": self.geo_by_address,
            "any_string": coerce_string,
            **{geo_group_name(group): self._group(group) for group in placed},
            **{
                name: part
                for column in columns
                for name, part in _parts(cache_name(column), self._memo(column)).items()
            },
            **{converter_name(column): self._converter(column) for column in columns},
        }

    def timestamp(self, at: str) -> TimestampTexts:
        """The second that a ``receivedAt`` in UTC lies in; of its fraction nothing is looked at.

        Raises:
            ValueError: It is no time, or one that a generated row does not show.
        """
        whole = len(at) == WHOLE_SECOND and at[-1] == "Z"
        return cast("TimestampTexts", self.seconds[f"{at[:-1]}." if whole else at[:WHOLE_SECOND]])

    def _parse_second(self, prefix: str) -> TimestampTexts:
        """The second of times with these first 20 characters, which end in a dot or a comma.

        Raises:
            ValueError: As for :meth:`timestamp`.
        """
        minute, digits, end = prefix[:_MINUTE], prefix[_MINUTE:-1], prefix[-1:]
        if end not in (".", ",") or not _SIXTIETH.fullmatch(digits):
            raise ValueError("another form of time")
        start, pacific, utc = self._minutes[minute]
        seconds = start + int(digits)
        if not EARLIEST <= seconds <= LATEST:
            raise ValueError("a time out of range")
        text = str(seconds)
        text32 = text if seconds < _INT32_END else MISSING
        return TimestampTexts(text, text32, f"{pacific}{digits}", f"{utc}{digits}")

    def _parse_minute(self, prefix: str) -> tuple[int, str, str]:
        """Where a minute begins: the Unix seconds, and the wall clocks without their seconds."""
        start = rfc3339_seconds(f"{prefix}00Z")
        return start, self._pacific[start][:-2], self._utc[start][:-2]

    def _memo(self, column: Column) -> Cache:
        """The texts of a column that is filled from one string."""
        name, convert = cache_name(column), self._converter(column)
        codegen = self.registry.spec(column.transformer).codegen
        if isinstance(codegen, ValueCodegen) and codegen.supporting:
            return self._singleton(
                name,
                lambda: HitOnlyCache(lambda supporting: text_or_missing(convert, None, supporting)),
            )
        return self._singleton(name, lambda: Cache(lambda value: text_or_missing(convert, value)))

    def _group(self, group: tuple[Column, ...]) -> int:
        """The number of the group among the texts of a place, given to it if it has none."""
        parts = _address_parts(group, self.registry)
        if parts not in self._groups:
            self._groups[parts] = _join_of(parts)
            self._shown.update(parts)
            self.geo_by_address.known.clear()
            self.geo_by_raw_address.known.clear()
        return 1 + list(self._groups).index(parts)

    def _place_texts(self, address: str) -> tuple[str, ...]:
        """What each group of columns shows of an address, which is looked up once for all."""
        if address is MISSING:
            return (MISSING, *[SEPARATOR.join([MISSING] * len(group)) for group in self._groups])
        if not self._shown:
            return (address,)
        has_number = AddressPart.ASN_NUMBER in self._shown
        place = self._lookups.geo.locate(address, asn=has_number or AddressPart.ASN in self._shown)
        asn_number = self._asn_numbers[place.asn] if has_number else ""
        texts = [escaped(address), *map(escaped, place), asn_number]
        return (address, *[join(texts) for join in self._groups.values()])

    def _converter(self, column: Column) -> Converter:
        name = converter_name(column)
        return self._singleton(name, lambda: self.registry.converter(column, self._lookups))

    def _singleton(self, name: str, make: Callable[[], _Made]) -> _Made:
        if name not in self._made:
            self._made[name] = make()
        made: _Made = self._made[name]
        return made


def _join_of(parts: _Parts) -> _Join:
    """What joins the texts of these parts, out of those of all parts of an address."""
    take = itemgetter(*parts)
    return take if len(parts) == 1 else lambda texts: SEPARATOR.join(take(texts))


def is_geo_group(group: tuple[Column, ...], registry: Registry) -> bool:
    """Whether ``group`` shows an address and what is known of its place."""
    parts = _address_parts(group, registry)
    return len(parts) == len(group) and set(parts) != {AddressPart.ADDRESS}


def _address_parts(group: tuple[Column, ...], registry: Registry) -> _Parts:
    """The parts of an address that the columns of ``group`` show."""
    parts = (registry.spec(column.transformer).address_part for column in group)
    return tuple(part for part in parts if part is not None)


def geo_group_name(group: tuple[Column, ...]) -> str:
    """The name by which generated code knows the number of a group of columns of an address."""
    return "group_" + "_".join(_identifier(column.transformer) for column in group)


def cache_name(column: Column) -> str:
    """The name by which generated code knows the memo of a column filled from one string."""
    return "memo_" + _identifier(column.transformer)


def converter_name(column: Column) -> str:
    """The name by which generated code knows the converter of a column."""
    return "convert_" + _identifier(column.transformer)


def _parts(name: str, memo: Cache) -> dict[str, Any]:
    """The memo and its parts, by the names by which generated code knows them."""
    return {name: memo, f"known_{name}": memo.known, f"fill_{name}": memo.fill}


def _identifier(text: str) -> str:
    """``text`` as a part of an identifier, different for each text."""
    return "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in text)


def _asn_number(asn: str) -> str:
    try:
        return asn_number(asn)
    except ConversionError:
        return MISSING


class _WallClock(Cache):
    """Whole Unix seconds to the date and time that the wall clock of ``zone`` shows.

    Raises ValueError for what is no time and, having been a float, may have had a fraction.
    """

    __slots__ = ()

    def __init__(self, zone: tzinfo) -> None:
        minutes = Cache(lambda minute: unix_time(minute * 60, zone)[:-2])

        def text(seconds: int) -> str:
            if EARLIEST <= seconds <= LATEST:
                return f"{minutes[seconds // 60]}{seconds % 60:02}"
            if seconds < _NO_FRACTION:
                raise ValueError("no time")
            return MISSING

        super().__init__(text)


WHOLE_SECOND: Final = len("2006-01-02T15:04:05Z")
"""As many characters as a time without a fraction, or a second and the dot behind it."""
_DIGITS: Final = b"0123456789"


def check_utc_suffix(at: str) -> None:
    """Raises ValueError unless ``at`` ends in ``Z``, after a fraction's digits if it has one."""
    fraction = at[WHOLE_SECOND:-1].isdigit() and at.isascii()
    if not (fraction or len(at) == WHOLE_SECOND) or at[-1] != "Z":
        raise ValueError("another form of time")


def all_have_fraction_suffix(times: Sequence[str]) -> bool:
    """Whether all ``times`` pass :func:`check_utc_suffix` and have a fraction.

    Faster than checking each of them.

    Holds for times that begin with a second and a dot, which is for the caller to see to. What is
    left of them without their digits is then as below only if behind each dot there is one ``Z``
    and nothing else, which has to end the time and to follow a digit.
    """
    text = "\n".join(times) + "\n"
    if not text.isascii():
        return False
    data = text.encode()
    ended = data.count(b"Z\n") == len(times) and b".Z" not in data
    return ended and data.translate(None, _DIGITS) == b"--T::.Z\n" * len(times)
