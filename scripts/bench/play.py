"""Plays a benchmark with one policy, and writes its result file and score card.

toyshift bench --policy runs/detpool
toyshift bench --policy ws://localhost:8000 --remote-keys libero --remote-actions libero --name pi0
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.core.graphics import gl_backend
from toyshift.core.manifest import manifest
from toyshift.policies.remote.options import LEROBOT
from toyshift.scripts.options import Asking, Clustered

BUILTIN = ("oracle", "random")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Clustered, Asking):
    """Options of `toyshift bench`."""

    policy: str
    """Folder of a policy or bundle, oracle, random, ws://HOST:PORT (a server) or lerobot:DIR. Whether it is wired right
    is not asked here: `toyshift check-policy` does."""
    benchmark: str = "ToyShift-1"
    """Which version is played; what is in a version never changes."""
    name: str = ""
    """What the policy is called in tables; by default its folder's name."""
    masks: str = "truth"
    """Masks that it sees: truth, noisy:IOU, detector, or module:name of your own detector."""
    trained_on: tuple[Path, ...] = ()
    """Datasets that it was trained on: then the score card says which shortcut it took, if one is shown (2 minutes)."""
    out: Path = Path("runs/bench")
    """Folder of the result file, and of the rows until all are there."""
    dry_run: bool = False
    """Say what is played, and play nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.here and self.policy.startswith(LEROBOT):
            raise ConfigError(f"{self.policy} is served on this machine, where the nodes of a cluster do not see it")
        if self.seed:
            raise ConfigError("a benchmark has starts of its own; leave --seed out")
        if self.trained_on and self.policy in BUILTIN:
            raise ConfigError(f"{self.policy} was trained on nothing; leave --trained-on out")


def main(cfg: Config) -> dict[str, Any]:
    """Plays a benchmark with one policy: fixed objects, starts and shifts; one result file and a score card.

    A killed run goes on; the same policy on the same machine gives the same hash again.
    Example: toyshift bench --policy runs/detpool
    Example: toyshift bench --policy runs/detpool --trained-on runs/demos
    """
    from toyshift.diagnostics.bench.versions import version

    own = version(cfg.benchmark)
    if cfg.dry_run:
        return {"episodes": own.episodes, "parts": _listed(own.parts)}
    gl_backend()
    from toyshift.diagnostics.bench.playing import play_benchmark
    from toyshift.diagnostics.bench.score_card import score, score_table
    from toyshift.scripts.evaluate import row_names

    name = cfg.name or row_names([cfg.policy])[cfg.policy].replace("/", "-").replace(":", "-")
    facts = manifest({k: str(v) for k, v in dataclasses.asdict(cfg).items()}, 0)
    result = play_benchmark(
        own, cfg.policy, name, cfg.out, facts, masks=cfg.masks, remote=cfg.remote, workers=cfg.processes, ray=cfg.ray,
        shortcut=_shortcut(cfg),
    )
    card = score(result)
    print(f"{score_table(card)}\nresult: {result.path}")
    return card.to_json() | {"out": result.path}


def _listed(parts: Sequence[Any]) -> list[dict[str, Any]]:
    from toyshift.diagnostics.tables import render_table

    lines = [[p.name, p.kind, p.objects, p.shift or ", ".join(f"{k}={v}" for k, v in p.kwargs.items()), str(p.episodes)]
             for p in parts]  # fmt: skip
    print(render_table(["part", "kind", "objects", "shift", "episodes"], lines))
    return [dataclasses.asdict(part) | {"kwargs": dict(part.kwargs)} for part in parts]


def _shortcut(cfg: Config) -> str:
    """Returns what the card of a diagnosis says; "" where nobody said what the policy was trained on."""
    if not cfg.trained_on:
        return ""
    from toyshift.scripts import diagnose

    asked = diagnose.Config(policy=(cfg.policy,), trained_on=cfg.trained_on, out=cfg.out / "diagnosis", **_remote(cfg))
    cards = diagnose.main(asked).get("cards", [])
    return str(cards[0]["verdict"]) if cards else "no card could be made"


def _remote(cfg: Config) -> dict[str, Any]:
    return {field.name: getattr(cfg, field.name) for field in dataclasses.fields(Asking)}
