"""The command line: each refusal is one line."""

import subprocess
import sys

import pytest

from spade_spark.cli.main import main

WINDOW = ["2017-11-03 10:00:00", "2017-11-03 12:00:00"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    """Hide the settings of a sandbox and the variables of the user."""
    monkeypatch.chdir(tmp_path)
    for name in ("SPADE_CONF", "SPADE_RSURL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            [*WINDOW, "login", "--skip-transform", "--skip-ace-upload", "--runtag", "T"],
            "--skip-transform and --skip-ace-upload together leave nothing to do: omit one of them",
        ),
        (
            [*WINDOW, "login", "--skip-transform"],
            "--skip-transform loads an existing run: name it with --runtag TAG",
        ),
        (
            [*WINDOW, "login"],
            "no warehouse is configured: set SPADE_RSURL or give --rsurl postgres://…, "
            "or stop after the transform with --skip-ace-upload",
        ),
        (
            [WINDOW[1], WINDOW[0], "login"],
            f"END must be after START: {WINDOW[0]} is not after {WINDOW[1]}",
        ),
        (
            [*WINDOW, "login", "--by-prefix", "--skip-ace-upload"],
            "--by-prefix loads the files of an earlier tool: add --skip-transform and --runtag TAG",
        ),
        (
            [],
            "START and END are missing: give the window as '2017-11-04 13:00:00' "
            "'2017-11-04 13:59:59' (Pacific time, in quotes)",
        ),
        (
            WINDOW[:1],
            "END is missing: give the window as '2017-11-04 13:00:00' "
            "'2017-11-04 13:59:59' (Pacific time, in quotes)",
        ),
        (
            " ".join(WINDOW).split(),
            "START must look like '2017-11-04 13:00:00' (Pacific time, in quotes), or with an "
            "offset '2017-11-05 01:30:00-0700': got '2017-11-03'",
        ),
        (WINDOW, "no tables are given: name tables or give --all-tables"),
        (
            [*WINDOW, "login", "--migrate", "--skip-ace-upload"],
            "--migrate changes the warehouse: omit --migrate or --skip-ace-upload",
        ),
        ([*WINDOW, "login", "--all-tables"], "name tables or give --all-tables, not both"),
        (
            [*WINDOW, "login", "--runtag", "a/b", "--skip-ace-upload"],
            "'a/b' is not a valid run tag: start with a letter or digit, then use letters, digits, "
            "'.', '_' and '-'",
        ),
    ],
)
def test_an_invalid_command_line_is_refused_with_one_line(arguments, line, capsys):
    assert main(["replay", *arguments]) == 2
    assert capsys.readouterr().err == f"spade-spark: {line}\n"


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        (["replay", *WINDOW, "login", "--skip-ace-upload"], "output.base"),
        (["replay", "--from-quarantine", "T", "--skip-ace-upload"], "output.base"),
        (["runs"], "output.base"),
        (["suggest", "T"], "output.base"),
        (["undo", "T", "--rsurl", "postgres://h/d"], "output.base"),
        (["export", "publish", "T", "--to", "lake/"], "output.base"),
        (["parse"], "blueprint.schemas"),
    ],
    ids=" ".join,
)
def test_a_missing_setting_is_named(command, setting, capsys):
    assert main(command) == 1
    assert capsys.readouterr().err == (
        f"spade-spark: {setting} is not set: set it in the settings file (--conf FILE)\n"
    )


def test_dropping_backups_needs_a_warehouse(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SPADE_OUTPUT__BASE", str(tmp_path))
    assert main(["runs", "--prune", "--backups", "T"]) == 2
    assert capsys.readouterr().err == (
        "spade-spark: no warehouse is configured: set SPADE_RSURL or give --rsurl postgres://…\n"
    )


def test_an_unknown_option_is_refused(capsys):
    assert main(["replay", *WINDOW, "login", "--no-such-option"]) == 2
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"], ["replay", "--help"]])
def test_help_imports_neither_spark_nor_boto3_nor_the_warehouse_driver(arguments):
    program = (
        "import sys; from spade_spark.cli.main import main; main(sys.argv[1:]); "
        "heavy = {'pyspark', 'boto3', 'psycopg2', 'pandas'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: spade-spark" in done.stdout + done.stderr
