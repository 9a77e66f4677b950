"""S3 responses that are shorter than the object but look complete."""

import hashlib

import pytest

from spade_spark.errors import TransientError
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store
from tests.support.faulty_s3 import FaultyS3

DATA = hashlib.shake_256(b"").digest(100_000)


@pytest.fixture
def faulty(s3_settings):
    with FaultyS3(s3_settings.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def store(faulty, bucket):
    store = open_store(f"s3://{bucket}/", S3Settings(endpoint_url=faulty.endpoint_url))
    store.write("key", DATA)
    return store


def test_a_short_body_that_looks_complete_is_resumed(store, faulty):
    """A range has no checksum, so the client cannot detect that it is short."""
    faulty.inject("GET .*/key", "wrong_length", times=3)
    with store.open("key", size=len(DATA)) as stream:
        assert stream.read() == DATA


def test_a_body_that_stays_too_short_is_an_error(store, faulty):
    faulty.inject("GET .*/key", "wrong_length", times=100)
    with (
        store.open("key", size=len(DATA)) as stream,
        pytest.raises(TransientError, match="broke 9"),
    ):
        stream.read()


def test_a_checksum_error_is_transient(store, faulty):
    faulty.inject("GET .*/key", "wrong_bytes")
    with store.open("key", size=len(DATA)) as stream, pytest.raises(TransientError, match="416"):
        stream.read()
    assert store.read("key") == DATA
