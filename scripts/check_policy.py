"""Says whether a policy looks wired as it was trained: cameras, colours, units, gripper; before any episode is played.

toyshift check-policy runs/detpool
toyshift check-policy ws://localhost:8000 --remote-keys libero --remote-actions libero
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.choices import Task
from toyshift.core.errors import ConfigError
from toyshift.core.files import write_json
from toyshift.core.graphics import gl_backend
from toyshift.core.manifest import manifest
from toyshift.scripts.options import Asking


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Asking, episodes=(3, 1000), looks=(1, 100)):
    """Options of `toyshift check-policy`."""

    policy: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="POLICY")]
    """Folder of a policy or bundle, ws://HOST:PORT (a server, docs/remote_policies.md), vla-eval:HOST:PORT or
    lerobot:DIR."""
    objects: str = "toys:train"
    """Object set of the expert's episodes in whose states the policy is asked: best the one that it was trained on."""
    task: Task = "grasp"
    """grasp (one object) or pick (2-6 objects; the instruction names the target)."""
    episodes: int = 24
    """Episodes of the expert."""
    looks: int = 6
    """States along each in which the policy is asked, 21 times each with two cameras: by default 3,024 answers."""
    out: Path | None = None
    """Folder in which interface.json is kept; none writes no file."""


def main(cfg: Config) -> dict[str, Any]:
    """Asks a policy in states of the expert's episodes, as it is and with each mistake of a list taken back.

    A mistake is named where taking it back brings the actions nearer to the expert's. Exit code 1 where one is named,
    and where the actions are no nearer to the expert's than its mean action.
    Example: toyshift check-policy runs/detpool --objects toys:train
    """
    gl_backend()
    from toyshift.diagnostics.actors import EnvSpec, policy_fingerprint
    from toyshift.diagnostics.evaluation import EvaluateConfig
    from toyshift.diagnostics.interface.asking import check_policy_interface
    from toyshift.diagnostics.tables import render_table

    if cfg.out is not None and cfg.out.is_file():
        raise ConfigError(f"--out {cfg.out} is a file; name a folder")
    policy_fingerprint(cfg.policy, cfg.remote)  # a clear error before the expert plays
    env = EnvSpec({} if cfg.task == "grasp" else {"task": cfg.task})
    asked = EvaluateConfig(cfg.policy, cfg.objects, seed=cfg.seed, env=env, remote=cfg.remote)
    report = check_policy_interface(asked, cfg.episodes, cfg.looks)
    lines = [
        [sign.name, f"{sign.error:.3f}", f"{sign.nearer:+.3f}", sign.told]
        for sign in sorted(report.signs, key=lambda sign: -sign.nearer)
    ]
    print(render_table(["taken back", "distance", "nearer by", ""], lines))
    print("distance: to the expert's actions, in standard deviations of them")
    print(f"{report.policy}: {report.verdict}")
    result = report.to_json()
    if cfg.out is not None:
        made_by = manifest(dataclasses.asdict(cfg) | {"out": str(cfg.out)}, cfg.seed)
        write_json(cfg.out / "interface.json", result | {"manifest": made_by})
    return result | {"ok": report.sound}
