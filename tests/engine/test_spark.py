"""What of Spark's long accounts reaches the person who ran the replay."""

import pytest

from spade_spark.engine.job import Job
from spade_spark.engine.spark import _gist, transform
from spade_spark.errors import Bug
from spade_spark.plan import Partition

LOCAL = {"spark.master": "local[1]", "spark.ui.enabled": "false", "spark.task.maxFailures": "1"}


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.usefixtures("aws_keys")  # the tests after it share its JVM, and so its environment
def test_a_bug_in_a_task_is_shown_by_its_own_last_line():
    broken = Job("r", "plan", "20171103", None, b"[]", None)  # type: ignore[arg-type] # the bug
    with pytest.raises(Bug) as raised:
        transform(broken, [Partition(0, ())], LOCAL, lambda progress: None)
    assert str(raised.value) == (
        "Spark gave up: AttributeError: 'NoneType' object has no attribute 'output'; "
        "--log DEBUG shows all of it"
    )


def test_where_no_task_says_why_spark_does():
    account = (
        "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.\n"
        ": org.apache.spark.SparkException: Job aborted: ExecutorLostFailure (executor 1 exited)\n"
        "\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2856)\n"
    )
    assert _gist(account) == (
        "org.apache.spark.SparkException: Job aborted: ExecutorLostFailure (executor 1 exited)"
    )
