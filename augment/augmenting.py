"""Datasets to datasets: what a spec makes of sub-datasets, under one folder that says what it is; resumable."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.augment.augmentation import Augmentation
from toyshift.augment.copies import Making, Take, make_copies
from toyshift.augment.registry import WITHOUT_STATES, name_of, read_spec
from toyshift.augment.rerender import CONFIG
from toyshift.augment.sources import Sources, given_by
from toyshift.core import runs
from toyshift.core.contract import SIM_STATE
from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.files import json_hash, real_path
from toyshift.core.manifest import manifest
from toyshift.core.workers import pool_at
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.envs.cameras import CAMERAS
from toyshift.envs.render.renderer import gl_renderer_name

BRIDGE = "bridge"


def augment(
    spec: str, sources: Path | str | Sequence[Path | str], out: Path | str, seed: int = 0, workers: int = 2,
    ray: str = "",
) -> dict[str, Any]:
    """Writes sub-datasets again, with copies of their episodes that a spec changed beside them; resumable.

    Args:
        spec: see `registry.read_spec`; `listed()` shows what there is.
        sources: a folder of sub-datasets that `toyshift data fragment` or this function made, a dataset, or several.
        out: folder to write: of one dataset that is it, else its sub-datasets have the names of those given, and of
            a bridge there is one more.
        seed: root seed; with it everything that is drawn is the same, whatever the number of workers.
        workers: processes; 0 works in this one.
        ray: address of a Ray cluster whose machines see these folders, in place of processes of this one.

    Returns:
        out, spec, episodes, parts (name, out, episodes, new, frames, content_hash of each).

    Raises:
        UnknownNameError, ConfigError: of the spec; `out` holds something else, or there is nothing to do.
        ContractError: sub-datasets differ in actions or observations, or keep no simulator state where one is needed.
        FileError: a dataset is missing or damaged, or the disk is full; what is finished is kept.
    """
    steps, out = read_spec(spec), Path(out)
    folders = [Path(path) for path in ([sources] if isinstance(sources, str | Path) else sources)]
    if near := next((f for f in folders if real_path(f) == real_path(out)), None):
        raise ConfigError(f"source and destination are both {near}; choose another destination")
    given = given_by(folders)
    if around := next((f for f in (*folders, *given.parts.values()) if real_path(f) in real_path(out).parents), None):
        raise ConfigError(f"{out} lies in the source {around}; choose a destination beside it")
    given = given._replace(parts={name: path.absolute() for name, path in given.parts.items()})
    with contextlib.closing(Sources(given)) as opened:
        single = len(folders) == 1 and list(given.parts.values()) == [folders[0].absolute()]
        takes = plan_of_takes(steps, opened)
        settings = {
            "steps": [repr(step) for step in steps], "seed": seed, "parts": [] if single else list(takes),
            "factor": given.factor, "relevant": given.relevant,
            "sources": dict(zip(given.parts, (d.content_hash() for d in opened.datasets), strict=True)),
        }  # fmt: skip
        key = json_hash(settings)
        finished: dict[str, Any] | None = runs.found(out / CONFIG, key, "an augmentation", "toyshift augment", settings)
        if finished is not None:
            return finished
        check(steps, opened)
        first = opened.datasets[0]
        renderer = gl_renderer_name() if any(step.states for step in steps) else "none"
    parts = []
    with pool_at(ray, workers) as pool:
        runs.claim(out / CONFIG, key, settings)
        for name, wanted in takes.items():
            place = out if single else out / name
            making = Making(given, steps, spec, place.absolute(), seed)
            made = make_copies(making, wanted, pool)
            before = sum(not take.copy for take in wanted)
            if made == before and len(wanted) > before:
                told = f"of {len(wanted) - before} copies for {place} none succeeded"
                raise ConfigError(f"{spec}: {told}: no object fits; allow more, see `toyshift augment --list`")
            facts = {"spec": spec, "part": name, "folders": list(map(str, given.parts.values())), **settings}
            finalize(
                place, first.action_contract, first.observation_contract,
                manifest(facts, seed, gl_renderer=renderer), robot_type=str(first.robot_type),
            )
            new = open_dataset(place)
            for step in steps:
                step.beside(new)
            parts.append({"name": name, "out": str(place), **new.facts(), "new": made - before})
    result = {"out": str(out), "spec": spec, "episodes": sum(part["episodes"] for part in parts), "parts": parts}
    runs.finish(out / CONFIG, result)
    return result


def plan_of_takes(steps: Sequence[Augmentation], opened: Sources) -> dict[str, list[Take]]:
    """Returns which episodes each new sub-dataset gets, in order: those that there were, then copies."""
    counts = [dataset.num_episodes for dataset in opened.datasets]
    keep, copies = all(step.keep for step in steps), max(step.copies for step in steps)
    bridge = next((step for step in steps if step.apart), None)
    numbers = range(0 if keep else 1, 1 if bridge else copies + 1)
    takes = {
        name: [Take(part, e, c) for c in numbers for e in range(count)]
        for part, (name, count) in enumerate(zip(opened.names, counts, strict=True))
    }  # fmt: skip
    if bridge:
        if BRIDGE in takes:
            raise ConfigError(f"there is a sub-dataset {BRIDGE} already")
        wanted = getattr(bridge, "episodes", 0) or round(sum(counts) / len(counts))
        takes[BRIDGE] = shared_evenly(wanted, counts)
    return takes


def shared_evenly(wanted: int, counts: Sequence[int]) -> list[Take]:
    """Returns episodes of sub-datasets of these sizes, as many of each but for one, evenly over each."""
    takes = []
    for part, count in enumerate(counts):
        mine = len(range(part, wanted, len(counts)))
        places = np.floor(np.arange(mine) * count / max(1, mine)).astype(int)
        again = np.arange(mine) - np.searchsorted(places, places)  # more than there are: further copies
        takes += [Take(part, int(e), int(c) + 1) for e, c in zip(places, again, strict=True)]
    return takes


def check(steps: Sequence[Augmentation], opened: Sources) -> None:
    """Refuses what the sub-datasets do not allow, before anything is written."""
    training = "and repairs of the training, see `toyshift train --list-repairs`"
    remain = f"what remains is {', '.join(WITHOUT_STATES)}, {training}"
    for step in steps:
        if step.several and len(opened.datasets) < 2:
            told = "name a folder of `toyshift data fragment`, or several datasets"
            raise ConfigError(f"{name_of(step)} needs several sub-datasets; {told}")
    for part, dataset in enumerate(opened.datasets):
        there = dataset.observation_contract.camera_names
        if any(step.states for step in steps):
            if SIM_STATE not in dataset.columns:
                told = f"does not keep the simulator's state ({SIM_STATE}): it cannot be rendered again"
                raise ContractError(f"{dataset.folder} {told}; {remain}")
            if strange := [name for name in there if name not in CAMERAS]:
                told = f"{dataset.folder} has cameras of its own ({', '.join(strange)}), which cannot be rendered again"
                raise ConfigError(f"{told}; {remain}")
        for step in steps:
            try:
                step.check(opened.around(part))
                step.cameras(there)
                step.check_sources(opened, part)
            except ConfigError as error:
                raise ConfigError(f"{dataset.folder}: {error}") from error
        if any(step.states for step in steps):  # what cannot be shown again is refused before anything is claimed
            meta = dataset.meta(0)
            env = opened.env(part)
            env.load_sim_state(
                meta["object_id"], dataset.episode(0, [SIM_STATE]).frames[SIM_STATE][0], meta["model_hash"],
                meta.get("others"),
            )
            env.renderer()
