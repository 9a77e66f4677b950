"""``python -m tests.docs``: regenerate the generated parts of the documentation."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from tests.docs import cli_reference, settings_reference, transcript
from tests.docs.harness import Servers, same_output
from tests.docs.pages import DOCS, all_pages, name_of


def main() -> None:
    """Write the pages whose generated parts have changed, and print their names."""
    _write(DOCS / "cli.md", cli_reference.render())
    settings = DOCS / "settings.md"
    _write(settings, settings_reference.replace_tables(settings.read_text("utf-8")))
    with closing(Servers()) as servers:
        for page in all_pages():
            with tempfile.TemporaryDirectory(prefix="spade-docs-") as folder:
                before = page.read_text("utf-8")
                after = servers.run_examples(before, Path(folder))
            if not same_output(before, after):
                _write(page, after)
        page = DOCS / "redshift.md"
        with tempfile.TemporaryDirectory(prefix="spade-docs-") as folder:
            before = page.read_text("utf-8")
            after = transcript.render(before, servers, Path(folder))
        if not same_output(before, after):
            _write(page, after)


def _write(page: Path, text: str) -> None:
    if not page.is_file() or page.read_text("utf-8") != text:
        page.write_text(text, "utf-8")
        print(f"wrote {name_of(page)}")


if __name__ == "__main__":
    main()
