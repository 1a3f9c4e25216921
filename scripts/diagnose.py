"""Says what a policy leans on, or how datasets differ.

toyshift diagnose --policy runs/detpool --objects toys:test
toyshift diagnose --data runs/left runs/right    diversity within, disparity between, mutual information of factors
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError
from toyshift.core.files import write_json
from toyshift.core.manifest import manifest
from toyshift.diagnostics.measures import DATASETS, MEASURES, POLICY, Asked
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift diagnose`."""

    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Folder of a policy or bundle; give it several times for several."""
    objects: str = "toys:test"
    """Object set whose scenes the policy looks at."""
    scenes: int = 40
    """Scenes per policy in which the change of the actions is measured."""
    trials: int = 20
    """Episodes per policy and factor in which success under the change is measured; 0 leaves it out."""
    data: tuple[Path, ...] = ()
    """Folders of datasets to compare."""
    camera: str = "front"
    """Camera whose images are compared (with --data)."""
    encoder: str = "thumbnail"
    """What makes vectors of images (with --data): thumbnail (8 x 8 colours and edges), efficientnet-lite0 (its weights
    come by pip), resnet18 or vit-tiny to vit-large with --encoder-weights, or module:function of your own."""
    encoder_weights: str = "none"
    """Weights of that encoder: FAMILY:FILE.safetensors, as for `toyshift train`."""
    scale: str = "shipped"
    """What distances of images are in units of (with --data): shipped (pictures of training toys; for thumbnail and
    efficientnet-lite0), DIR (the first images of a dataset that you name), FILE.npz (a scale made by
    benchmarks/reference_scale.py), or unit (vectors of unit length, the paper's measure)."""
    out: Path = Path("runs/diagnosis")
    """Folder of the results."""

    def __post_init__(self) -> None:
        if bool(self.policy) == bool(self.data):
            asks = {needs: " ".join(m.question for m in MEASURES if m.needs == needs) for needs in (POLICY, DATASETS)}
            raise ConfigError(f"give either --policy DIR ({asks[POLICY]}) or --data DIR DIR ... ({asks[DATASETS]})")
        if self.scenes < 2:
            raise ConfigError(f"--scenes must be at least 2, got {self.scenes}")
        if self.trials < 0:
            raise ConfigError(f"--trials must be at least 0, got {self.trials}")

    def asked(self, policy: str = "") -> Asked:
        """What the questions are asked about: the datasets, or one of the policies."""
        return Asked(
            policy=policy, datasets=self.data, objects=self.objects, scenes=self.scenes, trials=self.trials,
            camera=self.camera, encoder=self.encoder, encoder_weights=self.encoder_weights, scale=self.scale,
            seed=self.seed, out=self.out,
        )


def main(cfg: Config) -> dict[str, Any]:
    """Says what a policy leans on, or how datasets differ.

    Scenes are rendered twice with one factor changed; the change of the predicted actions is compared with the one that
    the target's moving by 5 cm causes. Beside it stands the success of whole episodes under the same change.

    Example: toyshift diagnose --policy runs/detpool --objects toys:test
    Example: toyshift diagnose --data runs/left runs/right
    Example: toyshift diagnose --data runs/left runs/right --encoder efficientnet-lite0 --scale unit
    """
    result = of_policies(cfg) if cfg.policy else of_datasets(cfg)
    given = dataclasses.asdict(cfg) | {"out": str(cfg.out), "data": [str(path) for path in cfg.data]}
    facts = manifest(given, cfg.seed)
    path = cfg.out / ("leaning.json" if cfg.policy else "diversity.json")
    write_json(path, result | {"manifest": facts})
    print(f"results: {path}")
    return result | {"out": path}


def of_policies(cfg: Config) -> dict[str, Any]:
    """Answers every question about each policy: name of the measure -> policy -> result."""
    from toyshift.diagnostics.actors import BUILTIN, policy_fingerprint
    from toyshift.policies.remote.options import is_remote

    for policy in cfg.policy:
        if policy in BUILTIN:
            raise ConfigError(
                f"{policy} looks at no images and leans on none of their factors; give the folder of a trained policy"
            )
        if is_remote(policy):
            raise ConfigError(
                f"{policy} is asked over a connection; diagnose looks at the folder of a trained policy "
                f"(evaluate takes both)"
            )
        policy_fingerprint(policy)
    measures = [measure for measure in MEASURES if measure.needs == POLICY]
    results: dict[str, Any] = {measure.name: {} for measure in measures}
    for policy in cfg.policy:
        for measure in measures:
            if (answer := measure.answer(cfg.asked(policy))) is not None:
                print(measure.show(answer))
                results[measure.name][policy] = answer.to_json()
    return results


def of_datasets(cfg: Config) -> dict[str, Any]:
    """Answers every question about the datasets together: name of the measure -> result."""
    results: dict[str, Any] = {}
    for measure in MEASURES:
        if measure.needs == DATASETS and (answer := measure.answer(cfg.asked())) is not None:
            print(("\n" if results else "") + measure.show(answer))
            results[measure.name] = answer.to_json()
    return results
