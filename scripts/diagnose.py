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
from toyshift.core.workers import core_count, worker_pool
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
    out: Path = Path("runs/diagnosis")
    """Folder of the results."""

    def __post_init__(self) -> None:
        if bool(self.policy) == bool(self.data):
            raise ConfigError("give either --policy DIR (what does it lean on?) or --data DIR DIR ... (how do they differ?)")
        if self.scenes < 2:
            raise ConfigError(f"--scenes must be at least 2, got {self.scenes}")
        if self.trials < 0:
            raise ConfigError(f"--trials must be at least 0, got {self.trials}")


def main(cfg: Config) -> dict[str, Any]:
    """Says what a policy leans on, or how datasets differ.

    Scenes are rendered twice with one factor changed; the change of the predicted actions is compared with the one that
    the target's moving by 5 cm causes. Beside it stands the success of whole episodes under the same change.

    Example: toyshift diagnose --policy runs/detpool --objects toys:test
    Example: toyshift diagnose --data runs/left runs/right
    """
    result = of_policies(cfg) if cfg.policy else of_datasets(cfg)
    facts = manifest(dataclasses.asdict(cfg) | {"out": str(cfg.out), "data": [str(path) for path in cfg.data]}, cfg.seed)
    path = cfg.out / ("leaning.json" if cfg.policy else "diversity.json")
    write_json(path, result | {"manifest": facts})
    print(f"results: {path}")
    return result | {"out": path}


def of_policies(cfg: Config) -> dict[str, Any]:
    """Measures what each policy leans on."""
    from toyshift.diagnostics import LeaningConfig, diagnose, summary_table
    from toyshift.diagnostics.actors import BUILTIN, policy_fingerprint
    from toyshift.diagnostics.leaning import leaning_table
    from toyshift.policies.remote.options import is_remote

    for policy in cfg.policy:
        if policy in BUILTIN:
            raise ConfigError(f"{policy} looks at no images and leans on none of their factors; give the folder of a trained policy")
        if is_remote(policy):
            raise ConfigError(f"{policy} is asked over a connection; diagnose looks at the folder of a trained policy (evaluate takes both)")
        policy_fingerprint(policy)
    results: dict[str, Any] = {}
    success: dict[str, Any] = {}  # policy -> factor, "" for none -> summary
    for policy in cfg.policy:
        leaning = diagnose(policy, cfg.objects, LeaningConfig(scenes=cfg.scenes, seed=cfg.seed))
        print(leaning_table(leaning))
        results[policy] = leaning.to_json()
        if cfg.trials:
            under = success_under_changes(cfg, policy)
            print(summary_table(list(under.values())))
            success[policy] = {factor: summary.to_json() for factor, summary in under.items()}
    return {"leaning": results, "success": success}


def success_under_changes(cfg: Config, policy: str) -> dict[str, Any]:
    """Returns the summary of episodes with each factor changed as in the measurement, and with none ("")."""
    from toyshift.diagnostics import DEFAULT_FACTORS, EvaluateConfig, evaluate, summarise

    found = {}
    with worker_pool(core_count()) as pool:
        for factor, levels in {"": (), **DEFAULT_FACTORS}.items():
            look = {factor: levels} if factor else {}
            config = EvaluateConfig(policy, cfg.objects, trials=cfg.trials, seed=cfg.seed + 1000, look=look)
            rows = evaluate(config, cfg.out / "rows" / f"{Path(policy).name}_{factor or 'plain'}.parquet", pool=pool)
            found[factor] = summarise(rows)[0]
    return found


def of_datasets(cfg: Config) -> dict[str, Any]:
    """Measures diversity within and disparity between datasets, and how much what is seen in them tells of what to do."""
    from toyshift.diagnostics import measure_diversity
    from toyshift.diagnostics.dependence import dependence_table, episode_factors, measure_dependence
    from toyshift.diagnostics.diversity import diversity_table, episode_frames

    diversity = measure_diversity({str(folder): episode_frames(folder, cfg.camera) for folder in cfg.data}, seed=cfg.seed)
    print(diversity_table(diversity))
    dependence = measure_dependence({str(folder): episode_factors(folder) for folder in cfg.data}, seed=cfg.seed)
    print(f"\n{dependence_table(dependence)}")
    return {"diversity": diversity.to_json(), "dependence": dependence.to_json()}
