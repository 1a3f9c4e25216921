"""One row per evaluated episode: the Parquet file every table, interval and plot is made from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toyshift.core.errors import FileError
from toyshift.core.files import atomic_path

MANIFEST_KEY = b"toyshift.manifest"


@dataclasses.dataclass(frozen=True)
class Row:
    """One episode.

    Attributes:
        policy: name of the policy ("oracle", "random" or a folder's name).
        pooling: its pooling; "" where it has none.
        object_set: the object set's string.
        object_id: the object of this episode.
        seed: root seed of the run.
        episode: index of the episode; (purpose, seed, episode) fixes the initial state whatever the policy.
        success: the environment's predicate.
        max_height: highest the object's lowest point rose above its start [m].
        steps: control steps taken.
        failure: "" on success, else one of `failures.FAILURES`.
        look: changed appearance as "factor=value", or "factor=a|b" where episodes take turns; "" for the training look.
        wall_s: wall-clock time of the episode [s]; the only column that differs between two equal runs.
        object_trial: how many earlier episodes of this run used the same object.
        trials: episodes this run asked for in total.
        shift: "factor=level" pairs joined by commas; "" for the training distribution.
        scene: what differs from the default environment, as "clutter=4,task=pick"; "" for nothing.
        purpose: of `core.choices.PURPOSES`; fixes the initial state together with seed and episode. Rows of before
            there were purposes began as collection does.
        penetration: how deep the gripper sank into the object while it held it, at the deepest [m]; 0 in older rows.
        mask_iou: mean IoU of the target's mask, as the policy was shown it, with the true one, over the episode's
            images (of all cameras) in which at least `mask_sources.LEAST` pixels of the target are seen; None where
            there is no such image or the policy is shown no masks, and in rows of before this was measured.
        mask_missed: share of those images in which the two have no pixel in common; None likewise.
        approached: with swapped cues what the hand approached first, of `dsl.OUTCOMES`; "" otherwise. `look` then names
            the cell, as "azimuth=part-1,place=part-0" (whose cue, whose place).
        events: what happened, of `envs.tasks.events.EVENTS` with the control step after which it was seen, as
            "reached@12 gripped@17"; "" where nothing did, in other simulators, and in rows of before.
    """

    policy: str
    pooling: str
    object_set: str
    object_id: str
    seed: int
    episode: int
    success: bool
    max_height: float
    steps: int
    failure: str
    look: str
    wall_s: float
    object_trial: int = 0
    trials: int = 0
    shift: str = ""
    purpose: str = "collection"
    scene: str = ""
    penetration: float = 0.0
    mask_iou: float | None = None
    mask_missed: float | None = None
    approached: str = ""
    events: str = ""


def write_rows(path: Path, rows: Sequence[Row], manifest: dict[str, Any]) -> Path:
    """Writes rows and the manifest atomically as one Parquet file, sorted as they are given.

    Args:
        path: target file.
        rows: may be empty.
        manifest: JSON-able; kept in the file's metadata under "toyshift.manifest".
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"str": pa.string(), "int": pa.int64(), "bool": pa.bool_(), "float": pa.float64()}
    schema = pa.schema([(f.name, kinds[str(f.type).removesuffix(" | None")]) for f in dataclasses.fields(Row)])
    schema = schema.with_metadata({MANIFEST_KEY: json.dumps(manifest, sort_keys=True).encode()})
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    with atomic_path(Path(path)) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary.absolute())  # a:b/c would be an address
    return Path(path)


def _open(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise FileError(f"{path} does not exist; `toyshift evaluate ... --out {path}` writes it")
    try:
        with pq.ParquetFile(Path(path).absolute()) as file:  # `read_table` takes three times as long for small files
            return file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        told = f"{path} is not a readable rows file ({error})"
        raise FileError(f"{told}; it may be truncated: delete it and evaluate again") from error


def read_rows(path: Path) -> list[Row]:
    """Reads the rows of one file.

    Raises:
        FileError: the file is missing, truncated or lacks a column (those that were added later have a default).
    """
    table = _open(path)
    absent = [f for f in dataclasses.fields(Row) if f.name not in table.column_names]
    if missing := [f.name for f in absent if f.default is dataclasses.MISSING]:
        raise FileError(f"{path} lacks the columns {', '.join(missing)}; it was not written by `toyshift evaluate`")
    known = [f.name for f in dataclasses.fields(Row) if f not in absent]
    return [Row(**values) for values in table.select(known).to_pylist()]


def row_columns(path: Path) -> tuple[str, ...]:
    """Returns the columns that a rows file has; those that were added later are absent from older ones."""
    return tuple(_open(path).column_names)


def read_rows_manifest(path: Path) -> dict[str, Any]:
    """Returns the manifest kept in a rows file ({} where there is none).

    Raises:
        FileError: the file is missing or truncated, or its manifest was edited so that it is no JSON object.
    """
    text = (_open(path).schema.metadata or {}).get(MANIFEST_KEY, b"{}")
    remedy = "it was changed; make the file again"
    try:
        value = json.loads(text)
    except ValueError as error:
        raise FileError(f"{path} has a manifest that is no JSON ({error}): {remedy}") from error
    if not isinstance(value, dict):
        raise FileError(f"{path} has a manifest that is no JSON object: {remedy}")
    return value
