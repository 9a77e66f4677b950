"""The caches and conversions that generated code uses, and their names in that code.

Texts are escaped as in :mod:`~spade_spark.transform.coerce`.
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
"""An IP address, not escaped, then the text of each group of geo columns."""

_Join = Callable[[list[str]], str]
"""Returns the text of a group of columns from the texts of all geo fields."""

_GeoFields = tuple[GeoField, ...]
"""The geo fields of a group of adjacent columns."""

_T = TypeVar("_T")

_MAX_TIMESTAMPS: Final = 1_024
"""Lines are almost sorted by time, so a few are enough."""
_FLOAT_INT_LIMIT: Final = 2**53
"""All floats of this size or more are integers."""
_INT32_END: Final = 2**31
_MINUTE_LENGTH: Final = len("2006-01-02T15:04:")
_SECONDS: Final = re.compile("[0-5][0-9]")


class TimestampTexts(msgspec.Struct, frozen=True, gc=False):
    """The texts of columns of ``time`` for one second.

    Attributes:
        text: The Unix seconds.
        text32: The Unix seconds; missing if they do not fit 32 bits.
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
        geo_by_address: The :data:`GeoTexts` by address. :func:`geo_group_name` is the name of the
            index of a group in generated code.
        geo_by_raw_address: The :data:`GeoTexts` of the canonical address, by the address in the
            edge record.
    """

    def __init__(self, lookups: Lookups, registry: Registry = TRANSFORMERS) -> None:
        self.registry = registry
        self._lookups = lookups
        self._groups: dict[_GeoFields, _Join] = {}
        self._used_geo_fields: set[GeoField] = set()  # of all groups
        self._singletons: dict[str, Any] = {}
        self._pacific_clock = _WallClock(PACIFIC)
        self._utc_clock = _WallClock(UTC)
        self._minutes = Cache(self._parse_minute)
        self._asn_numbers = Cache(_asn_number)
        self.timestamps = Cache(self._parse_second, _MAX_TIMESTAMPS)
        self.geo_by_address = Cache(self._geo_texts)
        self.geo_by_raw_address = Cache(lambda address: self._geo_texts(_canonical(address)))

    def namespace(self, groups: Iterable[tuple[Column, ...]]) -> dict[str, Any]:
        """Return the objects that the generated code of these columns uses, by name.

        Args:
            groups: The columns of a table, grouped by ``codegen.column_groups``.
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
            ValueError: It is not a time, or the fast path does not support its format.
        """
        no_fraction = len(at) == PREFIX_LENGTH and at[-1] == "Z"
        prefix = f"{at[:-1]}." if no_fraction else at[:PREFIX_LENGTH]
        return cast("TimestampTexts", self.timestamps[prefix])

    def _parse_second(self, prefix: str) -> TimestampTexts:
        """Return the texts of times with this prefix, which must end in a dot or a comma.

        Raises:
            ValueError: As for :meth:`timestamp`.
        """
        minute, digits, end = prefix[:_MINUTE_LENGTH], prefix[_MINUTE_LENGTH:-1], prefix[-1:]
        if end not in (".", ",") or not _SECONDS.fullmatch(digits):
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
        """Return the cache of the texts of a column by property or supporting property."""
        name, convert = cache_name(column), self._converter(column)
        codegen = self.registry.spec(column.transformer).codegen
        if isinstance(codegen, ValueCodegen) and codegen.supporting:
            return self._singleton(
                name,
                lambda: HitOnlyCache(lambda supporting: text_or_missing(convert, None, supporting)),
            )
        return self._singleton(name, lambda: Cache(lambda value: text_or_missing(convert, value)))

    def _group_index(self, group: tuple[Column, ...]) -> int:
        """Return the index of a group in :data:`GeoTexts`; add the group if it is new."""
        fields = _geo_fields(group, self.registry)
        if fields not in self._groups:
            self._groups[fields] = _joiner(fields)
            self._used_geo_fields.update(fields)
            self.geo_by_address.known.clear()
            self.geo_by_raw_address.known.clear()
        return 1 + list(self._groups).index(fields)

    def _geo_texts(self, address: str) -> GeoTexts:
        """Return the :data:`GeoTexts` of an address from one lookup."""
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

    def _singleton(self, name: str, create: Callable[[], _T]) -> _T:
        if name not in self._singletons:
            self._singletons[name] = create()
        singleton: _T = self._singletons[name]
        return singleton


def _joiner(fields: _GeoFields) -> _Join:
    """Return the function that selects and joins the texts of these fields."""
    select = itemgetter(*fields)
    return select if len(fields) == 1 else lambda texts: SEPARATOR.join(select(texts))


def is_geo_group(group: tuple[Column, ...], registry: Registry) -> bool:
    """Return whether ``group`` needs a lookup of an address."""
    fields = _geo_fields(group, registry)
    return len(fields) == len(group) and set(fields) != {GeoField.ADDRESS}


def _geo_fields(group: tuple[Column, ...], registry: Registry) -> _GeoFields:
    """Return the geo fields of the columns of ``group``; other columns are skipped."""
    fields = (registry.spec(column.transformer).geo_field for column in group)
    return tuple(field for field in fields if field is not None)


def geo_group_name(group: tuple[Column, ...]) -> str:
    """Return the name, in generated code, of the index of a group of columns."""
    return "group_" + "_".join(_identifier(column.transformer) for column in group)


def cache_name(column: Column) -> str:
    """Return the name, in generated code, of the cache of a column."""
    return "cache_" + _identifier(column.transformer)


def converter_name(column: Column) -> str:
    """Return the name, in generated code, of the converter of a column."""
    return "convert_" + _identifier(column.transformer)


def _cache_names(name: str, cache: Cache) -> dict[str, Any]:
    """Return a cache, its entries and its ``fill`` by their names in generated code."""
    return {name: cache, f"known_{name}": cache.known, f"fill_{name}": cache.fill}


def _identifier(text: str) -> str:
    """Encode ``text`` uniquely as part of an identifier."""
    return "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in text)


def _asn_number(asn: str) -> str:
    try:
        return asn_number(asn)
    except ConversionError:
        return MISSING


class _WallClock(Cache):
    """A cache of the wall clocks of ``zone`` by whole Unix seconds.

    Raises ValueError for a number out of range that may have had a fraction.
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
"""The length of a time without a fraction, or up to the dot before the fraction."""
_DIGITS: Final = b"0123456789"


def check_utc_suffix(at: str) -> None:
    """Raise ValueError unless only an optional fraction and ``Z`` follow the seconds."""
    fraction = at[PREFIX_LENGTH:-1].isdigit() and at.isascii()
    if not (fraction or len(at) == PREFIX_LENGTH) or at[-1] != "Z":
        raise ValueError("unsupported time format")


def all_have_fraction_suffix(times: Sequence[str]) -> bool:
    """Return whether all ``times`` pass :func:`check_utc_suffix` and have a fraction.

    This is faster than checking each of them. The caller ensures that all times begin with a date,
    a time of day and a dot. Without the digits, the times are then as below only if one ``Z``
    follows each dot. That ``Z`` must follow a digit and end the time.
    """
    text = "\n".join(times) + "\n"
    if not text.isascii():
        return False
    data = text.encode()
    ended = data.count(b"Z\n") == len(times) and b".Z" not in data
    return ended and data.translate(None, _DIGITS) == b"--T::.Z\n" * len(times)
