"""A table compiled once: to msgspec Structs that hold what its columns need, and to row functions.

This is the one place that looks unusual, because it is where the time of a replay is spent
(bench/README.md has the measurements). For each table, code is generated that makes a row in one
f-string, without a loop over columns and, on plain data, without a branch:

``plain``
    For payloads in which no text needs an escape and every property has the type that its column
    expects. Anything else raises while it is decoded, or here.
``careful``
    For all other properties: converters are called, and texts escaped, value by value.

What makes the plain rows cheap is :data:`MISSING`: one control character that stands for every
column that could not be filled. As a default of a Struct's field it formats like any text. No
finished row has a control character, so the rows that lack a column are those with the mark in
them, which is looked for, and removed, in many rows at once.

Where a table does what a generated function is not sure to get right, it has none, and the exact
path makes its rows.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from spade_spark.blueprint.schema import Column, Table
from spade_spark.transform.memo import MISSING, Memos, memo_name

_INT32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_UNIX = "f@timestamp@unix"
_UNIX_UTC = "f@timestamp@unix-utc"
_LAYOUT = "f@timestamp@"
_PLACES: Final = {"ipCity", "ipCountry", "ipRegion", "ipAsn", "ipAsnInteger"}
_TIME_PARTS: Final = {
    "bigint": "text",
    "float": "text",
    "int": "text32",
    _UNIX: "pacific",
    _UNIX_UTC: "utc",
}
_SERVER_NAMES: Final = {"time", "ip", "user_agent"}

Row = Callable[[Any, Any, Any], str]
"""From an event, its record and the record's second to a row without its line end."""


@dataclass(frozen=True)
class RowCode:
    """The code of one table.

    Attributes:
        source: Readable Python with the functions ``plain`` and ``careful``, or one of them.
        fields: The Struct's fields of each function: attribute to property and type.
    """

    source: str
    fields: Mapping[str, Mapping[str, tuple[str, Any]]]


def source(table: Table) -> str:
    """The generated code of ``table``, to be looked at."""
    code = generate(table)
    return code.source if code else f"# {ascii(table.name)} is left to the exact path\n"


def generate(table: Table) -> RowCode | None:
    """The code of ``table``; None where only the exact path is sure to do it right."""
    if not _sure(table):
        return None
    functions = [_function(table, writer) for writer in (_Plain(table), _Careful(table))]
    written = [function for function in functions if function]
    return RowCode(
        "\n\n".join(code for _, code, _ in written),
        {name: fields for name, _, fields in written},
    )


def compile_events(table: Table, memos: Memos) -> dict[str, type[msgspec.Struct]]:
    """The Structs of events of ``table``, by function; each has its function as method ``row``.

    They are tagged with the table's name and so can be members of one union.
    """
    code = generate(table)
    if code is None:
        return {}
    names: dict[str, Any] = {"MISSING": MISSING, **memos.names(table)}
    exec(compile(code.source, f"<row of {ascii(table.name)}>", "exec"), names)  # noqa: S102 - ours
    return {
        function: _event(table.name, fields, names[function])
        for function, fields in code.fields.items()
    }


def _event(name: str, fields: Mapping[str, tuple[str, Any]], row: Row) -> type[msgspec.Struct]:
    properties = msgspec.defstruct(
        "Properties",
        [(attribute, kind, MISSING) for attribute, (_, kind) in fields.items()],
        rename={attribute: inbound for attribute, (inbound, _) in fields.items()},
        gc=False,
    )
    return msgspec.defstruct(
        "Event",
        [("properties", properties)],
        namespace={"row": row, "table": name},
        tag_field="event",
        tag=name,
        forbid_unknown_fields=True,
        gc=False,
    )


def _sure(table: Table) -> bool:
    """Whether the generated code knows every way in which this table can be filled."""
    if not table.name or not table.columns:
        return False
    for column in table.columns:
        names = (column.inbound, *column.supporting)
        if any("\ufffd" in name for name in names):  # would match bytes that are no UTF-8
            return False
        if column.inbound == "user_agent" and column.transformer != "varchar":
            return False
        if column.inbound == "ip" and column.transformer not in {"varchar", *_PLACES}:
            return False
        if _SERVER_NAMES.intersection(column.supporting) or "client_time" in column.supporting:
            return False
        if column.transformer == "userIDWithMapping" and (
            len(column.supporting) != 1 or column.inbound in {*_SERVER_NAMES, "client_time"}
        ):
            return False
    return True


class _Writer:
    """Writes the expressions of a table's columns, and collects the fields that they use."""

    function: str

    def __init__(self, table: Table) -> None:
        self._attributes = _attributes(table)
        self._fields: dict[str, list[Any]] = {}

    def fields(self) -> dict[str, tuple[str, Any]] | None:
        """Attribute to property and type; None where two columns want one as two types."""
        if any(len(set(map(repr, kinds))) > 1 for kinds in self._fields.values()):
            return None
        return {self._attributes[name]: (name, kinds[0]) for name, kinds in self._fields.items()}

    def sent(self, inbound: str, kind: Any) -> str:
        """What the client sent under this name."""
        self._fields.setdefault(inbound, []).append(kind)
        return f"p.{self._attributes[inbound]}"

    def value(self, inbound: str, kind: Any) -> str:
        """The property of this name, server values put in."""
        if inbound == "client_time":
            time = self.sent("time", kind)
            return f"({time} if {time} is not MISSING else {self.sent(inbound, kind)})"
        sent = self.sent(inbound, kind)
        if inbound == "ip":
            return f"({sent} if {sent} is not MISSING else addresses[record.ip])"
        return sent

    def columns(self, table: Table) -> Iterable[tuple[str, list[Column]]]:
        """The expressions of the row, each with the columns that it fills."""
        for column in table.columns:
            yield self.column(column), [column]

    def column(self, column: Column) -> str:
        """The expression of one column's text."""
        if column.inbound == "time":
            part = _TIME_PARTS.get(column.transformer)
            return f"second.{part}" if part else "MISSING"
        return self.convert(column)

    def convert(self, column: Column) -> str:
        """The expression of a column that is filled from what the client may send."""
        raise NotImplementedError


class _Plain(_Writer):
    function = "plain"

    def convert(self, column: Column) -> str:
        name = column.transformer
        if name == "varchar" and column.inbound == "user_agent":
            sent = self.sent("user_agent", str)
            return f"{sent} if {sent} is not MISSING else agents[record.agent]"
        if name == "userIDWithMapping":
            sent = self.sent(column.inbound, _INT64)
            login = self.sent(column.supporting[0], str)
            return f"{sent} if {sent} is not MISSING else logins[{login}]"
        kind, form = _PLAIN_FORMS.get(name) or (str, f"{memo_name(column)}[{{}}]")
        return form.format(self.value(column.inbound, kind))


_PLAIN_FORMS: Final[Mapping[str, tuple[Any, str]]] = {
    "varchar": (str, "{}"),
    "int": (_INT32, "{}"),
    "bigint": (_INT64, "{}"),
    "float": (float, "float_text({})"),
    "bool": (bool, "booleans[{}]"),
    _UNIX: (float, "unix_pacific({})"),
    _UNIX_UTC: (float, "unix_utc({})"),
}


class _Careful(_Writer):
    function = "careful"

    def convert(self, column: Column) -> str:
        name = column.transformer
        if name == "varchar" and column.inbound == "user_agent":
            sent = self.sent("user_agent", Any)
            return f"any_varchar({sent}) if {sent} is not MISSING else agents[record.agent]"
        if name == "userIDWithMapping":
            sent = self.sent(column.inbound, Any)
            return f"any_user_id({sent}, {self.sent(column.supporting[0], Any)})"
        kind, form = _CAREFUL_FORMS.get(name) or (Any, f"any_text({memo_name(column)}, {{}})")
        return form.format(self.value(column.inbound, kind))


_CAREFUL_FORMS: Final[Mapping[str, tuple[Any, str]]] = {
    "varchar": (Any, "any_varchar({})"),
    "int": (Any, "any_int({})"),
    "bigint": (Any, "any_bigint({})"),
    "float": (Any, "any_float({})"),
    "bool": (msgspec.Raw, "any_bool({})"),
    _UNIX: (Any, "any_unix_pacific({})"),
    _UNIX_UTC: (Any, "any_unix_utc({})"),
}


def _function(table: Table, writer: _Writer) -> tuple[str, str, dict[str, tuple[str, Any]]] | None:
    lines = [
        f"def {writer.function}(event, record, second):",
        f"    # {ascii(table.name)}, version {table.version}",
        "    p = event.properties",
        "    return (",
    ]
    before = ""
    for expression, columns in writer.columns(table):
        about = ", ".join(
            f"{ascii(column.outbound)} ({column.transformer!a})" for column in columns
        )
        lines += [f"        # {about}", f"        f'{before}\"{{{expression}}}\"'"]
        before = "\\t"
    lines.append("    )\n")
    fields = writer.fields()
    return None if fields is None else (writer.function, "\n".join(lines), fields)


def _attributes(table: Table) -> dict[str, str]:
    """Property names to attribute names that look like them."""
    names = ["time", "client_time", "ip", "user_agent"]
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
