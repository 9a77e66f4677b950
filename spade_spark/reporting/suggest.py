"""The report of ``spade-spark suggest``: as text, and as JSON that Blueprint reads."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.blueprint.schema import Column, as_published
from spade_spark.formatting import pluralize
from spade_spark.reporting.render import print_parts
from spade_spark.schema_inference.infer import Suggestions
from spade_spark.schema_inference.proposal import PropertySuggestion, Suggestion

_MAX_SHOWN = 20


def suggestions_json(suggestions: Suggestions) -> str:
    """Return the suggested tables as Blueprint publishes them, each with its observed events."""
    entries = [
        as_published(suggestion.table) | _observed(suggestion)
        for suggestion in suggestions.suggestions
    ]
    return msgspec.json.format(msgspec.json.encode(entries).decode(), indent=1)


def print_suggestions(suggestions: Suggestions, console: Console) -> None:
    """Print each event with its properties and the suggested columns."""
    print_parts(_parts(suggestions), console)


def _observed(suggestion: Suggestion) -> dict[str, object]:
    properties = [
        {
            "Name": prop.name,
            "Values": prop.profile.values,
            "Nulls": prop.profile.nulls,
            "Types": {kind.value: count for kind, count in prop.profile.kinds.most_common()},
            "MaxBytes": prop.profile.max_bytes,
            "Notes": list(prop.notes),
        }
        for prop in suggestion.properties
    ]
    return {
        "Observed": {
            "Events": suggestion.profile.events,
            "Properties": properties,
            "Notes": list(suggestion.notes),
        }
    }


def _parts(suggestions: Suggestions) -> Iterator[RenderableType]:
    for suggestion in suggestions.suggestions[:_MAX_SHOWN]:
        yield Text()
        yield _table(suggestion)
        yield from (Text(f"  {note}", style="yellow") for note in suggestion.notes)
    yield Text()
    if len(suggestions.suggestions) > _MAX_SHOWN:
        others = [suggestion.table.name for suggestion in suggestions.suggestions[_MAX_SHOWN:]]
        yield Text(f"{pluralize(len(others), 'more event name')}: {', '.join(others)}")
    if suggestions.not_profiled:
        yield Text(
            f"Not profiled: {pluralize(suggestions.not_profiled, 'event')}, because of too many "
            "different names or names that are too long"
        )
    yield Text(
        f"Read {suggestions.read:,} of {pluralize(suggestions.events, 'untracked event')} of run "
        f"{suggestions.run_tag}; --json prints the tables in Blueprint's format"
    )


def _table(suggestion: Suggestion) -> Table:
    title = f"{suggestion.table.name}: {pluralize(suggestion.profile.events, 'event')}"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("property", overflow="fold")
    table.add_column("values", justify="right", no_wrap=True)
    table.add_column("types", overflow="fold")
    table.add_column("max bytes", justify="right", no_wrap=True)
    table.add_column("column", overflow="fold")
    table.add_column("note", overflow="fold")
    property_columns = {prop.column for prop in suggestion.properties}
    for column in suggestion.table.columns:
        if column not in property_columns:
            table.add_row("", "", "", "", _column_text(column), "in every event")
    for prop in suggestion.properties:
        table.add_row(*_cells(prop))
    return table


def _cells(prop: PropertySuggestion) -> tuple[Text, ...]:
    kinds = ", ".join(kind.value for kind, _ in prop.profile.kinds.most_common())
    max_bytes = f"{prop.profile.max_bytes:,}" if prop.profile.max_bytes else ""
    column = _column_text(prop.column) if prop.column else "-"
    cells = (prop.name, f"{prop.profile.values:,}", kinds, max_bytes, column, "; ".join(prop.notes))
    return tuple(map(Text, cells))  # not markup: names come from clients


def _column_text(column: Column) -> str:
    return f"{column.outbound} {column.transformer}{column.options}"
