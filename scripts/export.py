"""Packs a policy into a self-checking bundle: ONNX, contract, golden vectors.

toyshift export runs/detpool --out bundle
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift export`."""

    policy: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Folder that `toyshift train` wrote."""
    out: Path
    """Folder of the bundle."""


def main(cfg: Config) -> dict[str, Any]:
    """Packs a policy into a self-checking bundle: ONNX with normalisation inside, contract.json, golden vectors.

    Example: toyshift export runs/detpool --out bundle
    """
    from toyshift.policies import export

    bundle = export(cfg.policy, cfg.out)
    print(f"bundle: {bundle} (check it anywhere with: toyshift verify {bundle})")
    return {"out": bundle, "files": sorted(path.name for path in bundle.iterdir())}
