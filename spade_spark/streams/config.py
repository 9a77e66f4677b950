"""Blueprint's configuration of streams, as it is published.

The form is a JSON list of ``{"AWSAccount", "Version", "Dropped", "SpadeConfig": {...}}``. As in all
that Blueprint publishes, names of members match in any case, members that are not known are
ignored, and what is missing or null is empty, zero or false. What a configuration may say is in
:mod:`~spade_spark.streams.validation`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from spade_spark.errors import InputError


def _tuple_of_list(value: object) -> object:
    """JSON has lists where these values are tuples; anything else is left to be refused."""
    return tuple(value) if isinstance(value, list) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_tuple_of_list)]


class _Published(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        alias_generator=lambda name: name.replace("_", ""),
    )

    @model_validator(mode="before")
    @classmethod
    def _named_in_any_case(cls, members: object) -> object:
        if not isinstance(members, Mapping):
            return members
        return {name.lower(): value for name, value in members.items() if value is not None}


class Condition(_Published):
    """What one field must, or must not, be.

    Attributes:
        field: A column's outbound name; a row that lacks it has the empty text.
        values: The texts.
        operator: ``in_set`` or ``not_in_set``.
    """

    field: str = ""
    values: Texts = ()
    operator: str = ""


class EventRule(_Published):
    """Which rows of one event go to a stream, with which fields.

    Attributes:
        fields: Columns by their outbound names.
        field_renames: Names that fields go by in the stream.
        all_fields: Every column that has a value, instead of ``fields``.
        filter: The filter's name; empty for none.
        filter_parameters: What the filter ``isOneOf`` looks at, all of which must hold.
        skip_default_filter: Whether the default filter is left out.
    """

    fields: Texts = ()
    field_renames: dict[str, str] = Field(default_factory=dict)
    all_fields: bool = False
    filter: str = ""
    filter_parameters: Annotated[tuple[Condition, ...], BeforeValidator(_tuple_of_list)] = ()
    skip_default_filter: bool = False


class GlobberConfig(_Published):
    """When a glob is complete.

    Attributes:
        max_size: Bytes of JSON in it, before compression.
        max_age: How old its oldest entry may become, in Go's form.
        buffer_length: Of the live processor's queue; has no meaning here.
    """

    max_size: int = 0
    max_age: str = ""
    buffer_length: int | None = None


class BatcherConfig(_Published):
    """When a batch is complete.

    Attributes:
        max_size: Bytes of its entries.
        max_entries: Entries in it; -1 for as many as the service takes.
        max_age: How old its oldest entry may become, in Go's form.
        buffer_length: Of the live processor's queue; has no meaning here.
    """

    max_size: int = 0
    max_entries: int = 0
    max_age: str = ""
    buffer_length: int | None = None


class Stream(_Published):
    """One stream: ``SpadeConfig``.

    Attributes:
        stream_name: Its name at AWS.
        stream_type: ``stream`` for Kinesis Streams, ``firehose`` for Firehose.
        stream_region: Where it is; empty for the settings' region.
        stream_role: The role that may write to it; empty for this process's own.
        compress: Whether rows are sent as globs.
        firehose_redshift_stream: Whether a record is nothing but its fields.
        event_name_target_field: The field that the event's name is put in; empty for none.
        exclude_empty_fields: Whether fields without a value are left out.
        buffer_size: Of the live processor's queue; has no meaning here.
        max_attempts_per_record: How often a record is sent before it is given up.
        retry_delay: The time between two attempts, in Go's form.
        events: The rules by event, which is by table.
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


class Entry(_Published):
    """One entry of the published list.

    Attributes:
        aws_account: Whose stream it is.
        version: The configuration's version.
        dropped: Whether the stream is no longer written to.
        spade_config: The stream.
    """

    aws_account: int = 0
    version: int = 0
    dropped: bool = False
    spade_config: Stream = Stream()

    @property
    def key(self) -> tuple[int, str, str]:
        """What tells streams apart."""
        return self.aws_account, self.spade_config.stream_type, self.spade_config.stream_name


class Unreadable(BaseModel):
    """An entry whose members have other types than they should.

    Attributes:
        name: The stream's name, or ``entry N`` (from 1) where there is none.
        reason: What is wrong with it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    reason: str


_NAMES: Final = {
    alias: "".join(part.capitalize() for part in name.split("_")).replace("Aws", "AWS")
    for model in (Entry, Stream, EventRule, Condition, GlobberConfig, BatcherConfig)
    for name, alias in ((name, name.replace("_", "")) for name in model.model_fields)
}


def read_entries(raw: bytes, source: str) -> tuple[list[Entry], list[Unreadable]]:
    """The newest version of each stream, in the list's order, and the entries that are none.

    Dropped streams are among them, so that one which is asked for can be told from one that never
    was.

    Args:
        raw: The list, not compressed.
        source: Where it came from, for the error.

    Raises:
        InputError: It is no JSON list.
    """
    newest: dict[tuple[int, str, str], Entry] = {}
    unreadable = []
    for number, published in enumerate(_read_list(raw, source), 1):
        try:
            entry = Entry.model_validate(published)
        except ValidationError as error:
            unreadable.append(Unreadable(name=_name_of(published, number), reason=_said(error)))
            continue
        before = newest.get(entry.key)
        if before is None or before.version <= entry.version:
            newest[entry.key] = entry
    return list(newest.values()), unreadable


def _read_list(raw: bytes, source: str) -> list[Any]:
    try:
        entries = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{source} is no JSON ({error}): it should be the list of streams that Blueprint "
            "publishes; see blueprint.streams in the settings"
        ) from None
    if not isinstance(entries, list):
        raise InputError(
            f"{source} is JSON, but no list of streams as Blueprint publishes it; see "
            "blueprint.streams in the settings"
        )
    return entries


def _name_of(published: object, number: int) -> str:
    """The stream's name, however wrong the rest of the entry is."""
    for member in ("spadeconfig", "streamname"):
        members = published if isinstance(published, dict) else {}
        published = {str(name).lower(): value for name, value in members.items()}.get(member)
    return published if isinstance(published, str) and published else f"entry {number}"


def _said(error: ValidationError) -> str:
    """All problems in one line, by the names that Blueprint has for them."""
    return "; ".join(
        ".".join(_NAMES.get(str(part), str(part)) for part in problem["loc"])
        + f": {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )
