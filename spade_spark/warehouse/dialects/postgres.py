"""PostgreSQL: this process streams the files into ``COPY ... FROM STDIN``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from spade_spark.errors import CopyError, InputError, SpadeError, WarehouseError
from spade_spark.runs.load_results import TableFiles
from spade_spark.settings import S3Settings
from spade_spark.warehouse.connection import Session, StatementError
from spade_spark.warehouse.connection_info import ConnectionInfo
from spade_spark.warehouse.information_schema import Distribution, TableStatistics, WarehouseColumn
from spade_spark.warehouse.load_errors import LoadError, copy_error_message
from spade_spark.warehouse.redshift_copy_format import BlockConverter, CopyValueError
from spade_spark.warehouse.source_files import SourceFiles, read_problems
from spade_spark.warehouse.sql import (
    Identifier,
    Literal,
    Sql,
    identifiers,
    joined,
    literal_lists,
)

# Types with a hash function, as format_type() returns them, with or without sizes.
_HASHABLE = re.compile(
    r"(?:smallint|integer|bigint|real|double precision|numeric|boolean|text|character varying|"
    r"character|bytea|uuid|date|interval|(?:time|timestamp)(?:\(\d\))? with(?:out)? time zone)"
    r"(?:\([\d,]+\))?"
)
_RECORD_HASH_VERSION = 14  # the first major version with hash_record_extended

_CONTEXT = re.compile(
    r'COPY .*?, line (?P<line>\d+)(?:, column (?P<column>[^:]+))?(?:: "(?P<value>.*)")?', re.DOTALL
)


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server.

    Attributes:
        connection_info: How to connect.
        s3: The settings of S3.
        version: The server's major version.
    """

    connection_info: ConnectionInfo
    s3: S3Settings
    version: int = _RECORD_HASH_VERSION
    name: str = "PostgreSQL"
    # The default of autovacuum_vacuum_scale_factor:
    # https://www.postgresql.org/docs/current/runtime-config-vacuum.html
    vacuum_share: float = 0.2
    has_table_write_locks: bool = False
    # https://www.postgresql.org/docs/current/protocol-message-formats.html, CommandComplete
    reports_created_rows: bool = True
    max_name_bytes: int = 63  # NAMEDATALEN - 1

    def fold(self, name: str) -> str:
        """Return the name unchanged, since it is always quoted."""
        return name

    def has_roles(self, session: Session) -> bool:  # noqa: ARG002 - part of the protocol
        """Return false: has_table_privilege includes the privileges of roles."""
        return False

    def column_problems(self, columns: Sequence[WarehouseColumn]) -> list[str]:  # noqa: ARG002 - part of the protocol
        """Return no problems: PostgreSQL reads all its types from text."""
        return []

    def storage_problems(self, session: Session, output: str) -> list[str]:  # noqa: ARG002 - part of the protocol
        """Check that this process, which reads the files, may read them."""
        return read_problems(output, self.s3)

    def distributions(
        self,
        session: Session,  # noqa: ARG002 - part of the protocol
        schema: str,  # noqa: ARG002 - part of the protocol
        tables: Iterable[str],  # noqa: ARG002 - part of the protocol
    ) -> dict[str, Distribution]:
        """Return nothing: PostgreSQL does not distribute rows."""
        return {}

    def create_stage(
        self,
        stage: str,
        schema: str,
        table: str,
        columns: Sequence[WarehouseColumn],
        distribution: Distribution | None,  # noqa: ARG002 - part of the protocol
    ) -> Sql:
        """Create the staging table with the target's types but without its constraints."""
        return Sql(
            "CREATE TEMP TABLE ",
            Identifier(stage),
            " AS SELECT ",
            identifiers(column.name for column in columns),
            " FROM ",
            Identifier(schema, table),
            " WITH NO DATA",
        )

    def table_attributes(self, distribution: Distribution | None) -> Sql:  # noqa: ARG002 - part of the protocol
        """Return no attributes."""
        return Sql("")

    def copy(self, stage: str, columns: Sequence[WarehouseColumn], files: TableFiles) -> Sql:  # noqa: ARG002 - part of the protocol
        """Return the COPY of one file, in COPY's text format."""
        names = identifiers(column.name for column in columns)
        return Sql("COPY ", Identifier(stage), " (", names, ") FROM STDIN")

    def load_stage(
        self, session: Session, stage: str, columns: Sequence[WarehouseColumn], files: TableFiles
    ) -> dict[str, int]:
        """Stream the files in one transaction, with one block in memory."""
        source_files = SourceFiles(files, self.s3)
        source_files.check_sizes()
        copy = self.copy(stage, columns, files)
        converter = BlockConverter(columns)
        with session.transaction():
            for file in files.files:
                with source_files.open_rows(file.url) as rows:
                    stream = _ConvertedRows(converter, rows, file.url)
                    _copy_file(session, copy, stream, files.table, file.url)
        return dict(converter.truncated)

    def can_hash(self, column: WarehouseColumn) -> bool:  # noqa: ARG002 - part of the protocol
        """Return true: every type has a text form."""
        return True

    def row_hash(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Hash the row, with NULL different from an empty value.

        hash_record_extended takes half the time of a hash of the row's text. Values without a hash
        function of their own, such as JSON, are hashed as text.
        """
        if self.version < _RECORD_HASH_VERSION:
            return _text_hash(columns)
        values = joined(
            Sql(Identifier(column.name))
            if _HASHABLE.fullmatch(column.type)
            else Sql("CAST(", Identifier(column.name), " AS text)")
            for column in columns
        )
        return Sql("CAST(hash_record_extended(ROW(", values, "), 0) AS numeric)")

    def earlier_row_hashes(self, columns: Sequence[WarehouseColumn]) -> tuple[Sql, ...]:
        """Return the hash of the row's text."""
        return () if self.version < _RECORD_HASH_VERSION else (_text_hash(columns),)

    def hashes_staged_rows(self, columns: Sequence[WarehouseColumn]) -> bool:  # noqa: ARG002 - part of the protocol
        """Return true: the staging table and backups have the types of the target."""
        return True

    def tables_that_change_rows(
        self, session: Session, schema: str, tables: Iterable[str]
    ) -> frozenset[str]:
        """Return all but plain tables without triggers, rules, children and row security.

        https://www.postgresql.org/docs/current/catalog-pg-class.html
        """
        found: set[str] = set()
        for names in literal_lists(tables):
            statement = Sql(
                'SELECT "c"."relname" FROM "pg_class" "c" '
                'JOIN "pg_namespace" "n" ON "n"."oid" = "c"."relnamespace" '
                """WHERE ("c"."relkind" <> 'r' OR "c"."relhastriggers" OR "c"."relhasrules" """
                'OR "c"."relhassubclass" OR "c"."relrowsecurity") AND "n"."nspname" = ',
                Literal(schema),
                ' AND "c"."relname" IN ',
                names,
            )
            found.update(name for (name,) in session.rows(statement))
        return frozenset(found)

    def table_sizes(self, session: Session, schema: str) -> dict[str, int]:
        """Return the disk usage of the tables."""
        statement = Sql(
            'SELECT "c"."relname", pg_total_relation_size("c"."oid") FROM "pg_class" "c" '
            'JOIN "pg_namespace" "n" ON "n"."oid" = "c"."relnamespace" '
            """WHERE "c"."relkind" = 'r' AND "n"."nspname" = """,
            Literal(schema),
        )
        return {name: int(size) for name, size in session.rows(statement)}

    def vacuum(self, target: Identifier) -> Sql:
        """Return a plain VACUUM, which does not lock the table against reads and writes."""
        return Sql("VACUUM ", target)

    def statistics(
        self, session: Session, schema: str, tables: Iterable[str]
    ) -> dict[str, TableStatistics]:
        """Read the estimated number of rows. It is -1 for a table that was never vacuumed.

        https://www.postgresql.org/docs/current/catalog-pg-class.html
        """
        found: dict[str, TableStatistics] = {}
        for names in literal_lists(tables):
            statement = Sql(
                'SELECT "c"."relname", "c"."reltuples" FROM "pg_class" "c" '
                'JOIN "pg_namespace" "n" ON "n"."oid" = "c"."relnamespace" '
                'WHERE "c"."reltuples" > 0 AND "n"."nspname" = ',
                Literal(schema),
                ' AND "c"."relname" IN ',
                names,
            )
            for table, rows in session.rows(statement):
                found[table] = TableStatistics(int(rows))
        return found

    def insert_values(self, columns: Sequence[WarehouseColumn]) -> Sql:
        """Return the columns unchanged: :class:`BlockConverter` has truncated the values."""
        return identifiers(column.name for column in columns)


def _text_hash(columns: Sequence[WarehouseColumn]) -> Sql:
    names = identifiers(column.name for column in columns)
    return Sql("CAST(hashtextextended(CAST(ROW(", names, ") AS text), 0) AS numeric)")


def _copy_file(session: Session, copy: Sql, stream: _ConvertedRows, table: str, url: str) -> None:
    """Copy one file.

    Raises:
        CopyError: PostgreSQL rejected a value.
        InputError: The file cannot be read.
    """
    try:
        session.copy_in(copy, stream)
    except StatementError as error:
        # The driver reports an exception of the stream as a StatementError.
        failure = stream.failure or _load_error(url, error)
        if isinstance(failure, LoadError):
            raise CopyError(copy_error_message(table, [failure])) from None
        raise failure from None


class _ConvertedRows:
    """A stream of the converted rows of one file; it keeps the error that ended it."""

    def __init__(self, converter: BlockConverter, blocks: Iterator[bytes], url: str) -> None:
        self._converter = converter
        self._blocks = blocks
        self._url = url
        self._rows_before = converter.rows
        self._block = b""
        self._position = 0
        self.failure: LoadError | SpadeError | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes of converted rows."""
        if self._position == len(self._block):
            self._block, self._position = self._next_block(), 0
        start = self._position
        self._position = len(self._block) if size < 0 else min(start + size, len(self._block))
        return self._block[start : self._position]

    def _next_block(self) -> bytes:
        try:
            block = next(self._blocks, None)
            return b"" if block is None else self._converter.convert(block)
        except CopyValueError as error:
            raw = error.value.decode("utf-8", "replace")
            line = self._converter.rows - self._rows_before + 1
            self.failure = LoadError(self._url, line, error.column, raw, error.reason)
            raise
        except SpadeError as error:
            self.failure = error
            raise
        except (OSError, EOFError) as error:
            self.failure = InputError(
                f"{self._url} is not a complete gzip file ({error}); run the transform again under "
                "a new run tag"
            )
            raise


def _load_error(url: str, error: StatementError) -> LoadError | WarehouseError:
    """Return the load error with the row and column in PostgreSQL's error context, if any."""
    match = _CONTEXT.search(error.context)
    if match is None:
        return error
    reason = str(error).partition(" (in: ")[0]
    return LoadError(url, int(match["line"]), match["column"] or "", match["value"] or "", reason)
