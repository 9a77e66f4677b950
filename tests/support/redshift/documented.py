"""What Redshift's documentation lists: reserved words, functions, settings, types, encodings."""

from __future__ import annotations

from pathlib import Path

_DATA = Path(__file__).parents[2] / "data"


def _words(name: str) -> frozenset[str]:
    """Return the words of a data file, without its comments and addresses."""
    lines = (_DATA / name).read_text("utf-8").splitlines()
    return frozenset(
        word for line in lines if not line.startswith(("#", "https://")) for word in line.split()
    )


RESERVED = _words("redshift_reserved_words.txt")
FUNCTIONS = _words("redshift_functions.txt")
LEADER_NODE_FUNCTIONS = _words("redshift_leader_node_functions.txt")
SETTINGS = _words("redshift_settings.txt")

SYSTEM_COLUMNS = frozenset({"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""Names that a column cannot have.
https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html"""

TYPES = {
    "SMALLINT": "SMALLINT", "INT2": "SMALLINT",
    "INTEGER": "INTEGER", "INT": "INTEGER", "INT4": "INTEGER",
    "BIGINT": "BIGINT", "INT8": "BIGINT",
    "DECIMAL": "DECIMAL", "NUMERIC": "DECIMAL",
    "REAL": "REAL", "FLOAT4": "REAL",
    "DOUBLE PRECISION": "DOUBLE", "FLOAT8": "DOUBLE", "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN", "BOOL": "BOOLEAN",
    "CHAR": "CHAR", "CHARACTER": "CHAR", "NCHAR": "CHAR", "BPCHAR": "CHAR",
    "VARCHAR": "VARCHAR", "CHARACTER VARYING": "VARCHAR", "NVARCHAR": "VARCHAR", "TEXT": "VARCHAR",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP", "TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
    "TIME": "TIME", "TIME WITHOUT TIME ZONE": "TIME",
    "TIMETZ": "TIMETZ", "TIME WITH TIME ZONE": "TIMETZ",
    "SUPER": "SUPER", "VARBYTE": "VARBYTE", "VARBINARY": "VARBYTE", "BINARY VARYING": "VARBYTE",
    "GEOMETRY": "GEOMETRY", "GEOGRAPHY": "GEOGRAPHY", "HLLSKETCH": "HLLSKETCH",
}  # fmt: skip
"""The name of each type, by its aliases.
https://docs.aws.amazon.com/redshift/latest/dg/c_Supported_data_types.html"""

UNSUPPORTED_TYPES = frozenset(
    {
        "BIT", "BYTEA", "HSTORE", "JSON", "JSONB", "INET", "CIDR", "MACADDR", "SERIAL", "BIGSERIAL",
        "SMALLSERIAL", "MONEY", "UUID", "XML", "TSVECTOR", "TSQUERY", "TXID_SNAPSHOT", "REGCLASS",
        "OID", "INTERVAL",
    }
)  # fmt: skip
"""Types of PostgreSQL that Redshift lacks.
https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-datatypes.html"""

MAX_LENGTHS = {"CHAR": 4096, "VARCHAR": 65535, "DECIMAL": 38, "VARBYTE": 1_024_000}
"""https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html, r_Numeric_types201.html,
r_VARBYTE_type.html"""

_INTEGERS = {"SMALLINT", "INTEGER", "BIGINT"}
_TIMES = {"DATE", "TIMESTAMP", "TIMESTAMPTZ"}
_TEXTS = {"CHAR", "VARCHAR"}

ENCODINGS: dict[str, set[str]] = {
    "RAW": set(TYPES.values()),
    "AZ64": {*_INTEGERS, "DECIMAL", *_TIMES},
    "BYTEDICT": {*_INTEGERS, "DECIMAL", "REAL", "DOUBLE", *_TEXTS, *_TIMES},
    "DELTA": {*_INTEGERS, "DATE", "TIMESTAMP", "DECIMAL"},
    "DELTA32K": {"INTEGER", "BIGINT", "DATE", "TIMESTAMP", "DECIMAL"},
    "LZO": {*_INTEGERS, "DECIMAL", *_TEXTS, *_TIMES, "SUPER"},
    "MOSTLY8": {*_INTEGERS, "DECIMAL"},
    "MOSTLY16": {"INTEGER", "BIGINT", "DECIMAL"},
    "MOSTLY32": {"BIGINT", "DECIMAL"},
    "RUNLENGTH": {*_INTEGERS, "DECIMAL", "REAL", "DOUBLE", "BOOLEAN", *_TEXTS, *_TIMES},
    "TEXT255": {"VARCHAR"},
    "TEXT32K": {"VARCHAR"},
    "ZSTD": {*_INTEGERS, "DECIMAL", "REAL", "DOUBLE", "BOOLEAN", *_TEXTS, *_TIMES, "SUPER"},
}
"""The types that each encoding is documented for.
https://docs.aws.amazon.com/redshift/latest/dg/c_Compression_encodings.html"""

STATEMENTS = frozenset(
    {
        "access_statement", "alter_table_statement", "analyze_compression_statement",
        "analyze_statement", "call_statement", "close_statement", "comment_clause",
        "copy_statement", "create_database_statement", "create_materialized_view_statement",
        "create_role_statement", "create_schema_statement", "create_table_as_statement",
        "create_table_statement", "create_user_statement", "create_view_statement",
        "deallocate_statement", "declare_statement", "delete_statement", "drop_schema_statement",
        "drop_table_statement", "drop_user_statement", "drop_view_statement", "execute_statement",
        "explain_statement", "insert_statement", "lock_table_statement", "merge_statement",
        "prepare_statement", "refresh_materialized_view_statement", "reset_statement",
        "select_statement", "set_expression", "set_session_authorization_statement",
        "set_statement", "show_statement", "transaction_statement", "truncate_table",
        "unload_statement", "update_statement", "vacuum_statement", "with_compound_statement",
    }
)  # fmt: skip
"""Statements of https://docs.aws.amazon.com/redshift/latest/dg/c_SQL_commands.html, as sqlfluff
names them. sqlfluff's dialect inherits others from PostgreSQL, such as DO and CREATE INDEX."""

COPY_OPTIONS = frozenset(
    """
    access_key_id acceptanydate acceptinvchars avro blanksasnull bzip2 comprows compupdate
    credentials csv dateformat delimiter emptyasnull encoding encrypted escape explicit_ids
    fillrecord fixedwidth format gzip iam_role ignoreallerrors ignoreblanklines ignoreheader json
    lzop manifest master_symmetric_key maxerror noload null orc parquet quote readratio region
    removequotes roundec secret_access_key session_token shapefile ssh statupdate timeformat
    trimblanks truncatecolumns zstd
    """.split()  # noqa: SIM905 - a list with one word per line would be long
)
"""https://docs.aws.amazon.com/redshift/latest/dg/r_COPY-alphabetical-parm-list.html"""

COPY_CONFLICTS = (
    # https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-format.html
    ("csv", {"fixedwidth", "removequotes", "escape"}),
    ("fixedwidth", {"csv", "delimiter"}),
    (
        "json",
        {
            "csv", "delimiter", "avro", "escape", "fillrecord", "fixedwidth", "ignoreblanklines",
            "null", "readratio", "removequotes",
        },
    ),
    ("shapefile", {"fixedwidth", "removequotes", "escape"}),
    # https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-conversion.html
    ("escape", {"fixedwidth"}),
    # https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-load.html
    ("ignoreallerrors", {"maxerror", "orc", "parquet"}),
    # https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-authorization.html
    ("iam_role", {"access_key_id", "secret_access_key", "session_token", "credentials"}),
    ("access_key_id", {"credentials"}),
    ("session_token", {"credentials"}),
    # https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-source-s3.html
    ("master_symmetric_key", {"credentials"}),
)  # fmt: skip
"""Options of COPY and those that they cannot be combined with."""

NOT_FROM_S3 = frozenset({"ssh", "readratio"})
"""https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-source-s3.html"""
