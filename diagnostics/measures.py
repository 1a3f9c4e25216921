"""What a diagnosis measures: one row is one question, answered by one file.

A new diagnostic is a file with two functions, from `Asked` to a frozen result with `to_json` and from that to a text
table (or one function, from `Asked` to `measuring.finding.Findings`), planted truths in `measuring/self_test.py`, and
one row here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.lazy import imported
from toyshift.core.workers import Pool, core_count, worker_pool
from toyshift.policies.remote.options import RemoteOptions

if TYPE_CHECKING:
    from toyshift.core.truths import Truth
    from toyshift.data.formats.outline import Outline
    from toyshift.diagnostics.cards import Card
    from toyshift.diagnostics.looks import Along

POLICY, DATASETS, ROWS, ARRAYS = "policy", "datasets", "rows", "arrays"  # what a question is about


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What a question is asked about, and how thoroughly; a diagnostic takes of it what it needs.

    Attributes:
        policy: folder of a policy or bundle, ws://HOST:PORT, vla-eval:HOST:PORT or lerobot:DIR, for questions
            about a policy.
        datasets: folders or files of datasets, for questions about those.
        rows: result files, as `measuring.episodes.read_policies` takes them, for questions about episodes.
        arrays: file of actions, for questions about those.
        remote: how a policy behind a server is asked and understood.
        trained_on: datasets that tell what a factor implied in training: folders of datasets, or of sub-datasets.
        base: folder of the policy that `policy` was tuned from; "" asks the policy's own folder.
        along: whose episodes are looked at, "expert" or "policy".
        objects: object set whose scenes the policy looks at.
        training_set: object set that the policy was trained on; "" asks its demonstrations.
        scenes: scenes in which the change of its actions is measured.
        looks: looks along an episode in each.
        trials: episodes for each change in which its success is measured; 0 leaves that out.
        camera: whose images of the datasets are compared; "" takes front, or the first that there is.
        encoder: what makes vectors of those images, see `features.features_of`.
        encoder_weights: its weights, FAMILY:FILE, or none.
        scale: what distances of vectors are in units of, see `diversity.scale_of`.
        seed: root seed.
        out: folder of the results, for rows that are kept.
        workers: processes that look and play; 0 takes one per core.
        pool: those processes, where several measures share them.
    """

    policy: str = ""
    datasets: tuple[Path, ...] = ()
    rows: tuple[str, ...] = ()
    arrays: Path | None = None
    remote: RemoteOptions = dataclasses.field(default_factory=RemoteOptions)
    trained_on: tuple[Path, ...] = ()
    base: str = ""
    along: Along = "expert"
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
    workers: int = 0
    pool: Pool | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def processes(self) -> int:
        """How many processes look and play."""
        return self.workers or core_count()

    @functools.cached_property
    def base_look(self) -> dict[str, Any]:
        """The look that changes begin from: the commonest of the data (`trained_on`), where they tell it; {} is the
        ordinary one.
        """
        found: dict[str, Any] = _function("measuring.implied:usual_look_of")(self.trained_on) if self.trained_on else {}
        return found

    def playing(self) -> contextlib.AbstractContextManager[Pool]:
        """Returns the processes that look and play: those that are shared, or own ones."""
        return worker_pool(self.processes) if self.pool is None else contextlib.nullcontext(self.pool)

    @functools.cached_property
    def outlines(self) -> dict[str, Outline]:
        """The datasets, opened once: by their place."""
        from toyshift.diagnostics.datasets import opened

        return opened(self.datasets)


@dataclasses.dataclass(frozen=True)
class Measure:
    """One question.

    Attributes:
        name: key of its answer in files of results.
        question: in words.
        needs: POLICY, DATASETS, ROWS or ARRAYS, what it is about.
        answered: "module:function" of this room: `Asked` -> result with `to_json`, or None where it is not wanted.
        shown: "module:function" of this room: result -> text for terminals.
        tried: "module:function" of this room: () -> planted truths and what is measured of them; the first paragraph of
            its docstring says what is planted.
        paper: whose idea it is.
        cost: what it takes on two cores, as a rule of thumb.
        inside: why it cannot be asked of a policy behind a server, which only tells its actions; "" where it can.
        trained: whether it needs the data that a policy was trained on.
        extra: whether it is asked by name, or with `all`, only: no card is made of it.
    """

    name: str
    question: str
    needs: str
    answered: str
    shown: str
    tried: str
    paper: str
    cost: str
    inside: str = ""
    trained: bool = False
    extra: bool = False

    def answer(self, asked: Asked) -> Any:
        """Returns the result, None where it is not wanted."""
        return _function(self.answered)(asked)

    def show(self, result: Any) -> str:
        """Returns a result as text for terminals."""
        return str(_function(self.shown)(result))

    @property
    def planted(self) -> str:
        """What its planted truths are, in words."""
        return " ".join(str(_function(self.tried).__doc__).partition("\n\n")[0].split())

    def truths(self) -> list[Truth]:
        """Returns what is measured of data whose answer is known."""
        found: list[Truth] = _function(self.tried)()
        return found


def _function(place: str) -> Any:
    return imported("toyshift.diagnostics", place)


# what a diagnosis of all questions ends in: "module:function" of this room, (asked, name of a measure -> its result) ->
# `cards.Card`, and the planted truths of that
CARDS = {
    POLICY: ("measuring.policy_card:policy_card", "measuring.policy_card:card_truths"),
    DATASETS: ("measuring.dataset_card:dataset_card", "measuring.dataset_card:card_truths"),
}


def card_of(needs: str, asked: Asked, answers: Mapping[str, Any]) -> Card | None:
    """Returns the card of what was asked about, None where there is none of its kind."""
    return _function(CARDS[needs][0])(asked, answers) if needs in CARDS else None


def card_truths(needs: str) -> list[Truth]:
    """Returns what the card of planted data says; nothing where there is no card of its kind."""
    return _function(CARDS[needs][1])() if needs in CARDS else []


_INSIDE = "it looks into the network of a folder"
_FOUND = "measuring.finding:findings_table"
_SHORTCUTS = "Shortcut Learning in Generalist Robot Policies"
MEASURES = (
    Measure(
        "success", "does it succeed under these changes?", POLICY, "changes:changes_of", "changes:changes_table",
        "measuring.self_test:success_truths", _SHORTCUTS, "minutes",
    ),
    Measure(
        "sensitivity", "what is it sensitive to?", POLICY, "sensitivity:sensitivity_of",
        "sensitivity:sensitivity_table", "measuring.self_test:sensitivity_truths", _SHORTCUTS, "a minute",
    ),
    Measure(
        "counterfactual", "which way do its actions go when one factor is swapped?", POLICY,
        "measuring.counterfactual:counterfactual_of", _FOUND, "measuring.self_test:counterfactual_truths", _SHORTCUTS,
        "a minute",
    ),
    Measure(
        "named", "does it go to what its instruction names?", POLICY, "measuring.named:named_of", _FOUND,
        "measuring.self_test:named_truths", "ours", "a minute",
    ),
    Measure(
        "predicted", "is its success under a shift foretold by single looks?", POLICY,
        "measuring.predicted:predicted_of", _FOUND, "measuring.self_test:predicted_truths", "ours", "minutes",
        extra=True,
    ),
    Measure(
        "rule", "outside its data: rule or nearest example?", POLICY, "measuring.rule:rule_of", _FOUND,
        "measuring.self_test:rule_truths", "How Far is Video Generation from World Model", "a minute", trained=True,
    ),
    Measure(
        "diversity", "how do they differ?", DATASETS, "diversity:diversity_of", "diversity:diversity_table",
        "measuring.self_test:diversity_truths", _SHORTCUTS, "seconds",
    ),
    Measure(
        "dependence", "does what is seen tell of what to do?", DATASETS, "dependence:dependence_of",
        "dependence:dependence_table", "measuring.self_test:dependence_truths", _SHORTCUTS, "seconds",
    ),
    Measure(
        "consistency", "are failures the object's, or luck?", ROWS, "measuring.consistency:consistency_of", _FOUND,
        "measuring.self_test:consistency_truths", "What Does My QA Model Know?", "a second",
    ),
    Measure(
        "progression", "does more of it help everywhere?", ROWS, "measuring.consistency:progression_of", _FOUND,
        "measuring.self_test:progression_truths", "ChildPlay", "a second",
    ),
    Measure(
        "ignorance", "does it miss in spite of knowing?", ROWS, "measuring.ignorance:ignorance_of", _FOUND,
        "measuring.self_test:ignorance_truths", "Distinguishing Ignorance from Error", "a second",
    ),
    Measure(
        "case", "rule or nearest example?", ARRAYS, "measuring.case:case_of", _FOUND,
        "measuring.self_test:case_truths", "How Far is Video Generation from World Model", "a second",
    ),
    Measure(
        "patching", "who drives the action, inside?", POLICY, "measuring.patching:patching_of", _FOUND,
        "measuring.self_test:patching_truths", "Recall vs Reasoning", "a minute",
        _INSIDE,
    ),
    Measure(
        "probes", "what can be read inside?", POLICY, "measuring.probes:probes_of", _FOUND,
        "measuring.self_test:probes_truths", "Overlooked Factors in Concept-Based Explanations", "half a minute",
        _INSIDE,
    ),
    Measure(
        "steer", "does one direction inside carry it?", POLICY, "measuring.steer:steer_of", _FOUND,
        "measuring.self_test:steer_truths", "Steering (G-ACT)", "seconds",
        _INSIDE,
    ),
    Measure(
        "coherence", "do episodes, and sub-datasets, pull the weights the same way?", POLICY,
        "measuring.coherence:coherence_of", _FOUND, "measuring.learning_truths:coherence_truths",
        "On the Generalization Mystery in Deep Learning", "half a minute", _INSIDE, extra=True,
    ),
    Measure(
        "bits", "how much must be known beforehand to act right under this shift?", POLICY, "measuring.bits:bits_of",
        _FOUND, "measuring.learning_truths:bits_truths", "Towards Exact Computation of Inductive Bias", "half a minute",
        _INSIDE, extra=True,
    ),
    Measure(
        "novelty", "what does it know that the policy it was tuned from did not?", POLICY,
        "measuring.two_policies:novelty_of", _FOUND, "measuring.learning_truths:novelty_truths",
        "What's New in My Data? (CGE)", "a minute", _INSIDE, extra=True,
    ),
    Measure(
        "dissociation", "do parts of it serve seen and new objects apart?", POLICY,
        "measuring.dissociation:dissociation_of", _FOUND, "measuring.learning_truths:dissociation_truths",
        "Recall vs Reasoning", "a minute", _INSIDE, extra=True,
    ),
    Measure(
        "monitor", "was it still reorganising itself when its training ended?", POLICY,
        "measuring.monitored:monitored_of", _FOUND, "measuring.learning_truths:monitor_truths",
        "Where to find Grokking in LLM Pretraining?", "a second", _INSIDE, extra=True,
    ),
    Measure(
        "sparse", "does one unit of a sparse code stand for a factor?", POLICY, "measuring.sparse:sparse_of", _FOUND,
        "measuring.learning_truths:sparse_truths", "How GPT learns layer by layer", "half a minute", _INSIDE,
        extra=True,
    ),
    Measure(
        "sets", "is it read which of several objects lies where?", POLICY, "measuring.sets:sets_of", _FOUND,
        "measuring.learning_truths:sets_truths", "Hyperdimensional Probe", "a minute", _INSIDE, extra=True,
    ),
)
