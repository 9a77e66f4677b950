"""The stored files of a table, checked against the run's manifest."""

from __future__ import annotations

from typing import BinaryIO, cast

from isal import igzip

from spade_spark.errors import ObjectChangedError, ObjectNotFoundError, SpadeError
from spade_spark.runs.load_results import TableFiles
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store, split_url


class SourceFiles:
    """Opens one table's files, with one store for each location."""

    def __init__(self, files: TableFiles, s3: S3Settings) -> None:
        self._files = files
        self._sizes = {file.url: file.size for file in files.files}
        prefixes = {split_url(file.url)[0] for file in files.files}
        self._stores = {prefix: open_store(prefix, s3) for prefix in prefixes}

    def check_sizes(self) -> None:
        """Check that each file exists and has the size in the manifest.

        Raises:
            ObjectNotFoundError: A file is missing.
            ObjectChangedError: The size of a file differs.
        """
        sizes = {
            prefix + stored.key: stored.size
            for prefix, store in self._stores.items()
            for stored in store.list()
        }
        table = self._files.table
        for file in self._files.files:
            size = sizes.get(file.url)
            if size is None:
                raise ObjectNotFoundError(
                    f"{table} was not modified: {file.url} is in the run's manifest but does not "
                    "exist; run the transform again under a new run tag"
                )
            if size != file.size:
                raise ObjectChangedError(
                    f"{table} was not modified: {file.url} has {size} bytes, but the run's "
                    f"manifest lists {file.size}; run the transform again under a new run tag"
                )

    def open(self, url: str) -> BinaryIO:
        """Open a file, still compressed, for streaming."""
        prefix, key = split_url(url)
        return self._stores[prefix].open(key, size=self._sizes[url])


def decompressed(raw: BinaryIO) -> BinaryIO:
    """Decompress a gzip stream."""
    # isal's type annotations are incomplete.
    return cast("BinaryIO", igzip.open(raw))  # type: ignore[no-untyped-call]


def read_problems(output: str, s3: S3Settings) -> list[str]:
    """Return what prevents this process from reading files below ``output`` on S3.

    A local directory is not checked: the run creates it.
    """
    if not output.startswith("s3://"):
        return []
    try:
        next(iter(open_store(output.rstrip("/") + "/", s3).list()), None)
    except SpadeError as error:
        return [f"cannot read the run's files below {output}: {error}"]
    return []
