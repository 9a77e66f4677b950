"""`spade-spark parse`: lines in, one JSON array for each out."""

from __future__ import annotations

import base64
import json

import pytest
from click.testing import CliRunner

from spade_spark.cli.parse import command
from spade_spark.errors import SettingsError, UsageError

TABLES = [
    {
        "EventName": "click",
        "Version": 2,
        "Columns": [{"InboundName": "x", "OutboundName": "X", "Transformer": "varchar"}],
    },
    {"EventName": "odd", "Columns": [{"OutboundName": "o", "Transformer": "oracle"}]},
]


@pytest.fixture
def conf(tmp_path):
    schemas = tmp_path / "schemas.json"
    schemas.write_text(json.dumps(TABLES), "utf-8")
    path = tmp_path / "conf.toml"
    path.write_text(f'[blueprint]\nschemas = "{schemas}"\n', "utf-8")
    return path


def parse(conf, data):
    return CliRunner().invoke(command, ["--conf", str(conf)], input=data)


def edge_line(payload):
    return json.dumps({"uuid": "u", "data": base64.b64encode(payload.encode()).decode()}).encode()


def test_each_line_gives_an_array_with_an_object_for_each_event(conf):
    click = '{"event":"click","properties":{"x":"é\\u2028"}}'
    lines = [edge_line(click), b"nonsense", b"", edge_line(f"[{click},null]")]
    done = parse(conf, b"\n".join(lines))
    printed = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    row = {
        "table": "click",
        "version": 2,
        "row": '"é\\u2028"',
        "record": {"X": "é\u2028"},
        "outcome": "success",
    }
    empty = dict.fromkeys(["table", "version", "row", "record"])
    assert printed == [
        [{**row, "uuid": "u"}],
        [],
        [],
        [{**row, "uuid": "u-0"}, {**empty, "uuid": "u-1", "outcome": "empty_request"}],
    ]


def test_lines_end_at_a_line_feed_and_nowhere_else(conf):
    done = parse(conf, b"\r\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8\n\n")
    assert done.stdout == "[]\n[]\n"


def test_tables_that_are_left_out_are_named_apart_from_the_output(conf):
    done = parse(conf, b"")
    assert done.stdout == ""
    assert done.stderr == "left out: odd: column 1 (o): the transformer 'oracle' is not known\n"


def test_settings_that_are_not_there_are_named(tmp_path):
    done = parse(tmp_path / "conf.toml", b"")
    assert isinstance(done.exception, SettingsError)
    assert str(done.exception).startswith("there is no settings file")


def test_the_code_that_makes_a_tables_rows_can_be_looked_at(conf):
    done = CliRunner().invoke(command, ["--conf", str(conf), "--show-code", "click"])
    assert done.exit_code == 0
    assert "p.x,  # 'X' ('varchar')" in done.stdout


def test_the_code_of_a_table_that_is_not_there_is_refused(conf):
    with pytest.raises(UsageError, match="has no table 'clack'"):
        CliRunner().invoke(
            command, ["--conf", str(conf), "--show-code", "clack"], catch_exceptions=False
        )
