"""Profiles untracked events: how many there are, and which types of values their properties have.

Clients choose the names of events and properties, so the number of names in memory is limited.
Events and values with further names are only counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from spade_spark.gocompat.ip import canonical_ip
from spade_spark.gocompat.json import JsonContainer, JsonObject, Number, Value, read
from spade_spark.gocompat.strconv import parse_integer
from spade_spark.transform.transformers.base import ConversionError, ValueKind, ValueTrait
from spade_spark.transform.transformers.numbers import BIGINT_BITS, INT_BITS, to_float
from spade_spark.transform.transformers.timestamps import EARLIEST, LATEST

MAX_EVENTS: Final = 1000
MAX_PROPERTIES: Final = 400
"""Maximum number of properties per event name. A table has fewer columns."""

MAX_TOTAL_PROPERTIES: Final = 40_000
"""Maximum number of properties of all events together: about 30 MB."""

MAX_NAME_LENGTH: Final = 256
"""Maximum length of a profiled name. Names of tables and columns are shorter."""


@dataclass(slots=True)
class PropertyProfile:
    """Counts of the values of one property. Mutable.

    Attributes:
        nulls: Number of null values.
        kinds: Number of values that are not null, by kind.
        max_bytes: Bytes of the longest string in UTF-8.
        traits: Number of values with each trait.
    """

    nulls: int = 0
    kinds: Counter[ValueKind] = field(default_factory=Counter)
    max_bytes: int = 0
    traits: Counter[ValueTrait] = field(default_factory=Counter)

    @property
    def values(self) -> int:
        """Number of values that are not null."""
        return self.kinds.total()

    def add(self, value: Value) -> None:
        """Add one value."""
        if value is None:
            self.nulls += 1
        elif isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, Number):
            self._add_number(value)
        else:
            self.kinds[
                ValueKind.NESTED if isinstance(value, JsonContainer) else ValueKind.BOOL
            ] += 1

    def _add_number(self, number: Number) -> None:
        self.kinds[_integer_kind(number.text) or _float_kind(number) or ValueKind.HUGE] += 1
        self.traits[ValueTrait.SWITCH] += number.text in {"0", "1"}
        self.traits[ValueTrait.UNIX_TIME] += EARLIEST <= float(number.text) < LATEST + 1

    def _add_text(self, text: str) -> None:
        self.max_bytes = max(self.max_bytes, len(text.encode()))
        kind = _integer_kind(text) or _float_kind(text)
        self.kinds[_KIND_AS_TEXT[kind] if kind else ValueKind.TEXT] += 1
        self.traits[ValueTrait.ADDRESS] += _is_address(text)


@dataclass(slots=True)
class EventProfile:
    """Counts of the events of one name. Mutable.

    Attributes:
        events: Number of events.
        without_properties: Number of events whose properties are missing or not an object.
        properties: Profiles by property name.
        not_profiled: Number of values whose property has too long a name or exceeds the limit.
    """

    events: int = 0
    without_properties: int = 0
    properties: dict[str, PropertyProfile] = field(default_factory=dict)
    not_profiled: int = 0

    def add(self, properties: str, max_new: int = MAX_PROPERTIES) -> int:
        """Add one event.

        Args:
            properties: The properties as JSON text.
            max_new: Maximum number of new properties to profile.

        Returns:
            The number of new properties.

        Raises:
            JsonError: The properties are not valid JSON.
        """
        self.events += 1
        members = read(properties)
        if not isinstance(members, JsonObject):
            self.without_properties += 1
            return 0
        previous = len(self.properties)
        limit = min(previous + max_new, MAX_PROPERTIES)
        for name, item in dict(members).items():  # of duplicate names, the last one is used
            if name in self.properties:
                self.properties[name].add(item.value)
            elif len(self.properties) < limit and len(name) <= MAX_NAME_LENGTH:
                self.properties[name] = PropertyProfile()
                self.properties[name].add(item.value)
            else:
                self.not_profiled += 1
        return len(self.properties) - previous


@dataclass(slots=True)
class Profile:
    """Counts of untracked events by name. Mutable.

    Attributes:
        names: The event names to profile; empty for all.
        read: Number of events read, of all names.
        events: Profiles by event name.
        not_profiled: Number of events whose name is too long or exceeds the limit.
    """

    names: frozenset[str] = frozenset()
    read: int = 0
    events: dict[str, EventProfile] = field(default_factory=dict)
    not_profiled: int = 0
    _remaining_properties: int = MAX_TOTAL_PROPERTIES

    def add(self, name: str, properties: str) -> None:
        """Add one event.

        Raises:
            JsonError: Its properties are not valid JSON.
        """
        self.read += 1
        if self.names and name not in self.names:
            return
        if name not in self.events:
            if len(self.events) >= MAX_EVENTS or len(name) > MAX_NAME_LENGTH:
                self.not_profiled += 1
                return
            self.events[name] = EventProfile()
        self._remaining_properties -= self.events[name].add(properties, self._remaining_properties)


_KIND_AS_TEXT: Final = {
    ValueKind.INT: ValueKind.INT_TEXT,
    ValueKind.BIGINT: ValueKind.BIGINT_TEXT,
    ValueKind.FLOAT: ValueKind.FLOAT_TEXT,
}
_NUMBER_STARTS: Final = frozenset("+-.0123456789nN")
"""First characters of the strings that number transformers accept."""


def _integer_kind(text: str) -> ValueKind | None:
    if text[:1] not in _NUMBER_STARTS:
        return None
    for kind, bits in ((ValueKind.INT, INT_BITS), (ValueKind.BIGINT, BIGINT_BITS)):
        try:
            parse_integer(text, bits)
        except ValueError:
            continue
        return kind
    return None


def _float_kind(value: Number | str) -> ValueKind | None:
    if isinstance(value, str) and value[:1] not in _NUMBER_STARTS:
        return None
    try:
        to_float(value, ())
    except ConversionError:
        return None
    return ValueKind.FLOAT


def _is_address(text: str) -> bool:
    if "." not in text and ":" not in text:
        return False
    try:
        canonical_ip(text)
    except ValueError:
        return False
    return True
