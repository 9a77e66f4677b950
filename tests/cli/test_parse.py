"""`spade-spark parse` prints one JSON array per line."""

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


def test_each_line_gives_an_array_with_one_object_per_event(conf):
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


def test_only_a_line_feed_ends_a_line(conf):
    done = parse(conf, b"\r\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8\n\n")
    assert done.stdout == "[]\n[]\n"


def test_skipped_tables_are_named_on_standard_error(conf):
    done = parse(conf, b"")
    assert done.stdout == ""
    assert done.stderr == "skipped table odd: column 1 (o): the transformer 'oracle' is unknown\n"


def test_a_missing_settings_file_is_reported(tmp_path):
    done = parse(tmp_path / "conf.toml", b"")
    assert isinstance(done.exception, SettingsError)
    assert str(done.exception) == f"the settings file {tmp_path}/conf.toml does not exist"


def test_show_code_prints_the_generated_code_of_a_table(conf):
    done = CliRunner().invoke(command, ["--conf", str(conf), "--show-code", "click"])
    assert done.exit_code == 0
    assert "p.x,  # 'X' ('varchar')" in done.stdout


def test_show_code_refuses_an_unknown_table(conf):
    with pytest.raises(UsageError, match="has no table 'clack'"):
        CliRunner().invoke(
            command, ["--conf", str(conf), "--show-code", "clack"], catch_exceptions=False
        )
