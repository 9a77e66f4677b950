"""Validates a stream's configuration by the rules of the live processor.

Two rules differ: a record needs at least one attempt, and queue lengths may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator

from spade_spark.gocompat.duration import parse_duration
from spade_spark.settings import Settings, StreamSettings
from spade_spark.streams.config import BatcherConfig, Condition, EventRule, GlobberConfig, Stream
from spade_spark.streams.filters import OPERATORS, PARAMETERIZED, filter_exists
from spade_spark.streams.limits import FIREHOSE, LIMITS


def validate(stream: Stream, settings: Settings) -> Iterator[str]:
    """Yield the errors of a configuration, one clause each."""
    regions = settings.streams.regions
    if not stream.stream_name:
        yield "StreamName is missing"
    if stream.stream_type not in LIMITS:
        yield f"StreamType is {stream.stream_type!r}, must be {' or '.join(LIMITS)}"
    if region_of(stream, settings) not in regions:
        region = (
            f"StreamRegion {stream.stream_region}"
            if stream.stream_region
            else f"StreamRegion is missing, and s3.region {settings.s3.region}"
        )
        yield f"{region} is not one of {', '.join(regions)} (see streams.regions in the settings)"
    if stream.firehose_redshift_stream and (stream.stream_type != FIREHOSE or stream.compress):
        yield "FirehoseRedshiftStream requires StreamType firehose without Compress"
    if stream.max_attempts_per_record < 1:
        yield "MaxAttemptsPerRecord must be positive"
    yield from _duration("RetryDelay", stream.retry_delay, positive=False)
    yield from (f"Globber: {error}" for error in _size_and_age(stream.globber))
    yield from (f"Batcher: {error}" for error in _batcher(stream.batcher))
    for name, rule in stream.events.items():
        yield from (f"event {name}: {error}" for error in _event(rule, settings.streams))


def region_of(stream: Stream, settings: Settings) -> str:
    """The stream's region, or else the region in the settings."""
    return stream.stream_region or settings.s3.region


def warnings(stream: Stream) -> Iterator[str]:
    """Yield the values that are valid but have less effect than expected, one clause each."""
    limits = LIMITS[stream.stream_type]
    if stream.batcher.max_entries > limits.records:
        yield (
            f"Batcher.MaxEntries is {stream.batcher.max_entries}: a request has at most "
            f"{limits.records} records"
        )
    if stream.batcher.max_size > limits.request_bytes:
        yield (
            f"Batcher.MaxSize is {stream.batcher.max_size}: a request has at most "
            f"{limits.request_bytes} bytes"
        )
    for name, rule in stream.events.items():
        if rule.filter_parameters and rule.filter != PARAMETERIZED:
            yield f"event {name}: FilterParameters are ignored unless Filter is {PARAMETERIZED}"


def _batcher(batcher: BatcherConfig) -> Iterator[str]:
    yield from _size_and_age(batcher)
    if batcher.max_entries <= 0 and batcher.max_entries != -1:
        yield "MaxEntries must be positive, or -1"


def _size_and_age(config: GlobberConfig | BatcherConfig) -> Iterator[str]:
    """The rules that apply to both globs and batches."""
    yield from _duration("MaxAge", config.max_age, positive=True)
    if config.max_size <= 0:
        yield "MaxSize must be positive"
    if config.buffer_length is not None and config.buffer_length <= 0:
        yield "BufferLength must be positive"


def _duration(name: str, text: str, *, positive: bool) -> Iterator[str]:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        yield f"{name}: {error}"
        return
    if positive and seconds <= 0:
        yield f"{name} must be positive"


def _event(rule: EventRule, settings: StreamSettings) -> Iterator[str]:
    if rule.filter and not filter_exists(rule.filter, settings):
        yield f"unknown filter: {rule.filter} (streams.filters in the settings can define it)"
    if rule.filter == PARAMETERIZED:
        if not rule.filter_parameters:
            yield f"Filter {PARAMETERIZED} needs FilterParameters"
        yield from (
            error for condition in rule.filter_parameters for error in _condition(condition)
        )
    if rule.all_fields and rule.fields:
        yield "Fields must be empty with AllFields"
    if rule.all_fields and rule.field_renames:
        yield "FieldRenames must be empty with AllFields"


def _condition(condition: Condition) -> Iterator[str]:
    name = condition.field or "(no Field)"
    if not condition.field:
        yield "FilterParameters: a Field is missing"
    if not condition.values:
        yield f"FilterParameters: {name} has no Values"
    if condition.operator not in OPERATORS:
        yield (
            f"FilterParameters: {name} has the Operator {condition.operator!r}, must be "
            f"{' or '.join(OPERATORS)}"
        )
