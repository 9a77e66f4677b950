"""The line of an event that no table takes: what a schema suggestion tool reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spade_spark.gocompat.json import end_of_string, replace_surrogates

_NO_SPACE: Final = str.maketrans("", "", " \t\n\r")
_HTML: Final = {char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_IN_TEXT: Final = str.maketrans(_HTML)
_IN_NAME: Final = str.maketrans(
    {chr(code): f"\\u{code:04x}" for code in range(0x20)}
    | {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    | _HTML
)


def untracked_line(name: str, properties: str) -> str:
    """``{"event": name, "properties": properties}`` on one line, without its line end.

    Args:
        name: The event's name.
        properties: The properties as they were spelt, valid JSON; empty where missing. White
            space goes, all else stays as it was, but for what a page could take for HTML.
    """
    compact = "".join(_without_space(properties)).translate(_IN_TEXT)
    written = replace_surrogates(compact) or "null"
    return f'{{"event":"{name.translate(_IN_NAME)}","properties":{written}}}'


def _without_space(json: str) -> Iterator[str]:
    """The parts of valid JSON, without the white space outside strings."""
    at = 0
    while (start := json.find('"', at)) >= 0:
        end = end_of_string(json, start)
        yield json[at:start].translate(_NO_SPACE)
        yield json[start:end]
        at = end
    yield json[at:].translate(_NO_SPACE)
