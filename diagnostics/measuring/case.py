"""Rule or nearest example: on states outside the trained region, whose action does a policy take?

After "How Far is Video Generation from World Model": the planner's action there is the rule's, the action of the
nearest training state the example's.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.errors import ConfigError, FileError
from toyshift.diagnostics.measuring.finding import Finding, Findings, too_few, undefined
from toyshift.diagnostics.statistics import bootstrap_ratio
from toyshift.diagnostics.tables import interval

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

PART = "of the way from the nearest example's action to the rule's"
LEAST = 0.2  # [standard deviations] root mean square by which the two must differ for a scene to tell them apart
ARRAYS = ("pred", "law", "nearest")


def case_index(
    pred: ArrayLike, law: ArrayLike, nearest: ArrayLike, scale: ArrayLike = 1.0,
    episodes: Sequence[Any] | None = None, *, seed: int = 0, subject: str = "", called: str = "episodes",
    where: str = "outside the trained region",
) -> Finding:
    """Returns how far a policy's actions lie on the way from the nearest example's to the rule's: 0 copies, 1 obeys.

    <pred - nearest, law - nearest> / |law - nearest|^2, sums over scenes, bootstrap over episodes. Scenes in which the
    two differ by less than 0.2 standard deviations are left out.

    Args:
        pred: (N, K, A) the policy's chunks.
        law: (N, K, A) what is right there, e.g. the planner's.
        nearest: (N, K, A) of the training state that is nearest in its factors.
        scale: (A,) standard deviation of each action entry in training; 1 for chunks that are standardised.
        episodes: (N,) labels that are resampled as a whole; None resamples scenes.
        seed: of the bootstrap.
        subject: whose actions they are.
        called: what those labels stand for.
        where: the scenes are, in words.
    """
    chunks = [np.asarray(chunk, dtype=np.float64) for chunk in (pred, law, nearest)]
    unit = np.asarray(scale, dtype=np.float64)
    shapes = {chunk.shape for chunk in chunks}
    if len(shapes) > 1 or chunks[0].ndim != 3 or unit.shape not in ((), chunks[0].shape[-1:]):
        told = ", ".join(str(chunk.shape) for chunk in (*chunks, unit))
        raise ConfigError(f"case needs three arrays of one shape (N, K, A), and a scale (A,); got {told}")
    if not chunks[0].size:
        return undefined("case", PART, "there is no scene", subject=subject)
    if not all(np.isfinite(chunk).all() for chunk in chunks) or not (np.isfinite(unit) & (unit > 0)).all():
        raise ConfigError("case got actions that are not finite, or a scale that is not above 0")
    groups = None if episodes is None else list(episodes)
    if groups is not None and len(groups) != len(chunks[0]):
        raise ConfigError(f"{len(groups)} episode labels for {len(chunks[0])} scenes; there must be one per scene")
    own, right, copied = ((chunk / unit).reshape(len(chunk), -1) for chunk in chunks)
    apart = right - copied
    told_apart = np.sqrt((apart**2).mean(axis=1)) >= LEAST
    left = [label for label, kept in zip(groups, told_apart, strict=True) if kept] if groups is not None else None
    units = int(told_apart.sum()) if left is None else len(set(map(str, left)))
    if units < 2:
        count = f"in {int(told_apart.sum())} of {len(apart)} scenes"
        why = f"{count} rule and example differ by {LEAST} standard deviations or more; it needs 2 that are independent"
        return undefined("case", PART, why, n=units, subject=subject)
    apart, moved = apart[told_apart], (own - copied)[told_apart]
    beta = bootstrap_ratio((moved * apart).sum(axis=1), (apart**2).sum(axis=1), left, seed=seed)
    aside = float(((moved - beta.value * apart) ** 2).sum() / (apart**2).sum())
    span = f"beta {beta.value:.2f} {interval(beta.low, beta.high)}"
    few = too_few(units, "scenes" if left is None else called)
    if few:
        verdict = f"too few to tell which of rule and nearest example it follows ({span})"
    elif beta.low > 0.5:
        verdict = f"{where} it follows the rule rather than the nearest example ({span})"
    elif beta.high < 0.5:
        verdict = f"{where} it follows the nearest example ({span})"
    else:
        verdict = f"not told which of rule and nearest example it follows ({span})"
    caveats = list(few)
    if dropped := len(told_apart) - int(told_apart.sum()):
        caveats.append(f"{dropped} scenes in which rule and example hardly differ are left out")
    if (lost := aside > 1) and not few:
        caveats.append("its actions lie further from the line between the two than they are apart: it follows neither")
        verdict = f"it follows neither rule nor nearest example ({span}, {aside:.1f} aside)"
    figures = {"scenes": int(told_apart.sum()), "beta": beta.value, "low": beta.low, "high": beta.high, "aside": aside}
    return Finding(
        name="case", subject=subject, value=beta, unit=PART, null=0.0, verdict=verdict,
        card="" if few or lost or beta.low <= 0.5 <= beta.high else verdict, table=(figures,), caveats=tuple(caveats),
    )  # fmt: skip


def read_arrays(path: Path) -> dict[str, Any]:
    """Returns the arrays of an .npz file: pred, law and nearest (N, K, A); scale (A,) and episode (N,) where there.

    Raises:
        FileError: it is missing, damaged, or lacks one.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it holds one array without a name")
        with file:
            found = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist; give an .npz file with the arrays {', '.join(ARRAYS)}") from error
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path} is no .npz file that can be read ({error})") from error
    if missing := [name for name in ARRAYS if name not in found]:
        raise FileError(f"{path} lacks the arrays {', '.join(missing)}; it has: {', '.join(found) or 'none'}")
    figures = [name for name in (*ARRAYS, "scale") if name in found]
    if wrong := next((name for name in figures if found[name].dtype.kind not in "fiu"), ""):
        raise FileError(f"{path}: {wrong} holds {found[wrong].dtype}, not numbers")
    return found


def case_of(asked: Asked) -> Findings:
    """Answers for the arrays of a file."""
    assert asked.arrays is not None, "a measure of arrays is asked about a file"
    found = read_arrays(asked.arrays)
    episodes = np.atleast_1d(found["episode"]).tolist() if "episode" in found else None
    one = case_index(
        found["pred"], found["law"], found["nearest"], found.get("scale", 1.0), episodes, seed=asked.seed,
        subject=str(asked.arrays),
    )  # fmt: skip
    return Findings((one,))
