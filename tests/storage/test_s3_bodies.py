"""S3 whose answers hold less than the object, and say nothing of it."""

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


def test_half_a_body_that_calls_itself_whole_is_gone_on_with(store, faulty):
    """The second half has no checksum by which the client could see that it is one half again."""
    faulty.inject("GET .*/key", "wrong_length", times=3)
    with store.open("key", size=len(DATA)) as stream:
        assert stream.read() == DATA


def test_a_body_that_stays_too_short_is_given_up_and_not_taken_for_the_object(store, faulty):
    faulty.inject("GET .*/key", "wrong_length", times=100)
    with (
        store.open("key", size=len(DATA)) as stream,
        pytest.raises(TransientError, match="broke 9"),
    ):
        stream.read()


def test_a_body_of_the_right_length_that_does_not_fit_its_checksum_may_pass(store, faulty):
    faulty.inject("GET .*/key", "wrong_bytes")
    with store.open("key", size=len(DATA)) as stream, pytest.raises(TransientError, match="416"):
        stream.read()
    assert store.read("key") == DATA
