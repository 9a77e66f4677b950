"""The transformers ``varchar`` and ``bool``."""

from __future__ import annotations

from typing import Final

from spade_spark.gocompat.json import Number, Value
from spade_spark.transform.transformers.base import (
    ArrowType,
    ConversionError,
    FieldType,
    Inference,
    TransformerSpec,
    ValueCodegen,
    ValueKind,
    ValueTrait,
    constant,
    text,
)

SQL_TEXT_TYPES: Final = r"character.*|text"
"""The types of a warehouse column for strings; see ``TransformerSpec.accepted_sql_types``."""

_NUMBERS: Final = {"1": "true", "0": "false"}


def to_varchar(value: Value, _: tuple[Value, ...]) -> str:
    """Convert to ``varchar``; the warehouse truncates the string to the column's length."""
    return text(value)


def to_bool(value: Value, _: tuple[Value, ...]) -> str:
    """Convert to ``bool``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number) and value.text in _NUMBERS:
        return _NUMBERS[value.text]
    raise ConversionError("neither true, false, 1 nor 0")


SPECS: Final = (
    TransformerSpec(
        name="bool",
        converter=constant(to_bool),
        accepted_sql_types=r"boolean",
        sql_type="BOOLEAN",
        arrow_type=ArrowType.BOOL,
        codegen=ValueCodegen(
            FieldType.BOOL,
            typed="booleans[{value}]",
            any_type="coerce_bool({value})",
            any_field=FieldType.RAW,
        ),
        inference=Inference(
            kinds=(ValueKind.BOOL,), traits=(ValueTrait.SWITCH,), requires=(ValueKind.BOOL,)
        ),
        examples=("true", "false", "1", "0"),
    ),
    TransformerSpec(
        name="varchar",
        converter=constant(to_varchar),
        accepted_sql_types=SQL_TEXT_TYPES,
        sql_type="VARCHAR",
        arrow_type=ArrowType.STRING,
        codegen=ValueCodegen(
            FieldType.TEXT,
            typed="{value}",
            any_type="x if type(x := {value}) is str else MISSING",
            as_sent=True,
        ),
        inference=Inference(
            kinds=(
                *(ValueKind.TEXT, ValueKind.INT_TEXT, ValueKind.BIGINT_TEXT),
                ValueKind.FLOAT_TEXT,
            )
        ),
        examples=('"plain text"', '"caf\u00e9"', '"42"'),
    ),
)
