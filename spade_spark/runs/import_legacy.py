"""Takes over a run tag that has no manifest: an earlier tool's, which is loaded by its prefix.

What lies there is taken as it is, a dead task's files among it: nothing but a manifest can tell.
Therefore this is done only where it is asked for explicitly. Every file is read once, so that the
rows can be compared with what the warehouse stages, as for a run of this program.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

from spade_spark.blueprint.schema import Table
from spade_spark.errors import InputError
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.manifest import Manifest, ManifestTable, RowFile
from spade_spark.runs.run_store import RunStore
from spade_spark.sources.gzip_lines import ObjectLines
from spade_spark.storage.base import Store, StoredObject
from spade_spark.transform.outcomes import Outcome
from spade_spark.window import Window

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def import_legacy_run(
    run: RunStore, tables: Sequence[Table], window: Window, now: datetime
) -> Manifest:
    """The manifest of what lies under ``<runtag>/<table>/v<version>/``.

    Raises:
        InputError: There is nothing of any of the tables, or a file is damaged.
    """
    made = tuple(_table(run, table) for table in tables)
    if not any(table.files for table in made):
        names = ", ".join(f"{table.name}/v{table.version}" for table in tables)
        raise InputError(f"{run.url} has no files of {names}: check --runtag and the versions")
    return Manifest(
        run_tag=run.layout.run_tag,
        plan="",
        window=window.arguments,
        created=now,
        tables=made,
        counts=AuditCounts(events={table.table: {Outcome.SUCCESS: table.rows} for table in made}),
    )


def _table(run: RunStore, table: Table) -> ManifestTable:
    prefix = run.layout.rows(table.name, table.version, "")
    files = tuple(
        _file(run.store, table, found)
        for found in run.store.list(prefix)
        if found.key.endswith(".gz")
    )
    columns = tuple(column.outbound for column in table.columns)
    return ManifestTable(table.name, table.version, columns, files)


def _file(store: Store, table: Table, found: StoredObject) -> RowFile:
    digest = hashlib.sha256()
    with closing(_Hashed(store.open(found.key, found.etag), digest.update)) as hashed:
        chunks = ObjectLines(io.BufferedReader(hashed), store.url + found.key)
        rows = sum(chunk.count(b"\n") + (not chunk.endswith(b"\n")) for chunk in chunks)
    return RowFile(table.name, table.version, found.key, rows, found.size, digest.hexdigest())


class _Hashed(io.RawIOBase):
    """A stream of which every byte read is told."""

    def __init__(self, stream: BinaryIO, tell: Callable[[bytes], None]) -> None:
        super().__init__()
        self._stream, self._tell = stream, tell

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self._tell(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
