"""From payloads to events: decoders that know the tables which have been met so far.

A catalog may have a thousand tables, of which a partition meets some. Each is compiled when its
first event comes, and the events themselves, which the decoder tells apart by their name, carry
what makes their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.errors import SpadeError
from spade_spark.gocompat.json import decode_utf8_lossless
from spade_spark.transform.codegen import UnsupportedTableError, compile_events
from spade_spark.transform.row_context import RowCaches
from spade_spark.transform.untracked import untracked_line

MAX_UNTRACKED_NAMES: Final = 200
"""Names without a table that have a decoder; clients invent names, so they are bounded."""

UNTRACKED: Final = ""
"""Stands for the table of events that have none; no table has an empty name."""

_HTML: Final = tuple(b"<>&")


class _Named(msgspec.Struct, gc=False):
    event: str
    properties: msgspec.Raw = msgspec.Raw(b"")


class _NoEvent(msgspec.Struct, tag_field="event", tag="", forbid_unknown_fields=True):
    """In every union, and never decoded: msgspec asks for a tag only where it has to choose."""

    properties: Annotated[int, msgspec.Meta(gt=0, lt=0)]


class Decoders:
    """Decoders of the events of the tables that have been met, which grow as others come.

    Attributes:
        plain: Decodes a payload of one event whose properties have the types that their columns
            expect; raises ``msgspec.ValidationError`` where they do not.
        plain_list: The same, of a list of events.
        careful: As ``plain``, of properties of any type.
        careful_list: The same, of a list of events.
        fallbacks: The tables that were met and have no decoder, each with the reason. The
            reference path makes all their rows.
    """

    def __init__(
        self, tables: Mapping[str, Table], memos: RowCaches, asked: frozenset[str] | None
    ) -> None:
        self.plain: Callable[[bytes], Any] = _nothing
        self.plain_list: Callable[[bytes], Any] = _nothing
        self.careful: Callable[[bytes], Any] = _nothing
        self.careful_list: Callable[[bytes], Any] = _nothing
        self.fallbacks: dict[str, str] = {}
        self._tables = tables
        self._memos = memos
        self._asked = asked
        self._registered: set[str] = set()
        self._met_before = 0
        self._untracked_slots = MAX_UNTRACKED_NAMES
        self._read_names = msgspec.json.Decoder(_Named | list[_Named]).decode
        self._plain: list[type[msgspec.Struct]] = []
        self._careful: list[type[msgspec.Struct]] = []

    def register(self, payload: bytes) -> None:
        """Sees to it that, from the next :meth:`rebuild` on, the payload's events are decoded."""
        read = self._read_names(payload)
        for event in read if isinstance(read, list) else [read]:
            if event.event not in self._registered:
                self._add(event)

    def rebuild(self) -> bool:
        """Takes in what was learnt, if anything. That takes its time: it is done once a chunk."""
        if self._met_before == len(self._registered):
            return False
        self._met_before = len(self._registered)
        self.plain, self.plain_list = _decoders(self._plain)
        self.careful, self.careful_list = _decoders(self._careful)
        return True

    def _add(self, event: _Named) -> None:
        name = event.event
        table = self._tables.get(name)
        if self._asked is not None and (table is None or name not in self._asked):
            return
        if table is not None:
            structs = self._compiled(table, _keys(event.properties))
        elif name and self._untracked_slots:
            self._untracked_slots -= 1
            struct = _untracked_event(name)
            structs = {"plain": struct, "careful": struct}
        else:
            return
        self._registered.add(name)
        self._plain += [structs["plain"]] if "plain" in structs else []
        self._careful += [structs["careful"]] if "careful" in structs else []

    def _compiled(self, table: Table, order: tuple[str, ...]) -> Mapping[str, type[msgspec.Struct]]:
        """Returns the Structs of a table's events; none where the table falls back."""
        try:
            return compile_events(table, self._memos, order)
        except UnsupportedTableError as error:
            self.fallbacks[table.name] = str(error)
        except SpadeError:
            raise
        except Exception as error:  # noqa: BLE001 - the report names it
            self.fallbacks[table.name] = (
                f"its row code cannot be compiled ({type(error).__name__}: {error}); "
                "please report this"
            )
        return {}


def _decoders(events: list[Any]) -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:
    """What decodes one of these events, and a list of them."""
    union: Any = reduce(or_, events, _NoEvent)
    return msgspec.json.Decoder(union).decode, msgspec.json.Decoder(list[union]).decode


def _keys(properties: msgspec.Raw) -> tuple[str, ...]:
    """The names of properties in the order in which they were sent, or none if that is unclear."""
    try:
        return tuple(msgspec.json.decode(properties, type=dict[str, msgspec.Raw]))
    except (msgspec.MsgspecError, ValueError):
        return ()


def _nothing(payload: bytes) -> Any:
    raise msgspec.ValidationError(f"no decoder of {payload!r}")


def _untracked_event(name: str) -> type[msgspec.Struct]:
    """A Struct of events of a name without a table, which makes their JSON lines as rows."""
    prefix = untracked_line(name, "").removesuffix("null}")

    def texts(event: Any, *_: object) -> tuple[str]:
        sent = bytes(event.properties)
        if sent and sent.isascii() and not any(map(sent.__contains__, _HTML)):
            return (f"{prefix}{msgspec.json.format(sent, indent=-1).decode()}}}",)
        return (untracked_line(name, decode_utf8_lossless(sent)),)

    def rows(batch: list[Any]) -> list[str]:
        return [text for event in batch[::4] for text in texts(event)]

    return msgspec.defstruct(
        "Untracked",
        [("properties", msgspec.Raw, msgspec.Raw(b""))],
        namespace={
            "texts": texts,
            "rows": staticmethod(rows),
            "sent_texts": (),
            "table": UNTRACKED,
        },
        tag_field="event",
        tag=name,
        forbid_unknown_fields=True,
        gc=False,
    )
