"""The reference outputs: the project's own set, and a larger set if its folder exists.

The folder of the larger set is ``SPADE_GOLDEN``, or else ``../shared/golden``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
OWN = REPOSITORY / "tests" / "golden"
LARGER = Path(os.environ.get("SPADE_GOLDEN", REPOSITORY.parent / "shared" / "golden"))


@dataclass(frozen=True)
class Case:
    tier: str
    label: str
    line: bytes
    expected: object


def read_cases(folder: Path) -> list[Case]:
    labels = (folder / "labels.txt").read_text("utf-8").split("\n")[:-1]
    lines = (folder / "edge.jsonl").read_bytes().split(b"\n")[:-1]
    expected = (folder / "expected.jsonl").read_text("utf-8").split("\n")[:-1]
    return [
        Case(label.partition(" ")[0], label.partition(" ")[2], line, json.loads(outputs))
        for label, line, outputs in zip(labels, lines, expected, strict=True)
    ]


def parse(folder: Path, lines: list[bytes], conf: Path) -> list[object]:
    """Return what the command prints for each line, in one process."""
    conf.write_text(
        f'[blueprint]\nschemas = "{folder}/schemas.json"\n'
        f'[lookups.geoip]\ntable = "{folder}/geo.json"\n'
        f'[lookups.users]\ntable = "{folder}/logins.json"\n',
        "utf-8",
    )
    code = "from spade_spark.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, "parse", "--conf", str(conf)],
        input=b"".join(line + b"\n" for line in lines),
        stdout=subprocess.PIPE,
        check=True,
        cwd=REPOSITORY,
    )
    return [json.loads(printed) for printed in done.stdout.split(b"\n")[:-1]]


@pytest.mark.parametrize("folder", [OWN, LARGER], ids=["own", "larger"])
def test_parse_prints_the_reference_outputs(folder, tmp_path, capsys):
    """For all cases of both tiers; no line affects the output of another."""
    if not (folder / "labels.txt").exists():
        pytest.skip(f"no reference cases in {folder}: set SPADE_GOLDEN to their folder")
    cases = read_cases(folder)
    printed = parse(folder, [case.line for case in cases], tmp_path / "conf.toml")
    assert len(printed) == len(cases)
    total = Counter(case.tier for case in cases)
    missed = [
        case for case, outputs in zip(cases, printed, strict=True) if outputs != case.expected
    ]
    met = total - Counter(case.tier for case in missed)
    with capsys.disabled():
        counts = ", ".join(f"{met[tier]} of {total[tier]} {tier}" for tier in sorted(total))
        print(f"\n{folder.name} of {folder.parent.name}: {counts} cases met")
    assert [f"{case.tier} {case.label}" for case in missed] == []


def test_the_projects_own_set_is_complete():
    """Otherwise a set that lost its cases would pass."""
    assert Counter(case.tier for case in read_cases(OWN)) == {"core": 258, "edge": 62}


def test_the_output_of_a_line_does_not_depend_on_other_lines(tmp_path):
    """No line leaves state behind."""
    cases = read_cases(OWN)[::-1]
    printed = parse(OWN, [case.line for case in cases], tmp_path / "conf.toml")
    assert printed == [case.expected for case in cases]
