"""The files of a table as they lie in the store, held against the run's manifest."""

from __future__ import annotations

from typing import BinaryIO, cast

from isal import igzip

from spade_spark.errors import ObjectChanged, ObjectMissing, SpadeError
from spade_spark.run.loads import TableFiles
from spade_spark.settings import S3Settings
from spade_spark.store import open_store, split_url


def check_sizes(files: TableFiles, s3: S3Settings) -> None:
    """Each file is there with the size that the manifest says.

    Raises:
        ObjectMissing: A file is not there.
        ObjectChanged: A file has another size.
    """
    found: dict[str, int] = {}
    for prefix in {split_url(file.url)[0] for file in files.files}:
        found.update((prefix + stored.key, stored.size) for stored in open_store(prefix, s3).list())
    for file in files.files:
        if file.url not in found:
            raise ObjectMissing(
                f"{file.url} is not there, but the run's manifest names it: {files.table} was left "
                "as it was; run the transform again under a new run tag"
            )
        if found[file.url] != file.size:
            raise ObjectChanged(
                f"{file.url} has {found[file.url]} bytes, the run's manifest says {file.size}: "
                f"{files.table} was left as it was; run the transform again under a new run tag"
            )


def inflated(raw: BinaryIO) -> BinaryIO:
    """The lines of a gzip file as they arrive."""
    # isal is published with types in part
    return cast("BinaryIO", igzip.open(raw))  # type: ignore[no-untyped-call]


def readable_problems(output: str, s3: S3Settings) -> list[str]:
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
