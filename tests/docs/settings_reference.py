"""Generates the tables of ``docs/settings.md``: defaults from the model, meaning from the example.

The comments of ``conf/production.example.toml`` are the one place that explains a setting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, SecretStr

from spade_spark.settings import Settings
from tests.docs.pages import ROOT

EXAMPLE = ROOT / "conf" / "production.example.toml"
BEGIN = "<!-- begin generated -->\n"
END = "<!-- end generated -->\n"

_KEY = re.compile(r'^(?:# )?(\w+|"[\w.]+") = ')
_SECTION = re.compile(r"^\[([\w.]+)\]$")
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def replace_tables(page: str) -> str:
    """Regenerate the generated part of the page."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, "docs/settings.md has lost the markers of its generated part"
    return f"{before}{BEGIN}{_tables()}{END}{after}"


def settings() -> dict[str, Any]:
    """The default of each setting, by its full name."""
    return dict(_defaults(Settings))


def _tables() -> str:
    meanings = _meanings(EXAMPLE.read_text("utf-8"))
    sections: dict[str, list[str]] = {}
    for name, default in settings().items():
        table, _, key = name.rpartition(".")
        row = f"| `{key}` | {_shown(default)} | {meanings.get(name, '')} |\n"
        sections.setdefault(table, []).append(row)
    head = "| setting | default | meaning |\n| --- | --- | --- |\n"
    parts = [f"\n### {name}\n\n{head}{''.join(rows)}" for name, rows in sections.items() if name]
    return "".join(parts) + "\n"


def _defaults(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        full = prefix + (field.alias or name)
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _defaults(annotation, f"{full}.")
        else:
            yield full, field.get_default(call_default_factory=True)


def _meanings(example: str) -> dict[str, str]:
    """The comment above each key, by the key's full name."""
    meanings: dict[str, str] = {}
    table, comment = "", list[str]()
    for line in example.splitlines():
        if section := _SECTION.match(line):
            table, comment = section[1], []
        elif key := _KEY.match(line):
            meanings[f"{table}.{key[1]}"] = (
                " ".join(comment).replace("|", "\\|").replace("<", "&lt;")
            )
            comment = []
        elif line.startswith("# ") and not line.startswith("# --"):
            comment.append(line.removeprefix("# ").strip())
        else:
            comment = []
    return meanings


def _shown(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, timedelta):
        default = _duration(default)
    if default == "":
        return "not set"
    if isinstance(default, Mapping | tuple) and not default:
        return "empty"
    return f"`{json.dumps(default)}`"


def _duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    unit, size = next(pair for pair in _UNITS if seconds % pair[1] == 0)
    return f"{seconds // size}{unit}"
