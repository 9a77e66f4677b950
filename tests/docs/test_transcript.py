"""docs/redshift.md lists every statement that a cluster receives."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.docs import transcript
from tests.docs.harness import Servers, comparable
from tests.docs.pages import DOCS
from tests.support.redshift import judge


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """The statements that each command sends."""
    with closing(Servers()) as servers:
        return transcript.statements(servers, tmp_path_factory.mktemp("transcript"))


def test_the_page_lists_every_statement_of_a_plan_a_replay_an_undo_and_a_prune(sent):
    listed = transcript.listed((DOCS / "redshift.md").read_text("utf-8"))
    assert list(listed) == list(transcript.COMMANDS)
    for command, statements in sent.items():
        shown = {comparable(sql) for sql in listed[command]}
        assert shown == {comparable(sql) for sql in statements}, f"{command}: run `make docs`"


def test_the_commands_did_their_work(sent):
    for command, statement in {
        "replay": 'INSERT INTO "physical"."login"',
        "undo": 'INSERT INTO "physical"."login"',
        "prune": "DROP TABLE",
    }.items():
        assert any(sql.startswith(statement) for sql in sent[command])


def test_every_name_in_the_statements_is_quoted(sent):
    statements = [sql.removesuffix(";") for command in sent.values() for sql in command]
    assert [sql for sql in statements if judge.unquoted_names(sql)] == []
    assert judge.unquoted_names('SELECT backup_of FROM "infra"."replay"') == ["backup_of"]
