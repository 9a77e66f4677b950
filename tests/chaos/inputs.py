"""The edge logs: every object in turn cut, emptied, replaced by random bytes, changed, removed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from tests.chaos.baselines import Known, settle
from tests.chaos.fixtures import fill, log
from tests.chaos.table import Case, Experiment
from tests.chaos.trial import Ended, Trial, trial

_EDGE = "edge-of-inputs/"

Damage = Callable[[bytes, random.Random], bytes]


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(1, len(data))]


def _emptied(data: bytes, dice: random.Random) -> bytes:
    return b""


def _random(data: bytes, dice: random.Random) -> bytes:
    """All of it, or all after the beginning of a gzip header."""
    kept = dice.choice((0, 3, 10))
    return data[:kept] + dice.randbytes(len(data) - kept)


def _one_bit(data: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(10, len(data))
    return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]


_DAMAGES: dict[str, Damage] = {
    "truncated": _cut,
    "emptied": _emptied,
    "replaced by random bytes": _random,
    "with one flipped bit": _one_bit,
}


def experiments(known: Known, dice: random.Random) -> Iterator[Experiment]:
    """Every object in turn, before the plan and after it."""
    keys = tuple(fill(known.scene.store, _EDGE))
    for name, damage in _DAMAGES.items():
        yield Experiment(
            f"an object {name}",
            tuple(
                Case(
                    key, partial(_damaged, known, number, key, damage, random.Random(dice.random()))
                )
                for number, key in enumerate(keys)
            ),
        )
    for name, action in {"changed": _change, "removed": _remove}.items():
        yield Experiment(
            f"an object {name} after the plan",
            tuple(
                Case(key, partial(_meanwhile, known, number, key, action))
                for number, key in enumerate(keys)
            ),
        )


def _environ(known: Known) -> dict[str, str]:
    return {"SPADE_INPUT__EDGE": f"s3://{known.scene.bucket}/{_EDGE}"}


def _damaged(known: Known, number: int, key: str, damage: Damage, dice: random.Random) -> str:
    """A damaged object is found, named, and nothing is loaded; mended, a new run is right."""
    whole = log(number)
    known.scene.store.write(_EDGE + key, damage(whole, dice))
    tag = f"input-{number}-{damage.__name__.strip('_')}"
    with trial(known.scene, tag, environ=_environ(known)) as run:
        try:
            ended = run.here()
            assert run.look(known.replay()) == set(), "damaged, and loaded all the same"
        finally:
            known.scene.store.write(_EDGE + key, whole)
        assert ended.status == 1, ended.said
        assert key in "".join(ended.said.split()), "the damaged object is not named"
        again = replace(run, tag=f"{tag}-mended")
        return settle(again, known, ended)


def _meanwhile(known: Known, number: int, key: str, action: Callable[[Trial, str], None]) -> str:
    """The object is not the planned one any more: nothing is made of it, nothing is loaded."""
    tag = f"input-{number}-{action.__name__.strip('_')}"
    with trial(known.scene, tag, environ=_environ(known)) as run:
        run.s3.inject(f"GET .*{key}", "call", function=partial(action, run, _EDGE + key))
        try:
            ended = run.here()
        finally:
            known.scene.store.write(_EDGE + key, log(number))
        assert ended.status == 1, ended.said
        assert key in "".join(ended.said.split()), "the object is not named"
        outcome = settle(run, known, Ended(ended.status, ended.said))
        assert outcome.endswith("untouched"), "changed, and loaded all the same"
        return outcome


def _change(run: Trial, key: str) -> None:
    run.scene.store.write(key, log(99))


def _remove(run: Trial, key: str) -> None:
    run.scene.store.delete(key)
