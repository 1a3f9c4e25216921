"""Packs a policy into a self-checking bundle: ONNX, contract, golden vectors.

toyshift export runs/detpool --out bundle
toyshift export runs/detpool --out bundle --data runs/demos --results runs/eval/results.json
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.choices import RobotName
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift export`."""

    policy: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Folder that `toyshift train` wrote."""
    out: Path
    """Folder of the bundle."""
    data: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Dataset that it was trained on, several times for several: the bundle then tells cameras and what images are
    like. None takes what lies where the training found it."""
    robot: RobotName | None = None
    """Robot whose arm the bundle describes, e.g. panda; by default that of the datasets."""
    results: Path | None = None
    """results.json of `toyshift evaluate` of this policy: its success goes into the bundle."""
    instruction: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Instruction whose embedding the bundle holds, so that acting needs no sentence encoder; several times for
    several; for policies with instruction minilm."""


def main(cfg: Config) -> dict[str, Any]:
    """Packs a policy into a self-checking bundle: ONNX with normalisation inside, contract.json, golden vectors, card.

    Example: toyshift export runs/detpool --out bundle
    """
    from toyshift.diagnostics.bundle_facts import bundle_facts
    from toyshift.policies import checkpoints, export

    checkpoints.read_state(cfg.policy)  # refuses what is no policy before datasets are opened
    facts = bundle_facts(cfg.policy, cfg.data, cfg.robot or "", cfg.results, cfg.instruction)
    lacks = {
        "the arm (--robot NAME, or --data DIR)": facts.arm is None, "cameras (--data DIR)": not facts.cameras,
        "success (--results FILE)": not facts.success,
    }  # fmt: skip
    bundle = export(cfg.policy, cfg.out, facts)
    print(f"bundle: {bundle} (check it anywhere with: toyshift verify {bundle})")
    untold = [what for what, absent in lacks.items() if absent]
    if untold:
        print(f"not in it: {'; '.join(untold)}")
    return {"out": bundle, "files": sorted(path.name for path in bundle.iterdir()), "untold": untold}
