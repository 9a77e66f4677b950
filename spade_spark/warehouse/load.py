"""Loads tables side by side, each on its own connection; one's failure leaves the others alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from spade_spark.errors import ConnectionLost
from spade_spark.run.loads import TableFiles, TableLoaded, TableNotLoaded
from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse import backup, catalog, ledger
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialect import Warehouse
from spade_spark.warehouse.guard import Rules
from spade_spark.warehouse.place import Place, place_of
from spade_spark.warehouse.replace import (
    Replaced,
    Replacement,
    Staged,
    guard,
    refuse_loaded,
    replace,
    stage,
)
from spade_spark.warehouse.side import Progress, Retries, Sessions, Tries, side_by_side
from spade_spark.window import Window


def load_tables(
    warehouse: Warehouse,
    files: Sequence[TableFiles],
    window: Window,
    settings: WarehouseSettings,
    *,
    run_tag: str,
    add_to: str = "",
    rules: Rules,
    poolsize: int = 4,
    retries: Retries | None = None,
    progress: Progress = lambda step: None,  # noqa: ARG005 - the default does nothing
) -> tuple[TableLoaded | TableNotLoaded, ...]:
    """Replaces the window of each table, ``poolsize`` at a time.

    With ``add_to`` the rows are added to those that this run tag loaded, and none are deleted.

    Returns:
        What came of each table, in the order of ``files``.

    Raises:
        KeyboardInterrupt: Passed on once every session has rolled back and closed; what
            ``progress`` called loaded is loaded.
        WarehouseError: The replay ledger, or the schema of backups, is not there and cannot be
            created.
        ConnectionLost: The warehouse does not answer.
    """
    place = place_of(settings)
    retries = retries or Retries()
    sessions = Sessions(warehouse.target)
    retries.of(sessions.stop)(ensure_places, warehouse, place)
    loads = []
    for one in files:
        job = Replacement(warehouse, place, one, window, run_tag, add_to)
        tries = Tries(job.rows, retries, sessions, progress, "loaded")
        loads.append(_TableLoad(job, rules, tries).run)
    return tuple(side_by_side(loads, sessions, poolsize))


def ensure_places(warehouse: Warehouse, place: Place) -> None:
    """Creates the replay ledger and the schema of backups where they are not there.

    Raises:
        WarehouseError: They cannot be created.
    """
    with Session(warehouse.target) as session:
        # Looked for first: CREATE asks for the right to create even where there is nothing to do.
        if not catalog.columns(session, place.control, ledger.NAME):
            session.run(ledger.create(place.control))
        backup.ensure_schema(session, warehouse, place)


class _TableLoad:
    """One table. A stage that one try has filled serves the next, while its session lives."""

    def __init__(self, job: Replacement, rules: Rules, tries: Tries) -> None:
        self._job = job
        self._rules = rules
        self._tries = tries
        self._staged: Staged | None = None

    def run(self) -> TableLoaded | TableNotLoaded:
        """Replaces the table's window; every failure is an answer."""
        started = time.monotonic()
        try:
            ended = self._tries.settle(self._once)
        finally:
            self._drop_stage()
        if isinstance(ended, TableNotLoaded):
            return ended
        staged, done = ended
        self._tries.tell("loaded", f"{done.deleted} rows deleted, {done.inserted} inserted")
        return TableLoaded(
            table=self._job.table,
            before=staged.before,
            staged=staged.rows,
            outside=staged.rows - staged.inside,
            deleted=done.deleted,
            inserted=done.inserted,
            seconds=time.monotonic() - started,
            truncated=staged.cut,
        )

    def _once(self) -> tuple[Staged, Replaced]:
        """One try."""
        staged = self._staged or self._stage()
        self._tries.sessions.check()
        self._tries.tell("replacing", f"{staged.before} rows by {staged.inside}")
        try:
            return staged, replace(self._job, staged, self._rules, self._tries.was_committed)
        except ConnectionLost:
            self._drop_stage()
            raise

    def _stage(self) -> Staged:
        sessions = self._tries.sessions
        session = sessions.open()
        try:
            if not self._rules.force:
                refuse_loaded(session, self._job)
            self._tries.tell("staging", f"{self._job.files.rows} rows")
            staged = stage(session, self._job)
            guard(self._job, staged, self._rules)
        except BaseException:
            sessions.close(session)
            raise
        self._staged = staged
        return staged

    def _drop_stage(self) -> None:
        """Closes the session, and with it goes the temporary table."""
        if self._staged is not None:
            self._tries.sessions.close(self._staged.session)
            self._staged = None
