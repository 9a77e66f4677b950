"""The files of a table as they lie in the store, held against the run's manifest."""

from __future__ import annotations

from typing import BinaryIO, cast

from isal import igzip

from spade_spark.errors import ObjectChangedError, ObjectNotFoundError, SpadeError
from spade_spark.runs.load_results import TableFiles
from spade_spark.settings import S3Settings
from spade_spark.storage.base import open_store, split_url


class SourceFiles:
    """One table's files, through one store for each place where they lie."""

    def __init__(self, files: TableFiles, s3: S3Settings) -> None:
        self._files = files
        self._sizes = {file.url: file.size for file in files.files}
        prefixes = {split_url(file.url)[0] for file in files.files}
        self._stores = {prefix: open_store(prefix, s3) for prefix in prefixes}

    def check_sizes(self) -> None:
        """Each file is there with the size that the manifest says.

        Raises:
            ObjectNotFoundError: A file is not there.
            ObjectChangedError: A file has another size.
        """
        found = {
            prefix + stored.key: stored.size
            for prefix, store in self._stores.items()
            for stored in store.list()
        }
        table = self._files.table
        for file in self._files.files:
            size = found.get(file.url)
            if size is None:
                raise ObjectNotFoundError(
                    f"{file.url} is not there, but the run's manifest names it: {table} was left "
                    "as it was; run the transform again under a new run tag"
                )
            if size != file.size:
                raise ObjectChangedError(
                    f"{file.url} has {size} bytes, the run's manifest says {file.size}: {table} "
                    "was left as it was; run the transform again under a new run tag"
                )

    def open(self, url: str) -> BinaryIO:
        """A file's bytes as they arrive, still compressed."""
        prefix, key = split_url(url)
        return self._stores[prefix].open(key, size=self._sizes[url])


def decompressed(raw: BinaryIO) -> BinaryIO:
    """The lines of a gzip file as they arrive."""
    # isal is published with types in part
    return cast("BinaryIO", igzip.open(raw))  # type: ignore[no-untyped-call]


def read_problems(output: str, s3: S3Settings) -> list[str]:
    """Whether this process, with its own keys, can list what lies below ``output`` on S3.

    A directory is no problem: the run makes it.
    """
    if not output.startswith("s3://"):
        return []
    try:
        next(iter(open_store(output.rstrip("/") + "/", s3).list()), None)
    except SpadeError as error:
        return [f"the run's files below {output} cannot be read: {error}"]
    return []
