"""The caches and conversions that generated row functions use, and their names in that code.

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
    ConversionError,
    Converter,
    GeoField,
    ValueCodegen,
)
from spade_spark.transform.transformers.geo import asn_number
from spade_spark.transform.transformers.registry import TRANSFORMERS, Registry
from spade_spark.transform.transformers.timestamps import EARLIEST, LATEST, UTC, unix_time
from spade_spark.window import PACIFIC

GeoTexts = tuple[str, ...]
"""The IP address, not escaped, and the joined texts of each group of its columns."""

_Join = Callable[[list[str]], str]
"""Joins the texts of a group of columns, out of the texts of all parts of an address."""

_GeoFields = tuple[GeoField, ...]
"""The parts of an address that adjacent columns show."""

_T = TypeVar("_T")

_MAX_TIMESTAMPS: Final = 1_024
"""Lines are almost sorted by time, so few seconds are enough."""
_FLOAT_INT_LIMIT: Final = 2**53
"""Floats from this limit on are whole numbers."""
_INT32_END: Final = 2**31
_MINUTE: Final = len("2006-01-02T15:04:")
_SIXTIETH: Final = re.compile("[0-5][0-9]")


class TimestampTexts(msgspec.Struct, frozen=True, gc=False):
    """The texts that columns of ``time`` show of a whole second of Unix time.

    Attributes:
        text: The Unix seconds.
        text32: The same; missing if they do not fit 32 bits.
        pacific: Date and time on the Pacific wall clock.
        utc: Date and time in UTC.
    """

    text: str
    text32: str
    pacific: str
    utc: str


def _canonical(address: str) -> str:
    """As :func:`~spade_spark.gocompat.ip.canonical_ip`, but faster for canonical IPv4."""
    try:
        if socket.inet_ntoa(socket.inet_pton(socket.AF_INET, address)) == address:
            return address
    except (OSError, ValueError):
        pass
    return canonical_ip(address)


class RowCaches:
    """The caches of one task's transform, shared by its tables.

    Attributes:
        registry: The transformers.
        timestamps: The :class:`TimestampTexts` by the first 20 characters of a ``receivedAt`` with
            a fraction; see :meth:`timestamp`.
        geo_by_address: The :data:`GeoTexts` by the text of an address. Generated code knows the
            index of a group of columns by :func:`geo_group_name`.
        geo_by_raw_address: The :data:`GeoTexts` of the canonical address, by the address as the
            edge wrote it.
    """

    def __init__(self, lookups: Lookups, registry: Registry = TRANSFORMERS) -> None:
        self.registry = registry
        self._lookups = lookups
        self._groups: dict[_GeoFields, _Join] = {}
        self._used_geo_fields: set[GeoField] = set()  # the parts that any group shows
        self._singletons: dict[str, Any] = {}
        self._pacific_clock = _WallClock(PACIFIC)
        self._utc_clock = _WallClock(UTC)
        self._minutes = Cache(self._parse_minute)
        self._asn_numbers = Cache(_asn_number)
        self.timestamps = Cache(self._parse_second, _MAX_TIMESTAMPS)
        self.geo_by_address = Cache(self._geo_texts)
        self.geo_by_raw_address = Cache(lambda address: self._geo_texts(_canonical(address)))

    def names(self, groups: Iterable[tuple[Column, ...]]) -> dict[str, Any]:
        """Return the objects that the generated code of these columns uses, by name.

        Args:
            groups: The columns of a table, grouped by ``codegen.groups``.
        """
        groups = list(groups)
        columns = [column for group in groups for column in group]
        geo_groups = [group for group in groups if is_geo_group(group, self.registry)]
        return {
            "join": SEPARATOR.join,
            "MISSING": MISSING,
            "MISSING_FLOAT": MISSING_FLOAT,
            "MISSING_TIME": MISSING_TIME,
            "booleans": BOOLEANS,
            "fractions": FRACTIONS,
            "float_text": float_text,
            "float_texts": float_texts,
            **_cache_names("pacific", self._pacific_clock),
            **_cache_names("utc", self._utc_clock),
            "coerce_integer": coerce_integer,
            "coerce_text": coerce_text,
            "coerce_bool": coerce_bool,
            "coerce_float": coerce_float,
            "coerce_time": coerce_time,
            "coerce_user_id": coerce_user_id,
            "geo_by_address": self.geo_by_address,
            "coerce_string": coerce_string,
            **{geo_group_name(group): self._group_index(group) for group in geo_groups},
            **{
                name: value
                for column in columns
                for name, value in _cache_names(
                    cache_name(column), self._text_cache(column)
                ).items()
            },
            **{converter_name(column): self._converter(column) for column in columns},
        }

    def timestamp(self, at: str) -> TimestampTexts:
        """Return the texts of a ``receivedAt`` in UTC; its fraction is not checked.

        Raises:
            ValueError: It is not a time, or generated code does not support it.
        """
        no_fraction = len(at) == PREFIX_LENGTH and at[-1] == "Z"
        prefix = f"{at[:-1]}." if no_fraction else at[:PREFIX_LENGTH]
        return cast("TimestampTexts", self.timestamps[prefix])

    def _parse_second(self, prefix: str) -> TimestampTexts:
        """Return the texts of times with this prefix, which ends in a dot or a comma.

        Raises:
            ValueError: As for :meth:`timestamp`.
        """
        minute, digits, end = prefix[:_MINUTE], prefix[_MINUTE:-1], prefix[-1:]
        if end not in (".", ",") or not _SIXTIETH.fullmatch(digits):
            raise ValueError("unsupported time format")
        start, pacific, utc = self._minutes[minute]
        seconds = start + int(digits)
        if not EARLIEST <= seconds <= LATEST:
            raise ValueError("time out of range")
        text = str(seconds)
        text32 = text if seconds < _INT32_END else MISSING
        return TimestampTexts(text, text32, f"{pacific}{digits}", f"{utc}{digits}")

    def _parse_minute(self, prefix: str) -> tuple[int, str, str]:
        """Return the Unix seconds of a minute's start and its wall clocks without seconds."""
        start = rfc3339_seconds(f"{prefix}00Z")
        return start, self._pacific_clock[start][:-2], self._utc_clock[start][:-2]

    def _text_cache(self, column: Column) -> Cache:
        """Return the cache of the texts of a column that is filled from one string."""
        name, convert = cache_name(column), self._converter(column)
        codegen = self.registry.spec(column.transformer).codegen
        if isinstance(codegen, ValueCodegen) and codegen.supporting:
            return self._singleton(
                name,
                lambda: HitOnlyCache(lambda supporting: text_or_missing(convert, None, supporting)),
            )
        return self._singleton(name, lambda: Cache(lambda value: text_or_missing(convert, value)))

    def _group_index(self, group: tuple[Column, ...]) -> int:
        """Return the index of the group in :data:`GeoTexts`; a new group is added."""
        parts = _geo_fields(group, self.registry)
        if parts not in self._groups:
            self._groups[parts] = _joiner(parts)
            self._used_geo_fields.update(parts)
            self.geo_by_address.known.clear()
            self.geo_by_raw_address.known.clear()
        return 1 + list(self._groups).index(parts)

    def _geo_texts(self, address: str) -> tuple[str, ...]:
        """Return the texts of all groups of columns, from one lookup of the address."""
        if address is MISSING:
            return (MISSING, *[SEPARATOR.join([MISSING] * len(group)) for group in self._groups])
        if not self._used_geo_fields:
            return (address,)
        has_number = GeoField.ASN_NUMBER in self._used_geo_fields
        has_asn = has_number or GeoField.ASN in self._used_geo_fields
        location = self._lookups.geo.locate(address, asn=has_asn)
        asn_number = self._asn_numbers[location.asn] if has_number else ""
        texts = [escaped(address), *map(escaped, location), asn_number]
        return (address, *[join(texts) for join in self._groups.values()])

    def _converter(self, column: Column) -> Converter:
        name = converter_name(column)
        return self._singleton(name, lambda: self.registry.converter(column, self._lookups))

    def _singleton(self, name: str, make: Callable[[], _T]) -> _T:
        if name not in self._singletons:
            self._singletons[name] = make()
        singleton: _T = self._singletons[name]
        return singleton


def _joiner(parts: _GeoFields) -> _Join:
    """Return the function that joins the texts of these parts."""
    take = itemgetter(*parts)
    return take if len(parts) == 1 else lambda texts: SEPARATOR.join(take(texts))


def is_geo_group(group: tuple[Column, ...], registry: Registry) -> bool:
    """Return whether ``group`` shows the location of an address."""
    parts = _geo_fields(group, registry)
    return len(parts) == len(group) and set(parts) != {GeoField.ADDRESS}


def _geo_fields(group: tuple[Column, ...], registry: Registry) -> _GeoFields:
    """Return the parts of an address that the columns of ``group`` show."""
    parts = (registry.spec(column.transformer).geo_field for column in group)
    return tuple(part for part in parts if part is not None)


def geo_group_name(group: tuple[Column, ...]) -> str:
    """Return the name of the index of a group of columns in generated code."""
    return "group_" + "_".join(_identifier(column.transformer) for column in group)


def cache_name(column: Column) -> str:
    """Return the name of the text cache of a column in generated code."""
    return "cache_" + _identifier(column.transformer)


def converter_name(column: Column) -> str:
    """Return the name of the converter of a column in generated code."""
    return "convert_" + _identifier(column.transformer)


def _cache_names(name: str, cache: Cache) -> dict[str, Any]:
    """Return a cache, its entries and its ``fill``, by their names in generated code."""
    return {name: cache, f"known_{name}": cache.known, f"fill_{name}": cache.fill}


def _identifier(text: str) -> str:
    """Encode ``text`` as a part of an identifier, without collisions."""
    return "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in text)


def _asn_number(asn: str) -> str:
    try:
        return asn_number(asn)
    except ConversionError:
        return MISSING


class _WallClock(Cache):
    """A cache of the date and time on the wall clock of ``zone``, by whole Unix seconds.

    Raises ValueError for an integer out of range that may be a truncated float.
    """

    __slots__ = ()

    def __init__(self, zone: tzinfo) -> None:
        minutes = Cache(lambda minute: unix_time(minute * 60, zone)[:-2])

        def text(seconds: int) -> str:
            if EARLIEST <= seconds <= LATEST:
                return f"{minutes[seconds // 60]}{seconds % 60:02}"
            if seconds < _FLOAT_INT_LIMIT:
                raise ValueError("time out of range")
            return MISSING

        super().__init__(text)


PREFIX_LENGTH: Final = len("2006-01-02T15:04:05Z")
"""The length of a time without a fraction, and of a time up to the dot after the seconds."""
_DIGITS: Final = b"0123456789"


def check_utc_suffix(at: str) -> None:
    """Raise ValueError unless ``at`` ends in ``Z``, after the digits of an optional fraction."""
    fraction = at[PREFIX_LENGTH:-1].isdigit() and at.isascii()
    if not (fraction or len(at) == PREFIX_LENGTH) or at[-1] != "Z":
        raise ValueError("unsupported time format")


def all_have_fraction_suffix(times: Sequence[str]) -> bool:
    """Return whether all ``times`` pass :func:`check_utc_suffix` and have a fraction.

    This is faster than checking each of them.

    The caller makes sure that all times begin with a second and a dot. After all digits are
    removed, the text is then as below only if exactly one ``Z`` follows each dot. The ``Z`` must
    end the time and follow a digit.
    """
    text = "\n".join(times) + "\n"
    if not text.isascii():
        return False
    data = text.encode()
    ended = data.count(b"Z\n") == len(times) and b".Z" not in data
    return ended and data.translate(None, _DIGITS) == b"--T::.Z\n" * len(times)
