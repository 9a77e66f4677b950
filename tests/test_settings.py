"""Settings: a file, environment variables that override it, and errors that name the key."""

from datetime import timedelta

import pytest

from spade_spark import settings
from spade_spark.errors import SettingsError


def write(tmp_path, text):
    path = tmp_path / "s.toml"
    path.write_text(text)
    return path


def test_the_environment_overrides_the_file(tmp_path):
    path = write(tmp_path, '[output]\nbase = "s3://a/"\nmax_file_bytes = 5\n')
    read = settings.load(path, {"SPADE_OUTPUT__BASE": "s3://b/", "SPADE_INPUT__MARGIN": "90m"})
    assert read.output.base == "s3://b/"
    assert read.output.max_file_bytes == 5
    assert read.input.margin == timedelta(minutes=90)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[output]\nbaes = 1\n", "output.baes: unknown setting (did you mean output.base?)"),
        ("[outptu]\n", "outptu: unknown setting (did you mean output?)"),
        ('[warehouse]\nscema = "x"\n', "unknown setting (did you mean warehouse.schema?)"),
        ('[output]\nmax_file_bytes = "5"\n', "output.max_file_bytes"),
        ('[lookups.users]\ntimeout = "soon"\n', "lookups.users.timeout"),
        ("[output]\nbase = 5\n", "output.base"),
        ("[output\n", "cannot be read"),
    ],
)
def test_an_invalid_file_is_refused_with_the_full_name_of_the_key(tmp_path, text, message):
    with pytest.raises(SettingsError) as refused:
        settings.load(write(tmp_path, text), {})
    assert message in str(refused.value)


def test_an_unknown_variable_is_refused_with_the_full_name_of_the_key(tmp_path):
    with pytest.raises(SettingsError, match=r"^environment .*: output\.baes: unknown setting"):
        settings.load(write(tmp_path, ""), {"SPADE_OUTPUT__BAES": "1"})


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(SettingsError, match=r"settings file .*none\.toml does not exist"):
        settings.load(tmp_path / "none.toml", {})


def test_a_password_is_never_shown(tmp_path):
    path = write(tmp_path, '[warehouse]\nurl = "postgres://u:hunter2@h/d"\nmin_rows_ratio = -1\n')
    with pytest.raises(SettingsError) as refused:
        settings.load(path, {})
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(settings.load(write(tmp_path, '[warehouse]\nurl = "hunter2"'), {}))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("14d", 14 * 86400),
        ("1d12h", 36 * 3600),
        ("1h2d", 49 * 3600),
        ("1d1d", 2 * 86400),
        ("1.5d", 36 * 3600),
        ("1h30m", 5400),
        ("500ms", 0.5),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text, seconds):
    read = settings.Settings.model_validate({"warehouse": {"backup_keep": text}})
    assert read.warehouse.backup_keep.total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "d", "d5h", "1h.5d", "1.d", "-1d", "+1h", "5", "1 d", "1w"])
def test_an_invalid_duration_is_refused(text):
    with pytest.raises(ValueError, match="write a duration such as"):
        settings.Settings.model_validate({"warehouse": {"backup_keep": text}})
