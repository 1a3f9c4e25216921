"""Writes the files of a Hugging Face Hub repository from which LeRobot takes environments (its EnvHub).

toyshift envs hub --out runs/hub
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.choices import Environment
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift envs hub`."""

    out: Path
    """Folder for env.py and README.md."""
    env: Environment = "toyshift/Grasp-v0"
    """Registered id of the environment."""
    objects: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Object set; give it several times for several, each of which LeRobot reports on its own; none is toys:test."""


def main(cfg: Config) -> dict[str, Any]:
    """Writes env.py and README.md for LeRobot's EnvHub; upload the folder, e.g. with `hf upload USER/REPOSITORY DIR`.

    Example: toyshift envs hub --out runs/hub --objects toys:test --objects ycb-like
    """
    from toyshift.envs.adapters.envhub import write_hub_files
    from toyshift.toys import load_objects

    objects = cfg.objects or ("toys:test",)
    for one in objects:
        load_objects(one)  # an unknown set is refused here, not on someone else's machine
    files = write_hub_files(cfg.out, env_id=cfg.env, objects=objects)
    print(f"{' and '.join(map(str, files))}: upload them with `hf upload USER/REPOSITORY {cfg.out}`")
    return {"files": files}
