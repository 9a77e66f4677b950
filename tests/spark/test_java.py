"""The check for Java searches where Spark does and reports problems in one line."""

import pytest

from spade_spark.errors import UsageError
from spade_spark.spark.java import java_program, java_version, require_java


def _fake_java(folder, output):
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{output}' >&2\n")
    program.chmod(0o755)
    return {"JAVA_HOME": str(folder), "PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ("no such thing", None),
    ],
)
def test_the_version_is_the_feature_release(tmp_path, output, version):
    environ = _fake_java(tmp_path, output)
    assert java_version(f"{environ['JAVA_HOME']}/bin/java") == version


def test_java_home_takes_precedence_over_path(tmp_path):
    environ = _fake_java(tmp_path, 'openjdk version "17.0.1"')
    assert java_program(environ) == str(tmp_path / "bin" / "java")


def test_a_supported_java_is_accepted(tmp_path):
    require_java(_fake_java(tmp_path, 'openjdk version "17.0.1"'))


def test_a_missing_java_is_an_error(tmp_path):
    with pytest.raises(UsageError) as error:
        require_java({"PATH": str(tmp_path)})
    assert str(error.value) == (
        "Java 17 or newer is required but was not found: install a JDK "
        "(Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"
    )


def test_a_java_home_without_java_is_in_the_error(tmp_path):
    with pytest.raises(UsageError, match=f"was not found \\(JAVA_HOME is {tmp_path}\\)"):
        require_java({"JAVA_HOME": str(tmp_path)})


def test_an_old_java_is_an_error_with_its_version(tmp_path):
    with pytest.raises(UsageError, match="bin/java is Java 11: install a JDK"):
        require_java(_fake_java(tmp_path, 'openjdk version "11.0.2"'))
