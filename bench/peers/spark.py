"""A DataFrame job for the one table of the benchmark that it can do simply: ``page_view``.

Without its country column, which would take a Python function and with it a Python worker.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

EVENT = (
    "event string, properties struct<device_id string, login string, url string, host string, "
    "referrer string, language string, viewport_width string, viewport_height string, "
    "logged_in string>"
)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, by proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(out: str, objects: list[str]) -> tuple[int, float]:
    """Transforms the objects; returns the number of rows, and the JVM's CPU seconds for them."""
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
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
    gateway = spark.sparkContext._gateway  # noqa: SLF001 - the one that knows the JVM's process
    assert gateway is not None
    seconds = cpu_seconds(gateway.proc.pid)
    rows = spark.read.csv(out, sep="\t").count()
    spark.stop()
    return rows, seconds


if __name__ == "__main__":
    print(*main(sys.argv[1], sys.argv[2:]))
