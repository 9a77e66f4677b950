"""The runs below the output store, with what the warehouse knows of their loads.

Where and when a run was loaded, its own records say, and the warehouse's replay ledger. A record
is written after the load: where a driver died in between, the ledger has the truth. The ledger is
of the one warehouse that is configured; of others the records alone are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from spade_spark.errors import SettingsError, TransientError, UsageError, WarehouseError
from spade_spark.locking.heartbeat import acquire_lease
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.runs.discovery import DiscoveredRun, PruneCandidate, find_runs, remove
from spade_spark.runs.load_results import BackupInfo
from spade_spark.runs.status import RunState, TableLoad, state_of
from spade_spark.settings import Settings
from spade_spark.storage.base import Store, open_store
from spade_spark.warehouse.backup import backups_before, drop, existing_backups
from spade_spark.warehouse.connection import ConnectionInfo, Session
from spade_spark.warehouse.credentials import CopyCredentials
from spade_spark.warehouse.dialects.base import open_warehouse
from spade_spark.warehouse.load_history import ReplayLogRow, find_undo, replay_log_rows
from spade_spark.warehouse.retries import query_with_retries
from spade_spark.window import Window


@dataclass(frozen=True)
class RunDetails:
    """One run.

    Attributes:
        state: As it stands.
        found: What lies below its run tag.
    """

    state: RunState
    found: DiscoveredRun


@dataclass(frozen=True)
class RunCatalog:
    """All runs.

    Attributes:
        url: The output store.
        runs: The runs, by run tag.
        notes: What could not be found out, and why.
    """

    url: str
    runs: tuple[RunDetails, ...]
    notes: tuple[str, ...]

    def run(self, run_tag: str) -> RunDetails:
        """The run of that name.

        Raises:
            UsageError: There is none.
        """
        for each in self.runs:
            if each.state.run_tag == run_tag:
                return each
        raise UsageError(
            f"{self.url}{run_tag}/ holds nothing: `spade-spark runs` lists the run tags there"
        )

    def prune_candidates(self, run_tag: str) -> PruneCandidate:
        """What can be removed of a run.

        Raises:
            UsageError: Nothing can.
        """
        state = self.run(run_tag).state
        if state.removable is None:
            raise UsageError(
                f"nothing of run tag {run_tag} is offered for removal, since it is "
                f"{state.state.value}: `spade-spark runs --prune` lists what is"
            )
        return state.removable


def scan_runs(settings: Settings) -> RunCatalog:
    """Looks at all runs; nothing is changed.

    Raises:
        SettingsError: No output store is set.
        ObjectNotFoundError: The output store is not there.
    """
    store = _store(settings)
    ledger = _read_ledger(settings)
    found = find_runs(store, _untracked(settings))
    loads = ledger.merge(found)
    known = tuple(RunDetails(state_of(each, loads), each) for each in found)
    return RunCatalog(store.url, known, ledger.notes)


def prune(settings: Settings, known: RunDetails) -> None:
    """Removes what is offered of a run, under its lock; nothing where that has changed since.

    Raises:
        LockedError: Somebody works on the run.
        UsageError: What was offered is offered no longer.
    """
    offer, run_tag = known.state.removable, known.state.run_tag
    store, untracked = _store(settings), _untracked(settings)
    assert offer is not None  # the caller has looked
    assert known.state.window is not None  # nothing is offered of a run without one
    with acquire_lease(
        LeaseStore(store), LeaseRequest.new(run_tag, Window.parse(*known.state.window), ())
    ):
        found = find_runs(store, untracked)
        mine = next((each for each in found if each.run_tag == run_tag), None)
        if mine is None or _offer_without_lock(mine, found, settings) != offer:
            raise UsageError(f"run tag {run_tag} has changed since it was looked at: look again")
        whole = offer.what == "run"
        entries = [(store, each) for each in (mine.objects if whole else mine.leftovers)]
        if untracked:
            events = mine.untracked if whole else mine.untracked_leftovers
            entries += [(untracked, each) for each in events]
        remove(entries, run_tag)


def expired_backups(settings: Settings) -> tuple[BackupInfo, ...]:
    """The backups that are older than ``warehouse.backup_keep``, the oldest first.

    Raises:
        SettingsError: No warehouse is set.
        ConnectionLostError: It does not answer.
        WarehouseError: It refuses.
    """
    # Nothing is copied from S3, so COPY's credentials are not asked for.
    warehouse = open_warehouse(settings.warehouse, settings.s3, CopyCredentials())
    moment = datetime.now(timezone.utc) - settings.warehouse.backup_keep
    control = settings.warehouse.control
    return query_with_retries(
        warehouse.connection_info,
        lambda session: backups_before(session, warehouse, control, moment),
    )


def expired_backups_of(settings: Settings, run_tags: Iterable[str]) -> tuple[BackupInfo, ...]:
    """The expired backups of these run tags.

    Raises:
        UsageError: One of them has none.
        SpadeError: As :func:`expired_backups`.
    """
    tags = set(run_tags)
    offered = tuple(each for each in expired_backups(settings) if each.run_tag in tags)
    for tag in sorted(tags - {each.run_tag for each in offered}):
        days = settings.warehouse.backup_keep / timedelta(days=1)
        raise UsageError(
            f"no backup of run tag {tag} is older than warehouse.backup_keep ({days:g} days): "
            "`spade-spark runs --prune` lists those that are"
        )
    return offered


def drop_backup(settings: Settings, kept: BackupInfo) -> None:
    """Drops a backup for good.

    Raises:
        WarehouseError: The warehouse refuses.
    """
    target = ConnectionInfo.parse(settings.warehouse.url.get_secret_value())
    with Session(target) as session:
        drop(session, settings.warehouse.control, kept)


def _offer_without_lock(
    mine: DiscoveredRun, found: Iterable[DiscoveredRun], settings: Settings
) -> PruneCandidate | None:
    """What can be removed of a run whose lock is our own."""
    unlocked = replace(mine, lease_table=replace(mine.lease_table, leases=()))
    return state_of(unlocked, _read_ledger(settings).merge(found)).removable


@dataclass(frozen=True)
class _WarehouseHistory:
    """What the configured warehouse says.

    Attributes:
        place: Which it is; empty where none was asked, or none answered.
        rows: Its ledger.
        kept: The backups that are there, as the ledger names them.
        notes: Why it says nothing.
    """

    place: str = ""
    rows: tuple[ReplayLogRow, ...] = ()
    kept: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def merge(self, runs: Iterable[DiscoveredRun]) -> tuple[TableLoad, ...]:
        """The newest load of each run, table and warehouse, the oldest first."""
        loads = {(each.run_tag, each.table, each.warehouse): each for each in self._recorded(runs)}
        for row in self.rows:
            if row.is_undo:
                continue
            key = (row.run_tag, row.table, self.place)
            loads[key] = self._in_ledger(row, loads.get(key))
        return tuple(sorted(loads.values(), key=lambda each: each.at))

    def _recorded(self, runs: Iterable[DiscoveredRun]) -> Iterator[TableLoad]:
        for run in runs:
            for record in run.loads:
                window = Window.parse(*record.window)
                for loaded in record.loaded:
                    yield TableLoad(
                        run_tag=run.run_tag,
                        table=loaded.table,
                        warehouse=record.warehouse,
                        at=record.at,
                        start=window.wall_start,
                        end=window.wall_end,
                        before=loaded.before,
                        deleted=loaded.deleted,
                        inserted=loaded.inserted,
                        recorded=True,
                        in_replay_log=False if record.warehouse == self.place else None,
                    )

    def _in_ledger(self, row: ReplayLogRow, record: TableLoad | None) -> TableLoad:
        """The ledger's row, with what a record of the same load adds."""
        same = record is not None and (record.deleted, record.inserted, record.start) == (
            row.deleted,
            row.inserted,
            row.start,
        )
        undone = find_undo(row, self.rows)
        return TableLoad(
            run_tag=row.run_tag,
            table=row.table,
            warehouse=self.place,
            at=row.at,
            start=row.start,
            end=row.end,
            before=record.before if record and same else None,
            deleted=row.deleted,
            inserted=row.inserted,
            recorded=same,
            in_replay_log=True,
            backup=row.backup if row.backup in self.kept else "",
            undone=undone.at if undone else None,
        )


def _read_ledger(settings: Settings) -> _WarehouseHistory:
    """The configured warehouse's ledger; that it does not answer is a note, no failure."""
    url = settings.warehouse.url.get_secret_value()
    if not url:
        note = "no warehouse is set (SPADE_RSURL): of loads, the runs' own records alone are known"
        return _WarehouseHistory(notes=(note,))
    target = ConnectionInfo.parse(url)

    def everything(session: Session) -> _WarehouseHistory:
        rows = replay_log_rows(session, settings.warehouse.control)
        return _WarehouseHistory(target.address, rows, existing_backups(session, rows))

    try:
        return query_with_retries(target, everything)
    except (TransientError, WarehouseError) as error:
        note = f"of loads, the runs' own records alone are known: {error}"
        return _WarehouseHistory(notes=(note,))


def _store(settings: Settings) -> Store:
    if not settings.output.base:
        raise SettingsError("output.base is not set: give --conf FILE with it")
    return open_store(settings.output.base, settings.s3)


def _untracked(settings: Settings) -> Store | None:
    """Where untracked events lie, if that is not below their run tags."""
    url = settings.output.untracked
    return open_store(url, settings.s3) if url else None
