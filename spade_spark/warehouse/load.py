"""Loads tables side by side, each on its own connection; one's failure leaves the others alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_random,
)

from spade_spark.errors import CommitUnknown, ConnectionLost, PassingFault, SpadeError
from spade_spark.run.loads import TableFiles, TableLoaded, TableNotLoaded
from spade_spark.settings import WarehouseSettings
from spade_spark.warehouse import catalog, ledger
from spade_spark.warehouse.connection import Session, Target, WarehouseRefusal
from spade_spark.warehouse.dialect import Warehouse
from spade_spark.warehouse.replace import (
    Place,
    Replaced,
    Replacement,
    Rules,
    Staged,
    guard,
    refuse_loaded,
    replace,
    stage,
)
from spade_spark.warehouse.statements import Literal, Statement
from spade_spark.window import Window

_CANCEL_SECONDS = 0.5


@dataclass(frozen=True)
class Retries:
    """How long passing faults are tried again.

    Attributes:
        attempts: The most tries of one table.
        seconds: The time after which no new try is begun.
        first_wait: Seconds before the second try; it doubles, with jitter.
        longest_wait: The most seconds between two tries.
        lookup_seconds: How long a look at the ledger may wait for a lost session to end.
    """

    attempts: int = 6
    seconds: float = 4 * 3600
    first_wait: float = 1
    longest_wait: float = 60
    lookup_seconds: float = 180

    def of(
        self, stop: threading.Event, before_wait: Callable[[RetryCallState], None] = lambda _: None
    ) -> Retrying:
        """Calls a function, and again while it raises passing faults and ``stop`` is not set."""
        return Retrying(
            retry=retry_if_exception(
                lambda error: isinstance(error, PassingFault) and not stop.is_set()
            ),
            stop=stop_after_attempt(self.attempts) | stop_after_delay(self.seconds),
            wait=wait_exponential(self.first_wait, self.longest_wait)
            + wait_random(0, self.first_wait),
            sleep=sleep_using_event(stop),
            before_sleep=before_wait,
            reraise=True,
        )


@dataclass(frozen=True)
class LoadStep:
    """A table goes on to its next step.

    Attributes:
        table: The table's name.
        step: ``staging``, ``replacing``, ``waiting`` (before another try), ``loaded`` or
            ``not loaded``.
        note: More about it: rows, or why it waits.
    """

    table: str
    step: str
    note: str = ""


Progress = Callable[[LoadStep], None]
"""Called from several threads."""


def load_tables(
    warehouse: Warehouse,
    files: Sequence[TableFiles],
    window: Window,
    settings: WarehouseSettings,
    *,
    run_tag: str,
    rules: Rules,
    poolsize: int = 4,
    retries: Retries = Retries(),
    progress: Progress = lambda step: None,  # noqa: ARG005 - the default does nothing
) -> tuple[TableLoaded | TableNotLoaded, ...]:
    """Replaces the window of each table, ``poolsize`` at a time.

    Returns:
        What came of each table, in the order of ``files``.

    Raises:
        KeyboardInterrupt: Passed on once every session has rolled back and closed; what
            ``progress`` called loaded is loaded.
        WarehouseError: The replay ledger is not there and cannot be created.
        ConnectionLost: The warehouse does not answer.
    """
    place = place_of(settings)
    jobs = [Replacement(warehouse, place, one, window, run_tag) for one in files]
    sessions = _Sessions(warehouse.target)
    retries.of(sessions.stop)(ensure_ledger, warehouse, place.control)
    with ThreadPoolExecutor(max_workers=max(1, poolsize), thread_name_prefix="load") as pool:
        futures = [
            pool.submit(_TableLoad(job, rules, retries, sessions, progress).run) for job in jobs
        ]
        try:
            wait(futures)
        except BaseException:
            _end(futures, sessions)
            raise
    return tuple(future.result() for future in futures)


def place_of(settings: WarehouseSettings) -> Place:
    """Where the settings say that tables stand."""
    return Place(settings.schema_name, settings.control, settings.time_column)


def ensure_ledger(warehouse: Warehouse, control: str) -> None:
    """Creates the replay ledger where it is not there.

    Raises:
        WarehouseError: It cannot be created.
    """
    with Session(warehouse.target) as session:
        # Looked for first: CREATE asks for the right to create even where there is nothing to do.
        if not catalog.columns(session, control, ledger.NAME):
            session.run(ledger.create(control))


def _end(futures: Sequence[Future[TableLoaded | TableNotLoaded]], sessions: _Sessions) -> None:
    """Cancels what runs, again and again until all have rolled back, and what has not begun."""
    sessions.stop.set()
    left = {future for future in futures if not future.cancel()}
    while left:
        sessions.cancel()
        _, left = wait(left, timeout=_CANCEL_SECONDS, return_when=FIRST_COMPLETED)


class _Sessions:
    """The open sessions of all tables, so that an interrupt can end them."""

    def __init__(self, target: Target) -> None:
        self.stop = threading.Event()
        self._target = target
        self._lock = threading.Lock()
        self._open: set[Session] = set()

    def open(self) -> Session:
        """A new session.

        Raises:
            ConnectionLost: Nobody answers, or the load was interrupted.
        """
        self.check()
        session = Session(self._target)
        with self._lock:
            self._open.add(session)
        return session

    def close(self, session: Session) -> None:
        """Closes it; what it has not committed is rolled back."""
        with self._lock:
            self._open.discard(session)
        session.close()

    def check(self) -> None:
        """Ends a thread's work once the load was interrupted."""
        if self.stop.is_set():
            raise ConnectionLost("the load was interrupted; run the same command again")

    def cancel(self) -> None:
        """Cancels what every session is doing.

        Through a session of its own: the driver's way to cancel holds the interpreter's lock
        while it waits for the network. Where nobody answers, the sessions end by themselves.
        """
        with self._lock:
            pids = [session.pid for session in self._open]
        with suppress(SpadeError), Session(self._target) as session:
            for pid in pids:
                session.rows(Statement("SELECT pg_cancel_backend(", Literal(pid), ")"))


class _TableLoad:
    """One table: tries, and tries again what may pass."""

    def __init__(
        self,
        job: Replacement,
        rules: Rules,
        retries: Retries,
        sessions: _Sessions,
        progress: Progress,
    ) -> None:
        self._job = job
        self._rules = rules
        self._retries = retries
        self._sessions = sessions
        self._progress = progress
        self._staged: Staged | None = None

    def run(self) -> TableLoaded | TableNotLoaded:
        """Replaces the table's window; every failure is an answer."""
        started = time.monotonic()
        try:
            staged, done = self._retries.of(self._sessions.stop, self._tell_wait)(self._once)
        except SpadeError as error:
            return self._not_loaded(self._reason(error), unknown=isinstance(error, CommitUnknown))
        except Exception as error:  # noqa: BLE001 - one table's bug leaves the others alone
            bug = f"{self._job.table}: a bug, {type(error).__name__}: {error}; report this"
            return self._not_loaded(bug)
        finally:
            self._drop_stage()
        self._tell("loaded", f"{done.deleted} rows deleted, {done.inserted} inserted")
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

    def _not_loaded(self, reason: str, *, unknown: bool = False) -> TableNotLoaded:
        self._tell("not loaded", reason)
        return TableNotLoaded(self._job.table, reason, unknown)

    def _reason(self, error: SpadeError) -> str:
        """The error's message; what the warehouse or a broken connection said gets its frame."""
        if isinstance(error, PassingFault):
            return f"{self._job.table} was left as it was: {error}; run the same command again"
        if isinstance(error, WarehouseRefusal):
            return (
                f"{self._job.table} was left as it was: {error}; mend that, then run the same "
                "command again"
            )
        return str(error)

    def _once(self) -> tuple[Staged, Replaced]:
        """One try. A stage that an earlier try has filled serves as long as its session lives."""
        staged = self._staged or self._stage()
        self._sessions.check()
        self._tell("replacing", f"{staged.before} rows by {staged.inside}")
        try:
            return staged, replace(self._job, staged, self._rules, self._was_committed)
        except ConnectionLost:
            self._drop_stage()
            raise

    def _stage(self) -> Staged:
        session = self._sessions.open()
        try:
            if not self._rules.force:
                refuse_loaded(session, self._job)
            self._tell("staging", f"{self._job.files.rows} rows")
            staged = stage(session, self._job)
            guard(self._job, staged, self._rules)
        except BaseException:
            self._sessions.close(session)
            raise
        self._staged = staged
        return staged

    def _drop_stage(self) -> None:
        """Closes the session, and with it goes the temporary table."""
        if self._staged is not None:
            self._sessions.close(self._staged.session)
            self._staged = None

    def _was_committed(self, ts: datetime) -> bool:
        """Looks at the ledger, trying again while nobody answers.

        Raises:
            CommitUnknown: It cannot be found out.
        """

        def look() -> bool:
            with Session(self._job.warehouse.target) as session:
                return ledger.was_committed(
                    session, self._job.entry, ts, self._retries.lookup_seconds
                )

        try:
            return self._retries.of(self._sessions.stop, self._tell_wait)(look)
        except SpadeError as error:
            raise CommitUnknown(
                f"{self._job.table}: the answer to the commit was lost, and whether it was done "
                f"could not be found out ({error}). A row in {self._job.place.control}."
                f"{ledger.NAME} for it means that it was: run the same command again, which looks "
                "first"
            ) from None

    def _tell_wait(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._tell("waiting", f"try {state.attempt_number} failed: {error}")

    def _tell(self, step: str, note: str = "") -> None:
        self._progress(LoadStep(self._job.table, step, note))
