"""spade-spark: edge logs on S3 become rows in the warehouse again.

The story of a replay stands in :mod:`spade_spark.workflows.replay`, top to bottom.
"""

__version__ = "0.1.0"
