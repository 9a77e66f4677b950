"""Concurrent transactions in the stand-in: the documentation's examples, and their consequences.

Each test names the page that its example is from, below
https://docs.aws.amazon.com/redshift/latest/dg/.
"""

from __future__ import annotations

import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import psycopg2
import pytest

from tests.support.redshift import Isolation, RedshiftServer
from tests.warehouse.harness import NEW, WarehouseHarness

SERIALIZABLE, SNAPSHOT = Isolation.SERIALIZABLE, Isolation.SNAPSHOT
CONFLICT = "could not complete because of conflict with concurrent transaction"
COPY = (
    "COPY {} FROM '{}' ACCESS_KEY_ID 'AKIATEST' SECRET_ACCESS_KEY 'marked-secret-key' "
    "REMOVEQUOTES DELIMITER '\\t' GZIP MANIFEST"
)


class Client:
    """A session with a thread of its own, so that a test can go on while a statement waits."""

    def __init__(self, server: RedshiftServer) -> None:
        self._server = server
        self._connection = psycopg2.connect(server.url)
        self._connection.autocommit = True
        self._cursor = self._connection.cursor()
        self._thread = ThreadPoolExecutor(1)

    def run(self, *statements: str) -> list[tuple[object, ...]]:
        """Run statements; return the rows of the last one."""
        return [self.start(statement).result(timeout=20) for statement in statements][-1]

    def start(self, statement: str) -> Future[list[tuple[object, ...]]]:
        return self._thread.submit(self._execute, statement)

    def start_and_wait(self, statement: str) -> Future[list[tuple[object, ...]]]:
        """Start a statement, which must wait for a lock of another session."""
        future = self.start(statement)
        self._server.wait_until_blocked(self._connection.info.backend_pid)
        return future

    def fail(self, statement: str, match: str) -> None:
        """Run a statement, which must fail with this message, and roll back."""
        with pytest.raises(psycopg2.Error, match=match):
            self.run(statement)
        self.run("ROLLBACK")

    def close(self) -> None:
        self._connection.close()
        self._thread.shutdown()

    def _execute(self, statement: str) -> list[tuple[object, ...]]:
        self._cursor.execute(statement)
        return list(self._cursor.fetchall()) if self._cursor.description else []


class Database:
    """A stand-in with an isolation level, and a schema for one test."""

    def __init__(self, server: RedshiftServer, stack: ExitStack) -> None:
        self.server = server
        self._stack = stack
        self.schema = f"isolation_{uuid.uuid4().hex[:8]}"
        self.client().run(f"CREATE SCHEMA {self.schema}")

    def client(self) -> Client:
        client = Client(self.server)
        self._stack.callback(client.close)
        return client

    def clients(self) -> tuple[Client, Client]:
        """Two sessions, each in a transaction."""
        one, two = self.client(), self.client()
        for client in (one, two):
            client.run("BEGIN")
        return one, two

    def table(self, name: str, *rows: int, columns: str = "n integer") -> str:
        """Create a table; return its qualified name."""
        table = f"{self.schema}.{name}"
        client = self.client()
        client.run(f"CREATE TABLE {table} ({columns})")
        for row in rows:
            client.run(f"INSERT INTO {table} VALUES ({row})")
        return table


@pytest.fixture
def start(shared_database, redshift_access):
    """Start a stand-in with an isolation level."""
    with ExitStack() as stack:

        def start(isolation):
            server = RedshiftServer(shared_database, redshift_access, isolation=isolation)
            return Database(stack.enter_context(server), stack)

        yield start


@pytest.fixture(params=[SERIALIZABLE, SNAPSHOT], ids=["SERIALIZABLE", "SNAPSHOT"])
def database(request, start):
    return start(request.param)


@pytest.fixture
def copy_into(s3_settings, s3_client, bucket):
    """Return a COPY of two rows into a table."""

    def copy_into(database, table):
        harness = WarehouseHarness(database.server.url, s3_settings, s3_client, bucket)
        return COPY.format(table, harness.write_files(*NEW).copy_manifest)

    return copy_into


LISTING = "time timestamp, name varchar(5), n integer"


def test_copy_into_the_same_table_waits_in_serializable_isolation(start, copy_into):
    """r_Serializable_isolation_example.html: concurrent COPY operations into the same table."""
    database = start(SERIALIZABLE)
    listing = database.table("listing", columns=LISTING)
    copy = copy_into(database, listing)
    one, two = database.clients()
    one.run(copy)
    waiting = two.start_and_wait(copy)
    one.run("END")
    waiting.result(timeout=20)
    two.run("END")
    assert database.client().run(f"SELECT COUNT(*) FROM {listing}") == [(4,)]


def test_copy_and_insert_into_the_same_table_share_a_lock_in_snapshot_isolation(start, copy_into):
    """c_write_readwrite.html: concurrent INSERT or COPY statements share a lock."""
    database = start(SNAPSHOT)
    listing = database.table("listing", columns=LISTING)
    one, two = database.clients()
    one.run(copy_into(database, listing))
    two.run(f"INSERT INTO {listing} (n) VALUES (1)", "END")
    one.run("END")
    assert database.client().run(f"SELECT COUNT(*) FROM {listing}") == [(3,)]


@pytest.mark.parametrize(
    "statement", ["DELETE FROM {} WHERE n = 1", "UPDATE {} SET n = 1 WHERE n = 1"]
)
def test_delete_and_update_of_the_same_table_wait_and_then_succeed(database, statement):
    """r_Serializable_isolation_example.html: concurrent DELETE operations from the same table."""
    listing = database.table("listing", 1, 2)
    one, two = database.clients()
    one.run(statement.format(listing))
    waiting = two.start_and_wait(statement.format(listing))
    one.run("END")
    waiting.result(timeout=20)
    two.run("END")


def test_a_mixture_of_reads_and_writes_waits_and_then_succeeds(database, copy_into):
    """r_Serializable_isolation_example.html: a mixture of read and write operations."""
    users = database.table("users", "'2017-11-04', 'a', 1", columns=LISTING)
    copy, count = copy_into(database, users), f"SELECT COUNT(*) FROM {users}"
    one, two = database.clients()
    one.run(f"DELETE FROM {users} WHERE n = 1", copy)
    waiting = two.start_and_wait(copy)
    assert one.run(count) == [(2,)]
    one.run(f"ANALYZE {users}", "END")
    waiting.result(timeout=20)
    assert two.run(count) == [(4,)]
    two.run(f"ANALYZE {users}", "END")


def test_reads_that_depend_on_each_others_writes_are_error_1023(start):
    """c_serial_isolation-serializable-isolation-troubleshooting.html: the last one fails."""
    database = start(SERIALIZABLE)
    tab1, tab2 = database.table("tab1"), database.table("tab2")
    one, two = database.clients()
    one.run(f"SELECT * FROM {tab1}", f"INSERT INTO {tab2} VALUES (1)")
    two.run(f"INSERT INTO {tab1} VALUES (1)")
    two.fail(f"SELECT * FROM {tab2}", r"(?s)1023.*Serializable isolation violation on table - \d+")
    one.run("END")


def test_reads_that_depend_on_each_others_writes_succeed_in_snapshot_isolation(start):
    """CREATE DATABASE: SNAPSHOT does not prevent write skew."""
    database = start(SNAPSHOT)
    tab1, tab2 = database.table("tab1"), database.table("tab2")
    one, two = database.clients()
    one.run(f"SELECT * FROM {tab1}", f"INSERT INTO {tab2} VALUES (1)")
    two.run(f"INSERT INTO {tab1} VALUES (1)", f"SELECT * FROM {tab2}", "END")
    one.run("END")


def test_reads_outside_the_transactions_do_not_conflict(database):
    """c_serial_isolation-serializable-isolation-troubleshooting.html: move SELECT out."""
    tab1, tab2 = database.table("tab1"), database.table("tab2")
    one, two = database.client(), database.client()
    two.run(f"SELECT * FROM {tab1}", "BEGIN")
    one.run("BEGIN", f"INSERT INTO {tab1} VALUES (1)")
    two.run(f"INSERT INTO {tab2} VALUES (1)")
    one.run("END", f"SELECT * FROM {tab2}")
    two.run("END")


def test_locking_all_tables_first_forces_a_serial_order(database):
    """c_serial_isolation-serializable-isolation-troubleshooting.html: LOCK at the beginning."""
    tab1, tab2 = database.table("tab1"), database.table("tab2")
    one, two = database.clients()
    one.run(f"LOCK {tab1}, {tab2}")
    waiting = two.start_and_wait(f"LOCK {tab1}, {tab2}")
    one.run(f"SELECT * FROM {tab1}", f"INSERT INTO {tab2} VALUES (1)", "END")
    waiting.result(timeout=20)
    two.run(f"INSERT INTO {tab1} VALUES (1)")
    assert two.run(f"SELECT * FROM {tab2}") == [(1,)]
    two.run("END")


def test_the_old_state_is_still_read_if_a_lock_comes_after_the_snapshot(start):
    """c_serial_isolation.html: the first SELECT takes the snapshot, LOCK does not."""
    database = start(SERIALIZABLE)
    tab1, tab2 = database.table("tab1"), database.table("tab2")
    one, two = database.clients()
    two.run(f"SELECT * FROM {tab1}")
    one.run(f"LOCK {tab2}", f"INSERT INTO {tab2} VALUES (1)", "END")
    two.run(f"LOCK {tab2}")
    assert two.run(f"SELECT * FROM {tab2}") == []
    two.fail(f"INSERT INTO {tab2} SELECT n FROM {tab2}", "1023")


def test_a_table_that_was_created_since_the_snapshot_is_error_1018(database):
    """c_serial_isolation-serializable-isolation-troubleshooting.html: error 1018."""
    table = database.table("a")
    one, two, three = (database.client() for _ in range(3))
    one.run("BEGIN", f"DROP TABLE {table}", "COMMIT")
    two.run("BEGIN")
    three.run("BEGIN", f"CREATE TABLE {table} (id integer)", "COMMIT")
    two.fail(f"SELECT * FROM {table}", "(?s)1018.*Relation does not exist")
    two.run("BEGIN", f"SELECT * FROM {table}", "COMMIT")


def test_a_table_that_was_dropped_since_the_snapshot_does_not_exist(database):
    """c_serial_isolation.html: the catalog is not subject to the same isolation rules."""
    a, other = database.table("a"), database.table("other")
    one, two = database.clients()
    two.run(f"SELECT * FROM {other}")
    one.run(f"DROP TABLE {a}", "COMMIT")
    two.fail(f"SELECT * FROM {a}", 'relation ".*a" does not exist')


def test_a_table_that_is_dropped_while_a_statement_waits_cannot_be_opened(database):
    """https://github.com/dbt-labs/dbt-adapters/issues/617."""
    table = database.table("a", 1)
    one, two = database.clients()
    one.run(f"DROP TABLE {table}")
    waiting = two.start_and_wait(f"SELECT * FROM {table}")
    one.run("COMMIT")
    with pytest.raises(psycopg2.InternalError, match=r"could not open relation with OID \d+"):
        waiting.result(timeout=20)


def test_a_second_creation_of_the_same_table_waits_and_then_fails(database):
    one, two = database.clients()
    one.run(f"CREATE TABLE {database.schema}.a (n integer)")
    waiting = two.start_and_wait(f"CREATE TABLE {database.schema}.a (n integer)")
    one.run("COMMIT")
    with pytest.raises(psycopg2.Error, match="already exists"):
        waiting.result(timeout=20)


def test_updates_of_different_rows_swap_them_in_snapshot_isolation(start):
    """r_CREATE_DATABASE.html: write skew."""
    database = start(SNAPSHOT)
    numbers = database.table("numbers", 0, 1)
    one, two = database.clients()
    for client in (one, two):
        assert client.run(f"SELECT * FROM {numbers} ORDER BY n") == [(0,), (1,)]
    one.run(f"UPDATE {numbers} SET n = 1 WHERE n = 0", "COMMIT")
    two.run(f"UPDATE {numbers} SET n = 0 WHERE n = 1", "COMMIT")
    assert database.client().run(f"SELECT * FROM {numbers} ORDER BY n") == [(0,), (1,)]


def test_updates_of_different_rows_are_error_1023_in_serializable_isolation(start):
    """r_CREATE_DATABASE.html: Amazon Redshift terminates user 2."""
    database = start(SERIALIZABLE)
    numbers = database.table("numbers", 0, 1)
    one, two = database.clients()
    for client in (one, two):
        client.run(f"SELECT * FROM {numbers}")
    one.run(f"UPDATE {numbers} SET n = 1 WHERE n = 0", "COMMIT")
    two.fail(f"UPDATE {numbers} SET n = 0 WHERE n = 1", "1023")


def test_updates_of_the_same_rows_conflict_in_snapshot_isolation(start):
    """r_CREATE_DATABASE.html: SNAPSHOT protects against update and delete conflicts."""
    database = start(SNAPSHOT)
    numbers, other = database.table("numbers", 0), database.table("other")
    one, two = database.clients()
    two.run(f"SELECT * FROM {other}")
    one.run(f"UPDATE {numbers} SET n = 1", "COMMIT")
    two.fail(f"DELETE FROM {numbers}", CONFLICT)


def test_the_strict_snapshot_mode_refuses_changes_of_a_table_written_since_the_snapshot(start):
    database = start(Isolation.SNAPSHOT_BY_TABLE)
    numbers, other = database.table("numbers", 0), database.table("other")
    one, two = database.clients()
    two.run(f"SELECT * FROM {other}")
    one.run(f"INSERT INTO {numbers} VALUES (1)", "COMMIT")
    two.fail(f"DELETE FROM {numbers} WHERE n = 0", CONFLICT)


def test_writes_to_two_tables_in_opposite_order_are_a_deadlock(database):
    """c_write_readwrite.html: a potential deadlock of transactions involving multiple tables."""
    a, b = database.table("a"), database.table("b")
    one, two = database.clients()
    one.run(f"UPDATE {a} SET n = 1")
    two.run(f"UPDATE {b} SET n = 1")
    waiting = one.start_and_wait(f"UPDATE {b} SET n = 1")
    two.fail(f"UPDATE {a} SET n = 1", "deadlock detected")
    waiting.result(timeout=20)
    one.run("COMMIT")


def test_a_delete_after_concurrent_inserts_is_a_deadlock_in_snapshot_isolation(start):
    """c_write_readwrite.html: a potential deadlock of transactions involving a single table."""
    database = start(SNAPSHOT)
    a = database.table("a")
    one, two = database.clients()
    for client in (one, two):
        client.run(f"INSERT INTO {a} VALUES (1)")
    waiting = two.start_and_wait(f"DELETE FROM {a}")
    one.fail(f"DELETE FROM {a}", "deadlock detected")
    waiting.result(timeout=20)


def test_readers_do_not_wait_for_writers_and_see_the_last_commit(database):
    """c_Concurrent_writes.html: queries see the latest committed version."""
    a = database.table("a", 1)
    one, two = database.clients()
    one.run(f"DELETE FROM {a}")
    assert two.run(f"SELECT * FROM {a}") == [(1,)]


def test_lock_waits_for_readers_and_makes_readers_wait(database):
    """r_LOCK.html: reads and writes wait."""
    a = database.table("a", 1)
    one, two = database.clients()
    one.run(f"SELECT * FROM {a}")
    lock = two.start_and_wait(f"LOCK {a}")
    one.run("COMMIT")
    lock.result(timeout=20)
    reader = one.start_and_wait(f"SELECT * FROM {a}")
    two.run("COMMIT")
    assert reader.result(timeout=20) == [(1,)]


def test_a_waiting_statement_can_be_cancelled(database):
    a = database.table("a")
    one, two = database.clients()
    one.run(f"LOCK {a}")
    ((pid,),) = two.run("SELECT pg_backend_pid()")
    waiting = two.start_and_wait(f"LOCK {a}")
    database.client().run(f"SELECT pg_cancel_backend({pid})")
    with pytest.raises(psycopg2.Error, match="cancelled on user's request"):
        waiting.result(timeout=20)


def test_truncate_commits_and_releases_its_locks(database):
    a, b = database.table("a", 1), database.table("b")
    one, two = database.clients()
    one.run(f"INSERT INTO {b} VALUES (1)", f"TRUNCATE {a}")
    assert two.run(f"SELECT COUNT(*) FROM {a}") == [(0,)]
    two.run(f"DELETE FROM {b}")


def test_a_lost_session_releases_its_locks(database):
    a = database.table("a", 1)
    one, two = database.clients()
    one.run(f"LOCK {a}", f"DELETE FROM {a}")
    waiting = two.start_and_wait(f"SELECT * FROM {a}")
    one.close()
    assert waiting.result(timeout=20) == [(1,)]


@pytest.mark.parametrize("level", ["SERIALIZABLE", "READ COMMITTED"])
def test_begin_does_not_change_the_isolation_level(database, level):
    """r_BEGIN.html: the behavior is the same whether or not the level is in the statement."""
    tab1, tab2 = database.table("tab1"), database.table("tab2")
    one, two = database.client(), database.client()
    for client in (one, two):
        client.run(f"BEGIN ISOLATION LEVEL {level}")
    one.run(f"SELECT * FROM {tab1}", f"INSERT INTO {tab2} VALUES (1)")
    two.run(f"INSERT INTO {tab1} VALUES (1)")
    if database.server.isolation is SERIALIZABLE:
        two.fail(f"SELECT * FROM {tab2}", "1023")
    else:
        two.run(f"SELECT * FROM {tab2}", "COMMIT")


def test_temporary_and_system_tables_do_not_conflict(database):
    one, two = database.clients()
    for client in (one, two):
        client.run(
            "CREATE TEMP TABLE stage (n integer)",
            "INSERT INTO stage VALUES (1)",
            "SELECT * FROM stage, pg_class, information_schema.tables LIMIT 1",
            "SELECT * FROM stl_load_errors",
        )
    one.run("COMMIT")
    two.run("COMMIT")


def replace(client, log, target):
    """Replace the rows of a table, and log it last."""
    client.run(
        f"DELETE FROM {target} WHERE n = 1",
        f"INSERT INTO {target} VALUES (2)",
        f"INSERT INTO {log} VALUES (1)",
        "COMMIT",
    )


def test_replaces_of_different_tables_that_only_append_to_the_log_do_not_conflict(database):
    """One lock table per target: the replay log is only appended to, last."""
    log = database.table("replay")
    targets = [database.table(f"t{number}", 1) for number in range(4)]
    locks = [database.table(f"lock{number}") for number in range(4)]
    clients = [database.client() for _ in targets]
    for client, lock, target in zip(clients, locks, targets, strict=True):
        client.run("BEGIN", f"LOCK {lock}", f"SELECT * FROM {target}")
    with ThreadPoolExecutor(4) as threads:
        for done in [
            threads.submit(replace, client, log, target)
            for client, target in zip(clients, targets, strict=True)
        ]:
            done.result(timeout=30)
    assert database.client().run(f"SELECT COUNT(*) FROM {log}") == [(4,)]


def test_replaces_that_read_the_log_in_their_transaction_conflict(start):
    """Without a lock on the log, each replace depends on the other one's row."""
    database = start(SERIALIZABLE)
    log, first, second = database.table("replay"), database.table("a", 1), database.table("b", 1)
    one, two = database.clients()
    for client in (one, two):
        client.run(f"SELECT * FROM {log}")
    replace(one, log, first)
    two.run(f"DELETE FROM {second} WHERE n = 1")
    two.fail(f"INSERT INTO {log} VALUES (1)", "1023")
