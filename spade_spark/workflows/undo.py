"""An undo: restore the rows that a load replaced.

::

    replay log ─► backups ─► preview ─► confirm ─► lock ─► undo, table by table ─► report

Like a replay, an undo checks everything it can before it changes anything. If one table fails, the
others are still undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spade_spark.errors import AlreadyUndoneError, UsageError, WarehouseError
from spade_spark.locking.heartbeat import HeldLease, acquire_lease
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.reporting.console import ConsoleReporter
from spade_spark.reporting.undo import UndoReport
from spade_spark.runs.load_results import LoadFailed, UndoAlreadyDone, UndoSucceeded
from spade_spark.runs.paths import UNDO
from spade_spark.settings import Settings
from spade_spark.storage.base import open_store
from spade_spark.warehouse import backup
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.credentials import CopyCredentials
from spade_spark.warehouse.dialects.base import Warehouse, open_warehouse
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.load_history import ReplayLogRow, latest_load, replay_log_rows
from spade_spark.warehouse.retry_policies import query_with_retries
from spade_spark.warehouse.rollback import UndoPlan, plan_undo, undo_tables
from spade_spark.warehouse.target_rows import WarehouseSchemas, schemas_from_settings
from spade_spark.window import Window


@dataclass(frozen=True)
class UndoRequest:
    """What to undo, and how.

    Attributes:
        run_tag: The run whose loads are undone; with the prefix ``undo-``, the undo to revert.
        tables: The tables; empty for all tables that the run was loaded into.
        poolsize: Number of tables to undo in parallel.
        allow_empty: Whether an empty backup may replace existing rows.
        force: Whether to undo a window that has changed since the load.
        take_over: Run tags of replays whose locks are taken over.
    """

    run_tag: str
    tables: tuple[str, ...] = ()
    poolsize: int = 4
    allow_empty: bool = False
    force: bool = False
    take_over: tuple[str, ...] = ()


def undo(request: UndoRequest, settings: Settings, reporter: ConsoleReporter) -> UndoReport:
    """Run the undo that ``request`` describes.

    Returns:
        The report; ``report.complete`` is false if a table was not undone.

    Raises:
        SpadeError: The undo failed before it changed a table.
    """
    settings.require("output.base")  # for the lock
    # An undo copies nothing from S3, so COPY needs no credentials.
    warehouse = open_warehouse(settings.warehouse, settings.s3, CopyCredentials())
    return _UndoRunner(request, settings, warehouse, reporter).run()


@dataclass(frozen=True)
class _UndoPreview:
    """The result of the checks before an undo.

    Attributes:
        plans: The loads that can be undone.
        already_undone: The tables that were undone before.
        problems: Why other loads cannot be undone.
    """

    plans: tuple[UndoPlan, ...]
    already_undone: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _UndoRunner:
    """The steps of one undo and what they share."""

    request: UndoRequest
    settings: Settings
    warehouse: Warehouse
    reporter: ConsoleReporter

    def run(self) -> UndoReport:
        """Check, confirm, lock and undo."""
        preview = self._preview()
        if not preview.plans and not preview.problems:
            return self._report((), preview.already_undone)
        self._confirm(preview)
        loads = [plan.load for plan in preview.plans]
        lease_request = LeaseRequest.new(
            self.request.run_tag, _enclosing_window(loads), tuple(load.table for load in loads)
        )
        store = open_store(self.settings.output.base, self.settings.s3)
        with acquire_lease(LeaseStore(store), lease_request, self.request.take_over) as lock:
            for lease in lock.displaced:
                self.reporter.log(f"took over the lock of {lease.request}")
            return self._undo(loads, preview.already_undone, lock)

    @property
    def _guards(self) -> LoadGuards:
        return LoadGuards(
            allow_empty=self.request.allow_empty,
            min_rows_ratio=self.settings.warehouse.min_rows_ratio,
            force=self.request.force,
        )

    def _preview(self) -> _UndoPreview:
        """Plan the undo of each table; change nothing."""
        schemas = schemas_from_settings(self.settings.warehouse)

        def plan_all(session: Session) -> tuple[list[str], dict[str, UndoPlan | WarehouseError]]:
            history = replay_log_rows(session, schemas.control)
            problems = backup.schema_problems(session, self.warehouse, schemas)
            return problems, {
                load.table: self._plan(session, schemas, load, history)
                for load in self._loads(history)
            }

        problems, plans = query_with_retries(self.warehouse.connection_info, plan_all)
        # A repeated command skips the tables that it has already undone.
        undone = {table for table, plan in plans.items() if isinstance(plan, AlreadyUndoneError)}
        problems += [
            str(error)
            for table, error in plans.items()
            if isinstance(error, WarehouseError) and table not in undone
        ]
        feasible = tuple(plan for plan in plans.values() if isinstance(plan, UndoPlan))
        return _UndoPreview(feasible, tuple(sorted(undone)), tuple(problems))

    def _plan(
        self,
        session: Session,
        schemas: WarehouseSchemas,
        load: ReplayLogRow,
        history: Sequence[ReplayLogRow],
    ) -> UndoPlan | WarehouseError:
        try:
            return plan_undo(session, self.warehouse, schemas, load, history, guards=self._guards)
        except WarehouseError as error:
            return error

    def _loads(self, history: Sequence[ReplayLogRow]) -> list[ReplayLogRow]:
        """The latest load of each requested table.

        Raises:
            UsageError: The replay log has no load of the run tag into a requested table.
        """
        tag, requested = self.request.run_tag, self.request.tables
        tables = dict.fromkeys(row.table for row in history if row.run_tag == tag)
        log = f"the replay log {self.settings.warehouse.control}.replay of {self._address}"
        if not tables:
            raise UsageError(
                f"{log} has no load of run tag {tag}: `spade-spark runs` lists the loads"
            )
        for name in requested:
            if name not in tables:
                raise UsageError(
                    f"{log} has no load of run tag {tag} into {name}: it was loaded into "
                    f"{', '.join(tables)}"
                )
        latest = (latest_load(history, tag, table) for table in dict.fromkeys(requested) or tables)
        return [row for row in latest if row]

    def _confirm(self, preview: _UndoPreview) -> None:
        """Show the plans and ask for confirmation; refuse an undo that cannot succeed."""
        for plan in preview.plans:
            self.reporter.log(
                f"{plan.load.table}: replace {plan.current_rows:,} rows in the window "
                f"{plan.load.window} with {plan.backup_rows:,} rows from the backup {plan.backup}"
            )
        if preview.problems:
            raise WarehouseError(
                "the undo cannot succeed, so nothing was changed:\n  "
                + "\n  ".join(preview.problems)
            )
        if not self.settings.warehouse.backup:
            self.reporter.log("No backup of the deleted rows: warehouse.backup is false")
        rows = sum(plan.current_rows for plan in preview.plans)
        self.reporter.confirm(
            f"Undo run tag {self.request.run_tag}, replacing {rows:,} rows in "
            f"{self.warehouse.name} {self.warehouse.connection_info}?"
        )

    def _undo(
        self, loads: Sequence[ReplayLogRow], already_undone: tuple[str, ...], lock: HeldLease
    ) -> UndoReport:
        lock.verify()
        with self.reporter.loading([load.table for load in loads]) as progress:
            outcomes = undo_tables(
                self.warehouse,
                loads,
                self.settings.warehouse,
                guards=self._guards,
                verify_lock=lock.verify,
                poolsize=self.request.poolsize,
                progress=progress,
            )
        # Another process may have undone a table since the preview.
        late = {outcome.table for outcome in outcomes if isinstance(outcome, UndoAlreadyDone)}
        rest = tuple(outcome for outcome in outcomes if not isinstance(outcome, UndoAlreadyDone))
        return self._report(rest, tuple(sorted({*already_undone, *late})))

    def _report(
        self, outcomes: tuple[UndoSucceeded | LoadFailed, ...], already_undone: tuple[str, ...]
    ) -> UndoReport:
        run_tag = self.request.run_tag
        return UndoReport(run_tag, self._address, UNDO + run_tag, outcomes, already_undone)

    @property
    def _address(self) -> str:
        return self.warehouse.connection_info.address


def _enclosing_window(loads: Sequence[ReplayLogRow]) -> Window:
    """The window from the first START to the last END; parts of a run can be loaded separately."""
    first = min(loads, key=lambda load: load.start)
    last = max(loads, key=lambda load: load.end)
    return Window(first.window.start, last.window.end)
