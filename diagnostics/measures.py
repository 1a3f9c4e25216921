"""What a diagnosis measures: one row is one question, answered by one file.

A new diagnostic is a file with two functions, from `Asked` to a frozen result with `to_json` and from that to a text
table, and one row here.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

POLICY, DATASETS = "policy", "datasets"  # what a question is about


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What a question is asked about, and how thoroughly; a diagnostic takes of it what it needs.

    Attributes:
        policy: folder of a policy or bundle, for questions about a policy.
        datasets: folders of datasets, for questions about those.
        objects: object set whose scenes the policy looks at.
        training_set: object set that the policy was trained on; "" asks its demonstrations.
        scenes: scenes in which the change of its actions is measured.
        looks: looks along an episode in each.
        trials: episodes for each change in which its success is measured; 0 leaves that out.
        camera: whose images of the datasets are compared.
        encoder: what makes vectors of those images, see `features.features_of`.
        encoder_weights: its weights, FAMILY:FILE, or none.
        scale: what distances of vectors are in units of, see `diversity.scale_of`.
        seed: root seed.
        out: folder of the results, for rows that are kept.
    """

    policy: str = ""
    datasets: tuple[Path, ...] = ()
    objects: str
    training_set: str = ""
    scenes: int
    looks: int
    trials: int
    camera: str
    encoder: str = "thumbnail"
    encoder_weights: str = "none"
    scale: str = "shipped"
    seed: int
    out: Path


@dataclasses.dataclass(frozen=True)
class Measure:
    """One question.

    Attributes:
        name: key of its answer in files of results.
        question: in words.
        needs: POLICY or DATASETS, what it is about.
        answered: "module:function" of this room: `Asked` -> result with `to_json`, or None where it is not wanted.
        shown: "module:function" of this room: result -> text for terminals.
    """

    name: str
    question: str
    needs: str
    answered: str
    shown: str

    def answer(self, asked: Asked) -> Any:
        """Returns the result, None where it is not wanted."""
        return _function(self.answered)(asked)

    def show(self, result: Any) -> str:
        """Returns a result as text for terminals."""
        return str(_function(self.shown)(result))


def _function(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"toyshift.diagnostics.{module}"), name)


MEASURES = (
    Measure("success", "does it succeed under these changes?", POLICY, "changes:changes_of", "changes:changes_table"),
    Measure(
        "sensitivity", "what is it sensitive to?", POLICY, "sensitivity:sensitivity_of", "sensitivity:sensitivity_table"
    ),
    Measure("diversity", "how do they differ?", DATASETS, "diversity:diversity_of", "diversity:diversity_table"),
    Measure(
        "dependence", "does what is seen tell of what to do?", DATASETS, "dependence:dependence_of",
        "dependence:dependence_table",
    ),
)
