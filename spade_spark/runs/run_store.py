"""Read and write the records of one run in the output store."""

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
    check_location,
    copy_manifest,
    table_files,
)
from spade_spark.runs.paths import RunPaths
from spade_spark.runs.publish_checkpoint import read_checkpoint
from spade_spark.storage.base import Store
from spade_spark.storage.json_codec import decode, encode


@dataclass(frozen=True)
class CompletedRun:
    """A run whose manifest is written.

    Attributes:
        manifest: The manifest.
        files: The loader's input, by table.
        checksum: SHA-256 (hex) of the manifest's bytes.
    """

    manifest: Manifest
    files: tuple[TableFiles, ...]
    checksum: str


class RunStore:
    """The records of one run. Only the driver uses it; tasks write their completion records."""

    def __init__(self, store: Store, run_tag: str) -> None:
        self.store = store
        self.paths = RunPaths(run_tag)

    @property
    def url(self) -> str:
        """URL of the run."""
        return f"{self.store.url}{self.paths.run_tag}/"

    def begin(self, plan: Plan, schemas: bytes) -> Plan:
        """Write the plan, or resume with the existing one.

        Returns:
            The plan to execute: the one that the run was started with.

        Raises:
            UsageError: The run tag has another plan; the message lists the differences.
        """
        is_new = self.store.write(self.paths.plan, encode(plan), if_absent=True)
        problem = "" if is_new else self.plan_problem(plan)
        if problem:
            raise UsageError(problem)
        # A run that died after writing the plan has no schemas yet. The plan contains their hash.
        self.write_schemas(schemas)
        return plan if is_new else self.plan() or plan

    def plan(self) -> Plan | None:
        """Read the plan; return None if the run was not started.

        Raises:
            InputError: The plan cannot be decoded.
        """
        try:
            data = self.store.read(self.paths.plan)
        except ObjectNotFoundError:
            return None
        return decode(data, Plan, self.store.url + self.paths.plan, "plan")

    def plan_digest(self) -> str:
        """SHA-256 (hex) of the plan's bytes, which completion records refer to.

        The bytes are hashed as stored: a plan of an earlier version lacks newer fields.

        Raises:
            ObjectNotFoundError: The run was not started.
        """
        return sha256(self.store.read(self.paths.plan))

    def plan_problem(self, plan: Plan) -> str:
        """Why ``plan`` cannot be executed under this run tag; empty if it can."""
        existing = self.plan()
        differences = plan_differences(existing, plan) if existing else []
        if not differences:
            return ""
        return (
            f"run tag {plan.run_tag} was started with another plan: {'; '.join(differences)}. "
            "Omit --runtag to start a new run"
        )

    def completions(self, plan: Plan) -> list[Completion]:
        """Read the completion records of finished partitions, in no particular order.

        If the plan has streams, a partition is finished once its rows are published.

        Raises:
            InputError: A completion record belongs to another plan.
        """
        completions = []
        expected = self.plan_digest()
        for entry in self.store.list(self.paths.completed):
            name = self.store.url + entry.key
            completion = decode(self.store.read(entry.key), Completion, name, "completion record")
            if completion.plan != expected:
                raise InputError(
                    f"{name} belongs to another plan: start a new run without --runtag"
                )
            completions.append(completion)
        if not plan.streams:
            return completions
        return list(filter(None, map(self._published, completions)))

    def _published(self, completion: Completion) -> Completion | None:
        """Add the publishing counts; return None if not all rows are published."""
        try:
            record = read_checkpoint(
                self.store, self.paths.publish_checkpoint(completion.partition)
            )
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
        """Write the manifest of the tasks' completions.

        Raises:
            InternalError: A partition is missing, or the audit counts do not balance.
        """
        return self.write_manifest(build_manifest(plan, tables, completions, now))

    def write_manifest(self, manifest: Manifest) -> CompletedRun:
        """Write the COPY manifests, then ``manifest``, which completes the run."""
        data = encode(manifest)
        completed = self._completed_run(manifest, data)
        for files in completed.files if manifest.has_tsv else ():
            self.store.write(self.paths.copy_manifest(files.table), copy_manifest(files))
        self.store.write(self.paths.manifest, data)
        return completed

    def completed_run(self) -> CompletedRun | None:
        """Read the manifest; return None if the run is not complete.

        Raises:
            InputError: It cannot be decoded, or names objects outside the run.
        """
        name = self.store.url + self.paths.manifest
        try:
            data = self.store.read(self.paths.manifest)
        except ObjectNotFoundError:
            return None
        manifest = decode(data, Manifest, name, "manifest")
        check_location(manifest, self.paths.run_tag)
        return self._completed_run(manifest, data)

    def write_schemas(self, schemas: bytes) -> None:
        """Write the schemas of the run."""
        self.store.write(self.paths.schemas, schemas)

    def read_schemas(self) -> bytes:
        """Read the schemas of the run, byte for byte as published."""
        return self.store.read(self.paths.schemas)

    def write_load(self, record: LoadRecord) -> None:
        """Write the record of a load."""
        self.store.write(self.paths.load(record.at), encode(record))

    def read_load(self, key: str) -> LoadRecord:
        """Read the record of a load.

        Raises:
            InputError: The record cannot be decoded.
        """
        return decode(self.store.read(key), LoadRecord, self.store.url + key, "load record")

    def write_report(self, report: bytes) -> None:
        """Write the latest report."""
        self.store.write(self.paths.report, report)

    def _completed_run(self, manifest: Manifest, data: bytes) -> CompletedRun:
        """Build the completed run. The replay log refers to it by the hash of ``data``."""
        checksum = sha256(data)
        return CompletedRun(manifest, table_files(manifest, self.store.url, checksum), checksum)


def sha256(data: bytes) -> str:
    """SHA-256 (hex) of ``data``."""
    return hashlib.sha256(data).hexdigest()
