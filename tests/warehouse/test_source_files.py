"""Files that are replaced between the transform and the end of the load are not loaded."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from spade_spark.errors import InputError, ObjectChangedError
from spade_spark.storage.s3 import S3Store
from spade_spark.warehouse.source_files import CopyManifest, SourceFiles
from tests.warehouse.harness import NEW, OLD, REPLACED


def key_of(harness, url):
    return url.removeprefix(harness.output)


def read(harness, url):
    response = harness.client.get_object(Bucket=harness.bucket, Key=key_of(harness, url))
    return response["Body"].read()


def write(harness, url, data):
    harness.client.put_object(Bucket=harness.bucket, Key=key_of(harness, url), Body=data)


def other_rows(data):
    """Other valid rows in a gzip file of the same size."""
    rows = gzip.decompress(data)
    for number in range(100, 1000):
        other = gzip.compress(rows.replace(b'"20"', b'"%d"' % number), 1, mtime=0)
        if len(other) <= len(data):
            return other + bytes(len(data) - len(other))  # padding, which gzip allows
    raise AssertionError


@pytest.fixture
def files(harness):
    harness.create_table()
    return harness.write_files(*NEW)


def test_a_file_replaced_by_one_of_the_same_size_is_not_loaded(harness, files):
    url = files.files[0].url
    original = read(harness, url)
    write(harness, url, other_rows(original))
    failed = harness.fail_to_load(files)
    assert f"login was not modified: {url} is not the file that the transform wrote" in (
        failed.reason
    )
    assert harness.rows() == list(OLD)
    write(harness, url, original)
    harness.load_table(files)
    assert harness.rows() == REPLACED


def test_files_without_a_recorded_etag_are_compared_by_their_checksum(harness, files):
    (file,) = files.files
    files = replace(files, files=(replace(file, etag=""),))
    original = read(harness, file.url)
    write(harness, file.url, other_rows(original))
    assert "is not the file that the transform wrote" in harness.fail_to_load(files).reason
    write(harness, file.url, original)
    harness.load_table(files)
    assert harness.rows() == REPLACED


def test_bytes_after_the_rows_are_part_of_the_checksum(on_postgres):
    on_postgres.create_table()
    files = on_postgres.write_files(*NEW)
    (file,) = files.files
    data = read(on_postgres, file.url) + bytes(100_000)
    write(on_postgres, file.url, data)
    longer = replace(files, files=(replace(file, size=len(data)),))
    assert "is not the file that the transform wrote" in on_postgres.fail_to_load(longer).reason
    assert on_postgres.rows() == list(OLD)


def test_the_copy_manifest_of_the_transform_is_not_used(on_redshift):
    on_redshift.create_table()
    files = on_redshift.write_files(*NEW)
    elsewhere = on_redshift.write_files(b'"2017-11-04 13:30:00"\t"evil"\t"1"')
    write(on_redshift, files.copy_manifest, read(on_redshift, elsewhere.copy_manifest))
    on_redshift.load_table(files)
    assert on_redshift.rows() == REPLACED


def copy_manifests(harness):
    """The URLs of the COPY manifests that loads have written."""
    listed = harness.client.list_objects_v2(Bucket=harness.bucket)["Contents"]
    return [harness.output + entry["Key"] for entry in listed if entry["Key"].endswith(".json")]


@pytest.mark.parametrize("count", [1, 2])
def test_each_copy_has_a_manifest_of_its_own(on_redshift, redshift, monkeypatch, count):
    monkeypatch.setattr(CopyManifest, "delete", lambda manifest: None)
    on_redshift.create_table()
    files = on_redshift.write_files(*NEW)
    if count > 1:
        redshift.inject("^COPY", "drop_before")
    on_redshift.load_table(files)
    urls = copy_manifests(on_redshift)
    assert len(set(urls)) == count
    for url in urls:
        (entry,) = json.loads(read(on_redshift, url))["entries"]
        assert entry["url"] == files.files[0].url


def test_the_manifest_of_a_copy_is_deleted_after_it(on_redshift):
    on_redshift.create_table()
    on_redshift.load_table(on_redshift.write_files(*NEW))
    rejected = on_redshift.write_files(b'"2017-11-04 13:30:00"\t"x"\t"abc"')
    on_redshift.fail_to_load(rejected, run_tag="rejected")
    assert copy_manifests(on_redshift) == []


def test_the_manifest_of_a_copy_that_may_still_run_is_not_deleted(on_redshift, redshift):
    on_redshift.create_table()
    redshift.inject("^COPY", "drop_before")
    on_redshift.load_table(on_redshift.write_files(*NEW))
    assert len(copy_manifests(on_redshift)) == 1


def test_a_load_that_may_not_delete_objects_succeeds(on_redshift, monkeypatch):
    def refuse(*_):
        raise InputError("s3:DeleteObject is denied")

    on_redshift.create_table()
    monkeypatch.setattr(S3Store, "delete", refuse)
    on_redshift.load_table(on_redshift.write_files(*NEW))
    assert len(copy_manifests(on_redshift)) == 1


def test_a_file_replaced_right_before_the_copy_is_not_loaded(on_redshift, redshift):
    on_redshift.create_table()
    files = on_redshift.write_files(*NEW)
    url = files.files[0].url
    original = read(on_redshift, url)

    def swap():
        write(on_redshift, url, other_rows(original))

    redshift.inject("^COPY", "call", function=swap)
    assert "is not the file that the transform wrote" in on_redshift.fail_to_load(files).reason
    assert on_redshift.rows() == list(OLD)


def test_a_copy_manifest_replaced_right_before_the_copy_is_not_used(on_redshift, redshift):
    on_redshift.create_table()
    files = on_redshift.write_files(*NEW)
    elsewhere = on_redshift.write_files(b'"2017-11-04 13:30:00"\t"evil"\t"1"', NEW[1])

    def redirect():
        (url,) = copy_manifests(on_redshift)
        write(on_redshift, url, read(on_redshift, elsewhere.copy_manifest))

    redshift.inject("^COPY", "call", function=redirect)
    assert "was replaced during the COPY" in on_redshift.fail_to_load(files).reason
    assert on_redshift.rows() == list(OLD)


def put_back(harness, url):
    """Replace an object, then write its bytes again, until S3 shows a later time."""
    original, key = read(harness, url), key_of(harness, url)

    def last_modified():
        return harness.client.head_object(Bucket=harness.bucket, Key=key)["LastModified"]

    before = last_modified()
    write(harness, url, b"evil")
    while last_modified() == before:
        write(harness, url, original)


def test_a_file_that_was_replaced_and_put_back_during_the_copy_is_noticed(on_redshift):
    on_redshift.create_table()
    files = on_redshift.write_files(*NEW)
    source_files = SourceFiles(files, on_redshift.s3)
    objects = source_files.check_contents()
    source_files.check_unchanged(objects)
    put_back(on_redshift, files.files[0].url)
    with pytest.raises(ObjectChangedError, match="is not the file that the transform wrote"):
        source_files.check_unchanged(objects)


def test_a_copy_manifest_that_was_replaced_and_put_back_during_the_copy_is_noticed(on_redshift):
    on_redshift.create_table()
    manifest = CopyManifest.write(on_redshift.write_files(*NEW), on_redshift.s3)
    manifest.check_unchanged()
    put_back(on_redshift, manifest.url)
    with pytest.raises(ObjectChangedError, match="was replaced during the COPY"):
        manifest.check_unchanged()
