"""Examples: the program accepts what the documentation shows, and prints the same output."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import closing, suppress

import click
import pytest

from spade_spark import settings
from spade_spark.blueprint.metadata import read_edge_types
from spade_spark.blueprint.schema import read_tables
from spade_spark.cli.main import cli
from spade_spark.settings import Settings
from spade_spark.streams.config import read_entries
from spade_spark.streams.validation import validate
from spade_spark.transform.transformers.registry import is_transformer
from tests.docs.harness import Servers, comparable, same_output
from tests.docs.pages import README, all_pages, blocks, inline_code, name_of
from tests.docs.settings_reference import settings as defaults

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGES = all_pages()
# The start of a command line, by the language of the block.
PROMPTS = {
    "sh": re.compile(r"^ *(.+)$", re.MULTILINE),
    "console": re.compile(r"^\$ (.+)$", re.MULTILINE),
}
# Options of other programs that the pages mention.
FOREIGN_OPTIONS = {"--archives", "--master"}
# Inline commands are often incomplete command lines.
IGNORED_ERRORS = (click.MissingParameter, click.exceptions.Exit)


def published_schemas(text):
    catalog = read_tables(text.encode(), is_transformer)
    assert catalog.tables
    assert not catalog.skipped


def published_streams(text):
    entries, unreadable = read_entries(text.encode(), "the example")
    assert entries
    assert not unreadable
    for entry in entries:
        assert list(validate(entry.spade_config, Settings())) == []


def event_metadata(text):
    assert read_edge_types(text.encode())


def iam_policy(text):
    """Check the structure of an IAM policy, and that its resources belong to its actions.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
    """
    policy = json.loads(text)
    assert policy.pop("Version") == "2012-10-17"
    statements = policy.pop("Statement")
    assert statements
    assert not policy
    for statement in statements:
        assert statement.keys() == {"Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
        services = {action.partition(":")[0] for action in statement["Action"]}
        assert services == {resource.split(":")[2] for resource in statement["Resource"]}
        on_bucket = {resource.count("/") == 0 for resource in statement["Resource"]}
        assert services != {"s3"} or on_bucket == {statement["Action"] == ["s3:ListBucket"]}


LOADERS: dict[str, Callable[[str], object]] = {
    "schemas": published_schemas,
    "streams": published_streams,
    "metadata": event_metadata,
    "policy": iam_policy,
    "output": json.loads,  # excerpts of what the program prints or writes
}


def blocks_of(language):
    """Return all blocks of one language as test parameters."""
    return [
        pytest.param(block, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page.read_text("utf-8")))
        if block.language == language
    ]


@pytest.mark.parametrize("block", blocks_of("toml"))
def test_settings_are_accepted(block):
    settings.build(tomllib.loads(block.text), "the example", strict=True)


@pytest.mark.parametrize("block", blocks_of("json"))
def test_json_is_accepted_by_its_loader(block):
    (kind,) = block.flags
    LOADERS[kind](block.text)


def commands(page):
    """Return the command lines of spade-spark in a page: in blocks, and inline."""
    text = page.read_text("utf-8")
    lines = inline_code(text)
    for block in blocks(text):
        lines += PROMPTS[block.language].findall(block.text) if block.language in PROMPTS else []
    return [re.split(" [<>] ", line)[0] for line in lines if line.startswith("spade-spark ")]


def parse(line):
    """Parse a command line as the program does, but allow missing arguments."""
    name, *words = shlex.split(line, comments=True)
    assert name == "spade-spark"
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        subcommand = command.get_command(click.Context(command), name)
        assert subcommand is not None, f"unknown command {name}"
        command = subcommand
    if isinstance(command, click.Group) and not words:
        return
    with suppress(*IGNORED_ERRORS):
        command.make_context(name, words)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_are_accepted(page):
    for line in commands(page):
        parse(line)


@pytest.mark.parametrize("line", ["spade-spark nothing", "spade-spark undo TAG --nothing"])
def test_an_invalid_command_line_is_detected(line):
    with pytest.raises((AssertionError, click.UsageError)):
        parse(line)


def options(command):
    """Yield all options of a command and of its subcommands."""
    for parameter in command.params:
        yield from parameter.opts
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from options(command.get_command(context, name))


def test_the_readmes_table_has_every_option_of_a_replay():
    table = re.findall(r"^\| `(--[a-z-]+)", README.read_text("utf-8"), re.MULTILINE)
    replay = cli.get_command(click.Context(cli), "replay")
    assert sorted(table) == sorted(name for name in options(replay) if name.startswith("--"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_all_mentioned_options_exist(page):
    known = {*options(cli), "--help", *FOREIGN_OPTIONS}
    mentioned = {
        word
        for code in inline_code(page.read_text("utf-8"))
        if not code.startswith(("git ", "pip ", "make ", "python ", "spark-submit "))
        for word in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)
    }
    assert mentioned - known == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_all_mentioned_settings_exist(page):
    known = set(defaults())
    sections = {name.partition(".")[0] for name in known if "." in name}
    codes = inline_code(page.read_text("utf-8"))
    mentioned = {
        match[0]
        for code in codes
        if (match := re.match(r"([a-z]\w*)\.[\w.]+(?= = |$)", code)) and match[1] in sections
    }
    others = {name for name in mentioned if name.startswith("spark.") or name.endswith(".py")}
    assert mentioned - known - others == set()


def test_only_times_durations_and_sizes_may_differ():
    shown = "3 rows in 1.2 s, 88 B at 2026-11-27 18:17:53 UTC"
    assert same_output(shown, "3 rows in 12 s, 1.5 kB at 2027-01-02 03:04:05 UTC")
    assert not same_output(shown, shown.replace("3 rows", "4 rows"))
    assert not same_output("at 2017-11-03 10:00:00", "at 2017-11-03 11:00:00")


@pytest.fixture(scope="module")
def servers():
    with closing(Servers()) as servers:
        yield servers


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```console run" in page.read_text("utf-8")], ids=name_of
)
def test_examples_print_what_the_page_shows(servers, page, tmp_path):
    shown = page.read_text("utf-8")
    printed = servers.run_examples(shown, tmp_path)
    assert comparable(printed) == comparable(shown), "run `make docs` and check the difference"
