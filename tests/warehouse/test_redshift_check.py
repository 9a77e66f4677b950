"""The check of a cluster runs completely, here against the stand-in."""

from __future__ import annotations

import psycopg2
from rich.console import Console

from bench import redshift_check
from bench.redshift_check import Answer, Check, print_report
from tests.warehouse.conftest import KEYS, ROLE

# The stand-in answers these checks in another way than the program expects of a cluster.
EXPECTED_DIFFERENCES: set[str] = set()


def check(redshift, bucket, s3_settings, *more):
    return redshift_check.main(
        [
            redshift.url,
            "--s3",
            f"s3://{bucket}/check",
            "--endpoint-url",
            s3_settings.endpoint_url,
            *more,
        ]
    )


def schemas(url):
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'spade_check%'")
        found = cursor.fetchall()
    connection.close()
    return found


def test_all_checks_are_answered_and_the_scratch_schemas_are_dropped(
    redshift, bucket, s3_settings, capsys, shared_database
):
    status = check(redshift, bucket, s3_settings, "--iam-role", ROLE)
    printed = capsys.readouterr()
    assert (
        f"{len(redshift_check.CHECKS)} checks, {len(EXPECTED_DIFFERENCES)} differ" in printed.out
    ), printed.out
    assert status == bool(EXPECTED_DIFFERENCES)
    assert schemas(shared_database) == []
    for secret in (redshift.password, KEYS[1], ROLE):
        assert secret not in printed.out + printed.err


def test_different_answers_are_printed_with_what_is_expected(capsys):
    same = Check("one", "1", lambda scratch: "1")
    other = Check("two", "2", lambda scratch: "3")
    print_report([Answer(same, "1"), Answer(other, "3")], Console(width=80))
    printed = capsys.readouterr().out
    assert "one" not in printed
    assert all(text in printed for text in ("two", "2", "3", "2 checks, 1 differ"))


def test_a_cluster_that_does_not_answer_is_an_error_without_the_password(capsys):
    url = "postgres://user:marked-password@127.0.0.1:1/db"
    assert redshift_check.main([url, "--s3", "s3://bucket/"]) == 2
    printed = capsys.readouterr()
    assert "The checks cannot run" in printed.err
    assert "marked" not in printed.out + printed.err
