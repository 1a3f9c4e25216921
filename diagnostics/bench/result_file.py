"""The result file of a benchmark: every row, what was played and by whom, and a hash that an edited file does not have.

The hash is of everything that two runs on one machine share: all columns of the rows but the wall time, and the facts
that say what was played. It stands in the file's manifest. It tells accidents and edits from what was written; it does
not tell who wrote it: a signature would.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.errors import FileError
from toyshift.core.files import content_hash
from toyshift.diagnostics.bench.versions import BenchVersion, version
from toyshift.diagnostics.evaluation import PROTOCOL
from toyshift.diagnostics.rows import Row, read_rows, read_rows_manifest, write_rows

KEY = "benchmark"  # of the manifest: the facts below
SUFFIX = ".parquet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What was played.

    Attributes:
        name: of the benchmark.
        digest: of the version's definition.
        policy: what it is called.
        fingerprint: of its folder, bundle or server.
        protocol: of the evaluation, see `evaluation.PROTOCOL`.
        renderer: that drew its images.
        masks: where its masks came from.
        trained_on: object sets of its demonstrations, as far as it says; none where it does not.
        shortcut: what the card of a diagnosis said, "" where none was made.
    """

    name: str
    digest: str
    policy: str
    fingerprint: str
    protocol: int
    renderer: str
    masks: str
    trained_on: tuple[str, ...] = ()
    shortcut: str = ""


@dataclasses.dataclass(frozen=True)
class BenchResult:
    """One policy's benchmark.

    Attributes:
        facts: what was played.
        rows: in order of the version's parts.
        digest: see the file's head.
        path: where it lies.
    """

    facts: Facts
    rows: tuple[Row, ...]
    digest: str
    path: Path

    @property
    def version(self) -> BenchVersion:
        return version(self.facts.name)

    def of_part(self, name: str) -> list[Row]:
        """Returns the episodes of a part."""
        first = 0
        for part in self.version.parts:
            if part.name == name:
                return list(self.rows[first : first + part.episodes])
            first += part.episodes
        raise KeyError(name)


def digest_of(facts: Facts, rows: Sequence[Row]) -> str:
    """Returns the hash of what two runs share."""
    told = json.dumps(dataclasses.asdict(facts), sort_keys=True)
    columns = [field.name for field in dataclasses.fields(Row) if field.name != "wall_s"]
    return content_hash(told, *(json.dumps([getattr(row, name) for row in rows]) for name in columns))


def write_result(path: Path, facts: Facts, rows: Sequence[Row], manifest: Mapping[str, Any]) -> BenchResult:
    """Writes the file of one policy, atomically."""
    digest = digest_of(facts, rows)
    write_rows(path, rows, {**manifest, KEY: dataclasses.asdict(facts) | {"hash": digest}})
    return BenchResult(facts, tuple(rows), digest, Path(path))


def read_result(path: Path) -> BenchResult:
    """Reads and checks a file.

    Raises:
        FileError: it is no result of a benchmark, was changed since it was written, is of another protocol than this
            installation's, or holds other episodes than its version.
        UnknownNameError: a version that this installation does not know.
    """
    said = dict(read_rows_manifest(path).get(KEY) or {})
    known = {field.name for field in dataclasses.fields(Facts)}
    digest = said.pop("hash", "")
    if not digest or said.keys() != known:
        raise FileError(f"{path} is no result of a benchmark; `toyshift bench --policy P` writes one")
    facts = Facts(**{**said, "trained_on": tuple(said["trained_on"])})
    rows = read_rows(path)
    if digest_of(facts, rows) != digest:
        raise FileError(f"{path} was changed since it was written: its rows and facts do not have its hash, {digest}")
    if facts.protocol != PROTOCOL:
        told = f"{path} holds rows of protocol {facts.protocol}, and this version of ToyShift plays protocol {PROTOCOL}"
        raise FileError(f"{told}: their starts are others; play it again, or install the version that made it")
    own = version(facts.name)
    if facts.digest != own.digest:
        raise FileError(f"{path} is of another {facts.name} than this installation's; install the version that made it")
    if len(rows) != own.episodes:
        raise FileError(f"{path} holds {len(rows)} episodes; {facts.name} has {own.episodes}")
    return BenchResult(facts, tuple(rows), digest, Path(path))
