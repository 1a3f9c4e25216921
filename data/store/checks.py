"""What can be wrong with a dataset's episodes, found one episode at a time, and a copy without the bad ones."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ACTION, MASK_PREFIX, MASK_ROBOT, MASK_TARGET, STATE, ActionContract
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import atomic_dir, real_path, write_json
from toyshift.core.manifest import manifest
from toyshift.core.progress import track
from toyshift.data.episode import EXECUTED, Episode, digest, is_image, is_mask, write_episode
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.data.store.lerobot import finalize

DROPPED = "dropped.json"
# An absolute target (joint angles, poses) that moves this many times as far as is usual, and this far [m or rad],
# jumps.
JUMP_TIMES, JUMP_LEAST = 15.0, 0.3
FROZEN = 8  # identical images in a row, while the robot moves, that make a frozen camera
MOVED = 0.05  # change of the state [rad, m] that a camera must show
TIME_TOLERANCE = 1e-3  # [s]
OPENING = re.compile(r"gripper\.opening|gripper|width|finger", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one episode.

    Attributes:
        kind: one of KINDS.
        episode: its number in the dataset; None: the dataset as a whole.
        frame: the first frame concerned, or None.
        detail: what was found.
        file: where.
    """

    kind: str
    episode: int | None
    frame: int | None
    detail: str
    file: str

    def __str__(self) -> str:
        # the error of reading names the place itself
        if self.kind == "unreadable" or self.detail.startswith(self.file):
            return f"{self.kind}: {self.detail}"
        numbers = {"episode": self.episode, "frame": self.frame}
        place = ", ".join([self.file, *(f"{k} {v}" for k, v in numbers.items() if v is not None)])
        return f"{self.kind}: {place}: {self.detail}"


Finding = tuple[int | None, str]  # first frame concerned, what was found
Check = Callable[[Episode, Dataset], list[Finding]]


def _not_finite(episode: Episode, dataset: Dataset) -> list[Finding]:
    out: list[Finding] = []
    for key, values in episode.frames.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = np.argwhere(~np.isfinite(values))[0]
            out.append((int(bad[0]), f"{key}{list(bad[1:])} is {values[tuple(bad)]}"))
    return out


def _outside_contract(episode: Episode, dataset: Dataset) -> list[Finding]:
    contract = dataset.action_contract
    low, high = np.asarray(contract.low), np.asarray(contract.high)
    margin = 1e-4 * np.maximum(1.0, high - low)
    actions = episode.frames[ACTION]
    outside = (actions < low - margin) | (actions > high + margin)
    if not outside.any():
        return []
    t, entry = (int(v) for v in np.argwhere(outside)[0])
    said = f"the contract says {low[entry]:g} to {high[entry]:g} ({int(outside.any(1).sum())} frames)"
    return [(t, f"action {contract.names[entry]} is {actions[t, entry]:.4g}, {said}")]


def _gripper_sign(episode: Episode, dataset: Dataset) -> list[Finding]:
    """A gripper moves the way it was told to, but for disturbances: 1 opens it, 0 closes it."""
    names = dataset.observation_contract.state_names
    found = [i for i, name in enumerate(names) if OPENING.fullmatch(name)]
    if not found or "1 = open" not in dataset.action_contract.gripper or len(episode) < 3:
        return []
    # what the robot was given, where a disturbance made it another command than the one recorded
    told = np.where(episode.frames.get(EXECUTED, episode.frames[ACTION])[:-1, -1] > 0.5, 1.0, -1.0)
    change = np.diff(episode.frames[STATE][:, found[0]].astype(np.float64))  # (T-1,)
    along, total = float(change @ told), float(np.abs(change).sum())
    limit = 0.5 if EXECUTED in episode.frames else 0.9
    if not total >= 1e-3 or along > -limit * total:  # not: NaN is another check's finding
        return []
    share = f"{-along:.3g} of {total:.3g} in all"
    return [(None, f"{names[found[0]]} moves against its command ({share}); 1 must mean open")]


def movement(actions: NDArray[np.floating[Any]], contract: ActionContract) -> NDArray[np.float64]:
    """Returns (T, n) of what must be smooth in time: absolute targets as they are, deltas summed up.

    Gripper and axis-angles are left out.
    """
    smooth = ("m",) if contract.mode.startswith("eef") else ("m", "rad")
    entries = [i for i, unit in enumerate(contract.units) if unit in smooth]
    values = np.asarray(actions, dtype=np.float64)[:, entries]
    return np.cumsum(values, axis=0) if contract.mode.endswith("delta") else values


def _jumps(episode: Episode, dataset: Dataset) -> list[Finding]:
    path = movement(episode.frames[ACTION], dataset.action_contract)
    if len(path) < 4 or path.shape[1] == 0:
        return []
    steps = np.abs(np.diff(path, axis=0)).max(axis=1)  # (T-1,)
    limit = max(JUMP_LEAST, JUMP_TIMES * float(np.median(steps)))
    t = int(steps.argmax())
    if not steps[t] > limit:  # not: NaN is another check's finding
        return []
    return [(t + 1, f"the commanded position jumps by {steps[t]:.3g} (usual: {np.median(steps):.3g})")]


def unchanged(frames: NDArray[Any]) -> NDArray[np.bool_]:
    """(T-1,): whether frame t+1 equals frame t."""
    flat = frames.reshape(len(frames), -1)
    return np.asarray((flat[1:] == flat[:-1]).all(axis=1))


def longest_run(run: NDArray[np.bool_]) -> tuple[int, int]:
    """Returns the start and the length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], run.astype(np.int8), [0]])))
    if not len(edges):
        return 0, 0
    starts, ends = edges[::2], edges[1::2]
    best = int((ends - starts).argmax())
    return int(starts[best]), int(ends[best] - starts[best])


def _frozen(episode: Episode, dataset: Dataset) -> list[Finding]:
    """Cameras that show the same picture again and again while the robot moves, and whole frames that come twice."""
    state = episode.frames[STATE].astype(np.float64)
    out: list[Finding] = []
    for key in (k for k in episode.frames if is_image(k)):
        start, length = longest_run(unchanged(episode.frames[key]))
        if length >= FROZEN and np.ptp(state[start : start + length + 1], axis=0).max() > MOVED:
            out.append((start, f"{key} shows the same picture {length + 1} times in a row while the robot moves"))
    return out


def _duplicated(episode: Episode, dataset: Dataset) -> list[Finding]:
    columns = [v for k, v in episode.frames.items() if is_image(k) or k in (STATE, ACTION)]
    if len(episode) < 2 or not columns:
        return []
    same = np.logical_and.reduce([unchanged(v) for v in columns])
    moving = np.abs(movement(episode.frames[ACTION], dataset.action_contract)[1:]).max(initial=0.0) > 0
    count = int(same.sum())
    if count <= max(2, 0.05 * len(episode)) or not moving:
        return []
    return [(int(same.argmax()) + 1, f"{count} frames repeat the one before them in images, state and action")]


def _timestamps(episode: Episode, dataset: Dataset) -> list[Finding]:
    times = dataset.timestamps(episode.index).astype(np.float64)
    wrong = np.abs(times - np.arange(len(times)) / dataset.action_contract.control_hz) > TIME_TOLERANCE
    if not wrong.any():
        return []
    t = int(wrong.argmax())
    return [(t, f"frame {t} is said to be at {times[t]:.4f} s; at {dataset.action_contract.control_hz:g} Hz it is not")]


def _masks(episode: Episode, dataset: Dataset) -> list[Finding]:
    out: list[Finding] = []
    masks = {k: v for k, v in episode.frames.items() if is_mask(k)}
    for key, mask in masks.items():
        if mask.max() > MASK_ROBOT:
            t = int((mask > MASK_ROBOT).any(axis=(1, 2)).argmax())
            out.append((t, f"{key} holds {int(mask.max())}; masks are 0 (background) to {MASK_ROBOT} (robot)"))
    if masks and not any((mask == MASK_TARGET).any() for mask in masks.values()):
        cameras = ", ".join(k.removeprefix(MASK_PREFIX) for k in masks)
        out.append((None, f"no mask of any camera ({cameras}) ever shows the target"))
    elif masks and not any((mask[0] == MASK_TARGET).any() for mask in masks.values()):
        out.append((0, "no camera's mask shows the target in the first frame"))
    return out


def _digest(episode: Episode, dataset: Dataset) -> list[Finding]:
    if digest(episode.frames, episode.meta) == dataset.episode_digest(episode.index):
        return []
    return [(None, "decodes to other values than were recorded")]


# kind -> check: to add one, write it above and add a line.
CHECKS: dict[str, Check] = {
    "not finite": _not_finite,
    "outside contract": _outside_contract,
    "gripper sign": _gripper_sign,
    "action jump": _jumps,
    "frozen camera": _frozen,
    "duplicated frames": _duplicated,
    "timestamps": _timestamps,
    "empty masks": _masks,
    "changed": _digest,
}
KINDS = ("unreadable", "duplicated episode", "dataset", *CHECKS)


def check_episode(dataset: Dataset, i: int) -> tuple[Episode | None, list[Problem]]:
    """Reads episode i and returns it (None where it cannot be read) with everything that is wrong with it."""
    file = str(dataset.file_of(i))
    try:
        episode = dataset.episode(i)
        problems = [
            Problem(kind, i, frame, detail, file)
            for kind, check in CHECKS.items()
            for frame, detail in check(episode, dataset)
        ]
    except FileError as error:
        return None, [Problem("unreadable", i, None, str(error), file)]
    return episode, problems


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """What was found.

    Attributes:
        folder: the dataset.
        episodes: how many it has.
        frames: how many frames.
        problems: all that is wrong.
        repaired: folder of the copy without bad episodes, or None.
        unknown: what could not be told, and why.
    """

    folder: Path
    episodes: int
    frames: int
    problems: tuple[Problem, ...]
    repaired: Path | None = None
    unknown: tuple[str, ...] = ()

    @property
    def bad(self) -> tuple[int, ...]:
        """Numbers of the episodes with problems."""
        return tuple(sorted({p.episode for p in self.problems if p.episode is not None}))

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": not self.problems, "folder": str(self.folder), "episodes": self.episodes, "frames": self.frames,
            "bad": list(self.bad),
            "kinds": dict(collections.Counter(p.kind for p in self.problems)),
            "problems": [dataclasses.asdict(p) for p in self.problems],
            "repaired": None if self.repaired is None else str(self.repaired),
            "unknown": list(self.unknown),
        }


def check_dataset(folder: Path, repair: Path | None = None) -> CheckResult:
    """Checks every episode; with `repair` copies the good ones, with `dropped.json` about the others.

    Raises:
        FileError: the folder is no dataset, its metadata are damaged, or no episode is left to repair.
        ContractError: it has no action contract.
        ConfigError: the folder for the copy is not empty.
    """
    folder, repair = Path(folder), None if repair is None else Path(repair)
    if repair is not None and repair.exists() and (real_path(repair) == real_path(folder) or any(repair.iterdir())):
        raise ConfigError(f"{repair} is not empty; delete it, or choose another folder for the repaired copy")
    dataset = open_dataset(folder, lenient=True)
    if repair is None:
        return _checked(dataset, None, None)
    with atomic_dir(repair) as copy:  # where no episode is good, there is nothing at `repair`
        return _checked(dataset, copy, repair)


def _checked(dataset: Dataset, copy: Path | None, repair: Path | None) -> CheckResult:
    """Checks every episode, and writes the good ones to `copy`, which becomes `repair`."""
    folder = dataset.folder
    complaints = [*dataset.complaints, *([] if dataset.num_episodes else ["holds no episodes"])]
    problems = [Problem("dataset", None, None, text, str(folder)) for text in complaints]
    seen: dict[str, int] = {}
    kept = 0
    for i in track(range(dataset.num_episodes), "check", dataset.num_episodes, "episode"):
        episode, found = check_episode(dataset, i)
        content = digest(episode.frames, {}) if episode is not None else ""
        if content and content in seen:
            same = f"the same frames as episode {seen[content]}"
            found.append(Problem("duplicated episode", i, None, same, str(dataset.file_of(i))))
        seen.setdefault(content, i)
        problems += found
        if copy is not None and episode is not None and not found:
            write_episode(copy, dataclasses.replace(episode, index=dataset.collected_indices[i]))
            kept += 1
    result = CheckResult(folder, dataset.num_episodes, dataset.num_frames, tuple(problems), repair)
    if copy is not None:
        if not kept:
            none = f"none of its {dataset.num_episodes} episodes is good, nothing is left"
            raise FileError(f"{folder}: {none}; the first: {problems[0]}")
        facts = manifest({"repaired_from": str(folder), "dropped": len(result.bad)}) | {"source": dataset.manifest}
        action, observation = dataset.action_contract, dataset.observation_contract
        finalize(copy, action, observation, facts, robot_type=dataset.robot_type)
        why = {i: [str(p) for p in problems if p.episode == i] for i in result.bad}
        dropped = [{"episode": i, "collected_index": dataset.collected_indices[i], "why": why[i]} for i in result.bad]
        write_json(copy / DROPPED, {"source": str(folder), "kept": kept, "dropped": dropped})
    return result
