"""The runs under the output, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.locking.lease import format_age
from spade_spark.reporting.render import format_size, pluralize
from spade_spark.runs.discovery import DiscoveredRun, PruneCandidate
from spade_spark.runs.load_results import BackupInfo
from spade_spark.runs.status import RunState, State, TableLoad

_COLORS = {
    State.TRANSFORMING: "cyan",
    State.LOADING: "cyan",
    State.ABANDONED: "yellow",
    State.COMPLETE: "yellow",
    State.LOADED: "green",
    State.UNDONE: "yellow",
    State.DAMAGED: "red",
    State.LEGACY: "dim",
}
_MOST_TABLES = 3


def print_runs(url: str, runs: Sequence[RunState], notes: Sequence[str], console: Console) -> None:
    """Prints a line a run."""
    table = Table(title=f"Runs under {url}", title_justify="left")
    for name in ("run tag", "state", "window", "tables"):
        table.add_column(name, overflow="fold")
    for name in ("rows", "objects", "size"):
        table.add_column(name, justify="right")
    table.add_column("loaded", overflow="fold")
    for run in runs:
        _add_row(
            table,
            run.run_tag,
            _state(run),
            _window(run),
            _names(run),
            f"{run.rows:,}" if run.rows else "",
            f"{run.objects:,}",
            format_size(run.size),
            _loaded(run),
        )
    console.print(table if runs else Text(f"There are no runs under {url}"))
    _print_notes(notes, console)


def print_run(run: RunState, found: DiscoveredRun, notes: Sequence[str], console: Console) -> None:
    """Prints one run whole."""
    console.print(Group(*_run_parts(run, found)))
    _print_notes(notes, console)
    # In one line, however long, so that it can be pasted.
    console.print(Text(f"Next: {run.next}"), soft_wrap=True)


def print_candidates(
    url: str, runs: Sequence[RunState], backups: Sequence[BackupInfo], console: Console
) -> None:
    """Prints what can be removed, with sizes, and how."""
    offers = [(run, run.removable) for run in runs if run.removable]
    if offers:
        console.print(_offers(url, offers))
        tags = " ".join(run.run_tag for run, _ in offers)
        console.print(
            Text(f"Nothing was removed. To remove: spade-spark runs --prune {tags}"), soft_wrap=True
        )
    else:
        console.print(f"Nothing under {url} can be removed: all of it is of use", highlight=False)
    if backups:
        console.print(_backups(backups))
        tags = " ".join(f"--backups {tag}" for tag in dict.fromkeys(b.run_tag for b in backups))
        console.print(
            Text(f"Nothing was dropped. To drop: spade-spark runs --prune {tags}"), soft_wrap=True
        )


def format_backup(backup: BackupInfo) -> str:
    """What would be dropped, in one line."""
    size = "size not known" if backup.size is None else format_size(backup.size)
    return f"{backup.backup}: {pluralize(backup.rows, 'row')} of {backup.table}, {size}"


def _offers(url: str, offers: Sequence[tuple[RunState, PruneCandidate]]) -> Table:
    table = Table(title=f"What can be removed under {url}", title_justify="left")
    for name in ("run tag", "what", "why", "window", "tables"):
        table.add_column(name, overflow="fold")
    for name in ("objects", "size"):
        table.add_column(name, justify="right")
    for run, offer in offers:
        what = "all of it" if offer.what == "run" else "leftovers"
        _add_row(
            table,
            run.run_tag,
            what,
            offer.reason,
            _window(run),
            _names(run),
            _objects(offer),
            format_size(offer.size),
        )
    return table


def _backups(backups: Sequence[BackupInfo]) -> Table:
    title = "Backups in the warehouse that have expired: rows that a load or undo replaced"
    table = Table(title=title, title_justify="left")
    for name in ("run tag", "table", "kept in", "since (UTC)"):
        table.add_column(name, overflow="fold")
    for name in ("rows", "size"):
        table.add_column(name, justify="right")
    for each in backups:
        _add_row(
            table,
            each.run_tag,
            each.table,
            each.backup,
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            f"{each.rows:,}",
            "" if each.size is None else format_size(each.size),
        )
    return table


def format_candidate(offer: PruneCandidate) -> str:
    """What would go, in one line."""
    what = "all of the run" if offer.what == "run" else "leftovers of failed attempts"
    return f"{what} ({offer.reason}), {_objects(offer)}, {format_size(offer.size)}"


def _objects(offer: PruneCandidate) -> str:
    """How many, and how many of them are not below the run tag."""
    elsewhere = f" ({offer.untracked:,} under output.untracked)" if offer.untracked else ""
    return pluralize(offer.objects, "object") + elsewhere


def runs_json(
    url: str,
    runs: Sequence[RunState],
    notes: Sequence[str],
    backups: Sequence[BackupInfo] | None = None,
) -> str:
    """The runs as JSON: ``{"url", "runs": [...], "notes": [...]}``.

    Where it is about what can be removed, with ``"backups": [...]``: those that have expired.
    """
    more = {} if backups is None else {"backups": backups}
    return _json({"url": url, "runs": [_plain(run) for run in runs], "notes": notes, **more})


def run_json(run: RunState, found: DiscoveredRun, notes: Sequence[str]) -> str:
    """One run as JSON: as in the list, with plan, manifest, records of loads and leftovers."""
    document = {
        **_plain(run),
        "plan": found.plan,
        "manifest": found.manifest,
        "load_records": found.loads,
        "leftovers": [each.key for each in found.leftovers],
        "notes": notes,
    }
    return _json(document)


def _run_parts(run: RunState, found: DiscoveredRun) -> Iterator[RenderableType]:
    yield Text.assemble((f"Run {run.run_tag}: ", "bold"), _state(run))
    yield Text(f"{run.url}  {pluralize(run.objects, 'object')}, {format_size(run.size)}")
    yield Text(f"window: {_window(run)}")
    if found.plan:
        plan = found.plan
        yield Text(
            f"plan: of {plan.created:%Y-%m-%d %H:%M:%S} UTC, "
            f"{pluralize(len(plan.sources), 'object')}, {format_size(plan.size)}; "
            f"{run.done:,} of {pluralize(len(plan.partitions), 'partition')} done"
        )
    if run.lock:
        age = format_age(timedelta(seconds=run.lock.seconds))
        life = "alive" if run.lock.live else "taken for dead"
        yield Text(f"lock: {run.lock.process}, last sign of life {age} old, {life}")
    if run.tables:
        yield _tables(run)
    if found.manifest:
        yield from _counted(found)
    if run.loads:
        yield _loads(run.loads)
    for record in found.loads[-1:]:
        for failed in record.not_loaded:
            yield Text(f"Table {failed.table} was not loaded: {failed.reason}", style="red")
    for problem in run.problems:
        yield Text(problem, style="red")
    if run.removable:
        yield Text(f"can be removed: {format_candidate(run.removable)}", style="yellow")


def _counted(found: DiscoveredRun) -> Iterator[RenderableType]:
    assert found.manifest is not None
    ledger = found.manifest.counts
    outcomes = [f"{count:,} {name.value}" for name, count in ledger.outcomes.items() if count]
    yield Text(
        f"sealed {found.manifest.created:%Y-%m-%d %H:%M:%S} UTC; read "
        f"{pluralize(ledger.objects, 'object')}, {format_size(ledger.bytes_in)}, "
        f"{ledger.lines:,} lines: {ledger.undecodable:,} undecodable, "
        f"{ledger.filtered:,} passed over, {pluralize(ledger.records, 'record')}"
    )
    yield Text(f"events: {', '.join(outcomes) or 'none'}")
    for damaged in found.manifest.damaged:
        yield Text(f"damaged object: {damaged.reason}", style="yellow")
    for table, reason in found.manifest.fallbacks.items():
        yield Text(
            f"table {table} was transformed by the slower reference path: {reason}", style="yellow"
        )


def _tables(run: RunState) -> Table:
    table = Table(title="Tables", title_justify="left")
    for name in ("table", "version", "rows", "files", "size"):
        table.add_column(name, justify="left" if name == "table" else "right")
    for each in run.tables:
        made = ("",) * 4
        if each.version is not None:
            made = (str(each.version), f"{each.rows:,}", f"{each.files:,}", format_size(each.size))
        _add_row(table, each.table, *made)
    return table


def _loads(loads: Sequence[TableLoad]) -> Table:
    table = Table(title="Loads", title_justify="left")
    for name in ("table", "warehouse", "at (UTC)", "window"):
        table.add_column(name, overflow="fold")
    for name in ("rows before", "deleted", "inserted"):
        table.add_column(name, justify="right")
    for name in ("known from", "rows deleted are kept in", "undone (UTC)"):
        table.add_column(name, overflow="fold")
    for each in loads:
        _add_row(
            table,
            each.table,
            each.warehouse,
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            f"{each.start} to {each.end}",
            "" if each.before is None else f"{each.before:,}",
            f"{each.deleted:,}",
            f"{each.inserted:,}",
            _known_from(each),
            each.backup,
            f"{each.undone:%Y-%m-%d %H:%M:%S}" if each.undone else "",
        )
    return table


def _known_from(load: TableLoad) -> str:
    if load.in_replay_log is False:
        return "its record; NOT in the warehouse's ledger"
    known = ["its record"] if load.recorded else []
    return " and ".join(known + (["the warehouse's ledger"] if load.in_replay_log else []))


def _state(run: RunState) -> Text:
    text = run.state.value
    if run.state in {State.TRANSFORMING, State.ABANDONED} and run.partitions:
        text += f", {run.done:,} of {run.partitions:,} partitions"
    return Text(text, style=_COLORS[run.state])


def _window(run: RunState) -> str:
    return f"{run.window[0]} to {run.window[1]}" if run.window else "not known"


def _names(run: RunState) -> str:
    names = [table.table for table in run.tables]
    more = f" and {len(names) - _MOST_TABLES} more" if len(names) > _MOST_TABLES else ""
    return ", ".join(names[:_MOST_TABLES]) + more


def _loaded(run: RunState) -> str:
    """Where and when, and how much of it where it is not all."""
    places: dict[str, list[TableLoad]] = {}
    for load in run.loads:
        if load.in_replay_log is not False and not load.undone:
            places.setdefault(load.warehouse, []).append(load)
    lines = []
    for place, loads in places.items():
        some = (
            "" if len(loads) == len(run.tables) else f", {len(loads)} of {len(run.tables)} tables"
        )
        lines.append(f"{place} {loads[-1].at:%Y-%m-%d %H:%M} UTC{some}")
    return "; ".join(lines)


def _add_row(table: Table, *cells: str | Text) -> None:
    """A row of plain text: in a name, square brackets are no markup."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def _print_notes(notes: Sequence[str], console: Console) -> None:
    for note in notes:
        console.print(Text(f"Note: {note}", style="yellow"))


def _plain(run: RunState) -> dict[str, object]:
    plain = msgspec.to_builtins(run)
    assert isinstance(plain, dict)
    return {**plain, "rows": run.rows}


def _json(document: dict[str, object]) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
