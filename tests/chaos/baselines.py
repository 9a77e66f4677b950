"""What undisturbed commands come to, which trials are held against, and the assertion of all.

After the disturbance each table is as it was or as an undisturbed command makes it, row for row,
the ledgers balance, and the rows that went are kept; after the same command, run again
undisturbed, all tables are as they should be, and the command says so by its exit status. A trial
returns in a few words how the disturbed command ended; what breaks the assertion is an
AssertionError.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.fixtures import TABLES, Scene, Tables, in_order
from tests.chaos.state_diff import Change
from tests.chaos.trial import Ended, Trial, check_run, trial
from tests.support import edge_logs

MADE = "undisturbed"
"""The run tag of the undisturbed replay: a whole run, which loads may take."""

LOADED = ("login", "chat")
"""What loads without a transform replace, and what is undone and added to."""

ALONE = ("--poolsize", "1")
"""One table after the other: the statements in an order that does not change."""

_AFTER_LOAD = "chaos_loaded"


@dataclass(frozen=True)
class Course:
    """What an undisturbed command did.

    Attributes:
        requests: The requests to S3 that it made, in their order.
        statements: The statements that it made.
        seconds: The time that it took.
    """

    requests: tuple[str, ...]
    statements: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Command:
    """A command that is to be disturbed.

    Attributes:
        name: What experiments call it.
        scene: What it begins with.
        tag: Its run tag.
        how: The rest of its trials: see :func:`tests.chaos.trial.trial`.
        more: Further words.
        course: What it does, undisturbed.
    """

    name: str
    scene: Scene
    tag: str
    how: Mapping[str, Any]
    more: tuple[str, ...] = ()
    course: Course = field(default_factory=lambda: Course((), (), 0.0))

    def trial(self) -> AbstractContextManager[Trial]:
        return trial(self.scene, self.tag, **self.how)


@dataclass(frozen=True)
class Known:
    """What an undisturbed run, and a load alone, came to.

    Attributes:
        scene: What trials begin with.
        before: The tables before.
        right: The tables after.
        whole: What the replay of all tables did.
        load: The load of :data:`LOADED` alone.
        undo: The undo of that load.
        again: What the run could make no row of, mended, and tried again after that load.
    """

    scene: Scene
    before: Tables
    right: Tables
    whole: Course
    load: Command
    undo: Command
    again: Command

    def replay(self, words: Sequence[str] = TABLES) -> Change:
        """What a replay makes of the tables where only some are replaced."""
        return _replay(self.before, self.right, words)


def know(scene: Scene) -> Known:
    """Runs the commands that experiments are about, and nothing disturbs them."""
    with trial(scene, MADE) as run:
        before = run.rows()
        began = time.monotonic()
        ended = run.apart()
        whole = _course(run, began)
        assert ended.status == 0, ended.said
        right = run.rows()
        assert all(right[table] != before[table] for table in TABLES)
        run.look(Change(before, right))
    mended = _mend_quarantine(scene)
    loading = _replay(before, right, LOADED)
    skip = ("--skip-transform", *ALONE)
    load = Command("load", scene, MADE, {"words": LOADED, "change": loading}, skip)
    load = _undisturbed(load, keep=_AFTER_LOAD)
    back = Change(loading.right, before)
    how = {"like": _AFTER_LOAD, "command": ("undo", MADE), "change": back}
    fewer = ("--min-rows-ratio", "0")  # the rows that come back are 3 a table
    undo = Command("undo", scene, f"undo-{MADE}", how, (*ALONE, *fewer))
    more = {table: in_order([*loading.right[table], *mended[table]]) for table in TABLES}
    adding = Change(loading.right, more, adds=True)
    command = ("replay", "--from-quarantine", MADE)
    how = {"like": _AFTER_LOAD, "command": command, "change": adding}
    again = Command("replay --from-quarantine", scene, f"{MADE}.quarantine", how, ALONE)
    return Known(scene, before, right, whole, load, _undisturbed(undo), _undisturbed(again))


def settle(trial: Trial, known: Known, ended: Ended, *again: str) -> str:
    """Looks at what a disturbed command left, runs it again undisturbed, looks once more.

    Returns:
        The end of the disturbed command in a few words.
    """
    trial.clear_faults()
    change = trial.change or known.replay(trial.words)
    changed = trial.look(change)
    said_done = ended.status == 0
    assert not said_done or changed == change.tables, "the command said that all was done: not so"
    second = trial.here(*again)
    assert trial.look(change) == change.tables, f"run again: {second.said}"
    assert second.status == 0, f"run again: {second.said}"
    how = {0: "done", -9: "killed"}.get(ended.status, f"exit status {ended.status}")
    if not changed:
        return f"{how}, tables untouched"
    return f"{how}, all right" if changed == change.tables else f"{how}, some right, others not yet"


def _undisturbed(command: Command, keep: str = "") -> Command:
    """The command with its course; the warehouse that it leaves is kept by the name ``keep``."""
    with command.trial() as run:
        began = time.monotonic()
        ended = run.here(*command.more)
        course = _course(run, began)
        assert ended.status == 0, ended.said
        assert run.change is not None
        assert run.look(run.change) == run.change.tables == set(LOADED), ended.said
        if keep:
            run.scene.keep(run.url, keep)
    return Command(command.name, command.scene, command.tag, command.how, command.more, course)


def _course(run: Trial, began: float) -> Course:
    seconds = time.monotonic() - began
    return Course(tuple(run.s3.requests), tuple(run.redshift.statements), seconds)


def _replay(before: Tables, right: Tables, words: Sequence[str]) -> Change:
    asked = set(words) & set(TABLES) or set(TABLES)
    return Change(before, {table: (right if table in asked else before)[table] for table in TABLES})


def _mend_quarantine(scene: Scene) -> Tables:
    """From now on the decoder reads what it could not: all but the last record of each file.

    The kept line is put right as a mended decoder would read it.

    Returns:
        The rows that come of it.
    """
    manifest = check_run(scene, MADE)
    assert manifest is not None
    rows: Tables = {table: [] for table in TABLES}
    number = 0
    for file in manifest.quarantine:
        *broken, last = gzip.decompress(scene.store.read(f"out/{file.key}")).splitlines()
        lines = []
        for line in broken:
            table, properties = LOADED[number % len(LOADED)], {"who": "mended", "n": number}
            mended = edge_logs.record(table, properties, "2017-11-03T17:30:00Z").decode()
            lines.append(json.dumps({**json.loads(line), "raw": mended}).encode())
            rows[table].append(("2017-11-03 10:30:00", "mended", number))
            number += 1
        scene.store.write(f"out/{file.key}", edge_logs.log([*lines, last]))
    assert all(rows[table] for table in LOADED)
    return rows
