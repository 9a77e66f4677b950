"""The story of a replay, top to bottom.

::

    plan ─► list ─► read ─► decode ─► transform ─► write ─► seal ─► load ─► report

:func:`replay` refuses what cannot work before anything is begun, makes the rows (or takes those of
an earlier run tag), and replaces the window in the warehouse, table by table. What is counted on
the way must balance, or nothing is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

from spade_spark import __version__
from spade_spark.blueprint import catalog
from spade_spark.blueprint.schema import Reading, Table, read_tables
from spade_spark.edge.listing import Listing, list_window
from spade_spark.engine.partition import Job
from spade_spark.errors import InputError, UsageError
from spade_spark.plan import Plan, deal
from spade_spark.report.report import LeftOutTable, Report
from spade_spark.report.screen import Screen
from spade_spark.report.summary import size_text
from spade_spark.request import Request
from spade_spark.run.loads import TableFiles
from spade_spark.run.records import digest
from spade_spark.run.run import Run, Sealed, sha256
from spade_spark.settings import Settings
from spade_spark.store import open_store
from spade_spark.transform.registry import is_transformer
from spade_spark.warehouse.load import LoadRules, load_tables
from spade_spark.warehouse.preflight import preflight
from spade_spark.window import Window


def replay(request: Request, settings: Settings, screen: Screen) -> Report:
    """Carries out ``request``.

    Returns:
        What it came to; ``report.complete`` says whether all that was asked for is done.

    Raises:
        SpadeError: What ended the replay before any table was touched.
    """
    began = time.monotonic()
    run = Run(open_store(settings.output.base, settings.s3), request.run_tag)
    if request.skip_transform:
        report = _take(request, run)
        _preflight(request, settings, _tables_of(run, request), screen)
    else:
        report = _make(request, settings, run, screen)
    report = _load(request, settings, run, report, screen)
    report = replace(report, seconds=time.monotonic() - began)
    run.write_report(report.to_json())
    return report


def _make(request: Request, settings: Settings, run: Run, screen: Screen) -> Report:
    """Plans, checks the warehouse, transforms, seals."""
    schemas = catalog.fetch(settings.blueprint.schemas, settings.s3)
    reading = read_tables(schemas, is_transformer)
    tables = _choose(request, reading)
    listing = _list(request, settings)
    _preflight(request, settings, tables, screen)
    plan = run.begin(_plan(request, settings, schemas, tables, listing), schemas)
    screen.say(
        f"run tag {run.layout.run_tag}: {len(plan.sources):,} objects, {size_text(plan.size)}, "
        f"for {len(tables)} tables, {request.window}"
    )
    sealed = run.sealed() or _transform(settings, run, plan, schemas, tables, screen)
    left_out = tuple(LeftOutTable(each.name, each.reason) for each in reading.left_out)
    return replace(
        _report(request, run, sealed),
        left_out=left_out if request.all_tables else (),
        unnamed=listing.unnamed,
    )


def _take(request: Request, run: Run) -> Report:
    """Takes what an earlier run made."""
    sealed = run.sealed()
    if sealed is None:
        raise InputError(
            f"{run.url} has no manifest: the run did not complete. Run the same command without "
            "--skip-transform to go on with it"
        )
    made = Window.parse(*sealed.manifest.window)
    if request.window.first < made.first or made.last < request.window.last:
        raise UsageError(
            f"run tag {request.run_tag} was made for {made}: a load's window must lie inside that"
        )
    return _report(request, run, sealed)


def _report(request: Request, run: Run, sealed: Sealed) -> Report:
    return Report(request.run_tag, run.url, str(request.window), sealed.manifest)


def _choose(request: Request, reading: Reading) -> list[Table]:
    """The tables asked for, by name.

    Raises:
        UsageError: A name that Blueprint does not have, or whose schema cannot be used.
    """
    if request.all_tables:
        return [reading.tables[name] for name in sorted(reading.tables)]
    left_out = {each.name: each.reason for each in reading.left_out}
    problems = [
        f"table {name} cannot be made: {left_out[name]}"
        if name in left_out
        else f"Blueprint has no table {name}"
        for name in sorted(set(request.tables) - reading.tables.keys())
    ]
    if problems:
        raise UsageError("; ".join(problems))
    return [reading.tables[name] for name in sorted(set(request.tables))]


def _tables_of(run: Run, request: Request) -> list[Table]:
    """The tables asked for, as the run made them.

    Raises:
        UsageError: A table that the run did not make.
    """
    sealed = run.sealed()
    assert sealed is not None
    made = {each.table for each in sealed.manifest.tables}
    missing = sorted(set(request.tables) - made)
    if missing:
        raise UsageError(f"run tag {request.run_tag} did not make: {', '.join(missing)}")
    reading = read_tables(run.store.read(run.layout.schemas), is_transformer)
    return [reading.tables[name] for name in sorted(set(request.tables) or made)]


def _list(request: Request, settings: Settings) -> Listing:
    edge = open_store(settings.input.edge, settings.s3)
    listing = list_window(edge, request.window, settings.input)
    if not listing.sources and not request.allow_empty:
        raise InputError(
            f"{edge.url} has no object for {request.window} (by {settings.input.time_source}, see "
            "input.time_source): check the window and input.edge"
        )
    return listing


def _plan(
    request: Request, settings: Settings, schemas: bytes, tables: Sequence[Table], listing: Listing
) -> Plan:
    return Plan(
        run_tag=request.run_tag,
        created=datetime.now(timezone.utc),
        window=request.window.arguments,
        tables=tuple(table.name for table in tables),
        all_tables=request.all_tables,
        schemas_sha256=sha256(schemas),
        edge=settings.input.edge,
        partitions=deal(listing.sources),
        settings=settings.bearing_on_rows(),
        version=__version__,
    )


def _preflight(
    request: Request, settings: Settings, tables: Sequence[Table], screen: Screen
) -> None:
    """Nothing is computed for a load that cannot work."""
    if request.skip_load:
        return
    preflight(settings, tables, request.window)
    screen.say(f"the warehouse is ready for {len(tables)} tables")


def _transform(
    settings: Settings,
    run: Run,
    plan: Plan,
    schemas: bytes,
    tables: Sequence[Table],
    screen: Screen,
) -> Sealed:
    """Does the partitions that are not done yet, on Spark, and seals the run."""
    # Imported where it is needed: a load alone starts no Spark.
    from spade_spark.engine import spark  # noqa: PLC0415 - see above

    done = run.completions(plan)
    left = [each for each in plan.partitions if each.number not in {one.partition for one in done}]
    if done:
        screen.say(f"going on: {len(done):,} of {len(plan.partitions):,} partitions are done")
    job = Job(
        run_tag=plan.run_tag,
        plan=digest(plan),
        day=plan.created.strftime("%Y%m%d"),
        settings=settings.for_tasks(),
        schemas=schemas,
        asked=None if plan.all_tables else frozenset(plan.tables),
    )
    with screen.transforming(left) as watch:
        returned = spark.transform(job, left, settings.spark, watch)
    return run.seal(plan, tables, [*done, *returned], datetime.now(timezone.utc))


def _load(request: Request, settings: Settings, run: Run, report: Report, screen: Screen) -> Report:
    """Replaces the window of each table asked for, unless the input is too damaged for that."""
    damaged = len(report.manifest.damaged)
    if damaged > request.allow_damaged:
        problem = f"{damaged} objects are damaged" + (
            "" if request.skip_load else ", and so nothing was loaded"
        )
        return replace(
            report,
            problems=(
                f"{problem}: mend them, or go on without what they lack by "
                f"--skip-transform --runtag {request.run_tag} --allow-damaged {damaged}",
            ),
        )
    if request.skip_load:
        return report
    files = _asked(request, run)
    rules = LoadRules(
        min_rows_ratio=settings.warehouse.min_rows_ratio,
        allow_empty=request.allow_empty,
        max_truncated=request.max_truncated,
        force=request.force,
    )
    with screen.loading([each.table for each in files]) as tell:
        loads = load_tables(
            settings,
            files,
            request.window,
            run_tag=request.run_tag,
            poolsize=request.poolsize,
            rules=rules,
            progress=tell,
        )
    return replace(report, loads=tuple(loads))


def _asked(request: Request, run: Run) -> list[TableFiles]:
    sealed = run.sealed()
    assert sealed is not None
    names = set(request.tables)
    return [each for each in sealed.files if not names or each.table in names]
