"""Verification of an exported bundle: hashes, then golden vectors run again in onnxruntime, without torch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import ContractError, ToyShiftError
from toyshift.policies.act.bundle_format import MODEL_FILE, OUTPUT, TOLERANCE, check_bundle, open_session, read_golden


def _difference(name: str, ours: NDArray[Any], golden: NDArray[Any]) -> float:
    """Returns the largest difference: of actions in physical units, of features relative to those above 1."""
    scale = 1.0 if name == OUTPUT else np.maximum(np.abs(golden), 1.0)
    return float((np.abs(ours - golden) / scale).max())


def verify(bundle: str | Path) -> dict[str, Any]:
    """Runs a bundle's golden inputs and compares with its golden actions.

    Every case is run alone and all together, so that a network that mixes its batch is caught as well.

    Args:
        bundle: folder written by `export`.

    Returns:
        bundle, passed (True), largest_difference (physical units; of features relative to their size), tolerance,
        cases, milliseconds (best of a chunk on one thread).

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
        raise ContractError(f"the inputs of {folder / MODEL_FILE} are {actual}, contract.json says {declared}")
    outputs = [node.name for node in session.get_outputs()]
    if list(expected) != outputs:
        raise ContractError(f"the outputs of {folder / MODEL_FILE} are {outputs}, golden.npz holds {list(expected)}")
    difference = 0.0
    for name, array in zip(expected, session.run(list(expected), inputs), strict=True):
        if array.shape != expected[name].shape or not np.isfinite(array).all():
            finite = bool(np.isfinite(array).all())
            raise ToyShiftError(
                f"{folder}: the network gives {name} of shape {array.shape} (finite: {finite}), "
                f"golden.npz holds {expected[name].shape}"
            )
        difference = max(difference, _difference(name, array, expected[name]))
    best = float("inf")
    cases = len(expected[OUTPUT])
    for i in range(cases):
        start = time.perf_counter()
        alone = session.run(list(expected), {k: v[i : i + 1] for k, v in inputs.items()})
        best = min(best, time.perf_counter() - start)
        for name, array in zip(expected, alone, strict=True):
            difference = max(difference, _difference(name, array[0], expected[name][i]))
    if difference > TOLERANCE:
        raise ToyShiftError(
            f"{folder} does not reproduce its golden vectors: "
            f"largest difference {difference:.3g}, allowed {TOLERANCE:g}"
        )
    return {
        "bundle": str(folder), "passed": True, "largest_difference": difference, "tolerance": TOLERANCE,
        "cases": cases, "milliseconds": round(1e3 * best, 3),
    }
