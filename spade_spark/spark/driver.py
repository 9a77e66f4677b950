"""Spark: the session, the RDD of the plan's keys, the broadcast, the progress.

The only file that imports pyspark. What one task does stands in :mod:`spade_spark.spark.task`
and knows nothing of Spark.
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
_LOGGING = Path(__file__).parents[2] / "conf" / "log4j2.properties"
_GATEWAY = "PYSPARK_GATEWAY_PORT"
"""Set by spark-submit for the program that it runs (pyspark/java_gateway.py)."""

_LOCAL = re.compile(r"local(?:\[([\d*]+)\])?")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)+(\S.*)")
_PY4J_SAYS = "An error occurred while calling"
_LOG = logging.getLogger(__name__)
_RAISED = re.compile(r"^spade_spark\.errors\.(\w+): (.+)", re.MULTILINE)

# What Spark shows of its environment, in the event log and on its page, must not show the
# warehouse's URL where somebody gave it as an argument of spark-submit.
_REDACTED = r"(?i)secret|password|passphrase|access[.]?key|token|(postgres(ql)?|redshift)://"


@dataclass(frozen=True)
class _TaskUpdate:
    """What tasks tell the driver while others still run."""

    progress: TransformProgress = field(default_factory=TransformProgress)
    refused: tuple[SpadeError, ...] = ()


class _TaskUpdateParam(AccumulatorParam[_TaskUpdate]):
    def zero(self, value: _TaskUpdate) -> _TaskUpdate:  # noqa: ARG002 - Spark's signature
        return _TaskUpdate()

    def addInPlace(self, value1: _TaskUpdate, value2: _TaskUpdate) -> _TaskUpdate:  # noqa: N802 - Spark's name
        return _TaskUpdate(value1.progress + value2.progress, value1.refused + value2.refused)


def transform(
    job: BroadcastContext,
    partitions: Sequence[InputPartition],
    options: Mapping[str, str],
    *,
    check_lock: Callable[[], None],
    watch: Callable[[TransformProgress], None],
) -> list[Completion]:
    """Runs every partition on Spark.

    Args:
        job: What every task needs to know.
        partitions: What is still to be done.
        options: The settings' ``[spark]`` table.
        check_lock: Called several times a second; what it raises cancels the run.
        watch: Displays what is done so far, several times a second; its failures are logged.

    Returns:
        What the tasks returned, one completion a partition.

    Raises:
        SpadeError: What a task refused, what still failed at its last try, or what ``check_lock``
            raised.
    """
    if not partitions:
        return []
    with _context(options) as context:
        news = context.accumulator(_TaskUpdate(), _TaskUpdateParam())
        guard = DisplayGuard()
        task = partial(_task, context.broadcast(job), news)
        keys = context.parallelize(partitions, numSlices=len(partitions))
        # A thread of its own for the action, so that this one can show how far it is.
        with ThreadPoolExecutor(1, "spark-action") as pool:
            action = pool.submit(keys.mapPartitions(task).collect)
            try:
                while not action.done():
                    check_lock()
                    _raise_first(news.value.refused)
                    with guard:
                        watch(replace(news.value.progress, running=_running(context)))
                    time.sleep(_POLL_SECONDS)
            except BaseException:
                context.cancelAllJobs()
                raise
            completions = _result(action.result)
        check_lock()
        with guard:
            watch(news.value.progress)
        _raise_first(news.value.refused)
    return completions


def _raise_first(refused: Sequence[SpadeError]) -> None:
    """What no further try would mend ends the run at once."""
    if refused:
        raise refused[0]


def _task(
    job: Broadcast[BroadcastContext],
    news: Accumulator[_TaskUpdate],
    partitions: Iterator[InputPartition],
) -> Iterator[Completion]:
    """What Spark runs: one slice of the RDD, which is one partition of the plan."""
    context = TaskContext.get()
    attempt = context.taskAttemptId() if context else 0
    for partition in partitions:
        try:
            completion = run_partition(job.value, partition, attempt)
        except TransientError:
            raise  # Spark tries the task again, on another executor if it can
        except SpadeError as error:
            # A value, not an exception: Spark would only try in vain, and show a stack trace.
            news.add(_TaskUpdate(refused=(error,)))
            return
        news.add(_TaskUpdate(_progress(completion.counts)))
        yield completion


def _progress(ledger: AuditCounts) -> TransformProgress:
    return TransformProgress(1, ledger.objects, ledger.bytes_in, ledger.row_count)


def _running(context: SparkContext) -> int:
    tracker = context.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    return sum(stage.numActiveTasks for stage in stages if stage)


def _result(result: Callable[[], list[Completion]]) -> list[Completion]:
    """The action's result; a task's own error instead of Spark's long account of it."""
    try:
        return result()
    except Exception as error:
        raised = _RAISED.findall(str(error))
        if raised:
            name, message = raised[-1]
            raise getattr(errors, name, SpadeError)(message) from None
        if isinstance(error, PySparkException) or type(error).__module__.startswith("py4j"):
            _LOG.debug("what Spark said", exc_info=error)
            raise InternalError(
                f"Spark gave up: {_root_cause(str(error))}; --log DEBUG shows all of it"
            ) from error
        raise


def _root_cause(account: str) -> str:
    """The one line of Spark's long account that says why: a task's own error, else Spark's."""
    tracebacks = _TRACEBACK.findall(account)
    if tracebacks:
        return str(tracebacks[-1])
    lines = (line.strip(": ") for line in account.splitlines())
    return next((line for line in lines if line and not line.startswith(_PY4J_SAYS)), "no reason")


@contextmanager
def _context(options: Mapping[str, str]) -> Iterator[SparkContext]:
    # Executors of a local master are this very machine: the same Python.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if _LOGGING.is_file():
        os.environ.setdefault("SPARK_SUBMIT_OPTS", f"-Dlog4j2.configurationFile=file:{_LOGGING}")
    with ExitStack() as stack:
        with deferred_interrupts():
            context = _start(options)
            stack.callback(context.stop)
        yield context


def _start(options: Mapping[str, str]) -> SparkContext:
    conf, submitted = _submitted()
    conf.setAppName("spade-spark replay")
    conf.set("spark.ui.showConsoleProgress", "false").set("spark.redaction.regex", _REDACTED)
    for name, value in options.items():
        conf.set(name, value)
    conf.setMaster(_master(conf, submitted or conf.get("spark.master") or "local[*]"))
    context = SparkContext(conf=conf)
    context.setLogLevel("ERROR")
    logging.getLogger("py4j").setLevel(logging.ERROR)
    return context


def _submitted() -> tuple[SparkConf, str | None]:
    """What spark-submit was given, and its master: empty and None where it does not run us.

    The settings go over the rest of it, but the master is the first word of a replay's command
    line, and the settings' is for those who do without spark-submit.
    """
    if _GATEWAY not in os.environ:
        return SparkConf(), None
    # Until the driver has met its JVM, a SparkConf knows nothing of spark-submit, and a master set
    # in it would silently replace the one on the command line.
    SparkContext._ensure_initialized()  # noqa: SLF001 - there is no public way to meet it
    conf = SparkConf()
    return conf, conf.get("spark.master")


def _master(conf: SparkConf, master: str) -> str:
    """The master; a local one with task retries, which it has not unless they are spelt out."""
    local = _LOCAL.fullmatch(master)
    if not local:
        return master
    conf.setIfMissing("spark.driver.bindAddress", "127.0.0.1")
    conf.setIfMissing("spark.driver.host", "127.0.0.1")
    return f"local[{local[1] or 1},{conf.get('spark.task.maxFailures', '4')}]"
