"""A DataFrame job for the table ``page_view``.

It omits the country column, which would need a Python function and thus a Python worker.
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
    """Return the user and system time of a process from proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(out: str, objects: list[str]) -> tuple[int, float]:
    """Transform the objects; return the number of rows and the CPU seconds of the JVM."""
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
    properties = "payload.properties"
    events.select(
        f.date_format(f.to_timestamp("receivedAt"), "yyyy-MM-dd HH:mm:ss").alias("time"),
        f.col("clientIp").alias("ip"),
        f.col("userAgent").alias("user_agent"),
        *(f"{properties}.{name}" for name in ("device_id", "login", "url", "host", "referrer")),
        f.col(f"{properties}.language"),
        *(
            f.col(f"{properties}.{name}").cast("int")
            for name in ("viewport_width", "viewport_height")
        ),
        f.col(f"{properties}.logged_in").cast("boolean"),
    ).write.csv(out, sep="\t", quoteAll=True, compression="gzip")
    gateway = spark.sparkContext._gateway  # noqa: SLF001 - not public elsewhere
    assert gateway is not None
    seconds = cpu_seconds(gateway.proc.pid)
    rows = spark.read.csv(out, sep="\t").count()
    spark.stop()
    return rows, seconds


if __name__ == "__main__":
    print(*main(sys.argv[1], sys.argv[2:]))
