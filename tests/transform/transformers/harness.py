"""A table of one transformer, and what its examples become."""

import json

from spade_spark.blueprint.schema import Column, Table
from spade_spark.gocompat.quote import unquote_row
from spade_spark.lookups.base import GeoLocation, Lookups, LookupStats
from tests.fuzz.compare import reference
from tests.support import edge_logs


class AnyPlace:
    """Knows the same place of every address."""

    def locate(self, address: str, *, asn: bool = True) -> GeoLocation:
        return GeoLocation("San Francisco", "US", "CA", "AS4294967295 Example" if asn else "")


class AnyLogin:
    """Knows the same id of every login."""

    def user_id(self, login: str) -> int | None:
        return 7

    def stats(self) -> LookupStats:
        return LookupStats()


LOOKUPS = Lookups(AnyPlace(), AnyLogin())


def table_of(spec):
    """A table whose one column has the transformer."""
    column = Column("p", "c", spec.example_name, supporting=("login",))
    return Table("play", 1, (column,))


def texts_of(spec):
    """The texts of the examples, by the reference path."""
    lines = [edge_logs.record("play", {"p": json.loads(each)}) for each in spec.examples]
    rows = reference(lines, {"play": table_of(spec)}, LOOKUPS).rows["play"]
    return [unquote_row(row.decode())[0] for row in rows]
