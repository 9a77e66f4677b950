"""Entry point for Spark: ``spark-submit jobs/replay.py START END [TABLE ... | --all-tables]``."""

import sys

from spade_spark.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["replay", *sys.argv[1:]]))
