"""Replace the rows of one table in the window: stage, guard, swap.

Staging does not change the target. The swap is one short transaction that locks the table's lock
table first, so two replays of a table wait for each other there. Readers do not wait: they see the
old rows until the commit and the new rows after it. The swap copies the old rows to a backup before
it deletes them, so that an undo can restore them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from spade_spark.errors import (
    GuardError,
    InternalError,
    WarehouseError,
)
from spade_spark.runs.load_results import TableFiles
from spade_spark.warehouse import information_schema, replay_log
from spade_spark.warehouse.backup import (
    BackedUpRows,
    back_up,
    backup_sql,
    backup_table,
    delete_rows,
)
from spade_spark.warehouse.concurrency import LockCheck, SessionPool, replacing_transaction
from spade_spark.warehouse.connection import (
    BEGIN,
    BEGIN_SERIALIZABLE,
    COMMIT,
    Session,
    UnconfirmedCommitError,
)
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.guards import (
    LoadGuards,
    guard_row_count,
    guard_rows_after,
)
from spade_spark.warehouse.information_schema import Distribution, WarehouseColumn
from spade_spark.warehouse.load_history import (
    ReplayLogRow,
    check_append_target,
    find_completed_load,
    next_log_time,
    select_history,
)
from spade_spark.warehouse.sql import Identifier, Sql, identifiers
from spade_spark.warehouse.table_requirements import loadable_columns, version_problem
from spade_spark.warehouse.target_rows import (
    TargetRows,
    WarehouseSchemas,
    fingerprint_text,
    read_fingerprint,
)
from spade_spark.window import Window


@dataclass(frozen=True)
class WindowSwap:
    """The replacement of one table's rows. Its statements can be printed or run.

    Attributes:
        warehouse: The warehouse.
        schemas: The schemas of its tables.
        files: The files to load.
        window: The window.
        run_tag: The run tag.
        add_to: The run tag of a load that the rows are added to; empty to replace rows.
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
        """The rows of the table in the window."""
        return TargetRows(self.warehouse, self.schemas, self.table, self.window, self.run_tag)

    @property
    def stage(self) -> str:
        """The name of the staging table: short, and unique for the run and table."""
        digest = hashlib.sha256(f"{self.run_tag}/{self.table}".encode()).hexdigest()[:16]
        return f"replay_stage_{digest}"

    def can_hash_staged(
        self,
        columns: Sequence[WarehouseColumn],
        all_columns: Sequence[WarehouseColumn],
        *,
        changes_rows: bool,
    ) -> bool:
        """Whether the window's rows in the target will have the fingerprint of the staged rows.

        It is then computed before the transaction, so that writers of the target do not wait for
        it.

        Args:
            columns: The columns to fill.
            all_columns: All columns of the table.
            changes_rows: Whether the table may store other rows than are inserted.
        """
        fills_all = set(columns) == set(all_columns)
        return (
            fills_all
            and not changes_rows
            and not self.add_to
            and self.warehouse.hashes_staged_rows(all_columns)
        )

    def count_staged(
        self, columns: Sequence[WarehouseColumn], hashed: Sequence[WarehouseColumn] = ()
    ) -> Sql:
        """Return the query that counts the staged rows, and those in the window.

        One query reads the rows once.

        Args:
            columns: The columns to fill.
            hashed: The columns of the fingerprint, in the table's order; the query then also
                returns the sum of the hashes of the rows in the window, as the INSERT converts
                them.
        """
        counts = Sql("SELECT COUNT(*), ", self._sum_in_window(Sql("1 ELSE 0")))
        if not hashed:
            return Sql(counts, " FROM ", Identifier(self.stage))
        return Sql(
            counts,
            ", ",
            self._sum_in_window(self.rows.row_hash(hashed)),
            " FROM (SELECT ",
            self.warehouse.insert_values(columns),
            " FROM ",
            Identifier(self.stage),
            ') AS "staged" (',
            identifiers(column.name for column in columns),
            ")",
        )

    def _sum_in_window(self, value: Sql) -> Sql:
        return Sql("SUM(CASE WHEN ", self.rows.in_window(), " THEN ", value, " END)")

    def insert(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Return the INSERT of the staged rows in the window."""
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

    def create_stage(
        self, columns: Sequence[WarehouseColumn], distribution: Distribution | None
    ) -> Sql:
        """Return the statement that creates the staging table."""
        return self.warehouse.create_stage(
            self.stage, self.schemas.schema, self.rows.relation, columns, distribution
        )

    def script(
        self,
        columns: Sequence[WarehouseColumn],
        all_columns: Sequence[WarehouseColumn] = (),
        distribution: Distribution | None = None,
        *,
        changes_rows: bool = False,
    ) -> tuple[Sql, ...]:
        """Return all statements in order, for display, with placeholders for unknown values.

        Another session runs the query of the replay log that follows LOCK.

        Args:
            columns: The columns to fill.
            all_columns: All columns of the table, if it has more.
            distribution: How the table's rows are distributed, if known.
            changes_rows: Whether the table may store other rows than are inserted.
        """
        rows, backup = self.rows, backup_table(self.rows)
        backup_statements = [backup_sql(rows, backup, distribution)] if self.schemas.backup else []
        if backup_statements and not self.warehouse.reports_created_rows:
            backup_statements.append(backup.count())
        history = select_history(self.schemas.control, self.table)
        all_columns = all_columns or columns
        is_hashed = self.can_hash_staged(columns, all_columns, changes_rows=changes_rows)
        return (
            history,
            self.create_stage(columns, distribution),
            BEGIN,
            self.warehouse.copy(self.stage, columns, self.files),
            COMMIT,
            self.count_staged(columns, all_columns if is_hashed else ()),
            rows.count(),
            BEGIN_SERIALIZABLE,
            rows.lock.lock(),
            history,
            *backup_statements,
            *(() if self.add_to else (rows.delete(),)),
            self.insert(columns),
            *(() if is_hashed else (rows.fingerprint(all_columns),)),
            rows.log_key.insert(
                self.window,
                self.files.checksum,
                backup=str(backup) if backup_statements else "",
                fingerprint=None,
            ),
            COMMIT,
        )


@dataclass(frozen=True)
class StagedRows:
    """The rows in the staging table.

    Attributes:
        session: The session that owns the temporary table.
        columns: The loaded columns, in the order of the rows' values.
        distribution: How the target's rows are distributed, if known.
        total: The number of staged rows.
        in_window: The number of staged rows in the window.
        existing: The number of rows in the target's window before the swap.
        truncated: The number of truncated values by column.
        all_columns: All columns of the target when the rows were counted.
        fingerprint: The fingerprint that the window will have; empty if it must be computed from
            the target.
    """

    session: Session
    columns: tuple[WarehouseColumn, ...]
    distribution: Distribution | None
    total: int
    in_window: int
    existing: int
    truncated: dict[str, int]
    all_columns: tuple[WarehouseColumn, ...]
    fingerprint: str


@dataclass(frozen=True)
class SwapResult:
    """The result of a committed swap.

    Attributes:
        deleted: The number of rows deleted.
        inserted: The number of rows inserted.
        write_lock_seconds: The time from the start of the first change of the target to the end of
            COMMIT, in which other writers of the table wait on Redshift.
    """

    deleted: int
    inserted: int
    write_lock_seconds: float = 0


def completed_load(history: Sequence[ReplayLogRow], swap: WindowSwap) -> ReplayLogRow | None:
    """Return the earlier load in the table's history that makes this one unnecessary, or None.

    Raises:
        AlreadyLoadedError: The run tag was loaded, but that load is no longer in effect.
        GuardError: Rows cannot be added, since the load to add them to is not in effect.
    """
    earlier = find_completed_load(history, swap.rows, swap.files.checksum)
    if swap.add_to and not earlier:
        check_append_target(history, swap.rows, swap.add_to)
    return earlier


def stage(session: Session, swap: WindowSwap) -> StagedRows:
    """Load the staging table, count its rows and compute their fingerprint, if it is the target's.

    The target is not changed.

    Raises:
        CopyError: COPY rejected values.
        WarehouseError: The table has changed since the plan, or rows are missing.
        InputError: The files differ from the manifest.
    """
    columns = _columns_as_planned(session, swap)
    distribution = swap.rows.distribution(session)
    session.run(swap.create_stage(columns, distribution))
    try:
        truncated = swap.warehouse.load_stage(session, swap.stage, columns, swap.files)
    except UnconfirmedCommitError as unconfirmed:
        # Committed or not, the temporary table ended with its session.
        raise unconfirmed.if_rolled_back from None
    all_columns = information_schema.columns(session, swap.schemas.schema, swap.rows.relation)
    is_hashed = swap.can_hash_staged(
        columns, all_columns, changes_rows=swap.rows.changes_rows(session)
    )
    query = swap.count_staged(columns, all_columns if is_hashed else ())
    ((total, in_window, *hashes),) = session.rows(query)
    if total != swap.files.rows:
        raise WarehouseError(
            f"{swap.table} was not modified: COPY loaded {total} rows, but the run's manifest "
            f"lists {swap.files.rows} rows in {len(swap.files.files)} files; run the transform "
            "again under a new run tag, and report this as a bug"
        )
    ((existing,),) = session.rows(swap.rows.count())
    return StagedRows(
        session=session,
        columns=columns,
        distribution=distribution,
        total=total,
        in_window=in_window or 0,
        existing=existing,
        truncated=truncated,
        all_columns=all_columns,
        fingerprint=fingerprint_text(in_window, hashes[0]) if is_hashed else "",
    )


def guard_staged_rows(swap: WindowSwap, staged: StagedRows, guards: LoadGuards) -> None:
    """Check that there are staged rows, enough of them, and not too many truncated values.

    Raises:
        GuardError: The check failed; nothing was changed.
    """
    _guard_replacement(swap, staged, staged.existing, guards)
    truncated = sum(staged.truncated.values())
    if guards.max_truncated is not None and truncated > guards.max_truncated:
        counts = sorted(staged.truncated.items())
        by_column = ", ".join(f"{name}: {count}" for name, count in counts)
        raise GuardError(
            f"{swap.table} was not modified: {truncated} values are longer than their column and "
            f"would be truncated ({by_column}), more than --max-truncated {guards.max_truncated}; "
            "widen the columns, or raise the limit"
        )


def swap_window(
    swap: WindowSwap,
    staged: StagedRows,
    guards: LoadGuards,
    *,
    sessions: SessionPool,
    verify_lock: LockCheck,
    was_committed: Callable[[datetime], bool],
) -> SwapResult | ReplayLogRow:
    """Back up and delete the window's rows, insert the staged rows and log it, in one commit.

    Args:
        swap: The replacement.
        staged: The staged rows.
        guards: Whether a run tag may be loaded again.
        sessions: Opens the session that reads the replay log.
        verify_lock: Verifies the run's lock; called right before rows are changed.
        was_committed: Whether the replay log has the row with this time. Called if COMMIT was not
            confirmed.

    Returns:
        The result; or the load of another session that made this one unnecessary.

    Raises:
        AlreadyLoadedError: Another session has loaded the run tag, from other files or for a
            smaller window.
        SerializationError: A concurrent transaction prevented this one; nothing was changed.
        ConnectionLostError: The connection was lost; nothing was changed.
        StatementError: The warehouse rejected a statement or the COMMIT; nothing was changed.
        LockLostError: Another command took over the run's lock; nothing was changed.
        CommitOutcomeUnknownError: COMMIT was not confirmed, and ``was_committed`` could not find
            out whether it succeeded.
    """
    result: SwapResult | None = None
    try:
        with replacing_transaction(staged.session, swap.rows, sessions, verify_lock) as history:
            ts = next_log_time(history)
            earlier = None if guards.force else completed_load(history, swap)
            if earlier:
                return earlier
            backed_up = back_up(staged.session, swap.rows, staged.distribution, history)
            all_columns = information_schema.columns(
                staged.session, swap.schemas.schema, swap.rows.relation
            )
            lock_started = time.monotonic()
            result = _replace_rows(swap, staged, ts, backed_up, all_columns)
            # Again: another session may have added rows to the window since the staging.
            _guard_replacement(swap, staged, result.deleted, guards)
    except UnconfirmedCommitError as unconfirmed:
        lock_ended = time.monotonic()
        if result is None or not was_committed(ts):
            raise unconfirmed.if_rolled_back from None
    else:
        lock_ended = time.monotonic()
    return replace(result, write_lock_seconds=lock_ended - lock_started)


def _guard_replacement(
    swap: WindowSwap, staged: StagedRows, existing: int, guards: LoadGuards
) -> None:
    """Check that enough rows replace the existing ones.

    Args:
        swap: The replacement.
        staged: The staged rows.
        existing: The number of rows that they replace.
        guards: The limits.

    Raises:
        GuardError: There are too few; nothing was changed, or the transaction is rolled back.
    """
    stays_empty = staged.in_window == 0 and existing == 0
    if swap.add_to or (stays_empty and guards.allow_already_empty):
        return
    note = f" ({staged.total - staged.in_window} outside it)"
    source = f"run tag {swap.rows.run_tag}"
    guard_row_count(swap.rows, existing, staged.in_window, guards, source=source, note=note)


def _replace_rows(
    swap: WindowSwap,
    staged: StagedRows,
    ts: datetime,
    backed_up: BackedUpRows,
    all_columns: tuple[WarehouseColumn, ...],
) -> SwapResult:
    """Delete the window's rows, insert the staged rows and log it, within the transaction.

    Args:
        swap: The replacement.
        staged: The staged rows.
        ts: The time for the replay log.
        backed_up: The backup of the window's rows.
        all_columns: The current columns of the target.
    """
    session, rows = staged.session, swap.rows
    deleted = 0 if swap.add_to else delete_rows(session, rows, backed_up)
    inserted = session.run(swap.insert(staged.columns))
    if inserted != staged.in_window:
        raise InternalError(
            f"{swap.table} was not modified: {staged.in_window} staged rows are in the window, but "
            f"{inserted} would have been inserted; report this as a bug"
        )
    # The fingerprint of the staged rows is valid only if the target is as it was then.
    is_valid = staged.all_columns == all_columns and not rows.changes_rows(session)
    after = (
        staged.fingerprint
        if staged.fingerprint and is_valid
        else read_fingerprint(session, rows.fingerprint(all_columns))
    )
    if not swap.add_to:
        guard_rows_after(rows, after, inserted)
    elif backed_up.count is not None:
        guard_rows_after(rows, after, backed_up.count + inserted)
    session.run(
        rows.log_key.insert(
            swap.window,
            swap.files.checksum,
            deleted=deleted,
            inserted=inserted,
            ts=ts,
            backup=backed_up.name,
            fingerprint=after,
        )
    )
    return SwapResult(deleted, inserted)


def _columns_as_planned(session: Session, swap: WindowSwap) -> tuple[WarehouseColumn, ...]:
    """Return the columns to load.

    Raises:
        WarehouseError: The columns or the version have changed since the plan.
    """
    columns, problems = loadable_columns(
        session, swap.warehouse, swap.schemas, swap.table, swap.files.columns
    )
    version = replay_log.version(session, swap.schemas.control, swap.table)
    if version != swap.files.version:
        problems.append(
            version_problem(swap.schemas.control, swap.table, swap.files.version, version)
        )
    if problems:
        raise WarehouseError(f"{swap.table} was not modified: {'; '.join(problems)}")
    return columns
