"""One new sub-dataset: episodes as they were, and copies of them that augmentations changed; resumable."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from toyshift.augment.augmentation import Augmentation, SeenAs, Words
from toyshift.augment.rerender import render_again
from toyshift.augment.reskin import repainted, told_anew
from toyshift.augment.seen import AUGMENTED, CHANGED, COLOURS, seen_of, unmoved
from toyshift.augment.sources import GivenDatasets, Sources, opened_sources
from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash
from toyshift.core.progress import Progress
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import Job, Pool, play
from toyshift.data.collecting.replay import begin_again
from toyshift.data.episode import Episode, Frames, episode_indices, write_encoded, write_episode
from toyshift.envs.shifts import TRAINING, Variation
from toyshift.envs.tasks.grasp import GraspEnv


class Take(NamedTuple):
    """An episode to be made: number `episode` of sub-dataset `part`, as it was (copy 0) or its copy 1, 2, ..."""

    part: int
    episode: int
    copy: int


@dataclasses.dataclass(frozen=True)
class Making:
    """How the episodes of one new sub-dataset are made.

    Attributes:
        given: the sub-datasets that they come from.
        steps: what changes copies, in order.
        spec: the same as it was written.
        out: folder of the new sub-dataset.
        seed: root seed.
    """

    given: GivenDatasets
    steps: tuple[Augmentation, ...]
    spec: str
    out: Path
    seed: int


def make_copies(making: Making, takes: Sequence[Take], pool: Pool | None) -> int:
    """Makes the episodes that `out` lacks, numbered as `takes`; returns how many there are in all.

    Fewer than `takes` where copies are acted out and some fail.
    """
    todo = sorted(set(range(len(takes))) - episode_indices(making.out))
    key = json_hash([making.spec, making.seed, str(making.out), [str(p) for p in making.given.parts.values()]])
    job = Job(
        key, functools.partial(opened_sources, making.given), functools.partial(_make, making),
        f"making {making.out}",
    )  # fmt: skip
    with Progress(f"augment {making.out.name}", len(takes), "episode", len(takes) - len(todo)) as bar:
        for _ in play([(i, takes[i]) for i in todo], job, pool=pool):
            bar.update()
    return len(episode_indices(making.out))


def _make(making: Making, sources: Sources, item: tuple[int, Take]) -> None:
    """Writes one episode of the new sub-dataset."""
    number, take = item
    dataset, steps = sources.datasets[take.part], making.steps if take.copy else ()
    origin = {
        "spec": making.spec, "dataset": sources.names[take.part], "episode": take.episode, "copy": take.copy,
    }  # fmt: skip
    if not any(_changes(step) for step in steps):  # as it was, to the bit, also where images are video
        encoded = dataset.encoded_with_histograms(take.episode)
        meta = encoded.meta | {AUGMENTED: origin}
        write_encoded(making.out, dataclasses.replace(encoded, index=number, meta=meta))
        return
    if made := _changed(making, sources, take):
        write_episode(making.out, Episode(number, made.frames, made.meta | {AUGMENTED: origin}))


def _changes(step: Augmentation) -> bool:
    return step.states or type(step).frames is not Augmentation.frames


def _changed(making: Making, sources: Sources, take: Take) -> Episode | None:
    dataset, around = sources.datasets[take.part], sources.around(take.part)
    there = dataset.observation_contract.camera_names
    kinds = [type(step).__name__ for step in making.steps]
    streams = [  # each its own: what one draws changes nothing of what another does
        episode_rng(making.seed, take.episode, f"augment {kind} {kinds[:i].count(kind)} {take.part} {take.copy}")
        for i, kind in enumerate(kinds)
    ]
    recorded = sources.metas[take.part][take.episode]
    acting = next((i for i, step in enumerate(making.steps) if step.replays), None)
    before = seen_of(recorded)
    if acting is not None:  # it shows other objects, in their own colours
        before = dataclasses.replace(before, colours={})
    seen = before
    for step, rng in zip(making.steps, streams, strict=True):
        seen = step.see(seen, around, rng)
    episode: Episode | None = dataset.episode(take.episode)
    if acting is not None:
        put_into(sources.env(take.part), recorded, take.episode, before)
        episode = making.steps[acting].episode(sources, take.part, take.episode, streams[acting])
    if episode is None:
        return None
    frames: Frames = {key: value.copy() for key, value in episode.frames.items()}
    meta = episode.meta
    again = {c: None for step in making.steps if step.states and not step.replays for c in step.cameras(there)}
    if again:
        env = sources.env(take.part)
        put_into(env, recorded, take.episode, seen)
        repaint = functools.partial(_repaint, seen.colours) if seen.colours else None
        render_again(env, episode, tuple(again), frames, repaint, unmoved(recorded, before, seen, tuple(again)))
        meta = meta | {"factors": factors_of_copy(meta.get("factors", {}), seen)}
        for name, value in seen.values.items():
            if f"factor.{name}" in frames:
                frames[f"factor.{name}"][:] = value
    for step, rng in zip(making.steps, streams, strict=True):
        frames = step.frames(frames, there, rng)
    rename = functools.partial(told_anew, before=before, seen=seen)
    if "task" not in meta:
        return Episode(take.episode, frames, meta)
    told = Words(str(meta["task"]), {})
    for step, rng in zip(making.steps, streams, strict=True):
        told = step.words(sources, take.part, take.episode, rng) or told
    return Episode(take.episode, frames, meta | renamed_notes(told.notes, rename) | {"task": rename(told.task)})


def renamed_notes(notes: Any, rename: Callable[[str], str]) -> Any:
    """Returns notes with all their texts renamed, but for keys."""
    if isinstance(notes, Mapping):
        return {key: renamed_notes(value, rename) for key, value in notes.items()}
    if isinstance(notes, str):
        return rename(notes)
    return [renamed_notes(value, rename) for value in notes] if isinstance(notes, list | tuple) else notes


def _repaint(colours: Mapping[str, str], env: GraspEnv) -> Any:
    if env.look.object_colour:
        raise ConfigError("reskin permutes the toys' own colours, which another object_colour hides: leave one of them")
    return repainted(env.scene, colours)


def factors_of_copy(factors: Mapping[str, Any], seen: SeenAs) -> dict[str, Any]:
    """Returns the factors of an episode that is seen otherwise than the one whose factors are given."""
    look = dataclasses.asdict(seen.look)
    told = dict(factors) | {"look": look} | dict(seen.values)
    if "sub_dataset" in told:
        told["sub_dataset"] = told["sub_dataset"] | look
    if seen.values:
        told[CHANGED] = {name: [value, *seen.draws[name]] for name, value in seen.values.items()}
    if seen.colours:
        told[COLOURS] = dict(seen.colours)
    return told


def put_into(env: GraspEnv, meta: Mapping[str, Any], index: int, seen: SeenAs) -> None:
    """Has an environment show a recorded episode as it is to be seen, from the next loaded state on."""
    if meta.get("factors", {}).get("shift") or env.shifts.items:
        begin_again(env, meta, index)
    drawn = env.variation if env.shifts.items else TRAINING
    env.variation = Variation({**drawn.values, **seen.values}, {**drawn.draws, **seen.draws})
    env.look = seen.look
