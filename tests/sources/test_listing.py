"""The objects that belong to a window."""

import os
from datetime import datetime, timezone

import pytest

from spade_spark.errors import ObjectNotFoundError
from spade_spark.settings import InputSettings, S3Settings
from spade_spark.sources.listing import list_window
from spade_spark.storage.base import open_store
from spade_spark.window import Window

# 10:00 to 12:00 Pacific is 17:00 to 19:00 UTC.
WINDOW = Window.parse("2017-11-03 10:00:00", "2017-11-03 12:00:00")


def seconds(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


@pytest.fixture
def edge(tmp_path):
    return open_store(str(tmp_path / "edge"), S3Settings())


def put(edge, closed, folder=None):
    """Write an object whose key and modification time are both ``closed`` (UTC)."""
    day = folder or closed[:10].replace("-", "")
    key = f"{day}/group/{seconds(closed)}.node.c0ffee.log.gz"
    edge.write(key, b"x")
    os.utime(edge.url + key, (seconds(closed), seconds(closed)))
    return key


@pytest.mark.parametrize("time_source", ["last_modified", "key"])
def test_objects_closed_from_start_to_an_hour_after_end_are_read(edge, time_source):
    put(edge, "2017-11-03 16:59:59")
    inside = [put(edge, "2017-11-03 17:00:00"), put(edge, "2017-11-03 19:59:59")]
    put(edge, "2017-11-03 20:00:00")
    listing = list_window(edge, WINDOW, InputSettings(time_source=time_source))
    assert [source.key for source in listing.sources] == inside
    assert all(source.etag and source.size == 1 for source in listing.sources)


def test_the_next_utc_day_is_listed_if_the_margin_reaches_it(edge):
    window = Window.parse("2017-11-03 16:00:00", "2017-11-03 16:59:59")  # to 23:59:59 UTC
    late = put(edge, "2017-11-04 00:30:00")
    listing = list_window(edge, window, InputSettings())
    assert [source.key for source in listing.sources] == [late]


def test_other_days_are_not_read(edge):
    put(edge, "2017-11-03 18:00:00", folder="20171109")
    assert list_window(edge, WINDOW, InputSettings()).sources == ()


def test_an_object_without_a_time_in_its_key_is_reported_if_keys_give_the_time(edge):
    edge.write("20171103/_SUCCESS", b"")
    assert list_window(edge, WINDOW, InputSettings(time_source="key")).unnamed == (
        "20171103/_SUCCESS",
    )


def test_a_missing_edge_store_is_an_error(edge):
    with pytest.raises(ObjectNotFoundError, match=r"directory .* does not exist"):
        list_window(edge, WINDOW, InputSettings())
