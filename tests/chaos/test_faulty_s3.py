"""FaultyS3 injects the faults that it documents. Other tests rely on this."""

import time

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tests.support.faulty_s3 import KINDS, FaultyS3

DATA = bytes(range(256)) * 400


@pytest.fixture
def faulty(s3_settings):
    with FaultyS3(s3_settings.endpoint_url) as proxy:
        yield proxy


def client(endpoint_url, attempts=1):
    config = Config(
        retries={"total_max_attempts": attempts, "mode": "standard"},
        read_timeout=1,
        s3={"addressing_style": "path"},
        # Otherwise the checksum shows the client that half of the body is missing.
        response_checksum_validation="when_required",
    )
    return boto3.client("s3", endpoint_url=endpoint_url, region_name="us-west-2", config=config)


@pytest.fixture
def direct(s3_settings):
    return client(s3_settings.endpoint_url)


@pytest.fixture
def through(faulty):
    return client(faulty.endpoint_url)


def read(s3, bucket, key="key"):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def outcome(call, **arguments):
    """Return the name of the error, or an empty string."""
    try:
        call(**arguments)
    except Exception as error:  # noqa: BLE001 - any error that the client raises
        return type(error).__name__
    return ""


def test_requests_pass_through_unchanged_without_faults(through, direct, bucket, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    through.put_object(Bucket=bucket, Key="key", Body=DATA)
    through.upload_file(str(path), bucket, "other")
    assert read(direct, bucket) == read(through, bucket) == read(through, bucket, "other") == DATA
    assert through.head_object(Bucket=bucket, Key="key")["ContentLength"] == len(DATA)
    listed = through.list_objects_v2(Bucket=bucket)["Contents"]
    assert [entry["Key"] for entry in listed] == ["key", "other"]
    through.delete_object(Bucket=bucket, Key="key")
    with pytest.raises(ClientError, match="NoSuchKey"):
        read(through, bucket)
    part = through.get_object(Bucket=bucket, Key="other", Range="bytes=100000-")
    assert part["Body"].read() == DATA[100000:]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("error", "InternalError"),
        ("unavailable", "ServiceUnavailable"),
        ("throttled", "SlowDown"),
        ("denied", "AccessDenied"),
        ("bad_signature", "SignatureDoesNotMatch"),
    ],
)
def test_a_refused_write_has_no_effect(faulty, direct, bucket, kind, code):
    faulty.inject("PUT", kind)
    with pytest.raises(ClientError, match=code):
        client(faulty.endpoint_url).put_object(Bucket=bucket, Key="key", Body=DATA)
    assert "Contents" not in direct.list_objects_v2(Bucket=bucket)
    assert faulty.triggered == {kind: 1}


def test_a_cut_response_body_is_incomplete(faulty, through, direct, bucket):
    direct.put_object(Bucket=bucket, Key="key", Body=DATA)
    faulty.inject("GET .*/key", "cut")
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        read(through, bucket)
    assert read(through, bucket) == DATA


def test_a_write_takes_effect_although_its_response_is_cut(faulty, through, direct, bucket):
    faulty.inject("PUT", "cut")
    with pytest.raises(ConnectionClosedError):
        through.put_object(Bucket=bucket, Key="key", Body=DATA)
    assert read(direct, bucket) == DATA


def test_a_delayed_response_arrives_late(faulty, through, direct, bucket):
    faulty.inject("PUT", "late", seconds=2)
    with pytest.raises(ReadTimeoutError):
        through.put_object(Bucket=bucket, Key="key", Body=DATA)
    assert read(direct, bucket) == DATA
    faulty.inject("GET", "late", seconds=0.3)
    started = time.monotonic()
    assert read(through, bucket) == DATA
    assert time.monotonic() - started >= 0.3


def test_a_response_of_the_wrong_length_has_half_the_body_and_a_matching_length(
    faulty, through, direct, bucket
):
    direct.put_object(Bucket=bucket, Key="key", Body=DATA)
    faulty.inject("GET", "wrong_length")
    assert read(through, bucket) == DATA[: len(DATA) // 2]


def test_an_injected_call_runs_before_the_request_is_forwarded(faulty, through, direct, bucket):
    direct.put_object(Bucket=bucket, Key="key", Body=b"old")
    faulty.inject(
        "GET", "call", function=lambda: direct.put_object(Bucket=bucket, Key="key", Body=b"new")
    )
    assert read(through, bucket) == b"new"


def test_a_fault_skips_requests_and_then_triggers_a_number_of_times(faulty, through, bucket):
    fault = faulty.inject("PUT .*/b", "error", skip=1, times=2)
    outcomes = [outcome(through.put_object, Bucket=bucket, Key=name, Body=b"") for name in "ababbb"]
    assert outcomes == ["", "", "", "ClientError", "ClientError", ""]
    assert fault.triggered == 2


def test_the_given_share_of_requests_fails_and_the_seed_determines_which(s3_settings, bucket):
    def failures(seed):
        kinds = tuple(kind for kind in KINDS if kind != "late")
        with FaultyS3(s3_settings.endpoint_url, seed=seed, share=0.2, kinds=kinds) as faulty:
            s3 = client(faulty.endpoint_url)
            failed = [
                outcome(s3.put_object, Bucket=bucket, Key=f"{number}", Body=DATA)
                for number in range(200)
            ]
            assert set(faulty.triggered) == set(kinds)
            return failed

    first = failures(1)
    assert 20 <= len([error for error in first if error]) <= 100
    assert failures(1) == first
    assert failures(2) != first
