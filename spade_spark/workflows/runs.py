"""List and prune the runs in the output store, together with their loads.

The loads of a run come from its own load records and from the replay log of the configured
warehouse. A replay writes its record after the load, so the replay log also has the loads of a
driver that died in between. Loads into other warehouses are known only from the records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from spade_spark.errors import TransientError, UsageError, WarehouseError
from spade_spark.locking.heartbeat import acquire_lease
from spade_spark.locking.lease import LeaseRequest, LeaseStore
from spade_spark.runs.discovery import DiscoveredRun, PruneCandidate, find_runs, remove
from spade_spark.runs.load_results import BackupInfo
from spade_spark.runs.paths import QUARANTINE
from spade_spark.runs.status import RunState, TableLoad, state_of
from spade_spark.settings import Settings
from spade_spark.storage.base import Store, open_store
from spade_spark.warehouse.backup import (
    backups_before,
    check_backup_names,
    drop,
    existing_backups,
)
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.credentials import CopyCredentials
from spade_spark.warehouse.dialects.base import open_warehouse
from spade_spark.warehouse.load_history import LoadHistory, ReplayLogRow, replay_log_rows
from spade_spark.warehouse.retry_policies import query_with_retries
from spade_spark.warehouse.target_rows import schemas_from_settings
from spade_spark.window import Window


@dataclass(frozen=True)
class RunDetails:
    """One run.

    Attributes:
        state: Its state, with its loads.
        discovered: Its objects in the output store.
    """

    state: RunState
    discovered: DiscoveredRun


@dataclass(frozen=True)
class RunCatalog:
    """All runs.

    Attributes:
        url: The URL of the output store.
        runs: The runs, sorted by run tag.
        notes: What is unknown, and why.
    """

    url: str
    runs: tuple[RunDetails, ...]
    notes: tuple[str, ...]

    def run(self, run_tag: str) -> RunDetails:
        """Return the run with this run tag.

        Raises:
            UsageError: There is no such run.
        """
        for run in self.runs:
            if run.state.run_tag == run_tag:
                return run
        raise UsageError(
            f"run tag {run_tag} does not exist in {self.url}: `spade-spark runs` lists the run tags"
        )

    def prune_candidates(self, run_tag: str) -> PruneCandidate:
        """Return what can be removed of a run.

        Raises:
            UsageError: Nothing of the run can be removed.
        """
        state = self.run(run_tag).state
        if state.removable is None:
            raise UsageError(
                f"nothing of run tag {run_tag} can be removed, because its state is "
                f"{state.state.value}: `spade-spark runs --prune` lists what can be removed"
            )
        return state.removable


def scan_runs(settings: Settings) -> RunCatalog:
    """Read the state of all runs; change nothing.

    Raises:
        SettingsError: The output store is not configured.
        ObjectNotFoundError: The output store does not exist.
    """
    store = _store(settings)
    history = _read_history(settings)
    discovered = find_runs(store, _untracked_store(settings))
    loads = history.merge(discovered)
    runs = tuple(RunDetails(state_of(run, loads), run) for run in discovered)
    return RunCatalog(store.url, runs, history.notes)


def prune(settings: Settings, run: RunDetails) -> None:
    """Remove what is removable of a run, under its lock.

    Raises:
        LockedError: Another process works on the run.
        UsageError: The run has changed since it was listed; nothing was removed.
    """
    candidate, run_tag = run.state.removable, run.state.run_tag
    store, untracked_store = _store(settings), _untracked_store(settings)
    assert candidate is not None  # RunCatalog.prune_candidates has checked it
    assert run.state.window is not None  # a run without a window is not removable
    with acquire_lease(
        LeaseStore(store), LeaseRequest.new(run_tag, Window.parse(*run.state.window), ())
    ):
        discovered = find_runs(store, untracked_store)
        current = next((other for other in discovered if other.run_tag == run_tag), None)
        if current is None or _candidate_without_lock(current, discovered, settings) != candidate:
            raise UsageError(
                f"run tag {run_tag} has changed since it was listed, so nothing was removed: list "
                "the runs again"
            )
        entire = candidate.what == "run"
        entries = [(store, entry) for entry in (current.objects if entire else current.leftovers)]
        if untracked_store:
            untracked = current.untracked if entire else current.untracked_leftovers
            entries += [(untracked_store, entry) for entry in untracked]
        remove(entries, run_tag)


def expired_backups(settings: Settings) -> tuple[BackupInfo, ...]:
    """Return the backups that are older than ``warehouse.backup_keep``, the oldest first.

    Raises:
        SettingsError: No warehouse is configured.
        ConnectionLostError: The warehouse does not answer.
        WarehouseError: The warehouse refuses the query.
    """
    # Nothing is copied from S3, so COPY needs no credentials.
    warehouse = open_warehouse(settings.warehouse, settings.s3, CopyCredentials())
    expired_at = datetime.now(timezone.utc) - settings.warehouse.backup_keep
    schemas = schemas_from_settings(settings.warehouse)
    return query_with_retries(
        warehouse.connection_info,
        lambda session: backups_before(session, warehouse, schemas, expired_at),
    )


def expired_backups_of(settings: Settings, run_tags: Iterable[str]) -> tuple[BackupInfo, ...]:
    """Return the expired backups of these run tags.

    Raises:
        UsageError: A run tag has no expired backup.
        WarehouseError: The replay log names a table that is not a backup of the run tag.
        SpadeError: As for :func:`expired_backups`.
    """
    tags = set(run_tags)
    warehouse = open_warehouse(settings.warehouse, settings.s3, CopyCredentials())
    schemas = schemas_from_settings(settings.warehouse)
    query_with_retries(
        warehouse.connection_info,
        lambda session: check_backup_names(session, warehouse, schemas, tags),
    )
    backups = tuple(backup for backup in expired_backups(settings) if backup.run_tag in tags)
    for tag in sorted(tags - {backup.run_tag for backup in backups}):
        days = settings.warehouse.backup_keep / timedelta(days=1)
        raise UsageError(
            f"no backup of run tag {tag} is older than warehouse.backup_keep ({days:g} days): "
            "`spade-spark runs --prune` lists the expired backups"
        )
    return backups


def drop_backup(settings: Settings, backup: BackupInfo) -> None:
    """Drop a backup table.

    Raises:
        WarehouseError: The warehouse refuses to drop it.
    """
    warehouse = open_warehouse(settings.warehouse, settings.s3, CopyCredentials())
    with Session(warehouse.connection_info) as session:
        drop(session, warehouse, schemas_from_settings(settings.warehouse), backup)


def _candidate_without_lock(
    run: DiscoveredRun, all_runs: Iterable[DiscoveredRun], settings: Settings
) -> PruneCandidate | None:
    """Return what could be removed of a run that this process has locked."""
    unlocked = replace(run, lease_table=replace(run.lease_table, leases=()))
    return state_of(unlocked, _read_history(settings).merge(all_runs)).removable


_LoadKey = tuple[str, str, datetime, datetime, int, int]


def _key(load: TableLoad | ReplayLogRow) -> _LoadKey:
    """What a load's record and its row in the replay log have in common."""
    return load.run_tag, load.table, load.start, load.end, load.deleted, load.inserted


@dataclass(frozen=True)
class _WarehouseHistory:
    """The loads in the replay log of the configured warehouse.

    Attributes:
        address: The address of the warehouse; empty if none is configured or it does not answer.
        history: The replay log.
        backups: The rows whose backups exist.
        notes: Why the replay log could not be read.
    """

    address: str = ""
    history: LoadHistory = field(default_factory=lambda: LoadHistory(()))
    backups: frozenset[ReplayLogRow] = frozenset()
    notes: tuple[str, ...] = ()

    def merge(self, runs: Iterable[DiscoveredRun]) -> tuple[TableLoad, ...]:
        """Return all loads, the oldest first. A load that has both is completed from its record."""
        records: defaultdict[tuple[str, _LoadKey], list[TableLoad]] = defaultdict(list)
        for load in self._recorded(runs):
            records[load.warehouse, _key(load)].append(load)
        loads = []
        for row in self.history.rows:
            if not row.is_undo:
                same = records[self.address, _key(row)]
                loads.append(self._logged(row, same.pop(0) if same else None))
        loads += [load for rest in records.values() for load in rest]
        return tuple(sorted(loads, key=lambda load: load.at))

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
                        in_replay_log=False if record.warehouse == self.address else None,
                        write_lock_seconds=loaded.write_lock_seconds,
                    )

    def _logged(self, row: ReplayLogRow, record: TableLoad | None) -> TableLoad:
        """Return the load of a row of the replay log, completed from the run's own record."""
        undone = self.history.undo_of(row)
        # A replay of the run's own quarantine only adds rows.
        changes = () if undone else self.history.later_changes(row)
        replaced_by = dict.fromkeys(change.run_tag for change in changes)
        replaced_by.pop(row.run_tag + QUARANTINE, None)
        return TableLoad(
            run_tag=row.run_tag,
            table=row.table,
            warehouse=self.address,
            at=row.at,
            start=row.start,
            end=row.end,
            before=record.before if record else None,
            deleted=row.deleted,
            inserted=row.inserted,
            recorded=record is not None,
            in_replay_log=True,
            backup=row.backup if row in self.backups else "",
            undone=undone.at if undone else None,
            replaced_by=tuple(replaced_by),
            write_lock_seconds=record.write_lock_seconds if record else None,
        )


def _read_history(settings: Settings) -> _WarehouseHistory:
    """Read the replay log; if that fails, return a note that says why."""
    if not settings.warehouse.url.get_secret_value():
        note = (
            "no warehouse is configured (SPADE_RSURL): loads are shown from the runs' records only"
        )
        return _WarehouseHistory(notes=(note,))

    def read(session: Session) -> _WarehouseHistory:
        history = LoadHistory(replay_log_rows(session, settings.warehouse.control))
        schemas = schemas_from_settings(settings.warehouse)
        backups = frozenset(existing_backups(session, warehouse, schemas, history))
        return _WarehouseHistory(warehouse.connection_info.address, history, backups)

    try:
        # Nothing is copied from S3, so COPY needs no credentials.
        warehouse = open_warehouse(settings.warehouse, settings.s3, CopyCredentials())
        return query_with_retries(warehouse.connection_info, read)
    except (TransientError, WarehouseError) as error:
        note = f"loads are shown from the runs' records only: {error}"
        return _WarehouseHistory(notes=(note,))


def _store(settings: Settings) -> Store:
    return open_store(settings.require("output.base"), settings.s3)


def _untracked_store(settings: Settings) -> Store | None:
    """The store of untracked events, if it is not the output store."""
    url = settings.output.untracked
    return open_store(url, settings.s3) if url else None
