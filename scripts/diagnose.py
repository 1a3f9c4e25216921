"""Says what a policy is sensitive to, or how datasets differ.

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
class Config(Common, scenes=2, looks=1, trials=0):
    """Options of `toyshift diagnose`."""

    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Folder of a policy or bundle; give it several times for several."""
    objects: str = "toys:test"
    """Object set whose scenes the policy looks at."""
    training_set: str = ""
    """Object set that the policies were trained on, where success with nothing changed is measured; none asks their
    demonstrations. A policy below 50 % there is called incapable and gets no labels."""
    scenes: int = 40
    """Scenes per policy in which the change of the actions is measured."""
    looks: int = 5
    """Looks at each of them, along an episode of the expert."""
    trials: int = 20
    """Episodes per policy and factor, and on the training set, in which success is measured; 0 leaves it out, and with
    it all labels."""
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
        super().__post_init__()
        if bool(self.policy) == bool(self.data):
            asks = {needs: " ".join(m.question for m in MEASURES if m.needs == needs) for needs in (POLICY, DATASETS)}
            raise ConfigError(f"give either --policy DIR ({asks[POLICY]}) or --data DIR DIR ... ({asks[DATASETS]})")

    def asked(self, policy: str = "") -> Asked:
        """What the questions are asked about: the datasets, or one of the policies."""
        return Asked(
            policy=policy, datasets=self.data, objects=self.objects, training_set=self.training_set,
            scenes=self.scenes, looks=self.looks, trials=self.trials, camera=self.camera, encoder=self.encoder,
            encoder_weights=self.encoder_weights, scale=self.scale, seed=self.seed, out=self.out,
        )


def main(cfg: Config) -> dict[str, Any]:
    """Says what a policy is sensitive to, or how datasets differ.

    Scenes along the expert's episodes are rendered twice with one factor changed. The change of the predicted actions
    comes first, in standard deviations of an action; beside it stand how many centimetres of the target's way change
    them as much, and the change in success of whole episodes under the same factor, from the same starts.

    Example: toyshift diagnose --policy runs/detpool --objects toys:test
    Example: toyshift diagnose --data runs/left runs/right
    Example: toyshift diagnose --data runs/left runs/right --encoder efficientnet-lite0 --scale unit
    """
    result = of_policies(cfg) if cfg.policy else of_datasets(cfg)
    given = dataclasses.asdict(cfg) | {"out": str(cfg.out), "data": [str(path) for path in cfg.data]}
    facts = manifest(given, cfg.seed)
    path = cfg.out / ("sensitivity.json" if cfg.policy else "diversity.json")
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
                f"{policy} looks at no images and is sensitive to none of their factors; "
                f"give the folder of a trained policy"
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
