"""Runs the plan's partitions as one Spark job and reports its progress.

This is the only module that imports pyspark. :mod:`spade_spark.spark.task` implements the task
without Spark.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark import AccumulatorParam, SparkConf, SparkContext, TaskContext
from pyspark.errors import PySparkException

from spade_spark import errors
from spade_spark.errors import InternalError, SpadeError, TransientError
from spade_spark.interrupts import deferred_interrupts
from spade_spark.plan import InputPartition
from spade_spark.progress import DisplayGuard, TransformProgress
from spade_spark.runs.audit_counts import AuditCounts
from spade_spark.runs.manifest import Completion
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.spark.task import run_partition

if TYPE_CHECKING:
    from pyspark import Accumulator, Broadcast

_POLL_SECONDS = 0.25
_LOG4J_CONFIG = Path(__file__).parents[2] / "conf" / "log4j2.properties"
_GATEWAY_PORT = "PYSPARK_GATEWAY_PORT"
"""spark-submit sets this variable for its program (pyspark/java_gateway.py)."""

_LOCAL_MASTER = re.compile(r"local(?:\[([\d*]+)\])?")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)+(\S.*)")
_PY4J_PREFIX = "An error occurred while calling"
_LOG = logging.getLogger(__name__)
_SPADE_ERROR = re.compile(r"^spade_spark\.errors\.(\w+): (.+)", re.MULTILINE)

# Spark shows its configuration and arguments in the event log and the web UI. The warehouse URL can
# be an argument of spark-submit and must not appear there.
_REDACTED = r"(?i)secret|password|passphrase|access[.]?key|token|(postgres(ql)?|redshift)://"


@dataclass(frozen=True)
class _TaskUpdate:
    """The accumulator value that tasks send to the driver: progress and permanent errors."""

    progress: TransformProgress = field(default_factory=TransformProgress)
    errors: tuple[SpadeError, ...] = ()


class _TaskUpdateParam(AccumulatorParam[_TaskUpdate]):
    def zero(self, value: _TaskUpdate) -> _TaskUpdate:  # noqa: ARG002 - Spark's signature
        return _TaskUpdate()

    def addInPlace(self, value1: _TaskUpdate, value2: _TaskUpdate) -> _TaskUpdate:  # noqa: N802 - Spark's name
        return _TaskUpdate(value1.progress + value2.progress, value1.errors + value2.errors)


def transform(
    context: BroadcastContext,
    partitions: Sequence[InputPartition],
    options: Mapping[str, str],
    *,
    check_lock: Callable[[], None],
    show_progress: Callable[[TransformProgress], None],
) -> list[Completion]:
    """Run the partitions on Spark.

    Args:
        context: The data that every task needs.
        partitions: The partitions to run.
        options: The ``[spark]`` table of the settings.
        check_lock: Called several times a second; an exception from it cancels the job.
        show_progress: Called several times a second; an exception from it is only logged.

    Returns:
        The completion record of each partition.

    Raises:
        SpadeError: A permanent error of a task, the last of its transient errors, or an exception
            of ``check_lock``.
    """
    if not partitions:
        return []
    with _spark_context(options) as spark:
        updates = spark.accumulator(_TaskUpdate(), _TaskUpdateParam())
        guard = DisplayGuard()
        task = partial(_task, spark.broadcast(context), updates)
        rdd = spark.parallelize(partitions, numSlices=len(partitions))
        # The action blocks, so it runs in another thread while this thread reports the progress.
        with ThreadPoolExecutor(1, "spark-action") as pool:
            action = pool.submit(rdd.mapPartitions(task).collect)
            try:
                while not action.done():
                    check_lock()
                    _raise_first(updates.value.errors)
                    with guard:
                        show_progress(replace(updates.value.progress, running=_active_tasks(spark)))
                    time.sleep(_POLL_SECONDS)
            except BaseException:
                spark.cancelAllJobs()
                raise
            completions = _result(action.result)
        check_lock()
        with guard:
            show_progress(updates.value.progress)
        _raise_first(updates.value.errors)
    return completions


def _raise_first(task_errors: Sequence[SpadeError]) -> None:
    """Raise the first permanent error, if any."""
    if task_errors:
        raise task_errors[0]


def _task(
    context: Broadcast[BroadcastContext],
    updates: Accumulator[_TaskUpdate],
    partitions: Iterator[InputPartition],
) -> Iterator[Completion]:
    """Run one slice of the RDD, which is one partition of the plan."""
    task_context = TaskContext.get()
    attempt = task_context.taskAttemptId() if task_context else 0
    for partition in partitions:
        try:
            completion = run_partition(context.value, partition, attempt)
        except TransientError:
            raise  # Spark retries the task, on another executor if possible
        except SpadeError as error:
            # If it were raised, Spark would retry the task and print a stack trace.
            updates.add(_TaskUpdate(errors=(error,)))
            return
        updates.add(_TaskUpdate(_progress(completion.counts)))
        yield completion


def _progress(counts: AuditCounts) -> TransformProgress:
    return TransformProgress(1, counts.objects, counts.bytes_in, counts.row_count)


def _active_tasks(spark: SparkContext) -> int:
    tracker = spark.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    return sum(stage.numActiveTasks for stage in stages if stage)


def _result(result: Callable[[], list[Completion]]) -> list[Completion]:
    """Return the result of the action. Raise the error of a task rather than Spark's."""
    try:
        return result()
    except Exception as error:
        reported = _SPADE_ERROR.findall(str(error))
        if reported:
            name, message = reported[-1]
            raise getattr(errors, name, SpadeError)(message) from None
        if isinstance(error, PySparkException) or type(error).__module__.startswith("py4j"):
            _LOG.debug("the Spark action failed", exc_info=error)
            raise InternalError(
                f"Spark failed: {_root_cause(str(error))}; --log DEBUG shows the full error"
            ) from error
        raise


def _root_cause(message: str) -> str:
    """Return the line of a Spark error that names the cause: a task's exception, else Spark's."""
    tracebacks = _TRACEBACK.findall(message)
    if tracebacks:
        return str(tracebacks[-1])
    lines = (line.strip(": ") for line in message.splitlines())
    return next(
        (line for line in lines if line and not line.startswith(_PY4J_PREFIX)), "unknown cause"
    )


@contextmanager
def _spark_context(options: Mapping[str, str]) -> Iterator[SparkContext]:
    # Executors of a local master run on this machine, with the same Python.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if _LOG4J_CONFIG.is_file():
        os.environ.setdefault(
            "SPARK_SUBMIT_OPTS", f"-Dlog4j2.configurationFile=file:{_LOG4J_CONFIG}"
        )
    with ExitStack() as stack:
        with deferred_interrupts():
            spark = _start_context(options)
            stack.callback(spark.stop)
        yield spark


def _start_context(options: Mapping[str, str]) -> SparkContext:
    conf, submitted_master = _submitted_conf()
    conf.setAppName("spade-spark replay")
    conf.set("spark.ui.showConsoleProgress", "false").set("spark.redaction.regex", _REDACTED)
    for name, value in options.items():
        conf.set(name, value)
    conf.setMaster(_master(conf, submitted_master or conf.get("spark.master") or "local[*]"))
    spark = SparkContext(conf=conf)
    spark.setLogLevel("ERROR")
    logging.getLogger("py4j").setLevel(logging.ERROR)
    return spark


def _submitted_conf() -> tuple[SparkConf, str | None]:
    """Return the configuration and the master of spark-submit; empty and None without spark-submit.

    The settings override this configuration but not its master: the master in the settings is for
    runs without spark-submit.
    """
    if _GATEWAY_PORT not in os.environ:
        return SparkConf(), None
    # SparkConf has the options of spark-submit only after the driver has connected to its JVM.
    # Without them, a master set here would silently override the one on the command line.
    SparkContext._ensure_initialized()  # noqa: SLF001 - no public API does this
    conf = SparkConf()
    return conf, conf.get("spark.master")


def _master(conf: SparkConf, master: str) -> str:
    """Add task retries to a local master, for which Spark disables them by default."""
    local = _LOCAL_MASTER.fullmatch(master)
    if not local:
        return master
    conf.setIfMissing("spark.driver.bindAddress", "127.0.0.1")
    conf.setIfMissing("spark.driver.host", "127.0.0.1")
    return f"local[{local[1] or 1},{conf.get('spark.task.maxFailures', '4')}]"
