"""Re-runs the golden vectors of a bundle in onnxruntime.

toyshift verify bundle
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift verify`."""

    bundle: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="BUNDLE")]
    """Folder that `toyshift export` wrote."""


def main(cfg: Config) -> dict[str, Any]:
    """Re-runs the golden vectors of a bundle in onnxruntime; fails when an action differs by more than 1e-5.

    Example: toyshift verify bundle
    """
    from toyshift.policies import verify

    result: dict[str, Any] = verify(cfg.bundle)
    passed, largest = "passed" if result["passed"] else "FAILED", f"{result['largest_difference']:.1e}"
    difference = f"largest difference {largest} (allowed {result['tolerance']:.0e})"
    pace = f"{result['milliseconds']:.1f} ms per chunk"
    print(f"{cfg.bundle}: {passed}, {result['cases']} cases, {difference}, {pace}")
    return result | {"ok": result["passed"]}
