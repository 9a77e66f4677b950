"""The transformer ``userIDWithMapping``: the user id sent, or else the id of the login."""

from __future__ import annotations

from typing import Final

from spade_spark.gocompat.json import Value
from spade_spark.lookups.base import Lookups, UserIdLookup
from spade_spark.transform.transformers.base import (
    ArrowType,
    ConversionError,
    Converter,
    FieldType,
    TransformerSpec,
    ValueCodegen,
    text,
)
from spade_spark.transform.transformers.numbers import integer

WHITE_SPACE: Final = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""The characters that Go's ``strings.TrimSpace`` removes. ``str.strip()`` also removes U+001C to
U+001F."""


def to_user_id(user_ids: UserIdLookup) -> Converter:
    """Return the converter of ``userIDWithMapping``; the supporting property is the login."""

    def convert(value: Value, supporting: tuple[Value, ...]) -> str:
        if len(supporting) != 1:
            raise ConversionError("needs exactly one supporting column")
        try:
            return str(integer(value))
        except ConversionError:
            return user_id_of(supporting[0])

    def user_id_of(value: Value) -> str:
        login = text(value).strip(WHITE_SPACE)
        user_id = user_ids.user_id(login) if login else None
        if user_id is None:
            raise ConversionError("unknown login")
        return str(user_id)

    return convert


def _user_id_converter(lookups: Lookups, _parameter: str) -> Converter:
    return to_user_id(lookups.user_ids)


SPECS: Final = (
    TransformerSpec(
        name="userIDWithMapping",
        converter=_user_id_converter,
        accepted_sql_types=r"bigint|numeric.*",
        sql_type="BIGINT",
        arrow_type=ArrowType.INT64,
        codegen=ValueCodegen(
            FieldType.INT64,
            typed=(
                "known_{cache}.get(x := {supporting}) or fill_{cache}(x)"
                " if {value} is MISSING else f'{{{value}}}'"
            ),
            any_type="coerce_user_id({convert}, {cache}, {value}, {supporting})",
            supporting=FieldType.TEXT,
        ),
        inference=None,
        examples=("77", '"77"', "-1"),
    ),
)
