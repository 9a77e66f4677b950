"""Random sequences of loads, undos, and undos of undos: the rows that an undo restores.

Most sequences run on a model of one table: a dict of rows by time, with a backup per load. Some run
on PostgreSQL, where the result must be the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from spade_spark.runs.load_results import UndoSucceeded
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.guards import LoadGuards
from spade_spark.warehouse.load_history import (
    LoadHistory,
    ReplayLogRow,
    replay_log_rows,
    undo_steps,
)
from spade_spark.warehouse.rollback import plan_undo, undo_tables
from spade_spark.warehouse.target_rows import schemas_from_settings
from spade_spark.window import Window
from tests.warehouse.harness import FAST_RETRIES, no_lock

NOON = datetime.fromisoformat("2017-11-04 12:00:00")  # as in the time column, without a zone
WINDOWS = [(0, 3), (0, 1), (2, 3), (1, 2), (4, 5)]
NESTED = ["", "undo-", "undo-undo-", "undo-undo-undo-"]

loads = st.tuples(st.just("load"), st.sampled_from("ab"), st.sampled_from(WINDOWS))
undos = st.builds(
    lambda nested, tag, windows: ("undo", nested + tag, windows),
    st.sampled_from(NESTED),
    st.sampled_from("ab"),
    st.none(),
)
sequences = st.lists(loads | undos, min_size=2, max_size=12)


@dataclass
class Model:
    """One table, its replay log, and the content of each backup.

    Attributes:
        rows: The rows by time.
        log: The replay log.
        backups: For each row of the log, the replaced rows.
        loads: Each load with the rows that it wrote.
    """

    rows: dict[int, str] = field(default_factory=lambda: dict.fromkeys(range(6), "old"))
    log: list[ReplayLogRow] = field(default_factory=list)
    backups: list[dict[int, str]] = field(default_factory=list)
    loads: dict[ReplayLogRow, dict[int, str]] = field(default_factory=dict)

    @property
    def history(self) -> LoadHistory:
        return LoadHistory(self.log)

    def load(self, tag: str, window: tuple[int, int]) -> None:
        name = f"{tag}{len(self.log)}"
        new = dict.fromkeys(range(window[0], window[1] + 1), name)
        self.loads[self._replace(tag, window, new)] = new

    def undo(self, tag: str, *, force: bool = False) -> tuple[ReplayLogRow, ...] | None:
        """Undo a run tag and return the loads that were undone, or None if it is refused."""
        steps = undo_steps(self.history, tag, "t")
        if not force and any(step.history.later_changes(step.load) for step in steps):
            return None
        for step in steps:
            load = step.load
            window = ((load.start - NOON).seconds, (load.end - NOON).seconds)
            # What the replay log does not show, the fingerprint must.
            assert force or load.fingerprint == str(self._window(window))
            undone = self._replace("undo-" + tag, window, self.backups[self.log.index(load)])
            assert self.history.undo_of(load) == undone
        return tuple(step.load for step in steps)

    def expected(self) -> dict[int, str]:
        """The rows if only the loads in effect had been made, in their order."""
        rows = dict.fromkeys(range(6), "old")
        for load, new in self.loads.items():
            if not self.history.undo_of(load):
                rows.update(new)
        return rows

    def in_effect(self, tag: str) -> set[ReplayLogRow]:
        history = self.history
        return {row for row in history.loads(tag, "t") if not history.undo_of(row)}

    def _window(self, window: tuple[int, int]) -> dict[int, str]:
        return {time: self.rows[time] for time in range(window[0], window[1] + 1)}

    def _replace(self, tag: str, window: tuple[int, int], new: dict[int, str]) -> ReplayLogRow:
        self.backups.append(self._window(window))
        self.rows.update(new)
        start, end = (NOON + timedelta(seconds=second) for second in window)
        at = datetime(2018, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=len(self.log))
        self.log.append(ReplayLogRow(tag, "t", start, end, 0, 0, at, "", str(self._window(window))))
        return self.log[-1]


def other(tag: str) -> str:
    return "b" if tag.endswith("a") else "a"


@given(sequences)
def test_an_undo_is_refused_or_leaves_only_the_rows_of_the_other_loads(sequence):
    model = Model()
    for action, tag, window in sequence:
        if action == "load":
            model.load(tag, window)
            continue
        before, own = dict(model.rows), model.in_effect(tag)
        others = model.in_effect(other(tag))
        undone = model.undo(tag)
        if undone is None:
            assert model.rows == before
        elif not tag.startswith("undo-"):
            assert set(undone) == own
            assert not model.in_effect(tag)
        assert model.in_effect(other(tag)) == others
        assert model.rows == model.expected()


@given(sequences)
def test_a_run_can_be_undone_if_no_later_load_of_another_run_overlaps_one_of_its_loads(sequence):
    model = Model()
    for action, tag, window in sequence:
        if action == "load":
            model.load(tag, window)
        elif tag.startswith("undo-"):
            model.undo(tag)
        else:
            obstacles = [
                later
                for load in model.in_effect(tag)
                for later in model.in_effect(other(tag))
                if later.at > load.at and later.overlaps(load)
            ]
            assert (model.undo(tag) is None) == bool(obstacles)


@given(sequences, st.sampled_from(["a", "b", "undo-a", "undo-undo-b"]))
def test_an_undo_of_an_undo_restores_every_row(sequence, tag):
    model = Model()
    for action, *arguments in sequence:
        (model.load if action == "load" else lambda tag, _: model.undo(tag))(*arguments)
    assume(not model.in_effect("undo-" + tag))  # an earlier undo would be undone as well
    before = dict(model.rows)
    if model.undo(tag):
        model.undo("undo-" + tag)
        assert model.rows == before


@given(sequences, st.sampled_from(["a", "undo-a", "undo-undo-a"]))
def test_right_after_an_undo_its_own_undo_is_refused_only_because_of_another_run(sequence, tag):
    model = Model()
    sequence = [step for step in sequence if step[1].endswith("a")]
    for action, *arguments in sequence:
        (model.load if action == "load" else lambda tag, _: model.undo(tag))(*arguments)
    if model.undo(tag):
        assert model.undo("undo-" + tag)
        assert model.rows == model.expected()


def test_after_load_undo_load_and_undo_the_undo_of_the_undo_restores_the_second_load():
    model = Model()
    for _ in range(2):
        model.load("a", (0, 3))
        loaded = dict(model.rows)
        model.undo("a")
    assert len(model.undo("undo-a") or ()) == 1
    assert model.rows == loaded
    assert model.undo("undo-a") == ()


@given(sequences)
def test_a_repeated_undo_changes_nothing(sequence):
    model = Model()
    for action, tag, window in sequence:
        if action == "load":
            model.load(tag, window)
        elif model.undo(tag):
            assert model.undo(tag) == ()


@given(sequences)
def test_a_forced_undo_is_matched_to_the_load_that_it_undid(sequence):
    model = Model()
    for action, tag, window in sequence:
        if action == "load":
            model.load(tag, window)
        else:
            model.undo(tag, force=True)  # checks each match


def undo_of_latest(row: ReplayLogRow, rows: list[ReplayLogRow]) -> ReplayLogRow | None:
    """How earlier versions found the undo of a load: an undo meant the latest load."""
    for undo in rows:
        if undo.run_tag == "undo-" + row.run_tag and undo.at > row.at:
            before = [r for r in rows if r.run_tag == row.run_tag and r.at < undo.at]
            if before[-1] == row and undo_of_latest(undo, rows) is None:
                return undo
    return None


@given(sequences)
def test_a_log_in_which_each_undo_undid_the_latest_load_reads_as_before(sequence):
    model = Model()
    for action, tag, window in sequence:
        latest = model.history.loads(tag, "t")[-1:]
        if action == "load":
            model.load(tag, window)
        elif latest and not undo_of_latest(latest[0], model.log):
            start, end = latest[0].start - NOON, latest[0].end - NOON
            model._replace("undo-" + tag, (start.seconds, end.seconds), {})
    for row in model.log:
        assert model.history.undo_of(row) == undo_of_latest(row, model.log)


class Postgres:
    """The same table in PostgreSQL."""

    def __init__(self, harness):
        self.harness = harness
        self.table = harness.create_table(
            f"t{harness.execute('SELECT count(*) FROM pg_tables')[0][0]}",
            rows=[(self._time(second), "old", 0) for second in range(6)],
        )

    def load(self, tag, window, name):
        rows = [
            f'"{self._time(second)}"\t"{name}"\t"0"'.encode()
            for second in range(window[0], window[1] + 1)
        ]
        self.harness.load_table(
            self.harness.write_files(*rows, table=self.table),
            run_tag=tag,
            window=Window.parse(*map(self._time, window)),
            guards=LoadGuards(force=True),
        )

    def undo(self, tag):
        """Undo a run tag as the command does; return whether it was not refused."""
        harness, guards = self.harness, LoadGuards()
        schemas = schemas_from_settings(harness.settings)
        with Session(harness.warehouse.connection_info) as session:
            history = LoadHistory(replay_log_rows(session, harness.control))
            steps = undo_steps(history, tag, self.table)
            if any(step.history.later_changes(step.load) for step in steps):
                return False
            for step in steps:
                plan_undo(session, harness.warehouse, schemas, step, guards)
        undone = undo_tables(
            harness.warehouse,
            [step.load for step in steps],
            harness.settings,
            guards=guards,
            verify_lock=no_lock,
            retries=FAST_RETRIES,
        )
        assert all(isinstance(outcome, UndoSucceeded) for outcome in undone), undone
        assert len(undone) == len(steps)
        return True

    def rows(self):
        return {second: name for second, (_, name, _) in enumerate(self.harness.rows(self.table))}

    @staticmethod
    def _time(second):
        return str(NOON + timedelta(seconds=second))


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sequence=st.lists(loads | undos, min_size=4, max_size=7))
def test_postgresql_has_the_rows_of_the_model(on_postgres, sequence):
    model, table = Model(), Postgres(on_postgres)
    for action, tag, window in sequence:
        if action == "load":
            model.load(tag, window)
            table.load(tag, window, f"{tag}{len(model.log) - 1}")
        else:
            assert table.undo(tag) == (model.undo(tag) is not None)
        assert table.rows() == model.rows
