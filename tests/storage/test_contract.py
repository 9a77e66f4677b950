"""One contract for every store: S3 over HTTP, and a directory."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from spade_spark.errors import InputError, ObjectChangedError, ObjectNotFoundError
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store, split_url


@pytest.fixture(params=["directory", "s3", "s3-prefix"])
def store(request, tmp_path):
    if request.param == "directory":
        return open_store(str(tmp_path / "objects"), S3Settings())
    bucket = request.getfixturevalue("bucket")
    prefix = "deep/er/" if request.param == "s3-prefix" else ""
    return open_store(f"s3://{bucket}/{prefix}", request.getfixturevalue("s3_settings"))


def test_what_is_written_is_read(store):
    store.write("a/b.txt", b"hello")
    assert store.read("a/b.txt") == b"hello"


def test_a_listing_says_key_size_and_etag_in_key_order(store):
    for key in ("a/z", "a/b/c", "a-b", "b/x", "a/B"):
        store.write(key, key.encode())
    listed = list(store.list("a"))
    assert [entry.key for entry in listed] == ["a-b", "a/B", "a/b/c", "a/z"]
    assert [entry.size for entry in listed] == [3, 3, 5, 3]
    assert len({entry.etag for entry in listed}) == 4
    assert all(entry.last_modified.tzinfo for entry in listed)


def test_a_prefix_that_ends_within_a_name_matches(store):
    store.write("20171103/aa/1.gz", b"")
    store.write("20171104/aa/1.gz", b"")
    assert [entry.key for entry in store.list("201711")] == ["20171103/aa/1.gz", "20171104/aa/1.gz"]
    assert list(store.list("2018")) == []


def test_an_object_that_changed_is_refused(store):
    store.write("k", b"one")
    (listed,) = store.list("k")
    assert store.open("k", listed.etag).read() == b"one"
    store.write("k", b"two")
    with pytest.raises(ObjectChangedError, match="k has changed since it was planned"):
        store.open("k", listed.etag)


def test_an_object_that_is_missing_is_named(store):
    store.write("there", b"")
    with pytest.raises(ObjectNotFoundError, match="nowhere is not there"):
        store.read("nowhere")


def test_only_the_first_of_two_conditional_writes_wins(store):
    assert store.write("lock", b"first", if_absent=True)
    assert not store.write("lock", b"second", if_absent=True)
    assert store.read("lock") == b"first"


def test_a_snapshot_is_replaced_once(store):
    store.write("claims", b"first")
    seen = store.snapshot("claims")
    assert seen.data == b"first"
    assert store.replace("claims", b"second", seen.etag)
    assert not store.replace("claims", b"third", seen.etag)
    assert store.read("claims") == b"second"
    assert [entry.key for entry in store.list()] == ["claims"]


def test_a_replace_takes_the_etag_of_a_listing_too(store):
    store.write("claims", b"first")
    (listed,) = store.list()
    assert listed.etag == store.snapshot("claims").etag


def test_nothing_is_replaced_where_nothing_is(store):
    store.write("there", b"x")
    etag = store.snapshot("there").etag
    assert not store.replace("nowhere", b"y", etag)
    with pytest.raises(ObjectNotFoundError, match="nowhere is not there"):
        store.snapshot("nowhere")


def test_no_etag_comes_twice_among_many_replaces_of_one_size(store):
    store.write("claims", b"0000")
    etags = set()
    for number in range(50):
        seen = store.snapshot("claims")
        etags.add(seen.etag)
        assert store.replace("claims", b"%04d" % (number + 1), seen.etag)
    assert len(etags) == 50


def test_a_snapshot_says_when_it_was_read_by_the_stores_clock(store):
    store.write("claims", b"x")
    (listed,) = store.list()
    assert abs(store.snapshot("claims").read_at - listed.last_modified) < timedelta(seconds=10)


def test_of_many_that_replace_a_file_at_once_each_change_counts(tmp_path):
    """A directory alone: the S3 server of the tests checks and writes in two steps."""
    store = open_store(str(tmp_path), S3Settings())
    store.write("sum", b"0")

    def add_ten(_):
        for _ in range(10):
            while True:
                seen = store.snapshot("sum")
                if store.replace("sum", b"%d" % (int(seen.data) + 1), seen.etag):
                    break

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_ten, range(4)))
    assert store.read("sum") == b"40"


def test_a_file_is_uploaded_whole(store, tmp_path):
    path = tmp_path / "rows.gz"
    path.write_bytes(bytes(range(256)) * 100_000)
    store.upload("t/rows.gz", path)
    assert store.read("t/rows.gz") == path.read_bytes()


def test_a_removed_object_is_gone_and_removing_it_again_is_no_error(store):
    store.write("k", b"x")
    store.delete("k")
    store.delete("k")
    assert list(store.list()) == []


def test_a_stream_is_read_in_pieces(store):
    store.write("k", bytes(1_000_000))
    with store.open("k") as stream:
        assert len(stream.read(10)) == 10
        assert len(stream.read()) == 999_990


def test_a_missing_bucket_is_named(s3_settings):
    store = open_store("s3://no-such-bucket/x/", s3_settings)
    with pytest.raises(ObjectNotFoundError, match=r"there is no bucket no-such-bucket"):
        list(store.list())


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ObjectNotFoundError, match="there is no directory"):
        list(open_store(str(tmp_path / "none"), S3Settings()).list())


def test_a_key_cannot_leave_its_directory(tmp_path):
    with pytest.raises(InputError, match="would leave the directory"):
        open_store(str(tmp_path), S3Settings()).write("../x", b"")


@pytest.mark.parametrize("url", ["", "gs://bucket/", "s3://"])
def test_another_kind_of_url_is_refused(url):
    with pytest.raises(InputError):
        open_store(url, S3Settings())


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://b/k.json.gz", ("s3://b/", "k.json.gz")),
        ("/a/b.json", ("/a/", "b.json")),
        ("b.json", ("./", "b.json")),
    ],
)
def test_an_objects_url_is_split_into_store_and_key(url, parts):
    assert split_url(url) == parts


def test_an_error_survives_the_way_from_an_executor():
    error = ObjectChangedError("s3://b/k has changed since it was planned")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
