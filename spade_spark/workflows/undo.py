"""An undo: restore the rows that a load replaced.

::

    replay log ─► backups ─► preview ─► confirm ─► lock ─► undo, table by table ─► report

Like a replay, an undo checks everything it can before it changes anything. A run tag can have
several loads of a table, for parts of its window or with ``--force``: they are undone one after the
other, the newest first, each in its own transaction. If one fails, the older loads of its table are
not undone. The other tables are.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from spade_spark.errors import UsageError, WarehouseError
from spade_spark.locking.heartbeat import HeldLease, acquire_lease
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.reporting.console import ConsoleReporter
from spade_spark.reporting.undo import UndoReport
from spade_spark.runs.load_results import (
    LoadFailed,
    RemainingLoad,
    UndoAlreadyDone,
    UndoOutcome,
    UndoSucceeded,
)
from spade_spark.runs.paths import UNDO
from spade_spark.settings import Settings
from spade_spark.storage.base import open_store
from spade_spark.warehouse import backup, information_schema, replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.control_objects import migrate_replay_log
from spade_spark.warehouse.credentials import CopyCredentials
from spade_spark.warehouse.dialects.base import Warehouse, open_warehouse
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.load_history import (
    LoadHistory,
    ReplayLogRow,
    UndoStep,
    replay_log_rows,
    undo_steps,
)
from spade_spark.warehouse.maintenance import maintain
from spade_spark.warehouse.privileges import problems_and_warnings
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
        latest: Whether to undo only the newest load of each table.
        migrate: Whether to add columns that the replay log of an older version lacks.
    """

    run_tag: str
    tables: tuple[str, ...] = ()
    poolsize: int = 4
    allow_empty: bool = False
    force: bool = False
    take_over: tuple[str, ...] = ()
    latest: bool = False
    migrate: bool = False


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
        plans: The loads that can be undone; those of one table from the newest to the oldest.
        already_undone: The tables that were undone before.
        problems: Why other loads cannot be undone.
        in_effect: All loads of the run tag that are not undone, also into other tables.
        warnings: Privileges that seem to be missing, but may be granted by a role.
    """

    plans: tuple[UndoPlan, ...]
    already_undone: tuple[str, ...]
    problems: tuple[str, ...]
    in_effect: tuple[ReplayLogRow, ...]
    warnings: tuple[str, ...] = ()

    @property
    def loads(self) -> tuple[ReplayLogRow, ...]:
        """The loads that can be undone."""
        return tuple(plan.load for plan in self.plans)


@dataclass(frozen=True)
class _UndoRunner:
    """The steps of one undo and what they share."""

    request: UndoRequest
    settings: Settings
    warehouse: Warehouse
    reporter: ConsoleReporter

    def run(self) -> UndoReport:
        """Check, confirm, lock and undo."""
        if self.request.migrate:
            for statement in migrate_replay_log(self.warehouse, self.settings.warehouse.control):
                self.reporter.log(f"upgraded the replay log: {statement}")
        preview = self._preview()
        for warning in preview.warnings:
            self.reporter.log(warning)
        if not preview.plans and not preview.problems:
            return self._report((), preview)
        self._confirm(preview)
        loads = preview.loads
        tables = tuple(dict.fromkeys(load.table for load in loads))
        lease_request = LeaseRequest.new(
            self.request.run_tag, _enclosing_window(loads), tables, command="undo"
        )
        store = open_store(self.settings.output.base, self.settings.s3)
        with acquire_lease(LeaseStore(store), lease_request, self.request.take_over) as lock:
            for lease in lock.displaced:
                self.reporter.log(f"took over the lock of {lease.request}")
            return self._undo(preview, lock)

    @property
    def _guards(self) -> LoadGuards:
        return LoadGuards(
            allow_empty=self.request.allow_empty,
            min_rows_ratio=self.settings.warehouse.min_rows_ratio,
            force=self.request.force,
        )

    def _preview(self) -> _UndoPreview:
        """Plan the undo of each load; change nothing."""
        schemas = schemas_from_settings(self.settings.warehouse)

        def plan_all(session: Session) -> _UndoPreview:
            history = LoadHistory(replay_log_rows(session, schemas.control))
            steps = self._steps(history)
            requested = dict.fromkeys(self.request.tables) or steps
            results = [
                self._plan(session, schemas, step)
                for table in requested
                for step in (steps[table][:1] if self.request.latest else steps[table])
            ]
            missing = backup.schema_problems(session, self.warehouse, schemas)
            problems, warnings = problems_and_warnings(
                session,
                self.warehouse,
                missing,
                check_privileges=self.settings.warehouse.check_privileges,
            )
            problems += self._log_problems(session)
            problems += [str(error) for error in results if isinstance(error, WarehouseError)]
            return _UndoPreview(
                plans=tuple(plan for plan in results if isinstance(plan, UndoPlan)),
                # A repeated command skips the tables that it has already undone.
                already_undone=tuple(sorted(table for table in requested if not steps[table])),
                problems=tuple(problems),
                in_effect=tuple(step.load for of_table in steps.values() for step in of_table),
                warnings=tuple(warnings),
            )

        return query_with_retries(self.warehouse.connection_info, plan_all)

    def _log_problems(self, session: Session) -> list[str]:
        """Say what is missing in a replay log that exists, since it has loads."""
        control = self.settings.warehouse.control
        columns = information_schema.columns(session, control, replay_log.TABLE_NAME)
        return replay_log.column_problems(control, [column.name for column in columns])

    def _plan(
        self, session: Session, schemas: WarehouseSchemas, step: UndoStep
    ) -> UndoPlan | WarehouseError:
        try:
            return plan_undo(session, self.warehouse, schemas, step, self._guards)
        except WarehouseError as error:
            return error

    def _steps(self, history: LoadHistory) -> dict[str, tuple[UndoStep, ...]]:
        """The loads to undo of each table that the run tag was loaded into.

        Raises:
            UsageError: The replay log has no load of the run tag into a requested table.
        """
        tag = self.request.run_tag
        tables = dict.fromkeys(row.table for row in history.rows if row.run_tag == tag)
        log = f"the replay log {self.settings.warehouse.control}.replay of {self._address}"
        if not tables:
            raise UsageError(
                f"{log} has no load of run tag {tag}: `spade-spark runs` lists the loads"
            )
        for name in self.request.tables:
            if name not in tables:
                raise UsageError(
                    f"{log} has no load of run tag {tag} into {name}: it was loaded into "
                    f"{', '.join(tables)}"
                )
        return {table: undo_steps(history, tag, table) for table in tables}

    def _confirm(self, preview: _UndoPreview) -> None:
        """Show the plans and ask for confirmation; refuse an undo that cannot succeed."""
        for line in _plan_lines(preview.plans):
            self.reporter.log(line)
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

    def _undo(self, preview: _UndoPreview, lock: HeldLease) -> UndoReport:
        lock.verify()
        tables = list(dict.fromkeys(load.table for load in preview.loads))
        with self.reporter.loading(tables) as progress:
            outcomes = undo_tables(
                self.warehouse,
                preview.loads,
                self.settings.warehouse,
                guards=self._guards,
                verify_lock=lock.verify,
                poolsize=self.request.poolsize,
                progress=progress,
            )
        maintenance = maintain(
            self.warehouse,
            schemas_from_settings(self.settings.warehouse),
            outcomes,
            run_analyze=self.settings.warehouse.analyze,
            poolsize=self.request.poolsize,
        )
        return replace(self._report(outcomes, preview), maintenance=maintenance)

    def _report(self, outcomes: Sequence[UndoOutcome], preview: _UndoPreview) -> UndoReport:
        run_tag = self.request.run_tag
        # Another process may have undone a load since the preview.
        results = tuple(item for item in outcomes if not isinstance(item, UndoAlreadyDone))
        late = {item.table for item in outcomes} - {item.table for item in results}
        remaining = _remaining(preview, outcomes)
        return UndoReport(
            run_tag,
            self._address,
            UNDO + run_tag,
            results,
            tuple(sorted({*preview.already_undone, *late})),
            tuple(
                RemainingLoad(load.table, str(load.window), load.at, load.inserted)
                for load in remaining
            ),
            self._next_command(results, remaining),
        )

    def _next_command(
        self, results: Iterable[UndoSucceeded | LoadFailed], remaining: Iterable[ReplayLogRow]
    ) -> str:
        """The command that undoes the remaining loads; empty if there are none."""
        request = self.request
        failed = dict.fromkeys(item.table for item in results if isinstance(item, LoadFailed))
        if not failed:
            # What was requested is undone. Other tables and older loads may remain.
            command = ["spade-spark", "undo", request.run_tag] if list(remaining) else []
            return shlex.join(command)
        # With --latest, a table that is done must not lose its next older load as well.
        tables = failed if request.latest else request.tables
        flags = {
            "--latest": request.latest,
            "--force": request.force,
            "--allow-empty": request.allow_empty,
        }
        options = [option for option, is_set in flags.items() if is_set]
        return shlex.join(["spade-spark", "undo", request.run_tag, *tables, *options])

    @property
    def _address(self) -> str:
        return self.warehouse.connection_info.address


def _plan_lines(plans: Sequence[UndoPlan]) -> Iterable[str]:
    """Describe each load that will be undone, in order."""
    totals = Counter(plan.load.table for plan in plans)
    numbers: Counter[str] = Counter()
    for plan in plans:
        load = plan.load
        numbers[load.table] += 1
        name, note = load.table, ""
        if totals[load.table] > 1:
            name += f" (load {numbers[load.table]} of {totals[load.table]} to undo, "
            name += f"made {load.at:%Y-%m-%d %H:%M:%S} UTC)"
        if plan.is_unchecked:
            note = (
                ". A newer load still covers rows of this window: whether they are those of this "
                "load can be checked only when the newer one is undone"
            )
        yield (
            f"{name}: replace {plan.current_rows:,} rows in the window {load.window} with "
            f"{plan.backup_rows:,} rows from the backup {plan.backup}{note}"
        )


def _remaining(preview: _UndoPreview, outcomes: Sequence[UndoOutcome]) -> tuple[ReplayLogRow, ...]:
    """The loads of the run tag that are still in effect."""
    undone = Counter(item.table for item in outcomes if not isinstance(item, LoadFailed))
    remaining = []
    for load in preview.in_effect:  # the loads of a table are undone in this order
        if undone[load.table]:
            undone[load.table] -= 1
        else:
            remaining.append(load)
    return tuple(remaining)


def _enclosing_window(loads: Sequence[ReplayLogRow]) -> Window:
    """The window from the first START to the last END; parts of a run can be loaded separately."""
    first = min(loads, key=lambda load: load.start)
    last = max(loads, key=lambda load: load.end)
    return Window(first.window.start, last.window.end)
