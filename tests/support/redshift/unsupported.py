"""Clauses of PostgreSQL that Redshift does not document, though sqlfluff's dialect accepts most.

From the syntax of each statement, and from these pages:

* https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html
* https://docs.aws.amazon.com/redshift/latest/dg/c_redshift-sql-implementated-differently.html
* https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-functions.html
"""

from __future__ import annotations

import re

from tests.support.redshift.refused import Refused

_SYNTAX_ERROR = "42601"


def _syntax_error(near: str) -> Refused:
    return Refused(f'syntax error at or near "{near}"', _SYNTAX_ERROR)


_CLAUSES = {
    r"\bON\s+CONFLICT\b": _syntax_error("CONFLICT"),
    r"\bRETURNING\b": _syntax_error("RETURNING"),
    r"\bCREATE\s+(?:UNIQUE\s+)?INDEX\b": Refused("SQL command CREATE INDEX not supported"),
    r"\bINCLUDING\s+(?!DEFAULTS)\w+": Refused(
        "LIKE takes only INCLUDING DEFAULTS or EXCLUDING DEFAULTS", _SYNTAX_ERROR
    ),
    # Subscripts and array constructors.
    r"(?:\w|\")\s*\[|\bARRAY\s*\[": Refused("array types and expressions are not supported"),
    r"\bROW\s*\(": Refused("row constructors are not supported"),
    r"\bWITH\s+(?:NO\s+)?DATA\b": _syntax_error("WITH"),
    r"\bON\s+COMMIT\b": _syntax_error("COMMIT"),
    r"\bDISTINCT\s+ON\b": Refused("SELECT DISTINCT ON is not supported"),
    r"\bFILTER\s*\(": _syntax_error("FILTER"),
    r"^\s*DO\b": _syntax_error("DO"),
    r"\bLATERAL\b": _syntax_error("LATERAL"),
    r"\bSAVEPOINT\b": Refused('SQL command "SAVEPOINT" not supported.'),
    r"\bFOR\s+(?:NO\s+KEY\s+)?(?:UPDATE|SHARE|KEY\s+SHARE)\b": Refused(
        "SELECT FOR UPDATE/SHARE is not supported"
    ),
    r"^\s*LOCK\b.*\bIN\b.*\bMODE\b": _syntax_error("IN"),
    r"\bNOWAIT\b": _syntax_error("NOWAIT"),
    r"^\s*TABLE\b": _syntax_error("TABLE"),
    r"^\s*VALUES\b": _syntax_error("VALUES"),
    r"\bIS\s+(?:NOT\s+)?DISTINCT\s+FROM\b": _syntax_error("DISTINCT"),
    r"\bFETCH\s+(?:FIRST|NEXT)\s+(?:\d+\s+)?ROWS?\b": _syntax_error("FETCH"),
    r"\bTABLESAMPLE\b": _syntax_error("TABLESAMPLE"),
    r"\bWINDOW\s+(?:\w+|\"\")\s+AS\s*\(": _syntax_error("WINDOW"),
    r"\bGROUPS\s+(?:BETWEEN|UNBOUNDED|\d)": _syntax_error("GROUPS"),
    r"\bOVER\s*\([^()]*\bNULLS\s+(?:FIRST|LAST)\b": _syntax_error("NULLS"),
    r"\bAS\s+(?:NOT\s+)?MATERIALIZED\b": _syntax_error("MATERIALIZED"),
    r"\bAS\s*\(\s*(?:DELETE|INSERT|UPDATE)\b": _syntax_error("("),
    r"\b(?:FROM|TABLE|UPDATE)\s+ONLY\b": _syntax_error("ONLY"),
    r"\bCOLLATE\s+\"": Refused("user-defined collations are not supported"),
    # Only standard strings are documented.
    r"(?<!\w)(?:[EBXN]|U&)''": Refused("only standard strings are supported", _SYNTAX_ERROR),
    r"\$\w*\$": _syntax_error("$"),
    r"->|@>|<@|#>|\?\||&&": Refused("the operator does not exist", "42883"),
    r"\bCREATE\b.*\bCHECK\s*\(": Refused("check constraints are not supported"),
    r"^\s*TRUNCATE\b.*,": _syntax_error(","),
    r"^\s*TRUNCATE\b.*\b(?:RESTART|CONTINUE|CASCADE|RESTRICT)\b": Refused(
        "TRUNCATE takes no options", _SYNTAX_ERROR
    ),
    r"^\s*SET\s+TRANSACTION\b": _syntax_error("TRANSACTION"),
    r"\bCOPY\b.*\bSTDIN\b": Refused(
        "LOAD source is not supported. (Hint: only S3 or DynamoDB or EMR based load is allowed)"
    ),
    r"^\s*ALTER\s+TABLE\b.*\bADD\s+(?:COLUMN\s+)?[^(]*,\s*ADD\b": _syntax_error(","),
    r"^\s*ALTER\s+TABLE\b.*\bSET\s+SCHEMA\b": _syntax_error("SCHEMA"),
    r"^\s*ALTER\s+TABLE\b.*\bADD\s+COLUMN\b(?!.*\bDEFAULT\b).*\bNOT\s+NULL\b": Refused(
        "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression"
    ),
    r"^\s*ALTER\s+TABLE\b.*\bALTER\s+COLUMN\b.*\bTYPE\s+(?!VARCHAR\b|CHARACTER\s+VARYING\b)\w+": (
        Refused("ALTER COLUMN TYPE is only supported for VARCHAR columns")
    ),
}
_PATTERNS = [
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), refused)
    for pattern, refused in _CLAUSES.items()
]


def unsupported_clause(bare: str) -> Refused | None:
    """Return the error for the first clause that Redshift does not have, or None.

    Args:
        bare: The statement with literals and quoted names blanked out.
    """
    for pattern, refused in _PATTERNS:
        if pattern.search(bare):
            return refused
    return None
