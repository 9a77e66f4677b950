"""A DataFrame job for the one table of the benchmark that it can do simply: ``page_view``.

Without its country column, which would take a Python function and with it a Python worker.
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

EVENT = (
    "event string, properties struct<device_id string, login string, url string, host string, "
    "referrer string, language string, viewport_width string, viewport_height string, "
    "logged_in string>"
)


def main(out: str, objects: list[str]) -> int:
    """Transforms the objects; returns the number of rows."""
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "America/Los_Angeles")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    record = "receivedAt string, clientIp string, userAgent string, data string"
    lines = spark.read.schema(record).json(objects)
    payload = f.from_json(f.unbase64("data").cast("string"), EVENT)
    events = lines.withColumn("payload", payload).where("payload.event = 'page_view'")
    sent = "payload.properties"
    events.select(
        f.date_format(f.to_timestamp("receivedAt"), "yyyy-MM-dd HH:mm:ss").alias("time"),
        f.col("clientIp").alias("ip"),
        f.col("userAgent").alias("user_agent"),
        *(f"{sent}.{name}" for name in ("device_id", "login", "url", "host", "referrer")),
        f.col(f"{sent}.language"),
        *(f.col(f"{sent}.{name}").cast("int") for name in ("viewport_width", "viewport_height")),
        f.col(f"{sent}.logged_in").cast("boolean"),
    ).write.csv(out, sep="\t", quoteAll=True, compression="gzip")
    rows = spark.read.csv(out, sep="\t").count()
    spark.stop()
    return rows


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2:]))
