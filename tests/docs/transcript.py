"""The section "All statements" of docs/redshift.md: what each command sends to the warehouse."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from unittest import mock

from spade_spark.warehouse import maintenance
from tests.docs.harness import Servers, output_of
from tests.docs.pages import Block, blocks

_LANGUAGE: Final = "sql"
_FLAG: Final = "transcript"
_WINDOW: Final = "'2017-11-03 10:00:00' '2017-11-03 12:59:59'"

# The commands whose statements the page lists, in the order in which they run.
COMMANDS: Final = {
    "plan": f"plan {_WINDOW} login --runtag fix-login --analyze --conf replay.toml",
    "replay": f"replay {_WINDOW} login --runtag fix-login --analyze --yes --conf replay.toml",
    "undo": "undo fix-login --analyze --yes --conf replay.toml",
    "prune": "runs --prune --backups fix-login --yes --conf replay.toml",
}
_SECRET: Final = re.compile(r"(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN) '[^']*'")
_VALUE: Final = re.compile(r"'(?:[^']|'')*'|\b\d+\b|[0-9a-f]{12,}")


def render(page: str, servers: Servers, folder: Path) -> str:
    """Run the commands; return the page with the statements that they send now."""
    transcript = statements(servers, folder)
    parts, end = [], 0
    for block in _sections(page):
        start, after = block.span
        text = "".join(f"{sql}\n" for sql in transcript[block.flags[1]])
        parts += [page[end:start], text]
        end = after
    return "".join((*parts, page[end:]))


def listed(page: str) -> dict[str, list[str]]:
    """Return the statements in the page by command."""
    return {block.flags[1]: block.text.splitlines() for block in _sections(page)}


def statements(servers: Servers, folder: Path) -> dict[str, list[str]]:
    """Run the commands; return the distinct statements of each, without secrets.

    Statements that differ only in values are listed once.
    """
    transcript = {}
    # Backups can be dropped at once.
    expired = mock.patch.dict(os.environ, {"SPADE_WAREHOUSE__BACKUP_KEEP": "0s"})
    # Even this small load asks for the size of the table.
    large = mock.patch.object(maintenance, "MIN_CHANGED_ROWS", 1)
    with servers.environment(folder), expired, large:
        for name, command in COMMANDS.items():
            before = len(servers.redshift.statements)
            output_of(f"spade-spark {command}")
            distinct: dict[str, str] = {}
            for sql in servers.redshift.statements[before:]:
                distinct.setdefault(_VALUE.sub("", sql), _SECRET.sub(r"\1 '***'", sql))
            transcript[name] = [f"{sql};" for sql in distinct.values()]
    return transcript


def _sections(page: str) -> list[Block]:
    return [
        block for block in blocks(page) if (block.language, *block.flags[:1]) == (_LANGUAGE, _FLAG)
    ]
