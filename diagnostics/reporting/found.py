"""What lies in a run's folder, at any depth: rows, cards, diagnoses, results of studies, films."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import read_json, whole_files
from toyshift.diagnostics.rows import Row, read_rows, read_rows_manifest
from toyshift.diagnostics.seen import Seen, seen_of_files

T = TypeVar("T")
RowsFile = tuple[dict[str, Any], list[Row]]  # manifest and rows
STUDY = re.compile(r"\bstudy ([a-z-]+)")


@dataclasses.dataclass(frozen=True)
class FoundRows:
    """The rows of a run.

    Attributes:
        files: manifest and rows of each file, in the order in which they were made; each episode once.
        facts: the manifest of the first file that has one; its `trained_on` is that of all files, where they agree.
        left_out: what was found and is not taken, in words.
    """

    files: Sequence[RowsFile]
    facts: Mapping[str, Any]
    left_out: Sequence[str] = ()

    @property
    def rows(self) -> list[Row]:
        return [row for _, rows in self.files for row in rows]

    @property
    def seen(self) -> dict[tuple[str, str], Seen]:
        return seen_of_files(self.files)

    @property
    def commands(self) -> list[str]:
        return commands_of(facts for facts, _ in self.files)


@dataclasses.dataclass(frozen=True)
class FoundStudy:
    """The results of a study.

    Attributes:
        name: its word behind `toyshift study`, as its rows say it; else its folder's name.
        folder: where table.json lies.
        table: what it holds.
        files: manifest and rows of each file of rows.
    """

    name: str
    folder: Path
    table: Any
    files: Sequence[RowsFile]

    @property
    def rows(self) -> list[Row]:
        return [row for _, rows in self.files for row in rows]

    @property
    def commands(self) -> list[str]:
        made = commands_of(facts for facts, _ in self.files)
        named = any(STUDY.search(command) for command in made)
        return [f"toyshift study {self.name} --results {self.folder} --tabulate", *made] if named else made


def plain_command(command: str) -> str:
    """Returns a command as people type it: without the place of the program."""
    program, _, rest = command.partition(" ")
    name = "toyshift" if program.endswith(("/toyshift", "scripts/__main__.py")) else program
    return f"{name} {rest}".strip()


def commands_of(manifests: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns the commands that manifests name, each once."""
    told = (facts.get("command") for facts in manifests)
    return list(dict.fromkeys(plain_command(command) for command in told if command))


def find_rows(run: Path, apart: Sequence[Path] = ()) -> FoundRows:
    """Returns the rows of a folder, those of studies (`apart`) aside.

    Rows of an older protocol began from other starts: beside newer ones they are left out, and named.

    Raises:
        FileError: a file is damaged.
    """

    elsewhere = {folder.resolve() for folder in apart}

    def own(path: Path) -> bool:
        return elsewhere.isdisjoint(path.resolve().parents)

    merged = list(filter(own, sorted(run.rglob("rows.parquet"))))
    single = (path for path in whole_files(run, "**/*.parquet") if ".parts" not in str(path) and own(path))
    paths = merged or [path for path in single if "rows" in str(path.relative_to(run))]
    read = [(path, read_rows_manifest(path), read_rows(path)) for path in paths]
    newest = max((facts.get("protocol") or 0 for _, facts, _ in read), default=0)
    old = [path for path, facts, _ in read if (facts.get("protocol") or 0) != newest]
    files = [(facts, rows) for path, facts, rows in read if path not in old]
    files.sort(key=lambda file: str(file[0].get("made", "")))
    last: dict[tuple[Any, ...], int] = {}
    for i, (_, rows) in enumerate(files):
        last |= {_episode(row): i for row in rows}
    kept = [(facts, [row for row in rows if last[_episode(row)] == i]) for i, (facts, rows) in enumerate(files)]
    claims: dict[str, set[str]] = {}
    for facts, _ in files:
        for policy, spec in facts.get("trained_on", {}).items():
            claims.setdefault(policy, set()).update([spec] if spec else [])
    first: dict[str, Any] = next((dict(facts) for facts, _ in files if "versions" in facts), {})
    trained_on = {policy: min(specs) for policy, specs in claims.items() if len(specs) == 1}
    told = [f"{path}: rows of an older protocol began from other starts; evaluate again, or delete it" for path in old]
    return FoundRows(kept, first | {"trained_on": trained_on}, told)


def _episode(row: Row) -> tuple[Any, ...]:
    return (row.policy, row.object_set, row.look, row.shift, row.scene, row.purpose, row.seed, row.episode)


def find_studies(folders: Iterable[Path]) -> list[FoundStudy]:
    """Returns the results of studies in these folders, at any depth: each table.json beside a folder of rows.

    Raises:
        FileError: a table or a file of rows is damaged.
    """
    found = []
    tables = sorted({path.resolve(): path for folder in folders for path in folder.rglob("table.json")}.values())
    for path in tables:
        if not (path.parent / "rows").is_dir():
            continue
        paths = whole_files(path.parent / "rows", "**/*.parquet")
        files = [(read_rows_manifest(rows), read_rows(rows)) for rows in paths]
        said = (STUDY.search(str(facts.get("command", ""))) for facts, _ in files)
        name = next((match[1] for match in said if match), path.parent.resolve().name.replace("_", "-"))
        found.append(FoundStudy(name, path.parent, read_json(path), files))
    return found


def study_places(studies: Sequence[FoundStudy]) -> list[Path]:
    """Returns the folders whose rows are a study's: of its results, and of its work where it lies around them."""
    inside = [study.folder.parent for study in studies if study.folder.name == "results"]
    return [*(study.folder for study in studies), *(work for work in inside if (work / "seconds.json").exists())]


def read_results(path: Path, parse: Callable[[Any], T], by: str = "toyshift diagnose") -> T:
    """Returns what `parse` makes of a JSON file.

    Raises:
        FileError: the file holds something else.
    """
    value = read_json(path)
    try:
        return parse(value)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, ConfigError) as error:
        what = f"does not hold what `{by}` writes ({type(error).__name__}: {error})"
        raise FileError(f"{path} {what}; delete it and run that again") from error


def made_by(path: Path) -> list[str]:
    """Returns the command in the manifest of a JSON file, if it names one."""
    value = read_json(path)
    return commands_of([value.get("manifest") or {}]) if isinstance(value, dict) else []


def repairs_in(run: Path) -> dict[str, str]:
    """Returns policy -> what it was repaired by in training ("" for nothing), of the policies' folders in a run."""
    found = {}
    for path in sorted(run.rglob("config.json")):
        value = read_json(path)
        if isinstance(value, dict) and isinstance(train := value.get("train"), dict):
            found[path.parent.name] = str(train.get("repair") or "")
    return found


def films_in(run: Path, rows: Sequence[Row]) -> Iterator[tuple[Row, Path]]:
    """Yields the films that `record_rollouts` made of rows with the training look; one of other rows is left out."""
    films = {path.stem: path for path in sorted(run.rglob("*.mp4"))}
    for row in rows:
        told = f"{row.policy}-{row.object_set}-{row.episode:05d}-{row.object_id}"
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in told)[:150]
        if name in films and not row.look and not row.shift:
            yield row, films[name]

