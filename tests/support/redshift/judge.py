"""Judges statements by Redshift's documentation, whatever PostgreSQL thinks of them.

sqlfluff's ``redshift`` dialect is an independent parser: a statement that it cannot parse is
refused. It accepts more than Redshift documents, so its syntax tree is then compared with what the
documentation lists. Equal statements with other names and values have one shape, and each shape is
judged once per process.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import cache, lru_cache

from sqlfluff.core import FluffConfig
from sqlfluff.core.parser import BaseSegment, Parser, PyLexer

from tests.support.redshift.documented import (
    ENCODINGS,
    FUNCTIONS,
    LEADER_NODE_FUNCTIONS,
    MAX_LENGTHS,
    RESERVED,
    SETTINGS,
    STATEMENTS,
    SYSTEM_COLUMNS,
    TYPES,
    UNSUPPORTED_TYPES,
)
from tests.support.redshift.refused import Refused
from tests.support.redshift.unsupported import unsupported_clause

# https://docs.aws.amazon.com/redshift/latest/dg/c_redshift-sql.html
_MAX_STATEMENT_BYTES = 16_777_216
# Longer names are truncated: https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_TABLE_NEW.html
# That is refused, because two names could become the same.
_MAX_NAME_BYTES = 127

_PIECE = re.compile(
    r"""(?P<string>'[^']*(?:''[^']*)*') | (?P<quoted>"[^"]*(?:""[^"]*)*")
    | (?P<comment>--[^\n]*|/\*.*?\*/) | (?P<space>\s+)
    | (?P<number>\d+(?:\.\d+)?\b) | (?P<word>\w+) | (?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_GENERATED = re.compile(r"_[0-9a-f]{8}$")  # the end of an unquoted name of the tests
_CATALOG = re.compile(r"pg_\w+", re.IGNORECASE)
_SYSTEM_TABLE = re.compile(r"(?:stl|stv|svl|svv|svcs|sys|pg)_\w+|information_schema", re.I)
_LENGTH = re.compile(
    r"\b(CHAR|CHARACTER|NCHAR|BPCHAR|VARCHAR|NVARCHAR|CHARACTER\s+VARYING|DECIMAL|NUMERIC|VARBYTE)"
    r"\s*\(\s*(\d+)",
    re.IGNORECASE,
)
# Lists with more than two equal items, such as the rows of VALUES, have the shape of two.
_REPEATED = re.compile(r"(\([^()]*\)|\"n\"|'x'|\b1\b)(?:\s*,\s*\1){2,}")
# sqlfluff parses at most about twelve nested calls. Inner calls are judged on their own first.
_MAX_DEPTH = 8
_INNER_CALL = re.compile(r"\b([A-Z_]\w*)\s*\(([^()]*)\)", re.IGNORECASE)
_ARGUMENT_WORDS = re.compile(r"\b(?:SELECT|FROM|VALUES)\b", re.IGNORECASE)

# Words before parentheses that are not functions, or that depend on the rest of the statement.
_NOT_CALLS = (
    (RESERVED - FUNCTIONS)
    | {word for type_ in TYPES for word in type_.split()}
    | {"EXISTS", "OVER", "VALUES"}
    | LEADER_NODE_FUNCTIONS
)

# sqlfluff takes these keywords for functions.
_PREDICATES = frozenset({"ALL", "ANY", "EXISTS", "SOME"})

# Documented statements that sqlfluff cannot parse.
_NOT_PARSABLE = {
    # https://docs.aws.amazon.com/redshift/latest/dg/r_ANALYZE.html
    re.compile(r'^ANALYZE\s+(?:VERBOSE\s+)?["\w.]+\s+(?:PREDICATE|ALL)\s+COLUMNS$', re.I),
    # https://docs.aws.amazon.com/redshift/latest/dg/fetch.html
    re.compile(r"^FETCH\s+(?:NEXT|ALL|FORWARD\s+(?:\d+|ALL))\s+FROM\s+\S+$", re.I),
}

_parsing = threading.Lock()  # all sessions share one parser


def check(sql: str) -> None:
    """Check that Redshift accepts the statement.

    Raises:
        Refused: It does not.
    """
    size = len(sql.encode())
    if size > _MAX_STATEMENT_BYTES:
        raise Refused(
            f"Statement is too large. Statement Size: {size} bytes. Maximum Allowed: "
            f"{_MAX_STATEMENT_BYTES} bytes",
            "54000",
        )
    _check_names_and_lengths(sql)
    refused = _judged(shape(sql))
    if refused is not None:
        raise Refused(refused.message, refused.sqlstate)


def unquoted_names(sql: str) -> list[str]:
    """Return the names of tables, columns and aliases in the statement that are not quoted."""
    return [name.raw for name in _parse(shape(sql)).recursive_crawl("naked_identifier")]


def shape(sql: str) -> str:
    """Return the statement with other names, values and numbers replaced by fixed ones."""
    creates_table = re.match(r"\s*CREATE\b.*\bTABLE\b", sql, re.IGNORECASE | re.DOTALL) is not None
    names: dict[str, str] = {}
    pieces = []
    for match in _PIECE.finditer(sql):
        text = match[0]
        if match.lastgroup in ("space", "comment"):
            text = " "
        elif match.lastgroup == "string":
            text = "'x'"
        elif match.lastgroup == "number":
            text = "1"
        elif match.lastgroup == "word":
            text = _GENERATED.sub("_0", text)
        elif match.lastgroup == "quoted":
            name = text[1:-1].lower()
            if not _SYSTEM_TABLE.fullmatch(name) and name not in SYSTEM_COLUMNS:
                # CREATE TABLE refers to its columns, in DISTKEY and SORTKEY.
                text = names.setdefault(name, f'"n{len(names)}"') if creates_table else '"n"'
        pieces.append(text)
    return _REPEATED.sub(r"\1, \1", re.sub(" +", " ", "".join(pieces)).strip())


def _check_names_and_lengths(sql: str) -> None:
    for match in _PIECE.finditer(sql):
        name = match[0].strip('"')
        if match.lastgroup in ("quoted", "word") and len(name.encode()) > _MAX_NAME_BYTES:
            raise Refused(f'identifier "{name}" is longer than {_MAX_NAME_BYTES} bytes', "42622")
    for type_, length in _LENGTH.findall(sql):
        name = TYPES[" ".join(type_.upper().split())]
        if int(length) > MAX_LENGTHS[name]:
            raise Refused(
                f"length for type {name.lower()} cannot exceed {MAX_LENGTHS[name]}", "22023"
            )


@lru_cache(maxsize=4096)
def _judged(statement: str) -> Refused | None:
    """Return why Redshift refuses statements of this shape, or None."""
    bare = re.sub(r'"n\d*"', '""', statement.replace("'x'", "''"))
    refused = unsupported_clause(bare)
    if refused is not None:
        return refused
    if any(documented.match(statement) for documented in _NOT_PARSABLE):
        return None
    while _depth(statement) > _MAX_DEPTH:
        statement, inner = _without_inner_calls(statement)
        if not inner:
            return Refused("the statement is nested too deeply for this server", "54001")
        for call in inner:
            refused = _judged(f"SELECT {call}")
            if refused is not None:
                return refused
    return next(_problems(_parse(statement)), None)


def _depth(statement: str) -> int:
    depth = deepest = 0
    for character in statement:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return deepest


def _without_inner_calls(statement: str) -> tuple[str, list[str]]:
    """Replace the innermost calls of functions by a name; return these calls too."""
    calls: dict[str, None] = {}

    def replace(match: re.Match[str]) -> str:
        name = match[1].upper()
        if name in _NOT_CALLS or _ARGUMENT_WORDS.search(match[2]):
            return match[0]
        calls[match[0]] = None
        return '"n"'

    return _INNER_CALL.sub(replace, statement), list(calls)


@cache
def _parser() -> tuple[PyLexer, Parser]:
    config = FluffConfig.from_kwargs(dialect="redshift")
    return PyLexer(config=config), Parser(config=config)


def _parse(statement: str) -> BaseSegment:
    with _parsing:
        lexer, parser = _parser()
        tokens, _ = lexer.lex(statement)
        tree = parser.parse(tokens)
    assert tree is not None, statement
    return tree


def _problems(tree: BaseSegment) -> Iterator[Refused]:
    """Yield what Redshift does not accept, the most basic problem first."""
    for unparsable in tree.recursive_crawl("unparsable"):
        yield _unparsable(unparsable.raw)
    for statement in tree.recursive_crawl("statement"):
        for segment in statement.segments:
            if segment.is_code and segment.type not in STATEMENTS:
                yield Refused(f'SQL command "{_first_word(segment.raw)}" not supported.')
    yield from _name_problems(tree)
    yield from _function_problems(tree)
    yield from _type_problems(tree)
    yield from _expression_problems(tree)
    for statement in tree.recursive_crawl("set_statement", "show_statement", "reset_statement"):
        for setting in statement.recursive_crawl("parameter"):
            yield from _setting_problems(setting)
    for table in tree.recursive_crawl("create_table_statement"):
        yield from _table_problems(table)


def _unparsable(raw: str) -> Refused:
    for word in re.findall(r"\w+", raw):
        if word.upper() in UNSUPPORTED_TYPES - RESERVED:
            return Refused(f'type "{word.lower()}" does not exist', "42704")
    return Refused(f'syntax error at or near "{_first_word(raw)}"', "42601")


def _first_word(raw: str) -> str:
    match = re.search(r"\w+|\S", raw)
    return match[0] if match else ""


def _name_problems(tree: BaseSegment) -> Iterator[Refused]:
    for name in tree.recursive_crawl("naked_identifier"):
        if name.raw.upper() in RESERVED:
            yield Refused(f'syntax error at or near "{name.raw}"', "42601")


def _function_problems(tree: BaseSegment) -> Iterator[Refused]:
    functions = {
        segment.raw.upper()
        for segment in tree.recursive_crawl("function_name_identifier", "bare_function")
    }
    for name in sorted(functions - FUNCTIONS - _PREDICATES):
        yield Refused(f"function {name.lower()} does not exist", "42883")
    tables = [
        segment.raw.rpartition(".")[2].strip('"')
        for segment in tree.recursive_crawl("table_reference")
    ]
    if functions & LEADER_NODE_FUNCTIONS and not all(_CATALOG.fullmatch(table) for table in tables):
        yield Refused(
            "Specified types or functions (one per INFO message) not supported on Amazon Redshift "
            "tables."
        )


def _type_problems(tree: BaseSegment) -> Iterator[Refused]:
    for segment in tree.recursive_crawl("data_type"):
        if _type_name(segment) not in TYPES:
            yield Refused(f'type "{segment.raw.lower()}" does not exist', "42704")


def _type_name(segment: BaseSegment) -> str:
    return " ".join(re.sub(r"\([^()]*\)", " ", segment.raw).upper().split())


def _expression_problems(tree: BaseSegment) -> Iterator[Refused]:
    for expression in tree.recursive_crawl("expression", "bracketed"):
        previous = ""
        for segment in expression.segments:
            is_list = segment.is_type("bracketed") and any(
                inner.is_type("comma") for inner in segment.segments
            )
            # A list in parentheses is a row constructor, except after IN.
            if expression.is_type("expression") and is_list and previous != "IN":
                yield Refused("row constructors are not supported")
            if segment.is_code:
                previous = segment.raw.upper()
    for values in tree.recursive_crawl("table_expression"):
        if any(segment.is_type("values_clause") for segment in values.segments):
            yield Refused('syntax error at or near "VALUES"', "42601")


def _setting_problems(setting: BaseSegment) -> Iterator[Refused]:
    if setting.raw.lower() not in {*SETTINGS, "seed", "all"}:
        yield Refused(f'unrecognized configuration parameter "{setting.raw.lower()}"', "42704")


def _table_problems(table: BaseSegment) -> Iterator[Refused]:
    """Check columns, encodings, distribution and sort keys of CREATE TABLE."""
    columns: dict[str, str] = {}
    name = type_ = ""
    text = " ".join(table.raw.upper().split())
    definitions = next((s for s in table.segments if s.is_type("bracketed")), None)
    for segment in definitions.segments if definitions else ():
        if segment.is_type("column_reference"):
            name = segment.raw.strip('"').lower()
            if name in SYSTEM_COLUMNS:
                yield Refused(f'column name "{name}" conflicts with a system column name', "42701")
        elif segment.is_type("data_type"):
            type_ = columns[name] = TYPES.get(_type_name(segment), "")
        elif segment.is_type("column_attribute_segment"):
            yield from _encoding_problems(segment.raw, name, type_)
    keys = re.findall(r"\b(?:DIST|SORT)KEY\s*\(([^()]*)\)", text)
    for key in (key.strip(' "').lower() for found in keys for key in found.split(",")):
        if definitions and key not in columns:
            yield Refused(f'column "{key}" named in key does not exist', "42703")
    # https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_TABLE_NEW.html
    if text.count("DISTKEY") > 1:
        yield Refused("multiple DISTKEY columns are not allowed", "42601")
    if "DISTSTYLE KEY" in text and "DISTKEY" not in text:
        yield Refused("DISTSTYLE KEY requires a DISTKEY column", "42601")
    if re.search(r"DISTSTYLE (?:ALL|EVEN)\b", text) and "DISTKEY" in text:
        yield Refused("DISTKEY column cannot be specified with DISTSTYLE ALL or EVEN", "42601")


def _encoding_problems(attribute: str, column: str, type_: str) -> Iterator[Refused]:
    match = re.search(r"\bENCODE\s+(\w+)", attribute, re.IGNORECASE)
    if match is None:
        return
    encoding = match[1].upper()
    if encoding not in ENCODINGS:
        yield Refused(
            f'invalid encoding type "{match[1]}" specified for column "{column}"', "42601"
        )
    elif type_ not in ENCODINGS[encoding]:
        yield Refused(
            f'invalid encoding type specified for column "{column}": {encoding.lower()} does not '
            f"support {type_.lower()}",
            "42601",
        )
