#!/bin/sh
# replay.sh MASTER REDSHIFT_TARGET START END [TABLE ... | --all-tables] [options]
#
# MASTER           a host (then spark://HOST:7077) or a Spark master URL: local[*], yarn, …
# REDSHIFT_TARGET  the postgres:// URL of the warehouse, or - for none
# For the other arguments, see spade-spark replay --help
set -eu
if [ $# -lt 4 ] && [ "${1:-}" != --help ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
if [ -x "$here/.venv/bin/spark-submit" ]; then
    PATH="$here/.venv/bin:$PATH"
    export PYSPARK_PYTHON="${PYSPARK_PYTHON:-$here/.venv/bin/python}"
fi
if [ "${1:-}" = --help ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exec spade-spark replay --help
fi
export SPARK_SUBMIT_OPTS="${SPARK_SUBMIT_OPTS:--Dlog4j2.configurationFile=file:$here/conf/log4j2.properties}"
case $1 in
    local | local\[*\] | local-cluster\[*\] | yarn | *://*) master=$1 ;;
    *) master=spark://$1:7077 ;;
esac
# The URL contains a password, and process lists show arguments but not the environment.
[ "$2" = - ] || export SPADE_RSURL="$2"
shift 2
exec spark-submit --master "$master" "$here/jobs/replay.py" "$@"
