"""Find unquoted names in an SQL statement."""

from __future__ import annotations

import re
from pathlib import Path

_DATA = Path(__file__).parents[1] / "data" / "redshift_reserved_words.txt"

RESERVED = frozenset(
    line for line in _DATA.read_text("utf-8").splitlines() if not line.startswith("#")
)
"""Reserved words of Amazon Redshift, in upper case."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEYWORDS = _words(
    """
    ADD ALTER ANALYZE AND AS BEGIN BETWEEN BY CASE COLUMN COMMIT COPY CREATE CURRENT_USER DEFAULT
    DELETE DESC DROP ELSE ENCODE END EXISTS EXTERNAL FALSE FILTER FROM GROUP IF IN INSERT INTERVAL
    INTO IS ISOLATION JOIN LEFT LEVEL LIMIT LOCATION LOCK NOT NULL ON ONLY OR ORDER PARQUET
    PARTITION PARTITIONED ROLLBACK SCHEMA SELECT SERIALIZABLE SESSION_TOKEN SET STATEMENT_TIMEOUT
    STORED TABLE TEMP THEN TO VACUUM VALUES WHEN WHERE

    DATA NO WITH
    """
)
"""Keywords of SQL, and of PostgreSQL's CREATE TABLE AS, that this package uses."""

COPY_OPTIONS = _words(
    """
    ACCEPTINVCHARS ACCESS_KEY_ID COMPUPDATE DELIMITER EMPTYASNULL ESCAPE FILLRECORD GZIP IAM_ROLE
    MANIFEST NOLOAD OFF REGION REMOVEQUOTES ROUNDEC SECRET_ACCESS_KEY STATUPDATE
    STDIN TRIMBLANKS TRUNCATECOLUMNS
    """
)
"""Keywords of COPY and its clauses."""

STORAGE = _words("ALL AZ64 DISTKEY DISTSTYLE EVEN KEY LZO RAW")
"""Keywords of Redshift's CREATE TABLE: encodings and distribution styles."""

FUNCTIONS = _words(
    """
    CAST COALESCE COUNT CURRENT_DATABASE DATE_TRUNC FNV_HASH FORMAT_TYPE HASHTEXT HASHTEXTEXTENDED
    HASH_RECORD_EXTENDED HAS_DATABASE_PRIVILEGE HAS_SCHEMA_PRIVILEGE HAS_TABLE_PRIVILEGE
    JSON_SERIALIZE JSON_SIZE MAX OCTET_LENGTH PG_BACKEND_PID PG_CANCEL_BACKEND
    PG_TOTAL_RELATION_SIZE QUOTE_IDENT ROW RTRIM SET_CONFIG SUM TRIM VERSION
    """
)

TYPES = _words(
    """
    BIGINT BOOLEAN CHARACTER DATE DECIMAL DOUBLE INTEGER NUMERIC PRECISION REAL SMALLINT TEXT TIME
    TIMESTAMP VARCHAR VARYING WITHOUT ZONE
    """
)

OBJECT_KINDS = {
    "COLUMN": {"ADD", "ALTER", "DROP"},
    "SCHEMA": {"CREATE"},
    "TABLE": {"ALTER", "CREATE", "DROP", "EXTERNAL", "LOCK", "TEMP"},
}
"""Keywords that are also common names of columns, and the words before them in a command."""

_TOKEN = re.compile(
    r"""(?P<literal>'(?:[^']|'')*') | (?P<quoted>"(?:[^"]|"")*") | (?P<open>:\w+)
    | (?P<number>\d+) | (?P<word>\w+) | (?P<sign>\S)""",
    re.VERBOSE,
)


def unquoted_names(sql: str) -> list[str]:
    """Return the unquoted words of a statement that are names; reserved words in upper case.

    A word is not a name if it is a keyword, a function before a parenthesis, or a type after a
    quoted name, after AS, or after another word of a type.
    """
    tokens = list(_TOKEN.finditer(sql))
    keywords = KEYWORDS
    if tokens and tokens[0][0] in {"COPY", "IAM_ROLE", "ACCESS_KEY_ID"}:
        keywords |= COPY_OPTIONS
    if tokens and tokens[0][0] in {"CREATE", "DISTSTYLE"}:
        keywords |= STORAGE
    names = []
    for position, token in enumerate(tokens):
        word = token[0].upper()
        before = tokens[position - 1] if position else None
        after = tokens[position + 1][0] if position + 1 < len(tokens) else ""
        is_keyword = word in keywords and _is_used_as_keyword(word, before)
        if token.lastgroup != "word" or is_keyword or (word in FUNCTIONS and after == "("):
            continue
        if word in TYPES and before and _is_before_a_type(before):
            continue
        names.append(word if word in RESERVED else word.lower())
    return names


def _is_used_as_keyword(word: str, before: re.Match[str] | None) -> bool:
    if word not in OBJECT_KINDS:
        return True
    return before is not None and before[0].upper() in OBJECT_KINDS[word]


def _is_before_a_type(token: re.Match[str]) -> bool:
    return token.lastgroup == "quoted" or token[0].upper() in {"AS", *TYPES}
