"""Import a run without a manifest, which an earlier tool wrote, by its prefix.

Without a manifest, files of failed tasks look like valid ones, so all files are imported. Therefore
the user must request the import with ``--by-prefix``. It reads each file once to count the rows,
and the load compares this number with the rows in the staging table.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime

from spade_spark.blueprint.schema import Table
from spade_spark.errors import InputError
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.manifest import Manifest, ManifestTable, RowFile
from spade_spark.runs.run_store import RunStore
from spade_spark.sources.gzip_lines import GzipLineReader
from spade_spark.storage.base import Store, StoredObject, TeeReader
from spade_spark.transform.outcomes import Outcome
from spade_spark.window import Window


def import_legacy_run(
    run: RunStore, tables: Sequence[Table], window: Window, now: datetime
) -> Manifest:
    """Build a manifest of the files below ``<runtag>/<table>/v<version>/``.

    Raises:
        InputError: None of the tables has files, or a file is corrupt.
    """
    imported = tuple(_table(run, table) for table in tables)
    if not any(table.files for table in imported):
        names = ", ".join(f"{table.name}/v{table.version}" for table in tables)
        raise InputError(
            f"{run.url} has no files of {names}: check --runtag and the "
            "versions of the tables in Blueprint"
        )
    return Manifest(
        run_tag=run.paths.run_tag,
        plan="",
        window=window.arguments,
        created=now,
        tables=imported,
        counts=AuditCounts(
            events={table.table: {Outcome.SUCCESS: table.rows} for table in imported}
        ),
    )


def _table(run: RunStore, table: Table) -> ManifestTable:
    prefix = run.paths.tsv_file(table.name, table.version, "")
    files = tuple(
        _file(run.store, table, entry)
        for entry in run.store.list(prefix)
        if entry.key.endswith(".gz")
    )
    columns = tuple(column.outbound for column in table.columns)
    return ManifestTable(table.name, table.version, columns, files)


def _file(store: Store, table: Table, entry: StoredObject) -> RowFile:
    digest = hashlib.sha256()
    with closing(TeeReader(store.open(entry.key, entry.etag), digest.update)) as stream:
        chunks = GzipLineReader(io.BufferedReader(stream), store.url + entry.key)
        rows = sum(chunk.count(b"\n") + (not chunk.endswith(b"\n")) for chunk in chunks)
    return RowFile(
        table.name, table.version, entry.key, rows, entry.size, digest.hexdigest(), entry.etag
    )
