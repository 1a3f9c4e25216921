"""Plays any row of a result file again: a film, and whether the same comes out, bit for bit.

toyshift replay runs/eval/rows.parquet --episode 17 --name detpool
toyshift replay runs/bench/detpool-toyshift-1.parquet --row 640
toyshift replay results/quickstart/rows/detpool_toys-test_plain_100.parquet --episode 3 --policy runs/detpool
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.graphics import gl_backend
from toyshift.core.manifest import manifest, other_kind
from toyshift.policies.remote.options import is_remote
from toyshift.scripts.options import Asking
from toyshift.scripts.origins import RowOrigin, origin_of

if TYPE_CHECKING:
    from toyshift.diagnostics import EvaluateConfig, Row

CHOOSING = {  # column of a row -> option
    "policy": "--name", "object_set": "--objects", "look": "--look", "shift": "--shift", "scene": "--scene",
    "purpose": "--purpose", "seed": "--seed", "episode": "--episode",
}  # fmt: skip
MOST = 12  # choices of an error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Asking, row=0, episode=0, size=(64, 1024)):
    """Options of `toyshift replay`."""

    rows: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="ROWS")]
    """Parquet file of `toyshift evaluate` (rows.parquet, or one of rows/ beside it) or of `toyshift bench`."""
    row: int | None = None
    """Which row of the file, from 0; or choose by the options below."""
    episode: int | None = None
    """Number of the episode."""
    seed: int | None = None  # type: ignore[assignment]  # here it chooses
    """Root seed of the row, where the file holds several."""
    name: str | None = None
    """What its policy is called in the rows."""
    objects: str | None = None
    """Its object set."""
    look: str | None = None
    """Its look, as the rows say it; '' is the training look."""
    shift: str | None = None
    """Its shift; '' is none."""
    scene: str | None = None
    """What was otherwise in its environment, such as clutter=4; '' is nothing."""
    purpose: str | None = None
    """What its start is for: test, validation or collection."""
    policy: str = ""
    """Where the policy is now: folder, or address of a server; by default where it was then."""
    out: Path | None = None
    """The film, an .mp4; by default in runs/replay, called after the row."""
    film: bool = True
    """Make a film."""
    camera: Literal["film", "front", "wrist"] = "film"
    """Who films."""
    size: int = 384
    """Height and width of the film [pixels]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out is not None and self.out.suffix != ".mp4":
            raise ConfigError(f"--out must end in .mp4, got {self.out}")
        if self.out is not None and not self.film:
            raise ConfigError(f"--out {self.out} is a film, and --no-film makes none; leave one of them out")


def main(cfg: Config) -> dict[str, Any]:
    """Plays a row of a result file again, films it, and compares the outcome with the row, bit for bit.

    The exit code is 1 where they differ. The same bits are promised on the same kind of machine (docs/reproduction.md).
    Example: toyshift replay runs/eval/rows.parquet --episode 17 --name detpool
    """
    from toyshift.diagnostics.actors import gl_renderer_of
    from toyshift.diagnostics.replaying import replay
    from toyshift.diagnostics.rows import read_rows, read_rows_manifest, row_columns
    from toyshift.diagnostics.video import write_mp4

    number, row = chosen_row(cfg, read_rows(cfg.rows))
    facts = read_rows_manifest(cfg.rows)
    origin = origin_of(cfg.rows, facts, number, row)
    config = _as_it_is_now(cfg, origin)
    gl_backend()
    about = f"row {number}: episode {row.episode} of {row.policy} on {row.object_set}, seed {row.seed}"
    print(f"{about}, {row.object_id}{''.join(f', {x}' for x in (row.look, row.shift, row.scene) if x)}", flush=True)
    columns = row_columns(cfg.rows)
    played = replay(config, row, columns, film=cfg.film, size=cfg.size, camera=cfg.camera)
    film = None
    if cfg.film:
        from toyshift.envs.config import EnvConfig

        hz = EnvConfig(objects=config.objects, **config.env.kwargs).control_hz
        film = write_mp4(cfg.out or Path("runs/replay") / f"{_called(row)}.mp4", played.frames, hz)
        print(f"film: {film}")
    drawn = {"gl_renderer": gl_renderer_of(config.policy, config.env)} if "gl_renderer" in facts else {}
    elsewhere = other_kind(manifest() | drawn, facts)
    print(verdict(row, played.row, played.differs, elsewhere))
    return {
        "ok": not played.differs, "row": number, "then": dataclasses.asdict(row), "now": dataclasses.asdict(played.row),
        "differs": {name: list(pair) for name, pair in played.differs.items()}, "film": film, "machine": elsewhere,
    }  # fmt: skip


def chosen_row(cfg: Config, rows: Sequence[Row]) -> tuple[int, Row]:
    """Returns the row that is asked for, and its number in the file.

    Raises:
        ConfigError: none was asked for, or several rows are meant; the message says by what they can be told apart.
        UnknownNameError: a name that is in no row.
    """
    if not rows:
        raise FileError(f"{cfg.rows} holds no rows")
    if cfg.row is not None and cfg.row >= len(rows):
        raise ConfigError(f"--row is {cfg.row}; {cfg.rows} holds the rows 0 to {len(rows) - 1}")
    found = list(enumerate(rows)) if cfg.row is None else [(cfg.row, rows[cfg.row])]
    for column, option in CHOOSING.items():
        wanted = getattr(cfg, option.removeprefix("--"))
        if wanted is None:
            continue
        there = {getattr(row, column) for _, row in found}
        if wanted not in there:
            if isinstance(wanted, str):
                raise UnknownNameError(f"{option} of these rows", wanted, there)
            raise ConfigError(f"{option} is {wanted}; these rows of {cfg.rows} have {_spans(there)}")
        found = [(number, row) for number, row in found if getattr(row, column) == wanted]
    if len(found) == 1:
        return found[0]
    told = f"{len(found)} rows of {cfg.rows} are meant; say which by"
    ways = []
    for column, option in CHOOSING.items():
        there = {getattr(row, column) for _, row in found}
        if len(there) > 1:
            own = _spans(there) if column in ("seed", "episode") else ", ".join(map(repr, sorted(there)[:MOST]))
            ways.append(f"{option} ({own}{', ...' if len(there) > MOST and column not in ('seed', 'episode') else ''})")
    numbers = _spans({number for number, _ in found})
    raise ConfigError(f"{told} {', '.join([*ways, f'--row ({numbers})'])}")


def _spans(numbers: set[int]) -> str:
    """Returns whole numbers in words, those that follow each other as "3 to 7"."""
    grouped = itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in group] for _, group in grouped]
    told = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ", ".join(told[:MOST]) + (", ..." if len(told) > MOST else "")


def _as_it_is_now(cfg: Config, origin: RowOrigin) -> EvaluateConfig:
    """Returns the evaluation with its policy where it is now, whose content and objects are those of then.

    Raises:
        FileError: there is no policy, or it or its objects are others.
    """
    from toyshift.diagnostics.actors import BUILTIN, policy_fingerprint
    from toyshift.toys import load_objects

    then = origin.config
    policy = cfg.policy or then.policy
    if (policy in BUILTIN or then.policy in BUILTIN) and policy != then.policy:
        raise ConfigError(f"--policy is {policy}, but the row is of {then.policy}; leave it out")
    if not cfg.policy and policy not in BUILTIN and not is_remote(policy) and not Path(policy).is_dir():
        raise FileError(f"{cfg.rows} is of the policy {policy}, which is not there; --policy DIR says where it is now")
    asked = {field.name for field in dataclasses.fields(Asking)} - {"seed", "json"}
    given = {name for name in asked if getattr(cfg, name) != Asking.__dataclass_fields__[name].default}
    config = dataclasses.replace(then, policy=policy, remote=cfg.remote if given else then.remote)
    objects = str(load_objects(config.objects).fingerprint)
    for called, said, here, remedy in (
        (policy, origin.policy_hash, policy_fingerprint(policy, config.remote), "; --policy DIR names another place"),
        (config.objects, origin.objects_hash, objects, ""),
    ):
        if said and said != here:
            told = f"{called} is not what {cfg.rows} was made with: its content has the hash {here}, then {said}"
            raise FileError(f"{told}{remedy}")
    return config


def _called(row: Row) -> str:
    parts = (row.policy, row.object_set, row.look, row.shift, row.scene, f"s{row.seed}", f"e{row.episode:05d}")
    return re.sub(r"[^A-Za-z0-9.-]+", "_", "-".join(filter(None, parts)))[-150:].strip("_")


def verdict(then: Row, now: Row, differs: Mapping[str, tuple[Any, Any]], elsewhere: Sequence[str]) -> str:
    """Says whether the same came out, and in what it differs."""

    def told(row: Row) -> str:
        ended = "success" if row.success else row.failure or "no success"
        return f"{ended} after {row.steps} steps, {row.max_height:.4f} m high"

    if not differs:
        return f"the same outcome, steps and height, bit for bit: {told(now)}"
    what = "the same outcome" if then.success == now.success else "another outcome"
    lines = [f"{what}, but not bit for bit: {told(now)}; then {told(then)}"]
    lines += [f"  {name}: {was!r} then, {is_now!r} now" for name, (was, is_now) in differs.items()]
    if elsewhere:
        lines.append(f"  the rows are of another kind of machine, whose bits may differ: {'; '.join(elsewhere)}")
    return "\n".join(lines)
