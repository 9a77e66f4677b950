"""The reports of ``spade-spark runs``, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.formatting import format_age, format_size, pluralize
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
_MAX_TABLES = 3


def print_runs(url: str, runs: Sequence[RunState], notes: Sequence[str], console: Console) -> None:
    """Print one line per run."""
    table = Table(title=Text(f"Runs under {url}"), title_justify="left")
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
            _table_names(run),
            f"{run.rows:,}" if run.rows else "",
            f"{run.objects:,}",
            format_size(run.size),
            _loaded(run),
        )
    console.print(table if runs else Text(f"No runs under {url}"))
    _print_notes(notes, console)


def print_run(
    run: RunState, details: DiscoveredRun, notes: Sequence[str], console: Console
) -> None:
    """Print the details of one run."""
    console.print(Group(*_run_parts(run, details)))
    _print_notes(notes, console)
    # On one line, so that the command can be copied.
    console.print(Text(f"Next: {run.next}"), soft_wrap=True)


def print_candidates(
    url: str, runs: Sequence[RunState], backups: Sequence[BackupInfo], console: Console
) -> None:
    """Print what can be removed, its size, and the command that removes it."""
    candidates = [(run, run.removable) for run in runs if run.removable]
    if candidates:
        console.print(_candidates(url, candidates))
        tags = " ".join(run.run_tag for run, _ in candidates)
        console.print(
            Text(f"Nothing removed yet. To remove: spade-spark runs --prune {tags}"), soft_wrap=True
        )
    else:
        console.print(Text(f"Nothing can be removed under {url}"))
    if backups:
        console.print(_backups(backups))
        tags = " ".join(f"--backups {tag}" for tag in dict.fromkeys(b.run_tag for b in backups))
        console.print(
            Text(f"Nothing dropped yet. To drop: spade-spark runs --prune {tags}"), soft_wrap=True
        )


def format_backup(backup: BackupInfo) -> str:
    """Describe a backup in one line."""
    size = "size unknown" if backup.size is None else format_size(backup.size)
    return f"{backup.backup}: {pluralize(backup.rows, 'row')} of {backup.table}, {size}"


def _candidates(url: str, candidates: Sequence[tuple[RunState, PruneCandidate]]) -> Table:
    table = Table(title=Text(f"Removable under {url}"), title_justify="left")
    for name in ("run tag", "what", "reason", "window", "tables"):
        table.add_column(name, overflow="fold")
    for name in ("objects", "size"):
        table.add_column(name, justify="right")
    for run, candidate in candidates:
        what = "whole run" if candidate.what == "run" else "leftovers"
        _add_row(
            table,
            run.run_tag,
            what,
            candidate.reason,
            _window(run),
            _table_names(run),
            _objects(candidate),
            format_size(candidate.size),
        )
    return table


def _backups(backups: Sequence[BackupInfo]) -> Table:
    table = Table(title="Expired backups in the warehouse", title_justify="left")
    for name in ("run tag", "table", "backup", "created (UTC)"):
        table.add_column(name, overflow="fold")
    for name in ("rows", "size"):
        table.add_column(name, justify="right")
    for backup in backups:
        _add_row(
            table,
            backup.run_tag,
            backup.table,
            backup.backup,
            f"{backup.at:%Y-%m-%d %H:%M:%S}",
            f"{backup.rows:,}",
            "" if backup.size is None else format_size(backup.size),
        )
    return table


def format_candidate(candidate: PruneCandidate) -> str:
    """Describe what would be removed, in one line."""
    what = "whole run" if candidate.what == "run" else "leftovers of failed attempts"
    return f"{what} ({candidate.reason}), {_objects(candidate)}, {format_size(candidate.size)}"


def _objects(candidate: PruneCandidate) -> str:
    """The number of objects, with the number under ``output.untracked``."""
    note = f" ({candidate.untracked:,} under output.untracked)" if candidate.untracked else ""
    return pluralize(candidate.objects, "object") + note


def runs_json(
    url: str,
    runs: Sequence[RunState],
    notes: Sequence[str],
    backups: Sequence[BackupInfo] | None = None,
) -> str:
    """Return the runs as JSON: ``{"url", "runs": [...], "notes": [...]}``.

    With ``backups``, also ``"backups": [...]``: the expired backups.
    """
    optional = {} if backups is None else {"backups": backups}
    return _json(
        {"url": url, "runs": [_run_fields(run) for run in runs], "notes": notes, **optional}
    )


def run_json(run: RunState, details: DiscoveredRun, notes: Sequence[str]) -> str:
    """Return one run as JSON: its list entry plus plan, manifest, load records and leftovers."""
    document = {
        **_run_fields(run),
        "plan": details.plan,
        "manifest": details.manifest,
        "load_records": details.loads,
        "leftovers": [leftover.key for leftover in details.leftovers],
        "notes": notes,
    }
    return _json(document)


def _run_parts(run: RunState, details: DiscoveredRun) -> Iterator[RenderableType]:
    yield Text.assemble((f"Run {run.run_tag}: ", "bold"), _state(run))
    yield Text(f"{run.url}  {pluralize(run.objects, 'object')}, {format_size(run.size)}")
    yield Text(f"Window: {_window(run)}")
    if details.plan:
        plan = details.plan
        yield Text(
            f"Plan: created {plan.created:%Y-%m-%d %H:%M:%S} UTC, "
            f"{pluralize(len(plan.sources), 'object')}, {format_size(plan.size)}; "
            f"{run.done:,} of {pluralize(len(plan.partitions), 'partition')} done"
        )
    if run.lock:
        age = format_age(timedelta(seconds=run.lock.seconds))
        status = "live" if run.lock.live else "expired"
        yield Text(f"Lock: {run.lock.process}, last heartbeat {age} ago, {status}")
    if run.tables:
        yield _tables(run)
    if details.manifest:
        yield from _manifest_parts(details)
    if run.loads:
        yield _loads(run.loads)
    for record in details.loads[-1:]:
        for failed in record.not_loaded:
            yield Text(f"Table {failed.table} was not loaded: {failed.reason}", style="red")
    for problem in run.problems:
        yield Text(problem, style="red")
    if run.removable:
        yield Text(f"Removable: {format_candidate(run.removable)}", style="yellow")


def _manifest_parts(details: DiscoveredRun) -> Iterator[RenderableType]:
    assert details.manifest is not None
    counts = details.manifest.counts
    outcomes = [f"{count:,} {name.value}" for name, count in counts.outcomes.items() if count]
    yield Text(
        f"Manifest: completed {details.manifest.created:%Y-%m-%d %H:%M:%S} UTC, read "
        f"{pluralize(counts.objects, 'object')}, {format_size(counts.bytes_in)}, "
        f"{pluralize(counts.lines, 'line')}: {counts.undecodable:,} undecodable, "
        f"{counts.filtered:,} prefiltered, {pluralize(counts.records, 'record')}"
    )
    yield Text(f"Events: {', '.join(outcomes) or 'none'}")
    for corrupt in details.manifest.damaged:
        yield Text(corrupt.reason, style="yellow")
    for table, reason in details.manifest.fallbacks.items():
        yield Text(
            f"Table {table} was transformed by the slower reference path: {reason}", style="yellow"
        )


def _tables(run: RunState) -> Table:
    table = Table(title="Tables", title_justify="left")
    for name in ("table", "version", "rows", "files", "size"):
        table.add_column(name, justify="left" if name == "table" else "right")
    for written in run.tables:
        cells = ("",) * 4
        if written.version is not None:
            figures = (f"{written.rows:,}", f"{written.files:,}")
            cells = (str(written.version), *figures, format_size(written.size))
        _add_row(table, written.table, *cells)
    return table


def _loads(loads: Sequence[TableLoad]) -> Table:
    table = Table(title="Loads", title_justify="left")
    for name in ("table", "warehouse", "loaded (UTC)", "window"):
        table.add_column(name, overflow="fold")
    for name in ("rows before", "deleted", "inserted"):
        table.add_column(name, justify="right")
    for name in ("recorded in", "backup", "undone (UTC)", "replaced by"):
        table.add_column(name, overflow="fold")
    for load in loads:
        _add_row(
            table,
            load.table,
            load.warehouse,
            f"{load.at:%Y-%m-%d %H:%M:%S}",
            f"{load.start} to {load.end}",
            "" if load.before is None else f"{load.before:,}",
            f"{load.deleted:,}",
            f"{load.inserted:,}",
            _recorded_in(load),
            load.backup,
            f"{load.undone:%Y-%m-%d %H:%M:%S}" if load.undone else "",
            ", ".join(load.replaced_by),
        )
    return table


def _recorded_in(load: TableLoad) -> str:
    if load.in_replay_log is False:
        return "run; NOT in replay log"
    places = ["run"] if load.recorded else []
    return ", ".join(places + (["replay log"] if load.in_replay_log else []))


def _state(run: RunState) -> Text:
    text = run.state.value
    if run.state in {State.TRANSFORMING, State.ABANDONED} and run.partitions:
        text += f", {run.done:,} of {pluralize(run.partitions, 'partition')}"
    if run.state is State.UNDONE and run.loaded_tables:
        text = f"partly undone: {_partly_undone(run)}"
    return Text(text, style=_COLORS[run.state])


def _partly_undone(run: RunState) -> str:
    """Which tables are undone, and how many are loaded."""
    parts = [
        f"{table} undone in part" if table in run.loaded_tables else f"{table} undone"
        for table in run.undone_tables
    ]
    if len(parts) > _MAX_TABLES:
        parts = [f"{len(parts):,} tables undone, at least in part"]
    loaded = {*run.loaded_tables} - {*run.undone_tables}
    if loaded:
        parts.append(f"{pluralize(len(loaded), 'table')} loaded")
    return ", ".join(parts)


def _window(run: RunState) -> str:
    return f"{run.window[0]} to {run.window[1]}" if run.window else "unknown"


def _table_names(run: RunState) -> str:
    names = [table.table for table in run.tables]
    more = f" and {len(names) - _MAX_TABLES} more" if len(names) > _MAX_TABLES else ""
    return ", ".join(names[:_MAX_TABLES]) + more


def _loaded(run: RunState) -> str:
    """Each warehouse with the load time; with the number of tables if only some are loaded."""
    by_warehouse: dict[str, list[TableLoad]] = {}
    for load in run.loads:
        if load.is_in_effect:
            by_warehouse.setdefault(load.warehouse, []).append(load)
    lines = []
    for warehouse, loads in by_warehouse.items():
        tables = len({load.table for load in loads})
        partial = "" if tables == len(run.tables) else f", {tables} of {len(run.tables)} tables"
        lines.append(f"{warehouse} {loads[-1].at:%Y-%m-%d %H:%M} UTC{partial}")
    return "; ".join(lines)


def _add_row(table: Table, *cells: str | Text) -> None:
    """Add a row without markup: names may contain square brackets."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def _print_notes(notes: Sequence[str], console: Console) -> None:
    for note in notes:
        console.print(Text(f"Note: {note}", style="yellow"))


def _run_fields(run: RunState) -> dict[str, object]:
    fields = msgspec.to_builtins(run)
    assert isinstance(fields, dict)
    return {**fields, "rows": run.rows}


def _json(document: dict[str, object]) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
