"""The expressions of a row's texts; see :mod:`~spade_spark.transform.row`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from spade_spark.blueprint.schema import Column, Table
from spade_spark.transform.memos import converter_name, group_name, is_placed, memo_name
from spade_spark.transform.texts import (
    MISSING,
    MISSING_FLOAT,
    MISSING_TIME,
    SURE_DIGITS_32,
    SURE_DIGITS_64,
)

_UNIX: Final = "f@timestamp@unix"
_UNIX_UTC: Final = "f@timestamp@unix-utc"
USER_ID: Final = "userIDWithMapping"
PLACES: Final = frozenset({"ipCity", "ipCountry", "ipRegion", "ipAsn", "ipAsnInteger"})
SERVER: Final = frozenset({"time", "client_time", "ip", "user_agent"})
_TIME_PARTS: Final = {
    "bigint": "text",
    "float": "text",
    "int": "text32",
    _UNIX: "pacific",
    _UNIX_UTC: "utc",
}

Group = tuple[Column, ...]
"""Neighbouring columns that are filled together."""


@dataclass(frozen=True)
class Kind:
    """How a property is decoded.

    Attributes:
        type: The type of the Struct's field.
        default: What stands for a property that was not sent.
        missing: The default's name in generated code.
    """

    type: Any
    default: Any = MISSING
    missing: str = "MISSING"


_TEXT: Final = Kind(str)
_INT32: Final = Kind(Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)])
_INT64: Final = Kind(Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)])
_FLOAT: Final = Kind(float, MISSING_FLOAT, "MISSING_FLOAT")
_TIME: Final = Kind(float, MISSING_TIME, "MISSING_TIME")
_BOOL: Final = Kind(bool)
_ANY: Final = Kind(Any)
_SPELT: Final = Kind(msgspec.Raw)


_REMEMBERED: Final = "known_{memo}.get(x := {value}) or fill_{memo}(x)"
_WALL_CLOCK: Final = (
    "(known_{clock}.get(s := int(x := {{value}})) or fill_{clock}(s))"
    " + fractions[int((x - s) * 1e3)]"
)
"""Cut to nanoseconds and then to milliseconds would give the same: the fraction of a double from
2**29 on, which times are, has at most 23 bits, and neither product is rounded."""
_PLAIN: Final[Mapping[str, tuple[Kind, str]]] = {
    "int": (_INT32, "f'{{{value}}}'"),
    "bigint": (_INT64, "f'{{{value}}}'"),
    "bool": (_BOOL, "booleans[{value}]"),
    _UNIX: (_TIME, _WALL_CLOCK.format(clock="pacific")),
    _UNIX_UTC: (_TIME, _WALL_CLOCK.format(clock="utc")),
}
"""How properties are decoded for ``plain``, and the expressions of their texts."""


def _integer(bits: int, digits: int) -> str:
    end = 2 ** (bits - 1)
    return (
        f"f'{{{{x}}}}' if type(x := {{value}}) is int and {-end} <= x < {end}"
        f" else any_integer({{convert}}, {digits}, x)"
    )


_CAREFUL: Final[Mapping[str, tuple[Kind, str]]] = {
    "int": (_ANY, _integer(32, SURE_DIGITS_32)),
    "bigint": (_ANY, _integer(64, SURE_DIGITS_64)),
    "float": (_ANY, "any_float({convert}, {value})"),
    "bool": (_SPELT, "any_bool({value})"),
    _UNIX: (_ANY, "any_time(pacific, {value})"),
    _UNIX_UTC: (_ANY, "any_time(utc, {value})"),
}
"""The same for ``careful``."""


class Writer:
    """Writes the expressions of a table's columns, and collects the fields that they use."""

    name: str

    def __init__(self, table: Table) -> None:
        self._attributes = _attributes(table)
        self._times = _times(table)
        self._kinds: dict[str, list[Kind]] = {}

    def fields(self) -> dict[str, tuple[str, Kind]] | None:
        """Attribute to property and kind; None where two columns want one as two kinds."""
        if any(kind != kinds[0] for kinds in self._kinds.values() for kind in kinds):
            return None
        return {self._attributes[name]: (name, kinds[0]) for name, kinds in self._kinds.items()}

    def text(self, group: Group) -> str:
        """The expression of the text of ``group``."""
        column = group[0]
        if column.inbound == "time" and column.transformer != USER_ID:
            part = _TIME_PARTS.get(column.transformer)
            return f"second.{part}" if part else "MISSING"
        if column.inbound == "user_agent":
            return self.agent()
        return self.converted(group)

    def agent(self) -> str:
        """The expression of the ``varchar`` of ``user_agent``."""
        raise NotImplementedError

    def converted(self, group: Group) -> str:
        """As :meth:`text`, for what the client may send."""
        raise NotImplementedError

    def sent(self, inbound: str, kind: Kind) -> str:
        """What the client sent under this name."""
        self._kinds.setdefault(inbound, []).append(kind)
        return f"p.{self._attributes[inbound]}"

    def value(self, inbound: str, kind: Kind) -> str:
        """The property of this name, server values put in."""
        if inbound == "client_time":
            time, own = self.sent("time", kind), self.sent(inbound, kind)
            return f"({own} if {time} is {kind.missing} else {time})"
        sent = self.sent(inbound, kind)
        return f"(address[0] if {sent} is MISSING else {sent})" if inbound == "ip" else sent

    def place(self, group: Group, kind: Kind, form: str) -> str:
        """The expression of columns of an address; ``form`` makes a string of what was sent."""
        inbound = group[0].inbound
        if inbound == "ip":
            sent = self.sent(inbound, kind)
            texts = f"(address if {sent} is MISSING else places[{form.format(sent)}])"
        else:
            texts = f"places[{form.format(self.value(inbound, kind))}]"
        return f"{texts}[{group_name(group)}]"


class Plain(Writer):
    """Of properties that have the types which their columns expect."""

    name = "plain"

    def agent(self) -> str:
        """See :class:`Writer`."""
        sent = self.sent("user_agent", _TEXT)
        return f"(record.agent or MISSING) if {sent} is MISSING else {sent}"

    def converted(self, group: Group) -> str:
        """See :class:`Writer`."""
        column = group[0]
        if is_placed(group):
            return self.place(group, _TEXT, "{}")
        if column.transformer == USER_ID:
            sent = self.sent(column.inbound, _INT64)
            login = self.sent(column.supporting[0], _TEXT)
            text = _REMEMBERED.format(memo=memo_name(column), value=login)
            return f"{text} if {sent} is MISSING else f'{{{sent}}}'"
        if column.transformer == "varchar":
            return self.value(column.inbound, _TEXT)
        if column.transformer == "float":
            return self.float_text(column.inbound)
        kind, form = _PLAIN.get(column.transformer, (_TEXT, _REMEMBERED))
        return form.format(value=self.value(column.inbound, kind), memo=memo_name(column))

    def float_text(self, inbound: str) -> str:
        """The expression of a ``float`` column."""
        return f"float_text({self.value(inbound, self.float_kind(inbound))})"

    def float_kind(self, inbound: str) -> Kind:
        """How a float is decoded, which a column of another kind may show as a time."""
        return _TIME if inbound in self._times else _FLOAT


class Batch(Plain):
    """Of many plain rows: texts that are cheaper to make of many values at once are made before."""

    name = "rows"

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self.columns: dict[str, str] = {}

    def float_text(self, inbound: str) -> str:
        """See :class:`Plain`."""
        kind = self.float_kind(inbound)
        if kind is _TIME:
            return super().float_text(inbound)
        name = f"text_{self._attributes[inbound]}"
        self.columns[name] = f"float_texts([{self.value(inbound, kind)} for p in sent])"
        return name


class Careful(Writer):
    """Of properties of any type."""

    name = "careful"

    def agent(self) -> str:
        """See :class:`Writer`."""
        sent = self.sent("user_agent", _ANY)
        return f"(record.agent or MISSING) if {sent} is MISSING else any_string({sent})"

    def converted(self, group: Group) -> str:
        """See :class:`Writer`."""
        column = group[0]
        if is_placed(group):
            return self.place(group, _ANY, "any_string({})")
        if column.transformer == USER_ID:
            values = f"{self.sent(column.inbound, _ANY)}, {self.sent(column.supporting[0], _ANY)}"
            return f"any_user_id({converter_name(column)}, {memo_name(column)}, {values})"
        if column.transformer == "varchar":
            value = self.value(column.inbound, _ANY)
            return f"x if type(x := {value}) is str else MISSING"
        kind, form = _CAREFUL.get(column.transformer, (_ANY, "any_text({memo}, {value})"))
        return form.format(
            value=self.value(column.inbound, kind),
            convert=converter_name(column),
            memo=memo_name(column),
        )


def _times(table: Table) -> frozenset[str]:
    """The properties that a column shows as a time."""
    times = {column.inbound for column in table.columns if column.transformer in (_UNIX, _UNIX_UTC)}
    return frozenset(times | {"time"} if "client_time" in times else times)


def _attributes(table: Table) -> dict[str, str]:
    """Property names to attribute names that look like them."""
    names = list(SERVER)
    for column in table.columns:
        names += [column.inbound, *column.supporting]
    attributes: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^0-9A-Za-z_]", "_", name)
        if not plain.isidentifier() or keyword.iskeyword(plain) or plain.startswith("_"):
            plain = f"p_{plain}"
        while plain in attributes.values():
            plain += "_"
        attributes.setdefault(name, plain)
    return attributes
