"""One table's window: staged, reconciled, guarded, replaced.

So far as the stage goes the target is untouched. The replace itself is one short transaction
that begins by locking the replay ledger: two replays queue there, readers of the target do not
wait at all, and they see the old rows until the commit, then the new ones. The rows that go are
kept before they are deleted, in the same transaction, so that they can be restored
(workflows/undo.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from spade_spark.errors import (
    CommitOutcomeUnknownError,
    ConnectionLostError,
    GuardError,
    InternalError,
    WarehouseError,
)
from spade_spark.runs.load_results import TableFiles
from spade_spark.warehouse import replay_log
from spade_spark.warehouse.backup import backup_and_delete, backup_only, backup_sql, backup_table
from spade_spark.warehouse.concurrency import LockCheck, replacing_transaction
from spade_spark.warehouse.connection import BEGIN, BEGIN_SERIALIZABLE, COMMIT, Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.guards import LoadGuards, fingerprint, guard_rows
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.load_history import (
    ReplayLogRow,
    check_append_target,
    find_completed_load,
)
from spade_spark.warehouse.preflight import loadable_columns, version_problem
from spade_spark.warehouse.sql import Identifier, Sql, identifiers
from spade_spark.warehouse.target_rows import TargetRows, WarehouseSchemas
from spade_spark.window import Window


@dataclass(frozen=True)
class WindowSwap:
    """What is to be done to one table, as a value: its statements can be printed or run.

    Attributes:
        warehouse: The warehouse.
        schemas: Where its tables stand.
        files: What is loaded.
        window: The rows that go and come.
        run_tag: The run.
        add_to: The run tag to whose load the rows are added, and none go; empty for a replace.
    """

    warehouse: Warehouse
    schemas: WarehouseSchemas
    files: TableFiles
    window: Window
    run_tag: str
    add_to: str = ""

    @property
    def table(self) -> str:
        """The table's name, as in Blueprint."""
        return self.files.table

    @property
    def rows(self) -> TargetRows:
        """The rows that go and come."""
        return TargetRows(self.warehouse, self.schemas, self.table, self.window, self.run_tag)

    @property
    def stage(self) -> str:
        """The temporary table's name: short, since names are limited, and one per run and table."""
        digest = hashlib.sha256(f"{self.run_tag}/{self.table}".encode()).hexdigest()[:16]
        return f"replay_stage_{digest}"

    def count_staged(self) -> Sql:
        """The staged rows, and those of them in the window."""
        return Sql(
            "SELECT COUNT(*), SUM(CASE WHEN ",
            self.rows.in_window(),
            " THEN 1 ELSE 0 END) FROM ",
            Identifier(self.stage),
        )

    def insert(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Inserts the staged rows of the window."""
        return Sql(
            "INSERT INTO ",
            self.rows.target,
            " (",
            identifiers(column.name for column in columns),
            ") SELECT ",
            self.warehouse.insert_values(columns),
            " FROM ",
            Identifier(self.stage),
            " WHERE ",
            self.rows.in_window(),
        )

    def create_stage(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Creates the stage."""
        return self.warehouse.create_stage(
            self.stage, self.schemas.schema, self.rows.relation, columns
        )

    def script(
        self, columns: Sequence[WarehouseColumn], all_columns: Sequence[WarehouseColumn] = ()
    ) -> tuple[Sql, ...]:
        """All statements in their order, for people; figures that are not known yet are named.

        Args:
            columns: The columns that are filled.
            all_columns: All columns of the table, where it has more.
        """
        rows, backup = self.rows, backup_table(self.rows)
        kept = (backup_sql(rows, backup), backup.count()) if self.schemas.backup else ()
        return (
            rows.log_key.select(),
            self.create_stage(columns),
            BEGIN,
            self.warehouse.copy(self.stage, columns, self.files),
            COMMIT,
            self.count_staged(),
            rows.count(),
            BEGIN_SERIALIZABLE,
            replay_log.lock(self.schemas.control),
            rows.log_key.select(),
            *kept,
            *(() if self.add_to else (rows.delete(),)),
            self.insert(columns),
            rows.fingerprint(all_columns or columns),
            rows.log_key.insert(
                self.window,
                self.files.checksum,
                backup=str(backup) if kept else "",
                fingerprint=None,
            ),
            COMMIT,
        )


@dataclass(frozen=True)
class StagedRows:
    """A filled stage, and what is to be known before the replace.

    Attributes:
        session: The session that has the temporary table.
        columns: The columns that are loaded, in the order of the rows' values.
        rows: Rows that COPY brought.
        inside: Those in the window.
        before: Rows in the window before.
        cut: Values cut to their column's length, by column.
    """

    session: Session
    columns: tuple[WarehouseColumn, ...]
    rows: int
    inside: int
    before: int
    cut: dict[str, int]


@dataclass(frozen=True)
class SwapResult:
    """Rows that a committed replace deleted and inserted."""

    deleted: int
    inserted: int


def completed_load(session: Session, swap: WindowSwap) -> ReplayLogRow | None:
    """The load by an earlier command that left nothing to do; None where there is something.

    Raises:
        AlreadyLoadedError: The run tag was loaded, but that load does not stand.
        GuardError: The load to which rows are to be added does not stand.
    """
    before = find_completed_load(session, swap.rows, swap.files.checksum)
    if swap.add_to and not before:
        check_append_target(session, swap.rows, swap.add_to)
    return before


def stage(session: Session, swap: WindowSwap) -> StagedRows:
    """Fills the temporary table and counts; the target is untouched.

    Raises:
        CopyError: COPY refused values.
        WarehouseError: The table is not as planned, or the rows are not those of the manifest.
        InputError: The files are not those of the manifest.
    """
    columns = _columns_as_planned(session, swap)
    session.run(swap.create_stage(columns))
    try:
        cut = swap.warehouse.load_stage(session, swap.stage, columns, swap.files)
    except CommitOutcomeUnknownError as unknown:
        # Committed or not, the temporary table is gone with its session.
        raise ConnectionLostError(str(unknown)) from None
    ((rows, inside),) = session.rows(swap.count_staged())
    if rows != swap.files.rows:
        raise WarehouseError(
            f"{swap.table} was left as it was: COPY brought {rows} rows, the run's manifest has "
            f"{swap.files.rows} in {len(swap.files.files)} files; run the transform again under a "
            "new run tag, and report this"
        )
    ((before,),) = session.rows(swap.rows.count())
    return StagedRows(session, columns, rows, inside or 0, before, cut)


def guard(swap: WindowSwap, staged: StagedRows, rules: LoadGuards) -> None:
    """Stops where the new rows are none, too few, or too badly cut.

    Raises:
        GuardError: They are; nothing was changed.
    """
    is_quiet = staged.inside == 0 and staged.before == 0
    if not (swap.add_to or (is_quiet and rules.skip_quiet)):
        aside = f" ({staged.rows - staged.inside} outside it)"
        guard_rows(swap.rows, staged.before, staged.inside, rules, kind="new rows", aside=aside)
    cut = sum(staged.cut.values())
    if rules.max_truncated is not None and cut > rules.max_truncated:
        by_column = ", ".join(f"{name}: {count}" for name, count in sorted(staged.cut.items()))
        raise GuardError(
            f"{swap.table} was left as it was: {cut} values are longer than their column and would "
            f"be cut ({by_column}), more than --max-truncated {rules.max_truncated}; widen the "
            "columns or allow it"
        )


def swap_window(
    swap: WindowSwap,
    staged: StagedRows,
    rules: LoadGuards,
    *,
    verify_lock: LockCheck,
    was_committed: Callable[[datetime], bool],
) -> SwapResult | ReplayLogRow:
    """Deletes the window's rows, inserts the staged ones and writes the ledger, in one commit.

    Args:
        swap: What is replaced.
        staged: The filled stage.
        rules: Whether a run tag may be loaded again.
        verify_lock: Verifies the run's lock; called right before rows are changed.
        was_committed: Says, if the answer to the commit was lost, whether the try whose ledger row
            has this time was committed.

    Returns:
        What was done; or the load by which another session of the run tag did it meanwhile.

    Raises:
        AlreadyLoadedError: Another session loaded the run tag meanwhile, otherwise.
        SerializationError: Another transaction won; nothing was changed.
        ConnectionLostError: The connection broke; nothing was changed.
        LockLostError: Another command took the run's lock over; nothing was changed.
        CommitOutcomeUnknownError: The answer to the commit was lost, and ``check_committed``
            could not tell.
    """
    session, rows = staged.session, swap.rows
    done: SwapResult | None = None
    try:
        with replacing_transaction(session, swap.schemas.control, verify_lock):
            ts = datetime.now(timezone.utc).replace(tzinfo=None)
            before = None if rules.force else completed_load(session, swap)
            if before:
                return before
            backup, deleted = (
                backup_only(session, rows) if swap.add_to else backup_and_delete(session, rows)
            )
            inserted = session.run(swap.insert(staged.columns))
            if inserted != staged.inside:
                raise InternalError(
                    f"{swap.table} was left as it was: {staged.inside} staged rows are in the "
                    f"window, but the insert took {inserted}; report this"
                )
            session.run(
                rows.log_key.insert(
                    swap.window,
                    swap.files.checksum,
                    deleted=deleted,
                    inserted=inserted,
                    ts=ts,
                    backup=backup,
                    fingerprint=fingerprint(session, rows),
                )
            )
            done = SwapResult(deleted, inserted)
    except CommitOutcomeUnknownError:
        if done is None or not was_committed(ts):
            raise ConnectionLostError(
                f"the connection broke during the commit of {swap.table}, which was not done"
            ) from None
    assert done is not None  # the transaction ended without an error
    return done


def _columns_as_planned(session: Session, swap: WindowSwap) -> tuple[WarehouseColumn, ...]:
    columns, problems = loadable_columns(
        session, swap.warehouse, swap.schemas.schema, swap.table, swap.files.columns
    )
    version = replay_log.version(session, swap.schemas.control, swap.table)
    if version != swap.files.version:
        problems.append(
            version_problem(swap.schemas.control, swap.table, swap.files.version, version)
        )
    if problems:
        raise WarehouseError(f"{swap.table} was left as it was: {'; '.join(problems)}")
    return columns
