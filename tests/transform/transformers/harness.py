"""A table with one transformer, and the texts of its examples."""

import json

from spade_spark.blueprint.schema import Column, Table
from spade_spark.gocompat.quote import unquote_row
from spade_spark.lookups.base import GeoLocation, Lookups, LookupStats
from tests.fuzz.compare import reference
from tests.support import edge_logs


class AnyAddressGeo:
    """A lookup with the same location for every address."""

    def locate(self, address: str, *, asn: bool = True) -> GeoLocation:
        return GeoLocation("San Francisco", "US", "CA", "AS4294967295 Example" if asn else "")


class AnyLoginUserIds:
    """A lookup with the same user id for every login."""

    def user_id(self, login: str) -> int | None:
        return 7

    def stats(self) -> LookupStats:
        return LookupStats()


LOOKUPS = Lookups(AnyAddressGeo(), AnyLoginUserIds())


def table_of(spec):
    """Return a table with one column that has this transformer."""
    column = Column("p", "c", spec.example_name, supporting=("login",))
    return Table("play", 1, (column,))


def texts_of(spec):
    """Return the values of the examples on the reference path."""
    lines = [edge_logs.record("play", {"p": json.loads(example)}) for example in spec.examples]
    rows = reference(lines, {"play": table_of(spec)}, LOOKUPS).rows["play"]
    return [unquote_row(row.decode())[0] for row in rows]
