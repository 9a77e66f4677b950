"""What a transformer is: one specification, which every other part of the program reads.

This module imports neither pyarrow nor msgspec: types are named here, and resolved by the part
that needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import partial
from typing import Final

from spade_spark.gocompat.json import Value
from spade_spark.lookups.base import Lookups

Converter = Callable[[Value, tuple[Value, ...]], str]
"""From a property and its supporting ones to the column's text; a missing one is None.

That a missing property and a null are the same here is sound: no transformer takes a null.

Raises:
    ConversionError: The property is not one that the transformer takes; the column is skipped.
    LookupUnavailableError: A service that the column asks does not answer.
"""

ConverterFactory = Callable[[Lookups, str], Converter]
"""From the lookups and the transformer's parameter (see :class:`TransformerSpec`) to a converter.

It survives pickling if it is a function of a module, or a ``functools.partial`` of one.
"""


class ConversionError(ValueError):
    """A property that its column's transformer does not take; the column is left empty."""


class ArrowType(str, Enum):
    """The type of a column in Parquet, by the name that Arrow gives it."""

    INT32 = "int32"
    INT64 = "int64"
    DOUBLE = "double"
    BOOL = "bool"
    TIMESTAMP = "timestamp[ms]"
    STRING = "string"


class FieldType(Enum):
    """How generated code decodes a property from JSON; any other value raises."""

    TEXT = "a string"
    INT32 = "an integer of 32 bits"
    INT64 = "an integer of 64 bits"
    FLOAT = "a number"
    TIME = "a number of Unix seconds"
    BOOL = "true or false"
    RAW = "any value, as its JSON text"
    ANY = "any value"


class AddressPart(IntEnum):
    """A text that is known of an IP address; the value is its index in the cached texts."""

    ADDRESS = 0
    CITY = 1
    COUNTRY = 2
    REGION = 3
    ASN = 4
    ASN_NUMBER = 5


class ValueKind(str, Enum):
    """What an observed JSON value is. Every value that is not null has exactly one kind."""

    BOOL = "bool"
    INT = "int"
    BIGINT = "bigint"
    FLOAT = "float"
    TEXT = "text"
    INT_TEXT = "int as text"
    BIGINT_TEXT = "bigint as text"
    FLOAT_TEXT = "float as text"
    NESTED = "list or object"
    HUGE = "number out of range"


class ValueTrait(Enum):
    """What else holds for an observed JSON value, whatever its kind."""

    SWITCH = "the number 0 or 1"
    UNIX_TIME = "a number of Unix seconds within the range of a timestamp"
    ADDRESS = "the text of an IP address"


@dataclass(frozen=True)
class Inference:
    """When schema inference proposes a transformer for a property.

    Attributes:
        kinds: The kinds of values that the transformer takes.
        traits: The traits of values that it takes as well; their kinds are not in ``kinds``.
        requires: The transformer is considered if a value of one of these kinds was observed. It
            is always considered if this is empty, and then loses a tie.
        names: If not empty, the transformer is considered for properties of these names alone. It
            is then proposed if it takes more than half of the values.
    """

    kinds: tuple[ValueKind, ...] = ()
    traits: tuple[ValueTrait, ...] = ()
    requires: tuple[ValueKind, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValueCodegen:
    """How the fast path generates code for a column that shows a property.

    The templates are Python expressions. They may use ``{value}`` (the property), ``{supporting}``
    (the supporting property), ``{convert}`` (the name of the column's converter), ``{memo}`` (the
    name of the cache of its texts by what was sent) and what ``RowCaches.names`` lists. The
    result is
    escaped unless ``as_sent`` is set; ``MISSING`` stands for a column that cannot be filled.

    Attributes:
        field: How a property of the expected type is decoded.
        typed: The text of such a property.
        any_type: The text of a property of any type.
        any_field: How a property of any type is decoded.
        batch: The texts of ``{value} for p in sent``; empty if ``typed`` is as fast in a batch.
        supporting: How the one supporting property is decoded; None if there is none. The cache
            then holds texts by the supporting property.
        as_sent: Whether the text is the string that was sent, which may need escapes.
        as_time: Whether ``typed`` also takes a property that is decoded as ``FieldType.TIME``,
            because another column shows it as a time.
        server_time: The attribute of ``TimestampTexts`` that shows the server's time; empty if the
            transformer does not take a number of Unix seconds.
    """

    field: FieldType
    typed: str
    any_type: str
    any_field: FieldType = FieldType.ANY
    batch: str = ""
    supporting: FieldType | None = None
    as_sent: bool = False
    as_time: bool = False
    server_time: str = ""


@dataclass(frozen=True)
class AddressCodegen:
    """How the fast path generates code for a column that shows a part of an IP address.

    Neighboring columns of one property are filled together, from one lookup.

    Attributes:
        part: The part.
    """

    part: AddressPart


CACHED: Final = "known_{memo}.get(x := {value}) or fill_{memo}(x)"
"""The cached text of a property; see :class:`ValueCodegen`."""

CACHED_TEXT: Final = ValueCodegen(
    FieldType.TEXT, typed=CACHED, any_type="any_text({memo}, {value})"
)
"""For a converter that takes strings alone and gives the same text for the same string."""


@dataclass(frozen=True)
class TransformerSpec:
    """All that the program knows of one Blueprint transformer.

    Attributes:
        name: The name that Blueprint gives it, or the prefix of such names if it has a parameter.
        converter: Makes its converter, which defines what the transformer does.
        sql_types: A regular expression of the types that a warehouse column may have, as
            ``format_type()`` writes them.
        sql_type: The type of a warehouse column in CREATE TABLE, without the column's options.
        arrow_type: The type of the column in Parquet.
        codegen: How the fast path generates code for it. A table with a column without this is
            left to the reference path.
        inference: When schema inference proposes it; None for never.
        examples: JSON values that it takes. Tests and the fuzzer draw from them.
        example_parameter: An example of what follows ``name``; empty if nothing does.
        clock: For a timestamp, the clock that it shows, as Parquet's metadata describe it.
    """

    name: str
    converter: ConverterFactory
    sql_types: str
    sql_type: str
    arrow_type: ArrowType
    codegen: ValueCodegen | AddressCodegen | None
    inference: Inference | None
    examples: tuple[str, ...]
    example_parameter: str = ""
    clock: str = ""

    @property
    def example_name(self) -> str:
        """A name of a column's transformer that this is the specification of."""
        return self.name + self.example_parameter

    @property
    def display_name(self) -> str:
        """The name for messages, with a placeholder for the parameter."""
        return f"{self.name}<parameter>" if self.example_parameter else self.name

    @property
    def address_part(self) -> AddressPart | None:
        """The part of an IP address that a column of the address shows; None for another text."""
        if isinstance(self.codegen, AddressCodegen):
            return self.codegen.part
        return AddressPart.ADDRESS if self.codegen and self.codegen.as_sent else None

    def parameter(self, name: str) -> str | None:
        """The parameter in the name of a column's transformer; None for another transformer."""
        if self.example_parameter:
            return name.removeprefix(self.name) if name.startswith(self.name) else None
        return "" if name == self.name else None


def constant(convert: Converter) -> ConverterFactory:
    """Makes ``convert``, which needs neither lookups nor a parameter."""
    return partial(_constant, convert)


def _constant(convert: Converter, _lookups: Lookups, _parameter: str) -> Converter:
    return convert


def text(value: Value) -> str:
    """``value`` if it is a string.

    Raises:
        ConversionError: It is another value.
    """
    if not isinstance(value, str):
        raise ConversionError("no string")
    return value
