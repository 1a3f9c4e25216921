"""Fits the alarm of a bundle: on its training's data, and on held-out episodes.

toyshift robot alarm bundle --data runs/demos --out alarm.npz
toyshift robot alarm bundle --data runs/demos --held-out runs/robot/episodes --share 0.1 --out alarm.npz
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError
from toyshift.core.files import require_new
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, episodes=1, share=(0.001, 0.999)):
    """Options of `toyshift robot alarm`."""

    bundle: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="BUNDLE")]
    """Folder that `toyshift export` wrote."""
    data: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Dataset that it was trained on, several times for several: what is like it raises no alarm."""
    held_out: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Dataset of episodes in which all was well, which it was not trained on; none plays them in the simulator."""
    objects: str = "toys:train"
    """Objects of the held-out episodes that are played."""
    episodes: int = 200
    """How many are played."""
    masks: str = "truth"
    """Where the masks of played episodes come from, as for `toyshift evaluate`."""
    share: float = 0.05
    """Share of episodes like the held-out ones in which it sounds, at most."""
    out: Path
    """File to write, such as alarm.npz; then: toyshift robot run BUNDLE --alarm FILE."""


def main(cfg: Config) -> dict[str, Any]:
    """Fits the alarm of a bundle: it sounds where what the policy reads is unlike its training. See docs/robot.md.

    Example: toyshift robot alarm bundle --data runs/demos --out alarm.npz
    """
    import numpy as np

    from toyshift.diagnostics.alarm_fit import dataset_features, play
    from toyshift.policies.act.onnx_policy import OnnxPolicy
    from toyshift.policies.checkpoints import file_hash
    from toyshift.policies.safety import Alarm

    policy = OnnxPolicy(cfg.bundle, cfg.bundle.resolve().name)
    if not cfg.data:
        raise ConfigError("--data is missing: the datasets that the bundle was trained on")
    require_new(cfg.out)
    training = dataset_features(policy, cfg.data)
    if cfg.held_out:
        held = dataset_features(policy, cfg.held_out)
    else:
        played = play(
            policy, cfg.objects, range(cfg.episodes), purpose="validation", seed=cfg.seed, masks=cfg.masks
        )
        held = [one.features for one in played]
    alarm = Alarm.fit(np.concatenate(training), held, cfg.share, file_hash(cfg.bundle / "policy.onnx"))
    alarm.save(cfg.out)
    told = f"sounds above {alarm.threshold:.3f}, in at most {cfg.share:.0%} of episodes like {len(held)} held-out ones"
    print(f"{cfg.out}: {len(training)} episodes of the training; {told}")
    return {"out": cfg.out, "threshold": alarm.threshold, "training": len(training), "held_out": len(held)}
