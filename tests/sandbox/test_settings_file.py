"""The example and sandbox settings files are valid and complete."""

import re
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from spade_spark.sandbox.settings_file import SandboxEndpoints
from spade_spark.settings import Settings, build, load

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLE = Path(__file__).parents[2] / "conf" / "production.example.toml"


BY_NAME = {"spark", "streams.filters", "warehouse.session"}
"""Settings whose keys are chosen by the user."""


def _names(model, prefix=""):
    for name, field in model.model_fields.items():
        shown = prefix + (field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, shown + ".")
        else:
            yield shown


def _flat(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict) and prefix + name not in BY_NAME:
            yield from _flat(value, prefix + name + ".")
        else:
            yield prefix + name, value


@pytest.fixture(scope="module")
def uncommented():
    """The production example, including its commented-out settings."""
    text = EXAMPLE.read_text("utf-8")
    return tomllib.loads(re.sub(r'^# (\w+ = |"spark)', r"\1", text, flags=re.MULTILINE))


def test_the_production_example_is_valid():
    load(EXAMPLE, environ={})


def test_the_production_example_names_every_setting(uncommented):
    assert {name for name, _ in _flat(uncommented)} == set(_names(Settings))


def test_commented_out_settings_show_the_default(uncommented):
    given = dict(_flat(tomllib.loads(EXAMPLE.read_text("utf-8"))))
    settings = build(uncommented, "the example", strict=True)
    defaults = dict(_flat(build({}, "nothing").model_dump(by_alias=True)))
    shown = dict(_flat(settings.model_dump(by_alias=True)))
    # These have no useful default, so the file shows an example.
    examples = {"output.untracked"}
    assert {name for name in shown if name not in given and shown[name] != defaults[name]} == (
        examples
    )


def test_the_sandbox_settings_file_quotes_any_path():
    path = 'quote " backslash \\ é'
    endpoints = SandboxEndpoints(path, path, path, path, path, Path(path), Path(path), path, path)
    settings = build(tomllib.loads(endpoints.toml()), "sandbox", strict=True)
    assert settings.lookups.geoip.city == path
    assert settings.warehouse.url.get_secret_value() == path
    assert settings.input.time_source == "key"
