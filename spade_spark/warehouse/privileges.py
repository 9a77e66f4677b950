"""The privileges that a load needs, and which of them the warehouse user lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spade_spark.warehouse import backup, replay_log
from spade_spark.warehouse.connection import Session
from spade_spark.warehouse.dialects.base import Warehouse
from spade_spark.warehouse.information_schema import DatabaseGrants, SchemaGrants, TableGrants
from spade_spark.warehouse.sql import Identifier
from spade_spark.warehouse.table_lock import TableLock
from spade_spark.warehouse.target_rows import WarehouseSchemas


@dataclass(frozen=True)
class Privileges:
    """The user's privileges, as far as the catalog shows them.

    Attributes:
        schemas: On each existing schema.
        database: In the database.
        tables: On each existing target table, by its name in the warehouse; none without USAGE on
            its schema.
        control: On each existing control table, likewise.
    """

    schemas: Mapping[str, SchemaGrants]
    database: DatabaseGrants
    tables: Mapping[str, TableGrants]
    control: Mapping[str, TableGrants]

    def missing(
        self,
        schemas: WarehouseSchemas,
        relations: Sequence[str],
        locks: Sequence[TableLock],
        backup_schema: str,
    ) -> list[str]:
        """Return a message for each privilege that the user does not seem to have.

        Args:
            schemas: The schemas, which exist.
            relations: The requested tables, by their names in the warehouse.
            locks: Their lock tables.
            backup_schema: The schema of the backups in the warehouse; empty without backups.
        """
        missing = [
            f"the warehouse user has no USAGE privilege on the schema {schema}: GRANT USAGE ON "
            f"SCHEMA {Identifier(schema).sql()}"
            for schema in (schemas.schema, schemas.control)
            if not self.schemas[schema].usage
        ]
        if self.schemas[schemas.control].usage:
            missing += self._missing_on_control_tables(schemas.control)
            missing += self._missing_on_lock_tables(schemas.control, locks)
        if backup_schema:
            missing += backup.write_problems(
                backup_schema,
                self.schemas.get(backup_schema),
                can_create_schemas=self.database.create,
            )
        for relation in relations:
            if relation in self.tables:
                missing += _missing(self.tables[relation], Identifier(schemas.schema, relation))
        if not self.database.temporary:
            missing.append(
                "the warehouse user cannot create temporary tables: grant TEMP on the database"
            )
        return missing

    def _missing_on_control_tables(self, control: str) -> list[str]:
        """A load can create the replay log, but not the table of versions."""
        versions, log = replay_log.VERSIONS_TABLE, replay_log.TABLE_NAME
        missing = []
        if versions in self.control:
            table = Identifier(control, versions)
            missing += _missing(self.control[versions], table, ("SELECT",))
        if log in self.control:
            table = Identifier(control, log)
            missing += _missing(self.control[log], table, ("SELECT", "INSERT"))
        elif not self.schemas[control].create:
            missing.append(
                f"the table {control}.{log} does not exist, and the warehouse user cannot create "
                f"it: GRANT CREATE ON SCHEMA {Identifier(control).sql()}, or have an administrator "
                f"run: {replay_log.create(control)}"
            )
        return missing

    def _missing_on_lock_tables(self, control: str, locks: Sequence[TableLock]) -> list[str]:
        """A load creates missing lock tables.

        PostgreSQL's LOCK requires UPDATE, DELETE or TRUNCATE, which the owner of a table has
        (https://www.postgresql.org/docs/current/sql-lock.html). Redshift's documentation does not
        say what LOCK requires.
        """
        missing = []
        for lock in locks:
            if lock.name in self.control:
                table = Identifier(control, lock.name)
                missing += _missing(self.control[lock.name], table, ("DELETE",))
        absent = [lock for lock in locks if lock.name not in self.control]
        if absent and not self.schemas[control].create:
            names = ", ".join(f"{control}.{lock.name}" for lock in absent)
            statements = "; ".join(str(lock.create()) for lock in absent)
            missing.append(
                f"lock tables do not exist, and the warehouse user cannot create them ({names}): "
                f"GRANT CREATE ON SCHEMA {Identifier(control).sql()}, or have an administrator run "
                f"the following and GRANT DELETE on them: {statements}"
            )
        return missing


def problems_and_warnings(
    session: Session, warehouse: Warehouse, missing: Sequence[str], *, check_privileges: bool
) -> tuple[list[str], list[str]]:
    """Divide messages about missing privileges into problems and warnings.

    They are warnings if a privilege may exist although it seems to be missing, or if the user does
    not want them to be checked.
    """
    if not missing:
        return [], []
    reason = ""
    if not check_privileges:
        reason = "warehouse.check_privileges is false"
    elif warehouse.has_roles(session):
        reason = "a role of the warehouse user may grant it"
    if not reason:
        return list(missing), []
    return [], [f"{text} (only a warning: {reason})" for text in missing]


def _missing(
    grants: TableGrants, table: Identifier, required: Sequence[str] = ("SELECT", "INSERT", "DELETE")
) -> list[str]:
    granted = {"SELECT": grants.select, "INSERT": grants.insert, "DELETE": grants.delete}
    return [
        f"the warehouse user has no {privilege} privilege on {'.'.join(table.names)}: "
        f"GRANT {privilege} ON {table.sql()}"
        for privilege in required
        if not granted[privilege]
    ]
