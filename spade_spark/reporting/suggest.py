"""What untracked events suggest, for people and as Blueprint reads it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from spade_spark.blueprint.schema import Column, as_published
from spade_spark.reporting.render import pluralize, print_parts
from spade_spark.schema_inference.infer import Suggestions
from spade_spark.schema_inference.proposal import PropertySuggestion, Suggestion

_MOST = 20


def suggestions_json(found: Suggestions) -> str:
    """A list of tables as Blueprint publishes them, each with what was seen beside its columns."""
    entries = [as_published(each.table) | _observed(each) for each in found.suggestions]
    return msgspec.json.format(msgspec.json.encode(entries).decode(), indent=1)


def print_suggestions(found: Suggestions, console: Console) -> None:
    """Prints each event with its properties and the columns that would take them."""
    print_parts(_parts(found), console)


def _observed(suggestion: Suggestion) -> dict[str, object]:
    properties = [
        {
            "Name": each.name,
            "Values": each.seen.values,
            "Nulls": each.seen.nulls,
            "Types": {kind.value: count for kind, count in each.seen.kinds.most_common()},
            "MaxBytes": each.seen.max_bytes,
            "Notes": list(each.notes),
        }
        for each in suggestion.properties
    ]
    return {
        "Observed": {
            "Events": suggestion.seen.events,
            "Properties": properties,
            "Notes": list(suggestion.notes),
        }
    }


def _parts(found: Suggestions) -> Iterator[RenderableType]:
    for suggestion in found.suggestions[:_MOST]:
        yield Text()
        yield _table(suggestion)
        yield from (Text(f"  {note}", style="yellow") for note in suggestion.notes)
    yield Text()
    if len(found.suggestions) > _MOST:
        others = ", ".join(each.table.name for each in found.suggestions[_MOST:])
        yield Text(f"And {pluralize(len(found.suggestions) - _MOST, 'further event')}: {others}")
    if found.further:
        yield Text(f"And {pluralize(found.further, 'event')} of too many, or too long, names")
    yield Text(
        f"Read {found.read:,} of {pluralize(found.events, 'untracked event')} of run "
        f"{found.run_tag}; --json prints the tables as Blueprint takes them"
    )


def _table(suggestion: Suggestion) -> Table:
    title = f"{suggestion.table.name}: {pluralize(suggestion.seen.events, 'event')}"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("property", overflow="fold")
    table.add_column("values", justify="right", no_wrap=True)
    table.add_column("types", overflow="fold")
    table.add_column("longest", justify="right", no_wrap=True)
    table.add_column("column", overflow="fold")
    table.add_column("note", overflow="fold")
    suggested = {each.column for each in suggestion.properties}
    for column in suggestion.table.columns:
        if column not in suggested:
            table.add_row("", "", "", "", _column_text(column), "of every event")
    for each in suggestion.properties:
        table.add_row(*_cells(each))
    return table


def _cells(each: PropertySuggestion) -> tuple[Text, ...]:
    kinds = ", ".join(kind.value for kind, _ in each.seen.kinds.most_common())
    longest = f"{each.seen.max_bytes:,}" if each.seen.max_bytes else ""
    column = _column_text(each.column) if each.column else "-"
    cells = (each.name, f"{each.seen.values:,}", kinds, longest, column, "; ".join(each.notes))
    return tuple(map(Text, cells))  # as they are: a client's name may look like markup


def _column_text(column: Column) -> str:
    return f"{column.outbound} {column.transformer}{column.options}"
