"""Format untracked events (events without a table) as JSON lines for schema inference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spade_spark.gocompat.json import end_of_string, replace_surrogates

_NO_SPACE: Final = str.maketrans("", "", " \t\n\r")
_HTML: Final = {char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_HTML_ESCAPES: Final = str.maketrans(_HTML)
_NAME_ESCAPES: Final = str.maketrans(
    {chr(code): f"\\u{code:04x}" for code in range(0x20)}
    | {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    | _HTML
)


def untracked_line(name: str, properties: str) -> str:
    """Return ``{"event": name, "properties": properties}`` without white space or line feed.

    Args:
        name: The name of the event.
        properties: The raw JSON of the properties; empty if missing. Their encoding is kept,
            except that HTML characters are escaped.
    """
    compact = "".join(_without_space(properties)).translate(_HTML_ESCAPES)
    value = replace_surrogates(compact) or "null"
    return f'{{"event":"{name.translate(_NAME_ESCAPES)}","properties":{value}}}'


def _without_space(json: str) -> Iterator[str]:
    """Yield the parts of valid JSON without the white space outside strings."""
    at = 0
    while (start := json.find('"', at)) >= 0:
        end = end_of_string(json, start)
        yield json[at:start].translate(_NO_SPACE)
        yield json[start:end]
        at = end
    yield json[at:].translate(_NO_SPACE)
