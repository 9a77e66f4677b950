"""What was seen of untracked events: how often, and of which types their properties are.

Clients invent names, so that all that grows with them is bounded; what is beyond the bounds is
counted, and not kept.
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
"""Of one event; a table has fewer columns."""

MAX_PROPERTIES_IN_ALL: Final = 40_000
"""Of all events together: some 30 MB."""

MAX_NAME: Final = 256
"""Characters of a name that is kept; neither a table nor a column has one as long."""


@dataclass(slots=True)
class PropertyProfile:
    """The values of one property. Mutable.

    Attributes:
        nulls: Values that are null.
        kinds: How many of the others are of which kind.
        max_bytes: The longest text, in bytes of UTF-8.
        traits: How many of them have which trait.
    """

    nulls: int = 0
    kinds: Counter[ValueKind] = field(default_factory=Counter)
    max_bytes: int = 0
    traits: Counter[ValueTrait] = field(default_factory=Counter)

    @property
    def values(self) -> int:
        """Values that are not null."""
        return self.kinds.total()

    def add(self, value: Value) -> None:
        """Looks at one value."""
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
        self.kinds[_AS_TEXT[kind] if kind else ValueKind.TEXT] += 1
        self.traits[ValueTrait.ADDRESS] += _is_address(text)


@dataclass(slots=True)
class EventProfile:
    """The events of one name. Mutable.

    Attributes:
        events: How many they are.
        without: Those of them whose properties are missing, or no object.
        properties: Their properties by name.
        further: Values of properties that are not kept: too many, or of too long a name.
    """

    events: int = 0
    without: int = 0
    properties: dict[str, PropertyProfile] = field(default_factory=dict)
    further: int = 0

    def add(self, properties: str, room: int = MAX_PROPERTIES) -> int:
        """Looks at one event's properties, as they are spelt.

        Args:
            properties: The properties.
            room: Properties that may be kept beside those that are.

        Returns:
            How many of that room are taken.

        Raises:
            JsonError: They are no JSON.
        """
        self.events += 1
        members = read(properties)
        if not isinstance(members, JsonObject):
            self.without += 1
            return 0
        before = len(self.properties)
        most = min(before + room, MAX_PROPERTIES)
        for name, item in dict(members).items():  # the last one of a name counts
            if name in self.properties:
                self.properties[name].add(item.value)
            elif len(self.properties) < most and len(name) <= MAX_NAME:
                self.properties[name] = PropertyProfile()
                self.properties[name].add(item.value)
            else:
                self.further += 1
        return len(self.properties) - before


@dataclass(slots=True)
class Profile:
    """Untracked events by name. Mutable.

    Attributes:
        wanted: The names that are looked at; all where it is empty.
        read: Events read, of whichever name.
        events: What was seen, by name.
        further: Events whose name is not kept: there are too many, or it is too long.
    """

    wanted: frozenset[str] = frozenset()
    read: int = 0
    events: dict[str, EventProfile] = field(default_factory=dict)
    further: int = 0
    _room: int = MAX_PROPERTIES_IN_ALL

    def add(self, name: str, properties: str) -> None:
        """Looks at one event.

        Raises:
            JsonError: Its properties are no JSON.
        """
        self.read += 1
        if self.wanted and name not in self.wanted:
            return
        if name not in self.events:
            if len(self.events) >= MAX_EVENTS or len(name) > MAX_NAME:
                self.further += 1
                return
            self.events[name] = EventProfile()
        self._room -= self.events[name].add(properties, self._room)


_AS_TEXT: Final = {
    ValueKind.INT: ValueKind.INT_TEXT,
    ValueKind.BIGINT: ValueKind.BIGINT_TEXT,
    ValueKind.FLOAT: ValueKind.FLOAT_TEXT,
}
_NUMERIC: Final = frozenset("+-.0123456789nN")
"""What a text begins with that a number's transformer takes."""


def _integer_kind(text: str) -> ValueKind | None:
    if text[:1] not in _NUMERIC:
        return None
    for kind, bits in ((ValueKind.INT, INT_BITS), (ValueKind.BIGINT, BIGINT_BITS)):
        try:
            parse_integer(text, bits)
        except ValueError:
            continue
        return kind
    return None


def _float_kind(value: Number | str) -> ValueKind | None:
    if isinstance(value, str) and value[:1] not in _NUMERIC:
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
