"""Verification of an exported bundle: hashes, then golden vectors run again in onnxruntime, without torch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.errors import ContractError, ToyShiftError
from toyshift.policies.bundle_format import OUTPUT, TOLERANCE, check_bundle, open_session, read_golden


def verify(bundle: str | Path) -> dict[str, Any]:
    """Runs a bundle's golden inputs and compares with its golden actions.

    Every case is run alone and all together, so that a network that mixes its batch is caught as well.

    Args:
        bundle: folder written by `export`.

    Returns:
        bundle, passed (True), largest_difference (physical units), tolerance, cases, milliseconds (best of a chunk on
        one thread).

    Raises:
        FileError: a file is missing, damaged or changed.
        ContractError: the network's inputs are not those of contract.json.
        ToyShiftError: the largest difference is above the tolerance.
    """
    folder = Path(bundle)
    contract = check_bundle(folder)
    inputs, expected = read_golden(folder)
    session = open_session(folder)
    declared = {name: list(entry["shape"]) for name, entry in contract["inputs"].items()}
    actual = {node.name: list(node.shape) for node in session.get_inputs()}
    if declared != actual:
        raise ContractError(f"the inputs of {folder / 'policy.onnx'} are {actual}, contract.json says {declared}")

    together = session.run([OUTPUT], inputs)[0]
    if together.shape != expected.shape or not np.isfinite(together).all():
        raise ToyShiftError(f"{folder}: the network gives actions of shape {together.shape} (finite: {bool(np.isfinite(together).all())}), golden.npz holds {expected.shape}")
    difference = float(np.abs(together - expected).max())
    best = float("inf")
    for i in range(len(expected)):
        start = time.perf_counter()
        alone = session.run([OUTPUT], {k: v[i : i + 1] for k, v in inputs.items()})[0]
        best = min(best, time.perf_counter() - start)
        difference = max(difference, float(np.abs(alone[0] - expected[i]).max()))
    if difference > TOLERANCE:
        raise ToyShiftError(f"{folder} does not reproduce its golden vectors: largest difference {difference:.3g}, allowed {TOLERANCE:g}")
    return {"bundle": str(folder), "passed": True, "largest_difference": difference, "tolerance": TOLERANCE, "cases": len(expected), "milliseconds": round(1e3 * best, 3)}
