"""Redshift's SQL on PostgreSQL: unsupported features are rejected, others are rewritten.

Only what this project's statements need is supported. Anything not known to work on Redshift should
fail here. https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html
"""

from __future__ import annotations

import re

from tests.support.redshift import distribution, judge
from tests.support.redshift.documented import SETTINGS
from tests.support.redshift.refused import Refused

VERSION = (
    "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 "
    "(Red Hat 3.4.2-6.fc3), Redshift 1.0.122340"
)

# Tokens of SQL: string literals, quoted names, comments, and single characters.
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|[^'\"]", re.DOTALL)

_TEXT_TYPE = r"\b(?:text|character\s+varying|varchar)\b(?!\s*\()"
_QUOTED = re.compile(r"('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")")
_TRUNCATING_CAST = re.compile(
    r"CAST\s*\(\s*(\"(?:[^\"]|\"\")+\")\s+AS\s+(?:character varying|varchar)\s*\((\d+)\)\s*\)", re.I
)
_LIKE = re.compile(r"\(\s*LIKE\s+([^\s()]+)(\s+(?:IN|EX)CLUDING\s+DEFAULTS)?\s*\)", re.IGNORECASE)

_STORAGE = re.compile(
    r"\bENCODE\s+\w+|\bDISTSTYLE\s+\w+|\bDISTKEY\b(?:\s*\([^()]*\))?"
    r"|(?:\b(?:COMPOUND|INTERLEAVED)\s+)?\bSORTKEY\b(?:\s+AUTO\b|\s*\([^()]*\))?",
    re.IGNORECASE,
)

# Settings that PostgreSQL has too.
_SHARED_SETTINGS = frozenset(
    {"datestyle", "extra_float_digits", "search_path", "statement_timeout", "timezone"}
)


_SET_CONFIG = re.compile(r"(?<=\bset_config\()'((?:[^']|'')*)'", re.IGNORECASE)


def single(sql: str) -> str:
    """Return the statement without its semicolon.

    Raises:
        Refused: There are several statements.
    """
    sql = sql.strip().removesuffix(";").strip()
    if ";" in bare(sql):
        raise Refused("this server takes one statement at a time", "42601")
    return sql


def bare(sql: str) -> str:
    """Return the statement with literals, quoted names and comments blanked out."""
    return "".join(
        piece[0] * 2 if piece[0] in "'\"" else " " if piece[:2] in ("--", "/*") else piece
        for piece in _TOKEN.findall(sql)
    )


def check(sql: str) -> None:
    """Check that Redshift supports the statement.

    Raises:
        Refused: It does not.
    """
    judge.check(sql)
    for name in map(str.lower, _SET_CONFIG.findall(sql)):
        if name not in SETTINGS and "." not in name:
            raise Refused(f'unrecognized configuration parameter "{name}"', "42704")


def rewritten(sql: str, *, last_copy_count: int, last_copy_id: int, system: tuple[str, ...]) -> str:
    """Rewrite the statement for PostgreSQL."""
    replacements = {
        r"\bversion\s*\(\s*\)": f"{literal(VERSION)}::varchar AS version",
        r"\bpg_last_copy_count\s*\(\s*\)": str(last_copy_count),
        r"\bpg_last_copy_id\s*\(\s*\)": str(last_copy_id),
        r"\bfnv_hash\s*\(": "redshift_system.fnv_hash(",
        r"\bgetdate\s*\(\s*\)": "date_trunc('second', now() AT TIME ZONE 'UTC')",
    }
    tables = {*system, "svv_table_info", "svv_user_grants"}
    if distribution.reads_distribution(sql):
        tables |= distribution.SYSTEM_TABLES
    replacements |= {rf"(?<![.\w]){name}\b": f"redshift_system.{name}" for name in tables}
    sql = _without_storage(sql) if creates_table(sql) else sql
    sql = _as_postgres_command(sql)
    if creates_table(sql):
        # TEXT, and VARCHAR without a length, mean VARCHAR(256).
        replacements[_TEXT_TYPE] = "varchar(256)"
    # Redshift stores names in lower case, quoted or not.
    pieces = re.split(_QUOTED, sql)
    sql = "".join(
        _folded(piece, tables) if piece[:1] in ("'", '"') else _replaced(piece, replacements)
        for piece in pieces
    )
    # A cast truncates by bytes, at a character boundary.
    sql = _TRUNCATING_CAST.sub(r"CAST(redshift_system.truncate_bytes(\1, \2) AS varchar(\2))", sql)
    return _LIKE.sub(r"(LIKE \1\2 INCLUDING CONSTRAINTS)", sql) if creates_table(sql) else sql


def _without_storage(sql: str) -> str:
    """Remove encodings, distribution and sort keys from CREATE TABLE.

    They change how Redshift stores and reads rows, but not which rows a query returns.
    """
    pieces = re.split(_QUOTED, sql)
    masked = "".join(
        f"\0{number}\0" if piece[:1] in ("'", '"') else piece for number, piece in enumerate(pieces)
    )
    return re.sub("\0(\\d+)\0", lambda mask: pieces[int(mask[1])], _STORAGE.sub("", masked))


def startup_options(options: str) -> str:
    """Return the parameters of a startup message, ``-c name=value``, as PostgreSQL takes them.

    Raises:
        Refused: Redshift has no such setting.
    """

    def translated(option: re.Match[str]) -> str:
        name = option[2].lower().replace("-", "_")
        if name not in SETTINGS:
            raise Refused(f'unrecognized configuration parameter "{name}"', "42704")
        return option[1] + (f"redshift.{name}" if name not in _SHARED_SETTINGS else name) + "="

    return re.sub(r"((?:^|(?<=\s))(?:-c\s*|--))([\w-]+)=", translated, options)


def _as_postgres_command(sql: str) -> str:
    """Return PostgreSQL's form of commands that it has in another form.

    Redshift's own settings become custom settings, which PostgreSQL stores without effect.
    """
    own = SETTINGS - _SHARED_SETTINGS
    sql = re.sub(r"^VACUUM\s+(?:FULL|SORT ONLY|DELETE ONLY|REINDEX)\b", "VACUUM", sql, flags=re.I)
    sql = _SET_CONFIG.sub(
        lambda name: f"'redshift.{name[1]}'" if name[1].lower() in own else name[0], sql
    )
    return re.sub(
        rf"^(SET(?:\s+SESSION|\s+LOCAL)?|SHOW|RESET)\s+({'|'.join(own)})\b",
        r"\1 redshift.\2",
        sql,
        flags=re.I,
    )


def stored_name(name: str) -> str:
    """Return the name with its ASCII letters in lower case.

    https://docs.aws.amazon.com/redshift/latest/dg/r_names.html
    """
    return re.sub("[A-Z]+", lambda letters: letters[0].lower(), name)


def _folded(quoted: str, tables: set[str]) -> str:
    """Return a quoted name as it is stored, with the schema of a system table added."""
    if not quoted.startswith('"'):
        return quoted
    name = stored_name(quoted)
    return f"redshift_system.{name}" if name.strip('"') in tables else name


def _replaced(sql: str, replacements: dict[str, str]) -> str:
    for pattern, replacement in replacements.items():
        sql = re.sub(pattern, replacement.replace("\\", r"\\"), sql, flags=re.IGNORECASE)
    return sql


def creates_table(sql: str) -> bool:
    return bool(re.match(r"CREATE\s+(?:(?:LOCAL\s+)?TEMP(?:ORARY)?\s+)?TABLE\b", sql, re.I))


def created_table(sql: str) -> str:
    """The name of the table that the statement creates, as it is written."""
    match = re.match(
        r"CREATE\s+(?:(?:LOCAL\s+)?TEMP(?:ORARY)?\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"
        r"((?:\"(?:[^\"]|\"\")+\"|[\w.])+)",
        sql,
        re.I,
    )
    assert match is not None
    return match[1]


def first_word(sql: str) -> str:
    match = re.match(r"\w+", sql)
    return match[0].upper() if match else ""


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


SETUP = (
    """
CREATE SCHEMA IF NOT EXISTS redshift_system;
CREATE TABLE IF NOT EXISTS redshift_system.stl_load_errors (
    userid integer, slice integer, tbl integer, starttime timestamp, session integer,
    query integer, filename character(256), line_number bigint, colname character(127),
    type character(10), col_length character(10), position integer, raw_line character(1024),
    raw_field_value character(1024), err_code integer, err_reason character(100));
CREATE TABLE IF NOT EXISTS redshift_system.sys_load_error_detail (
    user_id integer, query_id bigint, transaction_id bigint, session_id integer,
    database_name character(64), table_id integer, start_time timestamp,
    file_name character(256), line_number bigint, column_name character(127),
    column_type character(10), column_length character(10), position integer,
    error_code integer, error_message character(512));
CREATE OR REPLACE FUNCTION redshift_system.truncate_bytes(value text, max_bytes integer)
RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE cut text := left(value, max_bytes);
BEGIN
    WHILE octet_length(cut) > max_bytes LOOP cut := left(cut, -1); END LOOP;
    RETURN cut;
END $$;
CREATE OR REPLACE FUNCTION redshift_system.fnv_hash(value anyelement, seed bigint DEFAULT 0)
RETURNS bigint LANGUAGE sql IMMUTABLE STRICT
AS 'SELECT hashtextextended(pg_typeof(value)::text || value::text, seed)';
CREATE TABLE IF NOT EXISTS redshift_system.svv_user_grants (
    user_id integer, user_name text, role_id integer, role_name text, admin_option boolean);
CREATE OR REPLACE FUNCTION redshift_system.row_count(relation regclass)
RETURNS numeric LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
DECLARE rows numeric;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s', relation) INTO rows;
    RETURN rows;
END $$;
CREATE OR REPLACE VIEW redshift_system.svv_table_info AS
SELECT n.nspname AS "schema", c.relname AS "table", 1 + pg_table_size(c.oid) / 1048576 AS size,
    redshift_system.row_count(c.oid) AS tbl_rows,
    redshift_system.row_count(c.oid) AS estimated_visible_rows, 0::numeric(5,2) AS stats_off
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r';
"""
    + distribution.SETUP
    + """
GRANT USAGE ON SCHEMA redshift_system TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA redshift_system TO PUBLIC;
"""
)
"""Replacements for Redshift's system tables and functions, for each database behind the server.

FNV_HASH returns other numbers than Redshift's, and NULL for NULL. Redshift's documentation does not
define the latter, so nothing may rely on it.
"""

BYTE_LENGTHS = """
DO $$
DECLARE col record;
BEGIN
    FOR col IN SELECT attname, atttypmod - 4 AS bytes FROM pg_attribute
        WHERE attrelid = {table}::regclass AND attnum > 0 AND NOT attisdropped
        AND atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND atttypmod > 4
        AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = attrelid
            AND conname = 'redshift_bytes_' || attname)
    LOOP
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (octet_length(%I) <= %s)',
            {table}, 'redshift_bytes_' || col.attname, col.attname, col.bytes);
    END LOOP;
END $$
"""
"""Adds constraints so that PostgreSQL limits a new table's character columns in bytes."""
