"""Plants every mistake of the interface gate in policies, and counts which are named; and false alarms of sound ones.

    python benchmarks/interface_bugs.py runs/quickstart/policies/* --results results/interface_bugs.json

Each policy is asked in states of the expert's episodes (`toyshift check-policy`). A planted mistake *shows* where it
moves the actions away from the expert's by more than chance; what does not show cannot be named by anyone who sees
only actions. Sound policies are asked in the states of several seeds.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import UnknownNameError
from toyshift.core.files import write_json
from toyshift.core.graphics import gl_backend
from toyshift.core.manifest import manifest
from toyshift.core.progress import track
from toyshift.diagnostics.interface.gate import (
    LEAST,
    RULED_OUT,
    ExpertFrames,
    check_interface,
    farther,
    interface_of,
)
from toyshift.diagnostics.interface.miswirings import Interface, Observation, Predict, miswirings
from toyshift.diagnostics.statistics import wilson


def remembered(predict: Predict) -> Predict:
    """Returns a policy that is asked once for each observation: many mistakes make the same ones of the same states."""
    known: dict[bytes, Array] = {}

    def key(observation: Observation) -> bytes:
        found = hashlib.blake2b(np.asarray(observation["agent_pos"], np.float32).tobytes(), digest_size=16)
        for kind in ("pixels", "masks"):
            for camera in sorted(observation.get(kind, {})):
                found.update(np.asarray(observation[kind][camera]).tobytes())
        return found.digest()

    def answer(observations: Sequence[Observation]) -> Array:
        keys = [key(one) for one in observations]
        new = {k: one for k, one in zip(keys, observations, strict=True) if k not in known}
        if new:
            known.update(zip(new, np.asarray(predict(list(new.values()))), strict=True))
        return np.stack([known[k] for k in keys])

    return answer


def planted(
    name: str, predict: Predict, frames: ExpertFrames, interface: Interface, only: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Returns a line for each mistake that is planted in one policy; `only` those of these names, where some are given.

    Raises:
        UnknownNameError: a name that is no mistake of this interface.
    """
    every = miswirings(interface)
    for given in only:
        if given not in (names := [mistake.name for mistake in every]):
            raise UnknownNameError("mistake", given, names)
    lines = []
    for mistake in every:
        if only and mistake.name not in only:
            continue
        moved, chance = farther(mistake.plant(predict), predict, frames, interface)
        report = check_interface(mistake.plant(predict), frames, interface)
        told = next(sign.told for sign in report.signs if sign.name == mistake.name)
        lines.append({
            "policy": name, "mistake": mistake.name, "farther": moved, "shows": moved > LEAST and chance < RULED_OUT,
            "named": report.named, "first": report.named[:1] == (mistake.name,), "told": told, "alike": report.alike,
        })  # fmt: skip
    return lines


def share(k: int, n: int) -> str:
    """Returns "12 of 13 (92 %, 67 to 99)", with Wilson's interval."""
    low, high = wilson(k, n)
    return f"{k} of {n} ({100 * k / max(n, 1):.0f} %, {100 * low:.0f} to {100 * high:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policies", nargs="+", help="folders of policies with the same cameras, or bundles")
    parser.add_argument("--objects", default="toys:train", help="object set of the expert's episodes")
    parser.add_argument("--only", nargs="+", default=[], metavar="MISTAKE", help="plant only these (default: all)")
    parser.add_argument("--seeds", type=int, default=5, help="sets of the expert's episodes that sound policies meet")
    parser.add_argument("--results", type=Path, help="JSON file of all lines")
    given = parser.parse_args()

    gl_backend()
    from toyshift.diagnostics.actors import EnvSpec, open_actor
    from toyshift.diagnostics.interface.asking import expert_frames
    from toyshift.toys import load_objects

    ids = load_objects(given.objects).ids
    _, world = open_actor(given.policies[0], given.objects, EnvSpec())
    every = [expert_frames(world, ids, 24, 6, seed) for seed in range(given.seeds)]
    lines: list[dict[str, Any]] = []
    sound: list[dict[str, Any]] = []
    for folder in track(given.policies, "policies", unit="policy"):
        actor, its_world = open_actor(folder, given.objects, EnvSpec())
        its_world.close()
        name = Path(folder).name
        interfaces = [interface_of(frames, world.action_contract, world.observation_contract) for frames in every]
        predict = remembered(actor.policy.act_apart)  # type: ignore[attr-defined]
        for seed, (frames, interface) in enumerate(zip(every, interfaces, strict=True)):
            report = check_interface(predict, frames, interface, name)
            own = {"named": report.named, "alike": report.alike, "error": report.error, "idle": report.idle}
            sound.append({"policy": name, "seed": seed, **own})
        lines += planted(name, predict, every[0], interfaces[0], given.only)
        if given.results:
            facts = manifest(vars(given) | {"results": ""}, 0)
            write_json(given.results, {"planted": lines, "sound": sound, "manifest": facts})
    world.close()
    shows = [line for line in lines if line["shows"]]
    named = [line for line in shows if line["mistake"] in line["named"]]
    hidden = [line for line in lines if not line["shows"]]
    print(f"planted: {len(lines)}; named: {share(len(named), len(lines))}")
    print(f"they show in {share(len(shows), len(lines))}")
    first = sum(line["first"] for line in named)
    print(f"of those that show, named: {share(len(named), len(shows))}, {first} of them first or alone")
    print(f"of the others, named as something else: {share(sum(bool(x['named']) for x in hidden), len(hidden))}")
    print(f"sound policies: named as something: {share(sum(bool(x['named']) for x in sound), len(sound))}")
    missed = collections.Counter(x["mistake"] for x in shows if x["mistake"] not in x["named"])
    unseen = collections.Counter(x["mistake"] for x in hidden)
    print("missed: " + (", ".join(f"{k} {n}" for k, n in missed.most_common()) or "none"))
    print("does not show: " + (", ".join(f"{k} {n}" for k, n in unseen.most_common()) or "none"))
    sys.exit(0)


if __name__ == "__main__":
    main()
