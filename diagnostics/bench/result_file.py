"""The result file of a benchmark: every row, what was played and by whom, and a hash that an edited file does not have.

The hash is of everything that two runs on one machine share: all columns that the file has but the wall time, and the
facts that say what was played. It stands in the file's manifest. It tells accidents and edits from what was written; it
does not tell who wrote it: a signature would. A column that rows get in a later version changes no older file's hash.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.fields import check_fields
from toyshift.core.files import content_hash
from toyshift.diagnostics.bench.versions import BenchVersion, version
from toyshift.diagnostics.evaluation import PROTOCOL
from toyshift.diagnostics.rows import Row, read_rows, read_rows_manifest, row_columns, write_rows

KEY = "benchmark"  # of the manifest: the facts below
SUFFIX = ".parquet"
HASHED = tuple(field.name for field in dataclasses.fields(Row) if field.name != "wall_s")  # columns, in order


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

    def __post_init__(self) -> None:
        check_fields(self)


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


def digest_of(facts: Facts, rows: Sequence[Row], columns: Sequence[str] = HASHED) -> str:
    """Returns the hash of what two runs share: the facts, and these columns of the rows."""
    told = json.dumps(dataclasses.asdict(facts), sort_keys=True)
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
    if not Path(path).is_file():
        raise FileError(f"{path} does not exist; `toyshift bench --policy P` writes a result")
    manifest = read_rows_manifest(path)
    facts, digest = _facts(path, manifest.get(KEY))
    names = row_columns(path)
    if unknown := [name for name in names if name not in (*HASHED, "wall_s")]:
        told = f"{path} has the columns {', '.join(unknown)}, which no result of this version of ToyShift has"
        raise FileError(f"{told}: it was changed since it was written, or a newer version wrote it")
    rows = read_rows(path)
    if digest_of(facts, rows, [name for name in HASHED if name in names]) != digest:
        raise FileError(f"{path} was changed since it was written: its rows and facts do not have its hash, {digest}")
    versions = manifest.get("versions")
    number = versions["toyshift"] if isinstance(versions, dict) and "toyshift" in versions else "of unknown version"
    made_by = f"install the one that made it (ToyShift {number})"
    if facts.protocol != PROTOCOL:
        told = f"{path} holds rows of protocol {facts.protocol}, and this version of ToyShift plays protocol {PROTOCOL}"
        raise FileError(f"{told}: their starts are others; play it again, or {made_by}")
    own = version(facts.name)
    if facts.digest != own.digest:
        raise FileError(f"{path} is of another {facts.name} than this installation's; {made_by}")
    if len(rows) != own.episodes:
        raise FileError(f"{path} holds {len(rows)} episodes; {facts.name} has {own.episodes}")
    return BenchResult(facts, tuple(rows), digest, Path(path))


def _facts(path: Path, said: Any) -> tuple[Facts, str]:
    """Returns what a manifest says was played, and the hash."""
    if not isinstance(said, dict) or "hash" not in said:
        raise FileError(f"{path} is no result of a benchmark; `toyshift bench --policy P` writes one")
    told, known = dict(said), {field.name for field in dataclasses.fields(Facts)}
    digest = told.pop("hash")
    for names, what in ((known - told.keys(), "lacks the facts"), (told.keys() - known, "has the unknown facts")):
        if names:
            why = "it was changed since it was written, or another version of ToyShift wrote it"
            raise FileError(f"{path} {what} {', '.join(sorted(names))}: {why}")
    if isinstance(told["trained_on"], list):
        told["trained_on"] = tuple(told["trained_on"])
    try:
        return Facts(**told), str(digest)
    except ConfigError as error:
        raise FileError(f"{path} was changed since it was written: its fact {error}") from error
