"""What a stream's configuration must be, by the rules of the live processor.

Beyond them: a stream must be sent to at least once for each record. The lengths of the live
processor's queues are looked at only where they are there.
"""

from __future__ import annotations

from collections.abc import Iterator

from spade_spark.gocompat.duration import parse_duration
from spade_spark.settings import Settings, StreamSettings
from spade_spark.streams.config import BatcherConfig, Condition, EventRule, GlobberConfig, Stream
from spade_spark.streams.filters import OPERATORS, PARAMETERIZED, is_known
from spade_spark.streams.limits import FIREHOSE, LIMITS


def validate(stream: Stream, settings: Settings) -> Iterator[str]:
    """What forbids to write to ``stream``, a clause each; nothing where it may be written to."""
    regions = settings.streams.regions
    if not stream.stream_name:
        yield "StreamName is missing"
    if stream.stream_type not in LIMITS:
        yield f"StreamType is {stream.stream_type!r}, should be {' or '.join(LIMITS)}"
    if region_of(stream, settings) not in regions:
        named = (
            f"StreamRegion {stream.stream_region}"
            if stream.stream_region
            else f"StreamRegion is missing, and s3.region {settings.s3.region}"
        )
        yield f"{named} is none of {', '.join(regions)} (see streams.regions in the settings)"
    if stream.firehose_redshift_stream and (stream.stream_type != FIREHOSE or stream.compress):
        yield "FirehoseRedshiftStream goes with a firehose that is not compressed, and no other"
    if stream.max_attempts_per_record < 1:
        yield "MaxAttemptsPerRecord must be positive"
    yield from _duration("RetryDelay", stream.retry_delay, positive=False)
    yield from (f"Globber: {each}" for each in _gathering(stream.globber))
    yield from (f"Batcher: {each}" for each in _batcher(stream.batcher))
    for name, rule in stream.events.items():
        yield from (f"event {name}: {each}" for each in _event(rule, settings.streams))


def region_of(stream: Stream, settings: Settings) -> str:
    """The region that ``stream`` is in: the settings' where it names none."""
    return stream.stream_region or settings.s3.region


def warnings(stream: Stream) -> Iterator[str]:
    """What of ``stream`` is allowed and does something else than it seems to, a clause each."""
    limits = LIMITS[stream.stream_type]
    if stream.batcher.max_entries > limits.records:
        yield (
            f"Batcher.MaxEntries is {stream.batcher.max_entries}: no more than {limits.records} "
            "records are sent at once"
        )
    if stream.batcher.max_size > limits.request_bytes:
        yield (
            f"Batcher.MaxSize is {stream.batcher.max_size}: no more than {limits.request_bytes} "
            "bytes are sent at once"
        )
    for name, rule in stream.events.items():
        if rule.filter_parameters and rule.filter != PARAMETERIZED:
            yield f"event {name}: FilterParameters count with Filter {PARAMETERIZED} alone"


def _batcher(batcher: BatcherConfig) -> Iterator[str]:
    yield from _gathering(batcher)
    if batcher.max_entries <= 0 and batcher.max_entries != -1:
        yield "MaxEntries must be positive, or -1"


def _gathering(config: GlobberConfig | BatcherConfig) -> Iterator[str]:
    """The rules that globs and batches share."""
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
    if rule.filter and not is_known(rule.filter, settings):
        yield f"unknown filter: {rule.filter} (streams.filters in the settings can define it)"
    if rule.filter == PARAMETERIZED:
        if not rule.filter_parameters:
            yield f"Filter {PARAMETERIZED} needs FilterParameters"
        yield from (problem for each in rule.filter_parameters for problem in _condition(each))
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
            f"FilterParameters: {name} has the Operator {condition.operator!r}, should be "
            f"{' or '.join(OPERATORS)}"
        )
