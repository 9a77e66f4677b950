"""spade-spark reprocesses a window of edge logs on S3 into Amazon Redshift rows.

To follow a replay from start to end, read :mod:`spade_spark.workflows.replay`.
"""

__version__ = "0.1.0"
