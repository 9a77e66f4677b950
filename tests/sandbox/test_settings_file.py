"""The settings files that are shown to people are right in every word."""

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


BY_NAME = {"spark", "streams.filters"}
"""Settings whose names are the user's own."""


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
    """The example with all that is commented out, which shows the defaults."""
    text = EXAMPLE.read_text("utf-8")
    return tomllib.loads(re.sub(r'^# (\w+ = |"spark)', r"\1", text, flags=re.MULTILINE))


def test_the_example_for_production_is_accepted_as_it_is():
    load(EXAMPLE, environ={})


def test_the_example_for_production_names_every_setting(uncommented):
    assert {name for name, _ in _flat(uncommented)} == set(_names(Settings))


def test_what_the_example_comments_out_is_the_default(uncommented):
    given = dict(_flat(tomllib.loads(EXAMPLE.read_text("utf-8"))))
    whole = build(uncommented, "the example", strict=True)
    plain = build({}, "nothing").model_dump(by_alias=True)
    defaults = dict(_flat(plain))
    shown = dict(_flat(whole.model_dump(by_alias=True)))
    # An example is shown of what has no useful default.
    examples = {"output.untracked"}
    assert {name for name in shown if name not in given and shown[name] != defaults[name]} == (
        examples
    )


def test_the_sandboxs_file_keeps_any_path():
    odd = 'quote " backslash \\ é'
    places = SandboxEndpoints(odd, odd, odd, odd, odd, Path(odd), Path(odd), odd, odd)
    settings = build(tomllib.loads(places.toml()), "sandbox", strict=True)
    assert settings.lookups.geoip.city == odd
    assert settings.warehouse.url.get_secret_value() == odd
    assert settings.input.time_source == "key"
