"""The stream configurations that Blueprint publishes.

The document is a JSON list of ``{"AWSAccount", "Version", "Dropped", "SpadeConfig": {...}}``. As in
all documents of Blueprint, member names match in any case, unknown members are ignored, and a
missing or null member is empty, zero or false. :mod:`~spade_spark.streams.validation` has the rules
for the values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from spade_spark.errors import InputError


def _list_to_tuple(value: object) -> object:
    """Convert a JSON list to a tuple. Other values are left for validation to refuse."""
    return tuple(value) if isinstance(value, list) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(_list_to_tuple)]


class _BlueprintModel(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        alias_generator=lambda name: name.replace("_", ""),
    )

    @model_validator(mode="before")
    @classmethod
    def _lowercase_names(cls, members: object) -> object:
        if not isinstance(members, Mapping):
            return members
        return {name.lower(): value for name, value in members.items() if value is not None}


class Condition(_BlueprintModel):
    """A condition on the value of one field.

    Attributes:
        field: A column's outbound name. A missing value is the empty string.
        values: The values.
        operator: ``in_set`` or ``not_in_set``.
    """

    field: str = ""
    values: Strings = ()
    operator: str = ""


class EventRule(_BlueprintModel):
    """Which rows of an event a stream gets, and which fields of them.

    Attributes:
        fields: Outbound names of the columns to send.
        field_renames: New names of fields in the stream, by outbound name.
        all_fields: Whether all columns with a value are sent, instead of ``fields``.
        filter: The filter's name; empty for none.
        filter_parameters: The conditions of the filter ``isOneOf``, which must all hold.
        skip_default_filter: Whether the default filter does not apply.
    """

    fields: Strings = ()
    field_renames: dict[str, str] = Field(default_factory=dict)
    all_fields: bool = False
    filter: str = ""
    filter_parameters: Annotated[tuple[Condition, ...], BeforeValidator(_list_to_tuple)] = ()
    skip_default_filter: bool = False


class GlobberConfig(_BlueprintModel):
    """When a glob is complete.

    Attributes:
        max_size: Bytes of its JSON before compression.
        max_age: The maximum age of its oldest entry, as a Go duration.
        buffer_length: A queue length of the live processor; unused here.
    """

    max_size: int = 0
    max_age: str = ""
    buffer_length: int | None = None


class BatcherConfig(_BlueprintModel):
    """When a batch is complete.

    Attributes:
        max_size: Bytes of its entries.
        max_entries: Number of its entries; -1 for as many as the service accepts.
        max_age: The maximum age of its oldest entry, as a Go duration.
        buffer_length: A queue length of the live processor; unused here.
    """

    max_size: int = 0
    max_entries: int = 0
    max_age: str = ""
    buffer_length: int | None = None


class Stream(_BlueprintModel):
    """One stream: ``SpadeConfig``.

    Attributes:
        stream_name: Its name at AWS.
        stream_type: ``stream`` for Kinesis Data Streams, ``firehose`` for Firehose.
        stream_region: Its AWS region; empty for the region in the settings.
        stream_role: The IAM role to assume; empty for the credentials of this process.
        compress: Whether rows are sent as globs.
        firehose_redshift_stream: Whether a record consists only of its fields.
        event_name_target_field: The field for the event's name; empty for none.
        exclude_empty_fields: Whether fields without a value are omitted.
        buffer_size: A queue length of the live processor; unused here.
        max_attempts_per_record: Attempts to send a record before it is dropped.
        retry_delay: The time between two attempts, as a Go duration.
        events: The rules by event name, which is the table name.
        globber: When a glob is complete.
        batcher: When a batch is complete.
    """

    stream_name: str = ""
    stream_type: str = ""
    stream_region: str = ""
    stream_role: str = Field("", repr=False)
    compress: bool = False
    firehose_redshift_stream: bool = False
    event_name_target_field: str = ""
    exclude_empty_fields: bool = False
    buffer_size: int = 0
    max_attempts_per_record: int = 0
    retry_delay: str = ""
    events: dict[str, EventRule] = Field(default_factory=dict)
    globber: GlobberConfig = GlobberConfig()
    batcher: BatcherConfig = BatcherConfig()


class Entry(_BlueprintModel):
    """One entry of the published list.

    Attributes:
        aws_account: The AWS account that owns the stream.
        version: The configuration's version.
        dropped: Whether the stream is no longer in use.
        spade_config: The stream.
    """

    aws_account: int = 0
    version: int = 0
    dropped: bool = False
    spade_config: Stream = Stream()

    @property
    def key(self) -> tuple[int, str, str]:
        """The identity of the stream."""
        return self.aws_account, self.spade_config.stream_type, self.spade_config.stream_name


class UnreadableEntry(BaseModel):
    """An entry with members of the wrong type.

    Attributes:
        name: The stream's name, or ``entry N`` (from 1) if it has none.
        reason: The error.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    reason: str


_MEMBER_NAMES: Final = {
    alias: "".join(part.capitalize() for part in name.split("_")).replace("Aws", "AWS")
    for model in (Entry, Stream, EventRule, Condition, GlobberConfig, BatcherConfig)
    for name, alias in ((name, name.replace("_", "")) for name in model.model_fields)
}


def read_entries(raw: bytes, source: str) -> tuple[list[Entry], list[UnreadableEntry]]:
    """Return the newest version of each stream, in order, and the unreadable entries.

    Dropped streams are included, so that an error can say that a requested stream was dropped.

    Args:
        raw: The list, uncompressed.
        source: Its URL, for errors.

    Raises:
        InputError: It is not a JSON list.
    """
    newest: dict[tuple[int, str, str], Entry] = {}
    unreadable = []
    for number, published in enumerate(_read_list(raw, source), 1):
        try:
            entry = Entry.model_validate(published)
        except ValidationError as error:
            unreadable.append(
                UnreadableEntry(
                    name=_name_or_number(published, number), reason=_format_errors(error)
                )
            )
            continue
        known = newest.get(entry.key)
        if known is None or known.version <= entry.version:
            newest[entry.key] = entry
    return list(newest.values()), unreadable


def _read_list(raw: bytes, source: str) -> list[Any]:
    try:
        entries = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{source} is not valid JSON ({error}): it must be the list of streams that Blueprint "
            "publishes; check blueprint.streams in the settings"
        ) from None
    if not isinstance(entries, list):
        raise InputError(
            f"{source} is not a JSON list: it must be the list of streams that Blueprint "
            "publishes; check blueprint.streams in the settings"
        )
    return entries


def _name_or_number(published: object, number: int) -> str:
    """Return the stream's name, even if the rest of the entry is invalid; or else its number."""
    for member in ("spadeconfig", "streamname"):
        members = published if isinstance(published, dict) else {}
        published = {str(name).lower(): value for name, value in members.items()}.get(member)
    return published if isinstance(published, str) and published else f"entry {number}"


def _format_errors(error: ValidationError) -> str:
    """Format all errors on one line, with the member names of Blueprint."""
    return "; ".join(
        ".".join(_MEMBER_NAMES.get(str(part), str(part)) for part in detail["loc"])
        + f": {detail['msg']}"
        for detail in error.errors(include_input=False, include_url=False)
    )
