"""Amazon Redshift: the cluster reads the files itself, by COPY from a manifest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from spade_spark.errors import CopyError, WarehouseError
from spade_spark.runs.load_results import TableFiles
from spade_spark.settings import S3Settings
from spade_spark.warehouse import load_errors
from spade_spark.warehouse.connection import ConnectionInfo, Session, StatementError
from spade_spark.warehouse.credentials import CopyCredentials
from spade_spark.warehouse.information_schema import WarehouseColumn
from spade_spark.warehouse.source_files import SourceFiles, read_problems
from spade_spark.warehouse.sql import Identifier, Literal, Sql, identifiers, joined

# The options are the contract that the TSV files are written by. The delimiter is fixed SQL
# text: it has a backslash, which COPY itself reads.
COPY_OPTIONS = (
    "REMOVEQUOTES DELIMITER '\\t' GZIP ESCAPE TRUNCATECOLUMNS ROUNDEC FILLRECORD "
    "COMPUPDATE OFF STATUPDATE OFF EMPTYASNULL ACCEPTINVCHARS '?' TRIMBLANKS MANIFEST"
)

# Types that COPY fills from text, as format_type() spells them, with or without sizes.
# https://docs.aws.amazon.com/redshift/latest/dg/c_Supported_data_types.html
_TYPES = (
    "smallint|integer|bigint|real|double precision|boolean|date|super|"
    "numeric(?:\\(\\d+,\\d+\\))?|"
    "(?:character varying|character)(?:\\(\\d+\\))?|"
    "(?:time|timestamp) (?:without|with) time zone"
)
_LOADABLE = re.compile(_TYPES)
_NUMBER = re.compile("smallint|integer|bigint|real|double precision|numeric")

_MAX_VARCHAR_BYTES = 65535  # bytes
_MAX_CHAR_BYTES = 4096  # bytes
_MEGABYTE = 1 << 20
_MAX_UTF8_BYTES = 4  # bytes of UTF-8

_DENIED = re.compile(
    r"AccessDenied|Access ?Denied|Status 403|not authorized|InvalidAccessKeyId", re.I
)


@dataclass(frozen=True)
class Redshift:
    """A cluster or a serverless workgroup.

    Attributes:
        connection_info: Where it is.
        s3: The S3 API where the files lie.
        credentials: What COPY shows S3.
    """

    connection_info: ConnectionInfo
    s3: S3Settings
    credentials: CopyCredentials
    name: str = "Redshift"
    max_name_bytes: int = 127  # https://docs.aws.amazon.com/redshift/latest/dg/r_names.html

    def fold(self, name: str) -> str:
        """Redshift keeps names in lower case, quoted or not, unless told otherwise."""
        return name.lower()

    def column_problems(self, session: Session, columns: Sequence[WarehouseColumn]) -> list[str]:  # noqa: ARG002 - the protocol's
        """Columns of a type that COPY cannot fill from text."""
        return [
            f'column "{column.name}" has the type {column.type}, which COPY cannot fill from text'
            for column in columns
            if not _LOADABLE.fullmatch(column.type)
        ]

    def storage_problems(self, session: Session, output: str) -> list[str]:
        """With keys: this process looks with the same ones. With a role: COPY itself looks."""
        if not output.startswith("s3://"):
            return [f"Redshift reads from S3 alone, but output.base is {output}: use s3://..."]
        if not self.credentials.role:
            return read_problems(output, self.s3)
        return self._role_problems(session, output)

    def create_stage(
        self,
        stage: str,
        schema: str,  # noqa: ARG002 - the protocol's
        table: str,  # noqa: ARG002 - the protocol's
        columns: Sequence[WarehouseColumn],
    ) -> Sql:
        """The columns one by one, character columns wider by one character.

        TRUNCATECOLUMNS cuts without a word. In a stage that is wider by the longest character
        (4 bytes of UTF-8), whatever COPY cuts is still longer than the target's column, so
        counting what is too long in the stage counts exactly what was cut; and it costs no
        memory, as staging in VARCHAR(65535) would. The insert then cuts to the target's length.
        ``LIKE`` cannot be widened: ALTER COLUMN TYPE refuses several encodings.
        """
        defined = [
            Sql(
                Identifier(column.name),
                f" {_staged_type(column)}",
                " NOT NULL" if column.not_null else "",
            )
            for column in columns
        ]
        return Sql("CREATE TEMP TABLE ", Identifier(stage), " (", joined(defined), ")")

    def copy(self, stage: str, columns: Sequence[WarehouseColumn], files: TableFiles) -> Sql:
        """COPY of the manifest, naming the columns in the order of the rows' values."""
        return self._copy(stage, tuple(column.name for column in columns), files.copy_manifest)

    def load_stage(
        self, session: Session, stage: str, columns: Sequence[WarehouseColumn], files: TableFiles
    ) -> dict[str, int]:
        """Copies and commits, so that a conflict later needs no second COPY."""
        if not files.files:
            return {}
        SourceFiles(files, self.s3).check_sizes()
        try:
            with session.transaction():
                session.run(self.copy(stage, columns, files))
        except StatementError as refusal:
            errors = load_errors.read(session, self.s3, columns)
            if not errors or not load_errors.has_load_errors(refusal):
                raise
            raise CopyError(load_errors.message(files.table, errors)) from None
        return _count_cut(session, stage, columns)

    def row_hash(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """FNV_HASH of one column after the other, each begun with the one before.

        https://docs.aws.amazon.com/redshift/latest/dg/r_FNV_HASH.html gives the chain, and does
        not say what the hash of NULL is: so each value is preceded by whether it is NULL, which
        parts it from its neighbour too, and no NULL is hashed. Only a real cluster can show how
        many columns a chain may have before its planner minds, and what it costs.
        """
        chain = Sql("FNV_HASH(0)")
        for column in columns:
            name = Identifier(column.name)
            is_null = Sql("CASE WHEN ", name, " IS NULL THEN 1 ELSE 0 END")
            chain = Sql("FNV_HASH(", is_null, ", ", chain, ")")
            chain = Sql("FNV_HASH(", _never_null(column), ", ", chain, ")")
        return Sql("CAST(", chain, " AS DECIMAL(38, 0))")

    def table_sizes(self, session: Session, schema: str) -> dict[str, int]:
        """From SVV_TABLE_INFO, in MB; it leaves empty tables out, and most users may not read it.

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

    def insert_values(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Character columns are cut to the target's length by the cast, at a character's edge."""
        return joined(
            Sql("CAST(", Identifier(column.name), f" AS {column.type})")
            if _is_widened(column)
            else Sql(Identifier(column.name))
            for column in columns
        )

    def _role_problems(self, session: Session, output: str) -> list[str]:
        """Has COPY look for a manifest that is not there: being denied is told from missing.

        NOLOAD and the rollback make sure that nothing comes of it.
        """
        probe = f"{output.rstrip('/')}/spade-spark-preflight-no-such-manifest"
        try:
            with session.rolled_back():
                session.run(Sql('CREATE TEMP TABLE "spade_preflight" ("probe" VARCHAR(1))'))
                session.run(self._copy("spade_preflight", ("probe",), probe, " NOLOAD"))
        except WarehouseError as error:
            if _DENIED.search(str(error)):
                return [
                    f"COPY may not read {output}: {error}; give the role in warehouse.iam_role "
                    "s3:GetObject and s3:ListBucket there"
                ]
        return []

    def _copy(self, stage: str, columns: tuple[str, ...], manifest: str, more: str = "") -> Sql:
        return Sql(
            "COPY ",
            Identifier(stage),
            " (",
            identifiers(columns),
            ") FROM ",
            Literal(manifest),
            " ",
            self.credentials.clause(),
            " REGION ",
            Literal(self.s3.region),
            f" {COPY_OPTIONS}{more}",
        )


def _never_null(column: WarehouseColumn) -> Sql:
    """The column's value, or another in place of NULL, of a type that FNV_HASH takes."""
    name = Identifier(column.name)
    if column.is_text:
        return Sql("COALESCE(", name, ", '')")
    if column.type == "boolean":  # which is not cast to text
        return Sql("CASE WHEN ", name, " THEN 1 ELSE 0 END")
    if column.type == "super":
        return Sql("COALESCE(JSON_SERIALIZE(", name, "), '')")
    if _NUMBER.match(column.type):
        return Sql("COALESCE(", name, ", 0)")
    return Sql("COALESCE(CAST(", name, " AS VARCHAR), '')")


def _is_widened(column: WarehouseColumn) -> bool:
    most = _MAX_CHAR_BYTES if column.is_fixed_width else _MAX_VARCHAR_BYTES
    return column.limit is not None and column.limit + _MAX_UTF8_BYTES <= most


def _staged_type(column: WarehouseColumn) -> str:
    """The column's type, checked against the list; wider where it can be cut.

    A column within 4 bytes of the longest type there is cannot be wider: what COPY cuts from it
    is not counted.
    """
    if not _LOADABLE.fullmatch(column.type):
        raise WarehouseError(
            f'column "{column.name}" has the type {column.type}, which COPY cannot fill from text'
        )
    if column.limit is None or not _is_widened(column):
        return column.type
    base = column.type.partition("(")[0]
    return f"{base}({column.limit + _MAX_UTF8_BYTES})"


def _count_cut(session: Session, stage: str, columns: Sequence[WarehouseColumn]) -> dict[str, int]:
    """Staged values that are longer, in bytes, than the target's column."""
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
    return {column.name: int(cut) for column, cut in zip(widened, row, strict=True) if cut}
