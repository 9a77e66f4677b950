"""Corrupt inputs: one edge log is truncated, emptied, overwritten, changed or removed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from tests.chaos.baselines import Baselines, check_recovery
from tests.chaos.fixtures import fill, log_object
from tests.chaos.runner import Case, Experiment
from tests.chaos.trial import CommandResult, Trial, trial

_EDGE = "edge-of-inputs/"

Corruption = Callable[[bytes, random.Random], bytes]


def _truncated(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(1, len(data))]


def _emptied(data: bytes, rng: random.Random) -> bytes:
    return b""


def _random(data: bytes, rng: random.Random) -> bytes:
    """Replace all bytes, or all after the start of the gzip header."""
    kept = rng.choice((0, 3, 10))
    return data[:kept] + rng.randbytes(len(data) - kept)


def _one_bit(data: bytes, rng: random.Random) -> bytes:
    position = rng.randrange(10, len(data))
    return data[:position] + bytes([data[position] ^ 1 << rng.randrange(8)]) + data[position + 1 :]


_CORRUPTIONS: dict[str, Corruption] = {
    "truncated": _truncated,
    "emptied": _emptied,
    "replaced by random bytes": _random,
    "with one flipped bit": _one_bit,
}


def experiments(baselines: Baselines, rng: random.Random) -> Iterator[Experiment]:
    """Corrupt each object before the plan; change or remove it after the plan."""
    keys = tuple(fill(baselines.env.store, _EDGE))
    for name, corrupt in _CORRUPTIONS.items():
        yield Experiment(
            f"an object {name}",
            tuple(
                Case(
                    key,
                    partial(
                        _corrupt_object,
                        baselines,
                        number,
                        key,
                        corrupt,
                        random.Random(rng.random()),
                    ),
                )
                for number, key in enumerate(keys)
            ),
        )
    for name, action in {"changed": _change, "removed": _remove}.items():
        yield Experiment(
            f"an object {name} after the plan",
            tuple(
                Case(key, partial(_change_after_plan, baselines, number, key, action))
                for number, key in enumerate(keys)
            ),
        )


def _environ(baselines: Baselines) -> dict[str, str]:
    return {"SPADE_INPUT__EDGE": f"s3://{baselines.env.bucket}/{_EDGE}"}


def _corrupt_object(
    baselines: Baselines, number: int, key: str, corrupt: Corruption, rng: random.Random
) -> str:
    """The run names the corrupt object and loads nothing. With the intact object, it is correct."""
    intact = log_object(number)
    baselines.env.store.write(_EDGE + key, corrupt(intact, rng))
    tag = f"input-{number}-{corrupt.__name__.strip('_')}"
    with trial(baselines.env, tag, environ=_environ(baselines)) as run:
        try:
            result = run.run_in_process()
            assert run.check_tables(baselines.replay()) == set(), "a corrupt object was loaded"
        finally:
            baselines.env.store.write(_EDGE + key, intact)
        assert result.status == 1, result.output
        assert key in "".join(result.output.split()), "the output does not name the corrupt object"
        rerun = replace(run, tag=f"{tag}-intact")
        return check_recovery(rerun, baselines, result)


def _change_after_plan(
    baselines: Baselines, number: int, key: str, action: Callable[[Trial, str], None]
) -> str:
    """The object is not the planned one: the run names it and loads nothing."""
    tag = f"input-{number}-{action.__name__.strip('_')}"
    with trial(baselines.env, tag, environ=_environ(baselines)) as run:
        run.s3.inject(f"GET .*{key}", "call", function=partial(action, run, _EDGE + key))
        try:
            result = run.run_in_process()
        finally:
            baselines.env.store.write(_EDGE + key, log_object(number))
        assert result.status == 1, result.output
        assert key in "".join(result.output.split()), "the output does not name the object"
        outcome = check_recovery(run, baselines, CommandResult(result.status, result.output))
        assert outcome.endswith("no table changed"), "a changed object was loaded"
        return outcome


def _change(run: Trial, key: str) -> None:
    run.env.store.write(key, log_object(99))


def _remove(run: Trial, key: str) -> None:
    run.env.store.delete(key)
