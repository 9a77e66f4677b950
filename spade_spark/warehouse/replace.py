"""One table's window: staged, reconciled, guarded, replaced.

So far as the stage goes the target is untouched. The replace itself is one short transaction
that begins by locking the replay ledger: two replays queue there, readers of the target do not
wait at all, and they see the old rows until the commit, then the new ones.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from spade_spark.errors import (
    AlreadyLoaded,
    Bug,
    CommitUnknown,
    ConnectionLost,
    GuardFailed,
    WarehouseError,
)
from spade_spark.run.loads import TableFiles
from spade_spark.warehouse import ledger
from spade_spark.warehouse.catalog import WarehouseColumn
from spade_spark.warehouse.connection import BEGIN, COMMIT, Session
from spade_spark.warehouse.dialect import Warehouse
from spade_spark.warehouse.fit import loadable_columns, version_problem
from spade_spark.warehouse.statements import Identifier, Literal, Statement, identifiers
from spade_spark.window import Window


@dataclass(frozen=True)
class Place:
    """Where tables stand.

    Attributes:
        schema: The schema of the tables.
        control: The schema of the control tables.
        time_column: The column that a window is about.
    """

    schema: str
    control: str
    time_column: str


@dataclass(frozen=True)
class Rules:
    """What a load may do.

    Attributes:
        allow_empty: Whether a window may be left without rows.
        min_rows_ratio: New rows to old rows in the window, below which the load stops.
        max_truncated: How many values may be cut to their column; None: any number.
        force: Whether a run tag that the ledger has may be loaded again.
    """

    allow_empty: bool = False
    min_rows_ratio: float = 0.5
    max_truncated: int | None = None
    force: bool = False


@dataclass(frozen=True)
class Replacement:
    """What is to be done to one table, as a value: its statements can be printed or run."""

    warehouse: Warehouse
    place: Place
    files: TableFiles
    window: Window
    run_tag: str

    @property
    def table(self) -> str:
        """The table's name, as in Blueprint."""
        return self.files.table

    @property
    def relation(self) -> str:
        """The table's name, as in the warehouse."""
        return self.warehouse.fold(self.files.table)

    @property
    def target(self) -> Identifier:
        """The table that is replaced."""
        return Identifier(self.place.schema, self.relation)

    @property
    def stage(self) -> str:
        """The temporary table's name: short, since names are limited, and one per run and table."""
        digest = hashlib.sha256(f"{self.run_tag}/{self.table}".encode()).hexdigest()[:16]
        return f"replay_stage_{digest}"

    @property
    def entry(self) -> ledger.Entry:
        """Its row in the replay ledger."""
        return ledger.Entry(self.place.control, self.run_tag, self.table)

    def in_window(self) -> Statement:
        """The condition that a row is in the window, both ends inside."""
        return Statement(
            Identifier(self.warehouse.fold(self.place.time_column)),
            " BETWEEN ",
            Literal(self.window.wall_start),
            " AND ",
            Literal(self.window.wall_end),
        )

    def count_before(self) -> Statement:
        """The target's rows in the window."""
        return Statement("SELECT COUNT(*) FROM ", self.target, " WHERE ", self.in_window())

    def count_staged(self) -> Statement:
        """The staged rows, and those of them in the window."""
        return Statement(
            "SELECT COUNT(*), SUM(CASE WHEN ",
            self.in_window(),
            " THEN 1 ELSE 0 END) FROM ",
            Identifier(self.stage),
        )

    def delete(self) -> Statement:
        """Deletes the window's rows."""
        return Statement("DELETE FROM ", self.target, " WHERE ", self.in_window())

    def insert(self, columns: Sequence[WarehouseColumn]) -> Statement:
        """Inserts the staged rows of the window."""
        return Statement(
            "INSERT INTO ",
            self.target,
            " (",
            identifiers(column.name for column in columns),
            ") SELECT ",
            self.warehouse.staged_values(columns),
            " FROM ",
            Identifier(self.stage),
            " WHERE ",
            self.in_window(),
        )

    def create_stage(self, columns: Sequence[WarehouseColumn]) -> Statement:
        """Creates the stage."""
        return self.warehouse.create_stage(self.stage, self.place.schema, self.relation, columns)

    def script(self, columns: Sequence[WarehouseColumn]) -> tuple[Statement, ...]:
        """All statements in their order, for people; figures that are not known yet are named."""
        return (
            self.entry.select(),
            self.create_stage(columns),
            BEGIN,
            self.warehouse.copy(self.stage, columns, self.files),
            COMMIT,
            self.count_staged(),
            self.count_before(),
            BEGIN,
            ledger.lock(self.place.control),
            self.entry.select(),
            self.delete(),
            self.insert(columns),
            self.entry.insert(self.window, self.files.checksum),
            COMMIT,
        )


@dataclass(frozen=True)
class Staged:
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
class Replaced:
    """Rows that a committed replace deleted and inserted."""

    deleted: int
    inserted: int


def refuse_loaded(session: Session, job: Replacement) -> None:
    """Refuses a run tag that the ledger has.

    Raises:
        AlreadyLoaded: It has.
    """
    for (ts,) in session.rows(job.entry.select()):
        raise AlreadyLoaded(
            f"{job.table} has run tag {job.run_tag} already, loaded at {ts} UTC "
            f"({job.place.control}.{ledger.NAME}): nothing to do; use --force to load it again"
        )


def stage(session: Session, job: Replacement) -> Staged:
    """Fills the temporary table and counts; the target is untouched.

    Raises:
        LoadFailed: COPY refused values.
        WarehouseError: The table is not as planned, or the rows are not those of the manifest.
        InputError: The files are not those of the manifest.
    """
    columns = _columns_as_planned(session, job)
    session.run(job.create_stage(columns))
    try:
        cut = job.warehouse.fill_stage(session, job.stage, columns, job.files)
    except CommitUnknown as unknown:
        # Committed or not, the temporary table is gone with its session.
        raise ConnectionLost(str(unknown)) from None
    ((rows, inside),) = session.rows(job.count_staged())
    if rows != job.files.rows:
        raise WarehouseError(
            f"{job.table} was left as it was: COPY brought {rows} rows, the run's manifest has "
            f"{job.files.rows} in {len(job.files.files)} files; run the transform again under a "
            "new run tag, and report this"
        )
    ((before,),) = session.rows(job.count_before())
    return Staged(session, columns, rows, inside or 0, before, cut)


def guard(job: Replacement, staged: Staged, rules: Rules) -> None:
    """Stops where the new rows are none, too few, or too badly cut.

    Raises:
        GuardFailed: They are; nothing was changed.
    """
    where = f"{job.table} was left as it was: in the window {job.window}"
    if staged.inside == 0 and not rules.allow_empty:
        raise GuardFailed(
            f"{where} there are no new rows ({staged.rows} outside it) to replace {staged.before} "
            "old ones; if that is right, use --allow-empty"
        )
    least = staged.before * rules.min_rows_ratio
    if 0 < staged.inside < least:
        share = math.floor(1000 * staged.inside / staged.before) / 1000
        raise GuardFailed(
            f"{where} there are {staged.inside} new rows to replace {staged.before} old ones, less "
            f"than {rules.min_rows_ratio:g} of them; if that is right, use --min-rows-ratio with "
            f"at most {share:g}"
        )
    cut = sum(staged.cut.values())
    if rules.max_truncated is not None and cut > rules.max_truncated:
        by_column = ", ".join(f"{name}: {count}" for name, count in sorted(staged.cut.items()))
        raise GuardFailed(
            f"{job.table} was left as it was: {cut} values are longer than their column and would "
            f"be cut ({by_column}), more than --max-truncated {rules.max_truncated}; widen the "
            "columns or allow it"
        )


def replace(
    job: Replacement, staged: Staged, rules: Rules, look: Callable[[datetime], bool]
) -> Replaced:
    """Deletes the window's rows, inserts the staged ones and writes the ledger, in one commit.

    Args:
        job: What is replaced.
        staged: The filled stage.
        rules: Whether a run tag may be loaded again.
        look: Says, where the answer to the commit was lost, whether the try whose ledger row has
            this time was committed.

    Raises:
        AlreadyLoaded: Another session loaded the run tag meanwhile.
        Conflict: Another transaction won; nothing was changed.
        ConnectionLost: The connection broke; nothing was changed.
        CommitUnknown: The answer to the commit was lost, and ``look`` could not tell.
    """
    ts = datetime.now(timezone.utc).replace(tzinfo=None)
    session = staged.session
    done: Replaced | None = None
    try:
        with session.transaction():
            # The lock comes first: what the statements after it see was committed before.
            session.run(ledger.lock(job.place.control))
            if rules.force:
                session.run(job.entry.delete())
            else:
                refuse_loaded(session, job)
            done = Replaced(session.run(job.delete()), session.run(job.insert(staged.columns)))
            if done.inserted != staged.inside:
                raise Bug(
                    f"{job.table} was left as it was: {staged.inside} staged rows are in the "
                    f"window, but the insert took {done.inserted}; report this"
                )
            session.run(
                job.entry.insert(
                    job.window,
                    job.files.checksum,
                    deleted=done.deleted,
                    inserted=done.inserted,
                    ts=ts,
                )
            )
    except CommitUnknown:
        if done is None or not look(ts):
            raise ConnectionLost(
                f"the connection broke during the commit of {job.table}, which was not done"
            ) from None
    assert done is not None  # the transaction ended without an error
    return done


def _columns_as_planned(session: Session, job: Replacement) -> tuple[WarehouseColumn, ...]:
    columns, problems = loadable_columns(
        session, job.warehouse, job.place.schema, job.table, job.files.columns
    )
    version = ledger.version(session, job.place.control, job.table)
    if version != job.files.version:
        problems.append(version_problem(job.place.control, job.table, job.files.version, version))
    if problems:
        raise WarehouseError(f"{job.table} was left as it was: {'; '.join(problems)}")
    return columns
