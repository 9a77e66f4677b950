"""Replacement of Spark by threads, and short waits between retries, for fast trials."""

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
from spade_spark.warehouse import loader, retry_policies, rollback

_MAX_FAILURES = 4  # spark.task.maxFailures


def _transform(
    context: BroadcastContext,
    partitions: Sequence[InputPartition],
    options: Mapping[str, str],
    *,
    check_lock: Callable[[], None],
    show_progress: Callable[[TransformProgress], None],
) -> list[Completion]:
    """As :func:`spade_spark.spark.driver.transform`."""
    received: BroadcastContext = pickle.loads(pickle.dumps(context))
    with ThreadPoolExecutor(2) as pool:
        completions = list(pool.map(lambda partition: _task(received, partition), partitions))
    check_lock()
    show_progress(TransformProgress(len(completions)))
    return completions


def _task(context: BroadcastContext, partition: InputPartition) -> Completion:
    for attempt in range(_MAX_FAILURES - 1):
        with contextlib.suppress(TransientError):
            return run_partition(context, partition, attempt)
    return run_partition(context, partition, _MAX_FAILURES)


@contextlib.contextmanager
def on_threads() -> Iterator[None]:
    """Run the partitions of this process's replays on threads inside the block."""
    with mock.patch.object(driver, "transform", _transform):
        yield


@contextlib.contextmanager
def with_short_waits() -> Iterator[None]:
    """Shorten the waits between retries inside the block, but keep the number of retries."""
    shortened = partial(dataclasses.replace, initial_wait=0.02, max_wait=0.2)
    with (
        mock.patch.object(
            retry_policies, "PREFLIGHT_RETRIES", shortened(retry_policies.PREFLIGHT_RETRIES)
        ),
        mock.patch.object(loader, "TABLE_RETRIES", shortened(retry_policies.TABLE_RETRIES)),
        mock.patch.object(rollback, "TABLE_RETRIES", shortened(retry_policies.TABLE_RETRIES)),
    ):
        yield
