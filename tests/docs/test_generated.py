"""The generated parts of the documentation are current; ``make docs`` regenerates them."""

from __future__ import annotations

import click

from spade_spark.cli.main import cli
from tests.docs import cli_reference, settings_reference
from tests.docs.pages import DOCS


def test_the_command_reference_is_current():
    assert (DOCS / "cli.md").read_text("utf-8") == cli_reference.render(), "run `make docs`"


def test_the_command_reference_has_every_command():
    text = cli_reference.render()
    context = click.Context(cli)
    for name in cli.list_commands(context):
        assert f"\n## spade-spark {name}\n" in text
    assert "\n## spade-spark export publish\n" in text


def test_the_settings_reference_is_current():
    page = (DOCS / "settings.md").read_text("utf-8")
    assert settings_reference.replace_tables(page) == page, "run `make docs`"


def test_every_setting_is_explained_in_the_example_file():
    tables = settings_reference.replace_tables((DOCS / "settings.md").read_text("utf-8"))
    rows = [line for line in tables.splitlines() if line.startswith("| `")]
    unexplained = [line for line in rows if line.rstrip(" |").count("|") < 3]
    assert unexplained == []
    assert len(rows) == sum("." in name for name in settings_reference.settings())
