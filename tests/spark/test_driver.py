"""The errors and the progress that the Spark driver reports."""

import pytest

from spade_spark.errors import InternalError, LockLostError
from spade_spark.plan import InputPartition
from spade_spark.settings import Settings
from spade_spark.spark.broadcast_context import BroadcastContext
from spade_spark.spark.driver import _root_cause, transform
from tests.support import edge_logs

LOCAL = {"spark.master": "local[1]", "spark.ui.enabled": "false", "spark.task.maxFailures": "1"}


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.usefixtures("aws_keys")  # later tests share its JVM and environment
def test_an_internal_error_of_a_task_is_reported_in_one_line():
    broken = BroadcastContext("r", "plan", "20171103", None, b"[]", None)  # type: ignore[arg-type] # the bug
    with pytest.raises(InternalError) as raised:
        transform(
            broken,
            [InputPartition(0, ())],
            LOCAL,
            check_lock=lambda: None,
            show_progress=lambda progress: None,
        )
    assert str(raised.value) == (
        "Spark failed: AttributeError: 'NoneType' object has no attribute 'output'; "
        "--log DEBUG shows the full error"
    )


@pytest.fixture
def context(tmp_path):
    """A run without input."""
    settings = Settings.model_validate(
        {"input": {"edge": str(tmp_path / "edge")}, "output": {"base": str(tmp_path / "output")}}
    )
    return BroadcastContext(
        "r", "plan", "20171103", settings, edge_logs.schemas(edge_logs.LOGIN), None
    )


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.usefixtures("aws_keys")
def test_a_failing_display_is_logged_and_the_transform_continues(context, caplog):
    def show_progress(progress):
        raise RuntimeError("no terminal")

    (completion,) = transform(
        context,
        [InputPartition(0, ())],
        LOCAL,
        check_lock=lambda: None,
        show_progress=show_progress,
    )
    assert completion.partition == 0
    assert caplog.text.count("the progress display failed (RuntimeError: no terminal)") == 1


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.usefixtures("aws_keys")
def test_a_lost_lock_cancels_the_transform(context):
    def check_lock():
        raise LockLostError("the lock was taken over")

    with pytest.raises(LockLostError, match="the lock was taken over"):
        transform(
            context,
            [InputPartition(0, ())],
            LOCAL,
            check_lock=check_lock,
            show_progress=lambda progress: None,
        )


def test_the_root_cause_without_a_task_error_is_sparks_first_line():
    message = (
        "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.\n"
        ": org.apache.spark.SparkException: Job aborted: ExecutorLostFailure (executor 1 exited)\n"
        "\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2856)\n"
    )
    assert _root_cause(message) == (
        "org.apache.spark.SparkException: Job aborted: ExecutorLostFailure (executor 1 exited)"
    )
