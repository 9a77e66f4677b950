"""What experiments do without, where they are not about it: Spark, and waits between tries."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest import mock

from spade_spark.errors import TransientError
from spade_spark.plan import InputPartition
from spade_spark.progress import TransformProgress
from spade_spark.runs.manifest import Completion
from spade_spark.spark import driver
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.spark.task import run_partition
from spade_spark.warehouse import loader, retries, rollback

_TRIES = 4  # spark.task.maxFailures


def _transform(
    job: BroadcastContext,
    partitions: Sequence[InputPartition],
    options: Mapping[str, str],
    *,
    check_lock: Callable[[], None],
    watch: Callable[[TransformProgress], None],
) -> list[Completion]:
    """As :func:`spade_spark.spark.driver.transform`."""
    sent: BroadcastContext = pickle.loads(pickle.dumps(job))
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda partition: _task(sent, partition), partitions))
    check_lock()
    watch(TransformProgress(len(done)))
    return done


def _task(job: BroadcastContext, partition: InputPartition) -> Completion:
    for attempt in range(_TRIES - 1):
        with contextlib.suppress(TransientError):
            return run_partition(job, partition, attempt)
    return run_partition(job, partition, _TRIES)


@contextlib.contextmanager
def on_threads() -> Iterator[None]:
    """Replays of this process do their partitions on threads inside the block."""
    with mock.patch.object(driver, "transform", _transform):
        yield


@contextlib.contextmanager
def without_waits() -> Iterator[None]:
    """What passes is tried again as often as ever, and nearly at once, inside the block."""
    soon = partial(dataclasses.replace, initial_wait=0.02, max_wait=0.2)
    with (
        mock.patch.object(retries, "PREFLIGHT_RETRIES", soon(retries.PREFLIGHT_RETRIES)),
        mock.patch.object(loader, "TABLE_RETRIES", soon(retries.TABLE_RETRIES)),
        mock.patch.object(rollback, "TABLE_RETRIES", soon(retries.TABLE_RETRIES)),
    ):
        yield
