"""The quickstart's shortcut: planted in demonstrations, named in the policy that takes it, repaired, beside a control.

In demonstrations of two strips of the table each strip shows a table of its own, so that the table tells where the
target lies. What goes by it misses its target as soon as the tables are swapped. The repair adds each strip's
demonstrations under tables of the other side; the control as many, under tables of its own side.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toyshift.core.files import read_json, write_json
from toyshift.scripts.quickstart.settings import TRAINING_TOYS, Config
from toyshift.scripts.studies.planted import (
    PlantedCue,
    as_one,
    gap_text,
    in_cells,
    on_same_starts,
    recipe,
    swapped_rows,
    with_holm,
)

if TYPE_CHECKING:
    from toyshift.diagnostics import EvaluateConfig, Row
    from toyshift.diagnostics.cards import Card
    from toyshift.diagnostics.reporting.data import Repair, RepairLine
    from toyshift.diagnostics.swapped import Swapped
    from toyshift.policies.training.config import TrainConfig

CUE = PlantedCue("table", disparity=1.0, correlation=1.0)
SHORTCUT, REPAIRED, CONTROL = "shortcut", "shortcut-repaired", "shortcut-control"
# Policy -> what its demonstrations are augmented by. The repair shows what the other side's demonstrations show; the
# control cannot show what its own do, which would be nothing new.
SPECS = {REPAIRED: "toward-other?side=recorded", CONTROL: "toward-own"}
# Without masks and on small images the shortcut is taken, and a policy is trained in half a minute (docs/repair.md).
POOLING, RATE, SEEN_SIZE = "attention", 5e-3, 48  # the side that images are resized to [pixels]
STARTS = 3000  # added to the seed: no choice was made on these starts
LONGEST = 60  # control steps of a test, twice those of a demonstration: what was not lifted by then hardly ever was


@dataclasses.dataclass(frozen=True)
class Planted:
    """What became of the shortcut.

    Attributes:
        rows: policy (with the shortcut, repaired, control) -> its episodes in all cells.
        card: of the demonstrations with the cue.
    """

    rows: Mapping[str, Sequence[Row]]
    card: Card

    def swapped(self) -> dict[str, Swapped]:
        """Returns policy -> how it does with the tables swapped, and with its own."""
        from toyshift.diagnostics.swapped import swapped_of

        return {name: swapped_of(in_cells(CUE.cells(), rows)) for name, rows in self.rows.items()}

    def differences(self) -> dict[str, dict[str, Any]]:
        """Returns measure -> repaired minus before, and minus control, with the tables swapped, from the same starts.

        Measures are "dsl" and "success"; p values are corrected for all of them together (Holm).
        """
        swapped = {name: swapped_rows(CUE.cells(), rows) for name, rows in self.rows.items()}
        names = [(what, other) for what in ("dsl", "success") for other in (SHORTCUT, CONTROL)]
        found = with_holm([on_same_starts(swapped[REPAIRED], swapped[other], what) for what, other in names])
        made: dict[str, dict[str, Any]] = {"dsl": {}, "success": {}}
        for (what, other), difference in zip(names, found, strict=True):
            made[what][f"repaired_minus_{'control' if other == CONTROL else 'before'}"] = difference
        return made

    def to_json(self) -> dict[str, Any]:
        """Returns what results.json says of it."""
        policies = {name: {"augmented": SPECS.get(name, ""), **one.to_json()} for name, one in self.swapped().items()}
        cue = dataclasses.asdict(CUE)
        return {"cue": cue, "policies": policies, "differences": self.differences(), "card": self.card.to_json()}

    def text(self) -> str:
        """Returns it for terminals: what is named, and what the repair and its control do."""
        from toyshift.diagnostics.cards import card_text
        from toyshift.diagnostics.swapped import swapped_table

        lines = [
            f"{what}, repaired minus {name.rpartition('_')[2]}, tables swapped: {gap_text(found)}"
            for what, by_name in self.differences().items() for name, found in by_name.items()
        ]  # fmt: skip
        return "\n".join([card_text(self.card), "", swapped_table(list(self.swapped().values())), *lines])

    def repair(self, cfg: Config) -> Repair:
        """Returns what the report's chapter on repairs shows."""
        from toyshift.diagnostics.reporting.data import Repair
        from toyshift.diagnostics.tables import ratio_text

        lines = [
            self._line("Tables swapped: goes to the target first, not to where the table tells", swapped=True),
            self._line("Tables swapped: lifted", swapped=True, lifted=True),
            self._line("Tables as in training: lifted", swapped=False, lifted=True),
        ]
        samples, names = cfg.planted_steps * cfg.batch, {SHORTCUT: "before", REPAIRED: "repaired", CONTROL: "control"}
        degrees = [
            f"{names[name]} {ratio_text(one.degree.dsl)}, by chance {ratio_text(one.by_chance.dsl)} ({one.verdict})"
            for name, one in self.swapped().items()
        ]
        text = (
            f"The targets of {cfg.planted_episodes} demonstrations lie in two strips, and the table's texture tells in "
            "which: the card of these demonstrations names it. An attention policy that sees images without masks was "
            f"trained on {samples:,} samples of them (before). For the repair, which must know the factor that is "
            "named, each strip's demonstrations were rendered once more under the other strip's table "
            "(toward-other), and a policy was trained from scratch on as many samples of old and new together. Its "
            "control got as many new looks, under tables of its own side (toward-own): more diverse, and the table "
            f"still tells the strip. Each was tested in {cfg.planted_trials} episodes per strip and condition, of 6 "
            "seconds at most. Degree of shortcut learning, the share of episodes with swapped tables in which the hand "
            f"goes first to where the table tells, with 95 % intervals for new objects: {'; '.join(degrees)}. The "
            "setting (size of images, steps) was chosen on seed 0, so its figures are no test of the setting; what "
            "another seed gave: docs/repair.md, In the quickstart."
        )
        return Repair("Repair of a planted shortcut", text, lines, "a control with as many new looks")

    def _line(self, title: str, *, swapped: bool, lifted: bool = False) -> RepairLine:
        """Returns a condition: how often a policy lifts its target, or goes there before it goes elsewhere."""
        from toyshift.diagnostics import compare, summarise
        from toyshift.diagnostics.dsl import INSTRUCTED, UNDEFINED
        from toyshift.diagnostics.reporting.data import RepairLine

        cells = [cell for cell in CUE.cells() if cell.swapped == swapped]
        sides = {}
        for name, rows in self.rows.items():
            mine = as_one([played for _, played in in_cells(cells, rows)])  # the strips' starts are different ones
            if not lifted:
                told = [row for row in mine if row.approached != UNDEFINED]
                mine = [dataclasses.replace(row, success=row.approached == INSTRUCTED) for row in told]
            sides[name] = [dataclasses.replace(row, policy=name, look=title) for row in mine]
        before, repaired, control = (sides[name] for name in (SHORTCUT, REPAIRED, CONTROL))
        fixed, beside, first = (summarise(rows)[0] for rows in (repaired, control, before))
        return RepairLine(title, fixed, beside, compare(repaired, control), first)


def make_demonstrations(cfg: Config) -> None:
    """Collects demonstrations with the cue, and augments them for the repair and for its control."""
    from toyshift.augment import augment
    from toyshift.data import CollectConfig
    from toyshift.data.collecting.fragment_folder import collect_fragments

    told, workers = cfg.planted(SHORTCUT), cfg.processes if cfg.processes > 1 else 0  # one works in this process
    config = CollectConfig(TRAINING_TOYS, cfg.planted_episodes, told, workers=workers, seed=cfg.seed)
    collect_fragments(CUE.design(), config)
    for name, spec in SPECS.items():
        augment(spec, told, cfg.planted(name), cfg.seed, workers)


def recipes(cfg: Config) -> list[TrainConfig]:
    """Returns how the three policies are trained: the same samples for each, on its own demonstrations."""
    parts = [part.name for part in CUE.design().parts]
    sizes: dict[str, Any] = {"steps": cfg.planted_steps, "batch": cfg.batch, "lr": RATE, "seed": cfg.seed}
    found = [
        recipe(POOLING, [str(cfg.planted(name) / part) for part in parts], cfg.policy(name), threads=1, **sizes)
        for name in (SHORTCUT, *SPECS)
    ]
    return [
        dataclasses.replace(one, policy=dataclasses.replace(one.policy, encoder_size=SEEN_SIZE)) for one in found
    ]


def tests(cfg: Config) -> dict[str, list[EvaluateConfig]]:
    """Returns policy -> how it is tested in each cell: with the tables swapped, and with its own."""
    asked = {}
    for name in (SHORTCUT, *SPECS):
        one = cfg.evaluation(name, TRAINING_TOYS, cfg.planted_trials, None)
        one = dataclasses.replace(one, seed=cfg.seed + STARTS, max_steps=min(one.max_steps, LONGEST))
        asked[name] = [dataclasses.replace(one, cell=cell) for cell in CUE.cells()]
    return asked


def named(cfg: Config) -> Card:
    """Returns the card of the demonstrations with the cue: which one a policy could learn, of all that are recorded."""
    from toyshift.core.errors import UndefinedError
    from toyshift.diagnostics.cards import Card
    from toyshift.diagnostics.measures import DATASETS, MEASURES, Asked, card_of

    path = cfg.out / "planted" / "dataset_card.json"
    if not path.exists():
        asked = Asked(
            datasets=(cfg.planted(SHORTCUT),), objects=TRAINING_TOYS, scenes=0, looks=0, trials=0, camera="",
            seed=cfg.seed, out=path.parent,
        )  # fmt: skip
        answers = {}
        for measure in MEASURES:
            if measure.needs == DATASETS:
                with contextlib.suppress(UndefinedError):  # too few demonstrations for their images: the card says so
                    answers[measure.name] = measure.answer(asked)
        card = card_of(DATASETS, asked, answers)
        assert card is not None, "datasets have a card"
        write_json(path, card.to_json())
    return Card.from_json(read_json(path))
