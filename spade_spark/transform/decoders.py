"""Decode payloads to events of the tables seen so far.

A catalog may have a thousand tables, and a partition contains events of some of them. So a table is
compiled at its first event. The decoder selects a Struct by the name of the event, and the Struct
has the generated functions of the table.
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
from spade_spark.transform.codegen import compile_events
from spade_spark.transform.codegen_runtime import RowCaches
from spade_spark.transform.fast_path_support import UnsupportedTableError
from spade_spark.transform.untracked import untracked_line

MAX_UNTRACKED_NAMES: Final = 200
"""The maximum number of untracked names with a decoder; clients may send any name."""

UNTRACKED: Final = ""
"""The placeholder for the table of untracked events; no table has an empty name."""

_HTML: Final = tuple(b"<>&")


class _RawEvent(msgspec.Struct, gc=False):
    event: str
    properties: msgspec.Raw = msgspec.Raw(b"")


class _NoEvent(msgspec.Struct, tag_field="event", tag="", forbid_unknown_fields=True):
    """Makes every decoder a union, because msgspec requires the tag only there. Never decoded."""

    properties: Annotated[int, msgspec.Meta(gt=0, lt=0)]


class Decoders:
    """Decoders of the events of all registered tables.

    Attributes:
        typed: Decodes a payload of one event whose properties have the types that their columns
            expect; raises ``msgspec.ValidationError`` for others.
        typed_list: The same for a list of events.
        any_type: Decodes a payload of one event with properties of any type.
        any_type_list: The same for a list of events.
        fallbacks: The tables seen so far that have no decoder and use the reference path, with
            the reason.
    """

    def __init__(
        self, tables: Mapping[str, Table], caches: RowCaches, requested: frozenset[str] | None
    ) -> None:
        self.typed: Callable[[bytes], Any] = _no_decoder
        self.typed_list: Callable[[bytes], Any] = _no_decoder
        self.any_type: Callable[[bytes], Any] = _no_decoder
        self.any_type_list: Callable[[bytes], Any] = _no_decoder
        self.fallbacks: dict[str, str] = {}
        self._tables = tables
        self._caches = caches
        self._requested = requested
        self._registered: set[str] = set()
        self._rebuilt_count = 0
        self._untracked_slots = MAX_UNTRACKED_NAMES
        self._read_names = msgspec.json.Decoder(_RawEvent | list[_RawEvent]).decode
        self._typed: list[type[msgspec.Struct]] = []
        self._any_type: list[type[msgspec.Struct]] = []

    def register(self, payload: bytes) -> None:
        """Register the tables of the payload's events for the next :meth:`rebuild`."""
        decoded = self._read_names(payload)
        for event in decoded if isinstance(decoded, list) else [decoded]:
            if event.event not in self._registered:
                self._add(event)

    def rebuild(self) -> bool:
        """Rebuild the decoders and return True if tables were registered since the last call.

        This is slow. Call it once per chunk.
        """
        if self._rebuilt_count == len(self._registered):
            return False
        self._rebuilt_count = len(self._registered)
        self.typed, self.typed_list = _decoders(self._typed)
        self.any_type, self.any_type_list = _decoders(self._any_type)
        return True

    def _add(self, event: _RawEvent) -> None:
        name = event.event
        table = self._tables.get(name)
        if self._requested is not None and (table is None or name not in self._requested):
            return
        if table is not None:
            structs = self._compiled(table, _keys(event.properties))
        elif name and self._untracked_slots:
            self._untracked_slots -= 1
            struct = _untracked_event(name)
            structs = {"typed": struct, "any_type": struct}
        else:
            return
        self._registered.add(name)
        self._typed += [structs["typed"]] if "typed" in structs else []
        self._any_type += [structs["any_type"]] if "any_type" in structs else []

    def _compiled(self, table: Table, order: tuple[str, ...]) -> Mapping[str, type[msgspec.Struct]]:
        """Return the Structs of a table's events; none if it uses the reference path."""
        try:
            return compile_events(table, self._caches, order)
        except UnsupportedTableError as error:
            self.fallbacks[table.name] = str(error)
        except SpadeError:
            raise
        except Exception as error:  # noqa: BLE001 - reported as a fallback
            self.fallbacks[table.name] = (
                f"its row code cannot be compiled ({type(error).__name__}: {error}); "
                "please report this"
            )
        return {}


def _decoders(events: list[Any]) -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:
    """Return the decoders of a single event and of a list of events."""
    union: Any = reduce(or_, events, _NoEvent)
    return msgspec.json.Decoder(union).decode, msgspec.json.Decoder(list[union]).decode


def _keys(properties: msgspec.Raw) -> tuple[str, ...]:
    """Return the names of the properties in the order sent; none if they are not an object."""
    try:
        return tuple(msgspec.json.decode(properties, type=dict[str, msgspec.Raw]))
    except (msgspec.MsgspecError, ValueError):
        return ()


def _no_decoder(payload: bytes) -> Any:
    raise msgspec.ValidationError(f"no decoder for {payload!r}")


def _untracked_event(name: str) -> type[msgspec.Struct]:
    """Return the Struct of untracked events with this name; their rows are JSON lines."""
    prefix = untracked_line(name, "").removesuffix("null}")

    def texts(event: Any, *_: object) -> tuple[str]:
        raw = bytes(event.properties)
        if raw and raw.isascii() and not any(map(raw.__contains__, _HTML)):
            return (f"{prefix}{msgspec.json.format(raw, indent=-1).decode()}}}",)
        return (untracked_line(name, decode_utf8_lossless(raw)),)

    def rows(batch: list[Any]) -> list[str]:
        return [text for event in batch[::4] for text in texts(event)]

    return msgspec.defstruct(
        "Untracked",
        [("properties", msgspec.Raw, msgspec.Raw(b""))],
        namespace={
            "texts": texts,
            "rows": staticmethod(rows),
            "unescaped_texts": (),
            "table": UNTRACKED,
        },
        tag_field="event",
        tag=name,
        forbid_unknown_fields=True,
        gc=False,
    )
