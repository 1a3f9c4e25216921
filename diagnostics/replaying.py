"""Any row is played again, by the path of its evaluation, and compared with what comes out now."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from toyshift.core.arrays import Image
from toyshift.core.errors import FileError
from toyshift.diagnostics.actors import EnvSpec
from toyshift.diagnostics.evaluation import EvaluateConfig, opened_session, play_row, served
from toyshift.diagnostics.late import Latency
from toyshift.diagnostics.reproduction import COLUMNS
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.swapped_cells import BesideCell, CueCell, StripCell, SwapCell, ToldCell
from toyshift.diagnostics.video import SHOW, ScreenFilm
from toyshift.policies.remote.options import RemoteOptions

CELLS = (SwapCell, StripCell, ToldCell, BesideCell)


@dataclasses.dataclass(frozen=True)
class Replay:
    """A row that was played again.

    Attributes:
        row: what came out now.
        differs: column -> what stood there, and what came out now; nothing where all columns are equal, in every bit.
        frames: pictures (H, W, 3) of the episode, the first before any action; none where it was not filmed.
    """

    row: Row
    differs: Mapping[str, tuple[Any, Any]]
    frames: tuple[Image, ...] = ()


def replay(
    config: EvaluateConfig, row: Row, columns: Collection[str] = COLUMNS, *, film: bool = False, size: int = 320,
    camera: str = "film",
) -> Replay:
    """Plays the episode of a row again.

    Args:
        config: how it was played; see `evaluation_of`.
        row: what came out then.
        columns: what is compared; the wall time is never.
        film: whether pictures are taken; a second environment draws them, so nothing changes in the first.
        size: height and width of a picture [pixels].
        camera: one that the environment's `picture` knows.

    Raises:
        FileError: no such policy.
        ContractError: policy and environment do not fit.
    """
    from toyshift.toys import load_objects

    ids = tuple(load_objects(config.objects).ids)
    config = dataclasses.replace(config, trials=max(row.trials, 1))
    with contextlib.ExitStack() as stack:
        config = stack.enter_context(served(config))
        opened = stack.enter_context(opened_session(config))
        shot = None
        if film:
            screen = stack.enter_context(contextlib.closing(config.env.open(config.objects, **SHOW)))
            shot = ScreenFilm(opened[1], screen, config, row.object_id, row.episode, size, camera)
        now = play_row(config, ids, opened, row.episode, shot)
    return Replay(now, differences_of(row, now, columns), tuple(shot.frames) if shot else ())


def differences_of(then: Row, now: Row, columns: Collection[str] = COLUMNS) -> dict[str, tuple[Any, Any]]:
    """Returns column -> (then, now) where two rows of one episode differ."""
    pairs = {name: (getattr(then, name), getattr(now, name)) for name in COLUMNS if name in columns}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def evaluation_of(said: Mapping[str, Any], where: str) -> EvaluateConfig:
    """Returns what `EvaluateConfig.to_json` said: the other way round.

    Args:
        said: as it stands in a file; what an older one does not say takes its default.
        where: what it is of, for errors.

    Raises:
        FileError: it says what this installation does not know, or was played in another simulator.
    """
    fields = {field.name for field in dataclasses.fields(EvaluateConfig)}
    if unknown := sorted(set(said) - fields):
        raise FileError(f"{where} was played with {', '.join(unknown)}, which this version of ToyShift does not know")
    own = dict(said)
    env = dict(own.pop("env", {}))
    if other := env.pop("make_env", ""):
        raise FileError(f"{where} was played in another simulator, {other}: call `replaying.replay` with its EnvSpec")
    try:
        kwargs = {name: _tuples(value) for name, value in env.pop("kwargs", {}).items()}
        own["look"] = {name: _tuples(value) for name, value in own.get("look", {}).items()}
        own["env"] = EnvSpec(kwargs, **env)
        own["remote"] = RemoteOptions(**own.get("remote", {}))
        own["latency"] = Latency(**own.get("latency", {}))
        own["cell"] = _cell(own["cell"]) if own.get("cell") else None
        return EvaluateConfig(**own)
    except (TypeError, ValueError) as error:
        raise FileError(f"{where}: its manifest does not say how it was played ({error})") from error


def _cell(said: Mapping[str, Any]) -> CueCell:
    """Returns the cell of the kind that has just these fields."""
    kinds = [kind for kind in CELLS if {field.name for field in dataclasses.fields(kind)} == set(said)]
    if not kinds:
        raise ValueError(f"a cell of {', '.join(sorted(said))} is none that is known")
    return kinds[0](**{name: _tuples(value) for name, value in said.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
