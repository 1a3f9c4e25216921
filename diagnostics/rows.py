"""One row per evaluated episode: the Parquet file every table, interval and plot is made from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import atomic_path
from toyshift.diagnostics.statistics import Estimate, PairedDifference, clustered, paired_difference, wilson

FAILURES = ("", "no_plan", "no_contact", "not_lifted", "dropped", "not_held", "timeout", "unstable", "wrong_object")
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
        episode: index of the episode; (seed, episode) fixes the initial state whatever the policy.
        success: the environment's predicate.
        max_height: highest the object's lowest point rose above its start [m].
        steps: control steps taken.
        failure: "" on success, else one of FAILURES: no_plan (the planner found no grasp), no_contact, not_lifted (at
            most 2 cm), dropped (ended more than 5 cm below its highest point), not_held (high enough, but the success predicate never held), timeout
            (still on its way up), unstable (the simulation diverged), wrong_object (the last object lifted was another one).
        look: changed appearance as "factor=value", or "factor=a|b" where episodes take turns; "" for the training look.
        wall_s: wall-clock time of the episode [s]; the only column that differs between two equal runs.
        object_trial: how many earlier episodes of this run used the same object.
        trials: episodes this run asked for in total.
        shift: "factor=level" pairs joined by commas; "" for the training distribution.
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


def _schema() -> Any:
    import pyarrow as pa

    kinds = {"str": pa.string(), "int": pa.int64(), "bool": pa.bool_(), "float": pa.float64()}
    return pa.schema([(f.name, kinds[str(f.type)]) for f in dataclasses.fields(Row)])


def write_rows(path: Path, rows: Sequence[Row], manifest: dict[str, Any]) -> Path:
    """Writes rows and the manifest atomically as one Parquet file, sorted as they are given.

    Args:
        path: target file.
        rows: may be empty.
        manifest: JSON-able; kept in the file's metadata under "toyshift.manifest".
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {f.name: [getattr(row, f.name) for row in rows] for f in dataclasses.fields(Row)}
    schema = _schema().with_metadata({MANIFEST_KEY: json.dumps(manifest, sort_keys=True).encode()})
    with atomic_path(Path(path)) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary)
    return Path(path)


def _open(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise FileError(f"{path} does not exist; `toyshift evaluate ... --out {path}` writes it")
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise FileError(f"{path} is not a readable rows file ({error}); it may be truncated: delete it and evaluate again") from error


def read_rows(path: Path) -> list[Row]:
    """Reads the rows of one file.

    Raises:
        FileError: the file is missing, truncated or lacks a column (those that were added later have a default).
    """
    table = _open(path)
    missing = [f.name for f in dataclasses.fields(Row) if f.name not in table.column_names and f.default is dataclasses.MISSING]
    if missing:
        raise FileError(f"{path} lacks the columns {', '.join(missing)}; it was not written by `toyshift evaluate`")
    return [Row(**values) for values in table.select([f.name for f in dataclasses.fields(Row) if f.name in table.column_names]).to_pylist()]


def read_rows_manifest(path: Path) -> dict[str, Any]:
    """Returns the manifest kept in a rows file ({} where there is none)."""
    metadata = _open(path).schema.metadata or {}
    value: dict[str, Any] = json.loads(metadata.get(MANIFEST_KEY, b"{}"))
    return value


def failure_kind(success: bool, max_height: float, final_height: float, contact: bool | None, threshold: float) -> str:
    """Names why an episode failed; see `Row.failure`.

    Args:
        success: the environment's verdict.
        max_height: highest rise [m].
        final_height: rise at the end [m].
        contact: whether the gripper ever touched the object; None where the environment does not say.
        threshold: rise that success asks for [m].
    """
    if success:
        return ""
    if contact is False:
        return "no_contact"
    if max_height < 0.02:
        return "not_lifted"
    if max_height - final_height > 0.05:
        return "dropped"
    return "not_held" if max_height >= threshold else "timeout"


@dataclasses.dataclass(frozen=True)
class Summary:
    """Success of one policy on one object set under one look and one shift.

    Attributes:
        policy, pooling, object_set, look, shift: the group.
        n: episodes.
        k: successes.
        objects: distinct objects.
        rate: k / n.
        wilson: interval for episodes as independent draws.
        clustered: interval for new objects.
        failures: failure kind -> count, successes left out.
    """

    policy: str
    pooling: str
    object_set: str
    look: str
    n: int
    k: int
    objects: int
    rate: float
    wilson: tuple[float, float]
    clustered: tuple[float, float]
    failures: dict[str, int]
    shift: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"wilson": list(self.wilson), "clustered": list(self.clustered)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Summary:
        """Returns the summary that `to_json` wrote."""
        return cls(**{**value, "wilson": tuple(value["wilson"]), "clustered": tuple(value["clustered"])})


def summarise(rows: Iterable[Row], confidence: float = 0.95) -> list[Summary]:
    """Returns one summary per (policy, pooling, object set, look, shift), in order of first appearance."""
    groups: dict[tuple[str, str, str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.policy, row.pooling, row.object_set, row.look, row.shift), []).append(row)
    out = []
    for (policy, pooling, object_set, look, shift), group in groups.items():
        k, n = sum(r.success for r in group), len(group)
        by_object: Estimate = clustered([r.success for r in group], [r.object_id for r in group], confidence)
        failures = {kind: sum(r.failure == kind for r in group) for kind in sorted({r.failure for r in group}) if kind}
        out.append(
            Summary(policy, pooling, object_set, look, n, k, by_object.n, k / n, wilson(k, n, confidence), (by_object.low, by_object.high), failures, shift)
        )
    return out


def per_object(rows: Iterable[Row]) -> dict[str, tuple[int, int]]:
    """Returns object id -> (successes, episodes), best first, ties by id."""
    counts: dict[str, tuple[int, int]] = {}
    for row in rows:
        k, n = counts.get(row.object_id, (0, 0))
        counts[row.object_id] = (k + int(row.success), n + 1)
    return dict(sorted(counts.items(), key=lambda item: (-item[1][0] / item[1][1], item[0])))


def compare(a: Sequence[Row], b: Sequence[Row], confidence: float = 0.95) -> PairedDifference:
    """Compares two policies on the episodes both have played: same set, object, seed, episode, look and shift.

    Raises:
        ConfigError: they share no episode, or one side holds an episode twice.
    """
    keyed: list[dict[tuple[str, str, int, int, str, str], Row]] = []
    for rows in (a, b):
        index = {(r.object_set, r.object_id, r.seed, r.episode, r.look, r.shift): r for r in rows}
        if len(index) != len(rows):
            raise ConfigError("a paired comparison takes the rows of one policy on each side; some (object, seed, episode) occurs twice")
        keyed.append(index)
    shared = sorted(keyed[0].keys() & keyed[1].keys())
    if not shared:
        raise ConfigError("the two policies share no (object set, object, seed, episode); evaluate both with the same sets, seed and trials")
    left, right = (np.array([index[key].success for key in shared]) for index in keyed)
    return paired_difference(left, right, [f"{key[0]}/{key[1]}" for key in shared], confidence)


def render_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Returns a plain-text table for terminals: words left, figures right."""
    cells = [list(header), *[list(line) for line in lines]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]

    def numeric(text: str) -> bool:
        return text[:1].isdigit() or text[:1] in "-+["

    right = [bool(lines) and all(numeric(line[i]) or not line[i] for line in lines) for i in range(len(header))]
    text = ["  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)).rstrip() for line in cells]
    return "\n".join([text[0], "  ".join("-" * w for w in widths), *text[1:]])


def shift_table(summaries: Iterable[Summary]) -> str:
    """Returns success by factor and level as text: one line per policy, set and factor, one column per level, successes of episodes.

    Summaries of several factors at once have no place in it; "" where there is none.
    """
    cells: dict[tuple[str, str, str], dict[int, Summary]] = {}
    for s in summaries:
        if s.shift and "," not in s.shift:
            factor, _, level = s.shift.partition("=")
            cells.setdefault((s.policy, s.object_set, factor), {})[int(level)] = s
    levels = sorted({level for row in cells.values() for level in row})
    if not levels:
        return ""
    lines = [[*names, *(f"{100 * row[i].rate:.1f} ({row[i].k}/{row[i].n})" if i in row else "" for i in levels)] for names, row in cells.items()]
    return render_table(["policy", "objects of", "factor", *(f"level {i}" for i in levels)], lines)


def summary_table(summaries: Sequence[Summary]) -> str:
    """Returns the success table as text: policy, set, episodes, objects, rate and both intervals in percent."""
    looks, shifts = any(s.look for s in summaries), any(s.shift for s in summaries)
    header = ["policy", "pooling", "objects of", *(["look"] if looks else []), *(["shift"] if shifts else []), "n", "objects", "success %", "95 % episodes", "95 % objects", "failures"]
    lines = [
        [
            s.policy, s.pooling or "-", s.object_set, *([s.look or "-"] if looks else []), *([s.shift or "-"] if shifts else []), str(s.n), str(s.objects), f"{100 * s.rate:.1f}",
            *(f"[{100 * low:.1f}, {100 * high:.1f}]" for low, high in (s.wilson, s.clustered)),
            ", ".join(f"{kind} {count}" for kind, count in sorted(s.failures.items(), key=lambda item: -item[1])) or "none",
        ]
        for s in summaries
    ]
    return render_table(header, lines)
