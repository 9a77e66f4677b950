"""One run under its run tag, as it lies in the output store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from spade_spark.blueprint.schema import Table
from spade_spark.errors import InputError, ObjectNotFoundError, UsageError
from spade_spark.plan import Plan, plan_differences
from spade_spark.runs.load_results import LoadRecord, TableFiles
from spade_spark.runs.manifest import (
    Completion,
    Manifest,
    build_manifest,
    copy_manifest,
    table_files,
)
from spade_spark.runs.paths import RunPaths
from spade_spark.runs.publish_checkpoint import read_checkpoint
from spade_spark.storage.base import Store
from spade_spark.storage.records import decode, encode


@dataclass(frozen=True)
class CompletedRun:
    """A run whose manifest is written.

    Attributes:
        manifest: The manifest.
        files: What the loader is given, table by table.
        checksum: SHA-256 (hex) of the manifest as it was written.
    """

    manifest: Manifest
    files: tuple[TableFiles, ...]
    checksum: str


class RunStore:
    """Reads and writes what a run keeps of itself. The driver's alone; tasks write completions."""

    def __init__(self, store: Store, run_tag: str) -> None:
        self.store = store
        self.layout = RunPaths(run_tag)

    @property
    def url(self) -> str:
        """Where the run lies."""
        return f"{self.store.url}{self.layout.run_tag}/"

    def begin(self, plan: Plan, schemas: bytes) -> Plan:
        """Writes the plan, or goes on with the one that is there.

        Returns:
            The plan to carry out: the one that the run was begun with.

        Raises:
            UsageError: The run tag holds another plan; the differences are shown.
        """
        fresh = self.store.write(self.layout.plan, encode(plan), if_absent=True)
        problem = "" if fresh else self.plan_problem(plan)
        if problem:
            raise UsageError(problem)
        # Equal by their hash from here on; a run that died before this line lacks them.
        self.write_schemas(schemas)
        return plan if fresh else self.plan() or plan

    def plan(self) -> Plan | None:
        """The plan that the run was begun with, or None where it was not begun.

        Raises:
            InputError: What lies there is no plan.
        """
        try:
            data = self.store.read(self.layout.plan)
        except ObjectNotFoundError:
            return None
        return decode(data, Plan, self.store.url + self.layout.plan, "plan")

    def plan_digest(self) -> str:
        """SHA-256 (hex) of the plan as it was written, by which partitions belong to it.

        A former version's plan has not all fields that it has once it is read.

        Raises:
            ObjectNotFoundError: The run was not begun.
        """
        return sha256(self.store.read(self.layout.plan))

    def plan_problem(self, plan: Plan) -> str:
        """What keeps ``plan`` from being carried out under this run tag, or nothing."""
        begun = self.plan()
        different = plan_differences(begun, plan) if begun else []
        if not different:
            return ""
        return (
            f"run tag {plan.run_tag} was begun with another plan: {'; '.join(different)}. "
            "Leave --runtag out to begin a new run"
        )

    def completions(self, plan: Plan) -> list[Completion]:
        """The partitions that are done, in no order.

        Where the plan has streams, that is those whose rows are published too.

        Raises:
            InputError: A completion record of another plan.
        """
        found = []
        begun = self.plan_digest()
        for entry in self.store.list(self.layout.completed):
            name = self.store.url + entry.key
            completion = decode(self.store.read(entry.key), Completion, name, "completion record")
            if completion.plan != begun:
                raise InputError(f"{name} belongs to another plan; use a new run tag")
            found.append(completion)
        return list(filter(None, map(self._published, found))) if plan.streams else found

    def _published(self, completion: Completion) -> Completion | None:
        """The completion with what was published, or None where not everything is."""
        try:
            record = read_checkpoint(self.store, self.layout.publication(completion.partition))
        except ObjectNotFoundError:
            return None
        if not record.published:
            return None
        return msgspec.structs.replace(completion, counts=completion.counts + record.counts)

    def complete(
        self,
        plan: Plan,
        tables: Sequence[Table],
        completions: Sequence[Completion],
        now: datetime,
    ) -> CompletedRun:
        """Seals the run with what its tasks returned.

        Raises:
            InternalError: A partition is missing, or the ledger does not balance.
        """
        return self.write_manifest(build_manifest(plan, tables, completions, now))

    def write_manifest(self, manifest: Manifest) -> CompletedRun:
        """Writes the COPY manifests and then, last of all, ``manifest``."""
        data = encode(manifest)
        sealed = self._completed_run(manifest, data)
        for files in sealed.files if manifest.has_tsv else ():
            self.store.write(self.layout.copy_manifest(files.table), copy_manifest(files))
        self.store.write(self.layout.manifest, data)
        return sealed

    def completed_run(self) -> CompletedRun | None:
        """The sealed run, or None where it is not complete."""
        name = self.store.url + self.layout.manifest
        try:
            data = self.store.read(self.layout.manifest)
        except ObjectNotFoundError:
            return None
        return self._completed_run(decode(data, Manifest, name, "manifest"), data)

    def write_schemas(self, schemas: bytes) -> None:
        """Keeps the schemas that the run's rows are of."""
        self.store.write(self.layout.schemas, schemas)

    def read_schemas(self) -> bytes:
        """The schemas that the run was made by, as they were published."""
        return self.store.read(self.layout.schemas)

    def write_load(self, record: LoadRecord) -> None:
        """Keeps what a load came to."""
        self.store.write(self.layout.load(record.at), encode(record))

    def read_load(self, key: str) -> LoadRecord:
        """The record of a load.

        Raises:
            InputError: What lies there is none.
        """
        return decode(self.store.read(key), LoadRecord, self.store.url + key, "load record")

    def write_report(self, report: bytes) -> None:
        """Keeps the newest report beside the manifest."""
        self.store.write(self.layout.report, report)

    def _completed_run(self, manifest: Manifest, data: bytes) -> CompletedRun:
        """The run by its manifest and the bytes that it lies in.

        The replay ledger has the hash of these, whichever version wrote them.
        """
        checksum = sha256(data)
        return CompletedRun(manifest, table_files(manifest, self.store.url, checksum), checksum)


def sha256(data: bytes) -> str:
    """SHA-256 of ``data`` (hex)."""
    return hashlib.sha256(data).hexdigest()
