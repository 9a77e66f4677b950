"""Amazon Redshift: the cluster reads the files itself, by COPY from a COPY manifest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase, ascii_uppercase

from spade_spark.errors import CopyError, WarehouseError
from spade_spark.runs.load_results import TableFiles
from spade_spark.settings import S3Settings
from spade_spark.warehouse import load_errors
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.credentials import CopyCredentials, role_problem
from spade_spark.warehouse.information_schema import Distribution, TableStatistics, WarehouseColumn
from spade_spark.warehouse.source_files import CopyManifest, SourceFiles, read_problems
from spade_spark.warehouse.sql import Identifier, Literal, Sql, identifiers, joined, literal_lists

# The TSV writer relies on these options. The delimiter is fixed SQL text because COPY itself
# interprets its backslash.
COPY_OPTIONS = (
    "REMOVEQUOTES DELIMITER '\\t' GZIP ESCAPE TRUNCATECOLUMNS ROUNDEC FILLRECORD "
    "COMPUPDATE OFF STATUPDATE OFF EMPTYASNULL ACCEPTINVCHARS '?' TRIMBLANKS MANIFEST"
)

# Types that COPY can load from text, as format_type() returns them, with or without sizes.
# https://docs.aws.amazon.com/redshift/latest/dg/c_Supported_data_types.html
_TYPES = (
    "smallint|integer|bigint|real|double precision|boolean|date|super|"
    "numeric(?:\\(\\d+,\\d+\\))?|"
    "(?:character varying|character)(?:\\(\\d+\\))?|"
    "(?:time|timestamp) (?:without|with) time zone"
)
_LOADABLE = re.compile(_TYPES)
_NUMBER = re.compile("smallint|integer|bigint|real|double precision|numeric")

_AZ64 = re.compile("smallint|integer|bigint|numeric|date|timestamp")

# The values of RELEFFECTIVEDISTSTYLE, and of RELDISTSTYLE, in which 9 is AUTO:
# https://docs.aws.amazon.com/redshift/latest/dg/r_PG_CLASS_INFO.html
_STYLES = {0: "EVEN", 1: "KEY", 8: "ALL", 11: "EVEN", 12: "KEY"}

_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)

_MAX_VARCHAR_BYTES = 65535
_MAX_CHAR_BYTES = 4096
_MEGABYTE = 1 << 20
_MAX_UTF8_BYTES = 4  # of one character


@dataclass(frozen=True)
class Redshift:
    """A cluster or a serverless workgroup.

    Attributes:
        connection_info: How to connect.
        s3: The settings of S3.
        credentials: Returns COPY's credentials. They can change, so each COPY calls it.
    """

    connection_info: ConnectionInfo
    s3: S3Settings
    credentials: Callable[[], CopyCredentials]
    name: str = "Redshift"
    # VACUUM leaves up to 5 percent of the rows marked for deletion:
    # https://docs.aws.amazon.com/redshift/latest/dg/r_VACUUM_command.html
    vacuum_share: float = 0.05
    # https://docs.aws.amazon.com/redshift/latest/dg/c_write_readwrite.html
    has_table_write_locks: bool = True
    # Amazon does not document the answer to CREATE TABLE AS.
    reports_created_rows: bool = False
    max_name_bytes: int = 127  # https://docs.aws.amazon.com/redshift/latest/dg/r_names.html

    def fold(self, name: str) -> str:
        """Return the name with its ASCII letters in lower case, as Redshift stores it by default.

        https://docs.aws.amazon.com/redshift/latest/dg/r_names.html
        """
        return name.translate(_ASCII_LOWER)

    def has_roles(self, session: Session) -> bool:
        """Whether roles are granted to the user, who can see them, unlike those of other users.

        Amazon's documentation does not say whether HAS_TABLE_PRIVILEGE includes their privileges.

        - https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_USER_GRANTS.html
        - https://docs.aws.amazon.com/redshift/latest/dg/r_HAS_TABLE_PRIVILEGE.html
        """
        statement = Sql('SELECT 1 FROM "svv_user_grants" WHERE "user_name" = current_user LIMIT 1')
        try:
            return bool(session.rows(statement))
        except StatementError:
            return False  # an old cluster, without roles

    def column_problems(self, columns: Sequence[WarehouseColumn]) -> list[str]:
        """Return the columns whose type COPY cannot load from text."""
        return [
            f'column "{column.name}" has type {column.type}, which COPY cannot load from text'
            for column in columns
            if not _LOADABLE.fullmatch(column.type)
        ]

    def storage_problems(self, session: Session, output: str) -> list[str]:
        """Check access to ``output`` with COPY's keys, or, for a role, by a COPY."""
        if not output.startswith("s3://"):
            return [f"Redshift can only read from S3, but output.base is {output}: use s3://..."]
        if not self.credentials().role:
            return read_problems(output, self.s3)
        return self._role_problems(session, output)

    def distributions(
        self, session: Session, schema: str, tables: Iterable[str]
    ) -> dict[str, Distribution]:
        """Read the distribution styles and keys from the catalog, for all tables at once.

        PG_CLASS_INFO and SVV_REDSHIFT_COLUMNS show a user only "their own data", so PG_CLASS and
        PG_ATTRIBUTE are read as well. Amazon's documentation does not describe
        ``attisdistkey``, but Amazon's tools read it. If this fails, all distributions are unknown.

        - https://docs.aws.amazon.com/redshift/latest/dg/r_PG_CLASS_INFO.html
        - https://github.com/awslabs/amazon-redshift-utils/blob/master/src/AdminViews/v_generate_tbl_ddl.sql
        """
        found: dict[str, Distribution] = {}
        try:
            for names in literal_lists(tables):
                for table, style, current, key in session.rows(
                    _select_distributions(schema, names)
                ):
                    distribution = _distribution(style, current, key or "")
                    if distribution:
                        found[table] = distribution
        except StatementError:
            return {}
        return found

    def create_stage(
        self,
        stage: str,
        schema: str,  # noqa: ARG002 - part of the protocol
        table: str,  # noqa: ARG002 - part of the protocol
        columns: Sequence[WarehouseColumn],
        distribution: Distribution | None,
    ) -> Sql:
        """Create the staging table; its character columns are wider by one character.

        TRUNCATECOLUMNS truncates silently. A staging column is wider by the longest character, 4
        bytes of UTF-8. So a truncated value is still longer than the target's column, and can be
        counted. The INSERT then truncates it to the target's length. Staging in VARCHAR(65535)
        would use more memory. ``LIKE`` does not work: ALTER COLUMN TYPE rejects several encodings.

        With the target's distribution, the INSERT, which holds the target's write lock, does not
        send rows to other nodes: COPY has done that. Without encodings, the columns of a temporary
        table are RAW: https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_TABLE_NEW.html
        """
        definitions = [
            Sql(
                Identifier(column.name),
                " ",
                _staged_type(column),
                " ENCODE ",
                _encoding(column),
                " NOT NULL" if column.not_null else "",
            )
            for column in columns
        ]
        names = {column.name for column in columns}
        if distribution is None or (distribution.key and distribution.key not in names):
            distribution = Distribution("EVEN")
        return Sql(
            "CREATE TEMP TABLE ",
            Identifier(stage),
            " (",
            joined(definitions),
            ")",
            self.table_attributes(distribution),
        )

    def table_attributes(self, distribution: Distribution | None) -> Sql:
        """Return the distribution. By default, CREATE TABLE AS uses that of its source.

        https://docs.aws.amazon.com/redshift/latest/dg/r_CTAS_usage_notes.html
        """
        if distribution is None:
            return Sql("")
        if distribution.style == "KEY":
            return Sql(" DISTSTYLE KEY DISTKEY (", Identifier(distribution.key), ")")
        return Sql(" DISTSTYLE ALL" if distribution.style == "ALL" else " DISTSTYLE EVEN")

    def copy(self, stage: str, columns: Sequence[WarehouseColumn], files: TableFiles) -> Sql:
        """Return the COPY of the manifest, with the columns in the order of the rows' values."""
        return self._copy(stage, tuple(column.name for column in columns), files.copy_manifest)

    def load_stage(
        self, session: Session, stage: str, columns: Sequence[WarehouseColumn], files: TableFiles
    ) -> dict[str, int]:
        """Copy and commit, so a later conflict does not need a second COPY.

        COPY cannot be told which version of an object to read. So the files are checked before it
        and after it.
        """
        if not files.files:
            return {}
        source_files = SourceFiles(files, self.s3)
        objects = source_files.check_contents()
        manifest = CopyManifest.write(files, self.s3)
        try:
            with session.transaction():
                session.run(self.copy(stage, columns, replace(files, copy_manifest=manifest.url)))
                source_files.check_unchanged(objects)
                manifest.check_unchanged()
        except StatementError as error:
            manifest.delete()
            errors = load_errors.read(session, self.s3, columns)
            if not errors or not load_errors.has_load_errors(error):
                raise
            raise CopyError(load_errors.copy_error_message(files.table, errors)) from None
        # After other errors it stays: COPY may still run, or someone has replaced the object.
        manifest.delete()
        return _count_truncated(session, stage, columns)

    def can_hash(self, column: WarehouseColumn) -> bool:
        """Whether the column has one of the types that COPY can load from text.

        FNV_HASH accepts "all basic data types". Amazon's documentation does not say whether these
        include VARBYTE, GEOMETRY, GEOGRAPHY, HLLSKETCH and INTERVAL, so they are not hashed: an
        error would end the transaction that replaces the rows.
        """
        return _LOADABLE.fullmatch(column.type) is not None

    def row_hash(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Chain FNV_HASH over the columns: each hash is the seed of the next.

        https://docs.aws.amazon.com/redshift/latest/dg/r_FNV_HASH.html does not define the hash of
        NULL. So each value is preceded by a NULL flag, which also separates adjacent values, and
        NULL is replaced. How long a chain the planner accepts, and what it costs, was not tested on
        a real cluster.
        """
        chain = Sql("FNV_HASH(0)")
        for column in columns:
            name = Identifier(column.name)
            is_null = Sql("CASE WHEN ", name, " IS NULL THEN 1 ELSE 0 END")
            chain = Sql("FNV_HASH(", is_null, ", ", chain, ")")
            chain = Sql("FNV_HASH(", _never_null(column), ", ", chain, ")")
        return Sql("CAST(", chain, " AS DECIMAL(38, 0))")

    def earlier_row_hashes(self, columns: Sequence[WarehouseColumn]) -> tuple[Sql, ...]:  # noqa: ARG002 - part of the protocol
        """Return none."""
        return ()

    def hashes_staged_rows(self, columns: Sequence[WarehouseColumn]) -> bool:
        """Whether no column is ``CHAR(n)``: a stored value may be padded where a cast is not.

        The INSERT changes no other values than by the casts of :meth:`insert_values`, since
        Redshift has no triggers
        (https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html).
        """
        return not any(column.is_fixed_width for column in columns)

    def tables_that_change_rows(
        self,
        session: Session,  # noqa: ARG002 - part of the protocol
        schema: str,  # noqa: ARG002 - part of the protocol
        tables: Iterable[str],  # noqa: ARG002 - part of the protocol
    ) -> frozenset[str]:
        """Return none: Redshift has no triggers and no rules."""
        return frozenset()

    def table_sizes(self, session: Session, schema: str) -> dict[str, int]:
        """Read SVV_TABLE_INFO, in MB. It omits empty tables, and many users cannot read it.

        https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_TABLE_INFO.html
        """
        statement = Sql(
            'SELECT "table", "size" FROM "svv_table_info" WHERE "schema" = ', Literal(schema)
        )
        try:
            rows = session.rows(statement)
        except StatementError:
            return {}
        return {name: int(size) * _MEGABYTE for name, size in rows}

    def vacuum(self, target: Identifier) -> Sql:
        """Return VACUUM DELETE ONLY, which does not sort."""
        return Sql("VACUUM DELETE ONLY ", target)

    def statistics(
        self, session: Session, schema: str, tables: Iterable[str]
    ) -> dict[str, TableStatistics]:
        """Read SVV_TABLE_INFO. By default, only superusers can read it.

        https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_TABLE_INFO.html
        """
        found: dict[str, TableStatistics] = {}
        for names in literal_lists(tables):
            statement = Sql(
                'SELECT "table", "tbl_rows", "estimated_visible_rows", "stats_off" '
                'FROM "svv_table_info" WHERE "schema" = ',
                Literal(schema),
                ' AND "table" IN ',
                names,
            )
            for table, rows, visible, stats_off in session.rows(statement):
                deleted = 0 if visible is None else max(int(rows or 0) - int(visible), 0)
                found[table] = TableStatistics(int(rows or 0), deleted, float(stats_off or 0))
        return found

    def insert_values(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Truncate character columns to the target's length, at a character boundary, by a cast."""
        return joined(
            Sql("CAST(", Identifier(column.name), " AS ", column.type, ")")
            if _is_widened(column)
            else Sql(Identifier(column.name))
            for column in columns
        )

    def _role_problems(self, session: Session, output: str) -> list[str]:
        """Check the role by a COPY of a manifest that does not exist.

        Only the answer that the manifest does not exist shows that the role can read there. NOLOAD
        and the rollback ensure that nothing is loaded:
        https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-load.html
        """
        probe = f"{output.rstrip('/')}/spade-spark-preflight-no-such-manifest"
        try:
            with session.rolled_back():
                session.run(Sql('CREATE TEMP TABLE "spade_preflight" ("probe" VARCHAR(1))'))
                try:
                    session.run(self._copy("spade_preflight", ("probe",), probe, " NOLOAD"))
                except WarehouseError as error:
                    problem = role_problem(str(error))
                    if problem:
                        return [f"COPY cannot read {output}: {problem}"]
        except WarehouseError as error:
            return [f"the role in warehouse.iam_role cannot be checked: {error}"]
        return []

    def _copy(self, stage: str, columns: tuple[str, ...], manifest: str, option: str = "") -> Sql:
        return Sql(
            "COPY ",
            Identifier(stage),
            " (",
            identifiers(columns),
            ") FROM ",
            Literal(manifest),
            " ",
            self.credentials().clause(),
            " REGION ",
            Literal(self.s3.region),
            " ",
            COPY_OPTIONS,
            option,
        )


def _select_distributions(schema: str, tables: Sql) -> Sql:
    return Sql(
        'SELECT "c"."relname", "c"."reldiststyle", "i"."releffectivediststyle", "a"."attname" '
        'FROM "pg_class" "c" JOIN "pg_namespace" "n" ON "n"."oid" = "c"."relnamespace" '
        'LEFT JOIN "pg_class_info" "i" ON "i"."reloid" = "c"."oid" '
        'LEFT JOIN "pg_attribute" "a" ON "a"."attrelid" = "c"."oid" AND "a"."attisdistkey" '
        """WHERE "c"."relkind" = 'r' AND "n"."nspname" = """,
        Literal(schema),
        ' AND "c"."relname" IN ',
        tables,
    )


def _distribution(style: int, current: int | None, key: str) -> Distribution | None:
    """Return the distribution for a style in PG_CLASS and the current one in PG_CLASS_INFO.

    AUTO (ALL) is the style of an AUTO table that is still small. A staging table can be large, so
    it counts as unknown.

    Args:
        style: RELDISTSTYLE.
        current: RELEFFECTIVEDISTSTYLE; None if the user may not see it.
        key: The distribution key; empty if there is none.
    """
    name = _STYLES.get(style) or _STYLES.get(-1 if current is None else current)
    if name is None or (name == "KEY" and not key):
        return None
    return Distribution(name, key if name == "KEY" else "")


def _encoding(column: WarehouseColumn) -> str:
    """Return the encoding that is documented as the default of the type; RAW suits all types.

    The documentation of CREATE TABLE names AZ64 as the default of TIME and TIMETZ too, but that of
    the encodings does not list them among the types of AZ64.

    - https://docs.aws.amazon.com/redshift/latest/dg/c_Compression_encodings.html
    - https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_TABLE_NEW.html
    """
    if column.is_text:
        return "LZO"
    return "AZ64" if _AZ64.match(column.type) else "RAW"


def _never_null(column: WarehouseColumn) -> Sql:
    """Return the column's value, or a replacement for NULL, in a type that FNV_HASH accepts."""
    name = Identifier(column.name)
    if column.is_text:
        return Sql("COALESCE(", name, ", '')")
    if column.type == "boolean":  # cannot be cast to text
        return Sql("CASE WHEN ", name, " THEN 1 ELSE 0 END")
    if column.type == "super":
        # JSON_SERIALIZE fails above the limit of VARCHAR, JSON_SIZE does not:
        # https://docs.aws.amazon.com/redshift/latest/dg/r_json_size.html
        size = Sql("JSON_SIZE(", name, ")")
        return Sql(
            "COALESCE(CASE WHEN ",
            size,
            " <= ",
            Literal(_MAX_VARCHAR_BYTES),
            " THEN JSON_SERIALIZE(",
            name,
            ") ELSE CAST(",
            size,
            " AS VARCHAR) END, '')",
        )
    if _NUMBER.match(column.type):
        return Sql("COALESCE(", name, ", 0)")
    return Sql("COALESCE(CAST(", name, " AS VARCHAR), '')")


def _is_widened(column: WarehouseColumn) -> bool:
    max_bytes = _MAX_CHAR_BYTES if column.is_fixed_width else _MAX_VARCHAR_BYTES
    return column.limit is not None and column.limit + _MAX_UTF8_BYTES <= max_bytes


def _staged_type(column: WarehouseColumn) -> str:
    """Return the column's type, wider if values may be truncated.

    A column within 4 bytes of the maximum length cannot be wider. Its truncated values are not
    counted.
    """
    if not _LOADABLE.fullmatch(column.type):
        raise WarehouseError(
            f'column "{column.name}" has type {column.type}, which COPY cannot load from text'
        )
    if column.limit is None or not _is_widened(column):
        return column.type
    base = column.type.partition("(")[0]
    return f"{base}({column.limit + _MAX_UTF8_BYTES})"


def _count_truncated(
    session: Session, stage: str, columns: Sequence[WarehouseColumn]
) -> dict[str, int]:
    """Count the staged values that are longer, in bytes, than the target's column."""
    widened = [column for column in columns if _is_widened(column)]
    if not widened:
        return {}
    counts = joined(
        Sql(
            "SUM(CASE WHEN OCTET_LENGTH(",
            *(
                ("RTRIM(", Identifier(column.name), ")")
                if column.is_fixed_width
                else (Identifier(column.name),)
            ),
            ") > ",
            Literal(column.limit or 0),
            " THEN 1 ELSE 0 END)",
        )
        for column in widened
    )
    (row,) = session.rows(Sql("SELECT ", counts, " FROM ", Identifier(stage)))
    return {column.name: int(count) for column, count in zip(widened, row, strict=True) if count}
