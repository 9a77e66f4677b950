"""The story of an undo: look for the way back, show it, ask, and put the rows back.

::

    ledger ─► backups ─► ask ─► lock ─► undo, table by table ─► report

As a replay, it refuses what cannot work before anything is begun, and what one table's failure
leaves undone does not touch the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spade_spark.errors import AlreadyUndoneError, SettingsError, UsageError, WarehouseError
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
from spade_spark.warehouse.retries import query_with_retries
from spade_spark.warehouse.rollback import UndoPlan, plan_undo, undo_tables
from spade_spark.warehouse.target_rows import WarehouseSchemas, schemas_from_settings
from spade_spark.window import Window


@dataclass(frozen=True)
class UndoRequest:
    """What is asked for.

    Attributes:
        run_tag: The run whose loads are undone, or, with ``undo-`` before it, an undo's.
        tables: The tables; none for all that the run was loaded into.
        poolsize: Tables undone side by side.
        allow_empty: Whether rows may be replaced by none.
        force: Whether a window that was changed since may be undone.
        take_over: Run tags of replays whose place is taken though they are locked.
    """

    run_tag: str
    tables: tuple[str, ...] = ()
    poolsize: int = 4
    allow_empty: bool = False
    force: bool = False
    take_over: tuple[str, ...] = ()


def undo(request: UndoRequest, settings: Settings, screen: ConsoleReporter) -> UndoReport:
    """Carries out ``request``.

    Returns:
        What it came to; ``report.complete`` says whether all that was asked for is done.

    Raises:
        SpadeError: What ended the undo before any table was touched.
    """
    if not settings.output.base:
        raise SettingsError(
            "output.base is not set, and the lock that keeps replays away lies there: give "
            "--conf FILE with it"
        )
    # Nothing is copied from S3, so COPY's credentials are not asked for.
    warehouse = open_warehouse(settings.warehouse, settings.s3, CopyCredentials())
    return _UndoRunner(request, settings, warehouse, screen).run()


@dataclass(frozen=True)
class _Looked:
    """What can be undone, what was before, and why the rest cannot."""

    ways: tuple[UndoPlan, ...]
    passed: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _UndoRunner:
    """What every step of one undo needs to know."""

    request: UndoRequest
    settings: Settings
    warehouse: Warehouse
    screen: ConsoleReporter

    def run(self) -> UndoReport:
        """Looks, shows, asks, locks, undoes."""
        looked = self._preview()
        if not looked.ways and not looked.problems:
            return self._report((), looked.passed)
        self._confirm(looked)
        loads = [way.load for way in looked.ways]
        claim = LeaseRequest.new(
            self.request.run_tag, _hull(loads), tuple(each.table for each in loads)
        )
        store = open_store(self.settings.output.base, self.settings.s3)
        with acquire_lease(LeaseStore(store), claim, self.request.take_over) as lock:
            for lease in lock.displaced:
                self.screen.log(f"took over the lock of {lease.request}")
            return self._undo(loads, looked.passed, lock)

    @property
    def _rules(self) -> LoadGuards:
        return LoadGuards(
            allow_empty=self.request.allow_empty,
            min_rows_ratio=self.settings.warehouse.min_rows_ratio,
            force=self.request.force,
        )

    def _preview(self) -> _Looked:
        """Looks for the way back of each table; nothing is changed."""
        place = schemas_from_settings(self.settings.warehouse)

        def everything(session: Session) -> tuple[list[str], dict[str, UndoPlan | WarehouseError]]:
            loads = self._loads(replay_log_rows(session, place.control))
            problems = backup.schema_problems(session, self.warehouse, place)
            return problems, {load.table: self._plan(session, place, load) for load in loads}

        problems, found = query_with_retries(self.warehouse.connection_info, everything)
        # The same command again goes on where it stopped: what it has undone is passed over.
        undone = {table for table, each in found.items() if isinstance(each, AlreadyUndoneError)}
        problems += [
            str(each)
            for table, each in found.items()
            if isinstance(each, WarehouseError) and table not in undone
        ]
        ways = tuple(each for each in found.values() if isinstance(each, UndoPlan))
        return _Looked(ways, tuple(sorted(undone)), tuple(problems))

    def _plan(
        self, session: Session, place: WarehouseSchemas, load: ReplayLogRow
    ) -> UndoPlan | WarehouseError:
        try:
            return plan_undo(session, self.warehouse, place, load, self._rules)
        except WarehouseError as error:
            return error

    def _loads(self, history: Sequence[ReplayLogRow]) -> list[ReplayLogRow]:
        """The newest load of each table that is asked for.

        Raises:
            UsageError: There is none.
        """
        tag, asked = self.request.run_tag, self.request.tables
        tables = dict.fromkeys(row.table for row in history if row.run_tag == tag)
        where = f"the replay ledger {self.settings.warehouse.control}.replay of {self._place}"
        if not tables:
            raise UsageError(
                f"{where} has no load of run tag {tag}: `spade-spark runs` lists what was loaded"
            )
        for name in asked:
            if name not in tables:
                raise UsageError(
                    f"{where} has no load of run tag {tag} into {name}: it was loaded into "
                    f"{', '.join(tables)}"
                )
        found = (latest_load(history, tag, table) for table in dict.fromkeys(asked) or tables)
        return [row for row in found if row]

    def _confirm(self, looked: _Looked) -> None:
        """Shows what is going to happen; nothing is begun for an undo that cannot work."""
        for way in looked.ways:
            table, window = way.load.table, way.load.window
            self.screen.log(
                f"{table}: {way.current_rows:,} rows in the window {window} go, "
                f"{way.backup_rows:,} "
                f"kept ones come back from {way.backup}"
            )
        if looked.problems:
            raise WarehouseError(
                "the undo could not work, so nothing was begun:\n  " + "\n  ".join(looked.problems)
            )
        if not self.settings.warehouse.backup:
            self.screen.log("The rows that go are not kept: warehouse.backup is false")
        rows = sum(way.current_rows for way in looked.ways)
        self.screen.confirm(
            f"Undo run tag {self.request.run_tag}, replacing {rows:,} rows in "
            f"{self.warehouse.name} {self.warehouse.connection_info}?"
        )

    def _undo(
        self, loads: Sequence[ReplayLogRow], passed: tuple[str, ...], lock: HeldLease
    ) -> UndoReport:
        lock.verify()
        with self.screen.loading([each.table for each in loads]) as show:
            undone = undo_tables(
                self.warehouse,
                loads,
                self.settings.warehouse,
                rules=self._rules,
                verify_lock=lock.verify,
                poolsize=self.request.poolsize,
                progress=show,
            )
        before = {each.table for each in undone if isinstance(each, UndoAlreadyDone)}
        rest = tuple(each for each in undone if not isinstance(each, UndoAlreadyDone))
        return self._report(rest, tuple(sorted({*passed, *before})))

    def _report(
        self, undone: tuple[UndoSucceeded | LoadFailed, ...], passed: tuple[str, ...]
    ) -> UndoReport:
        run_tag = self.request.run_tag
        return UndoReport(run_tag, self._place, UNDO + run_tag, undone, passed)

    @property
    def _place(self) -> str:
        return self.warehouse.connection_info.address


def _hull(loads: Sequence[ReplayLogRow]) -> Window:
    """The window from the first START to the last END: run tags can be loaded in parts."""
    first = min(loads, key=lambda load: load.start)
    last = max(loads, key=lambda load: load.end)
    return Window(first.window.start, last.window.end)
