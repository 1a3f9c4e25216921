"""Made-up numbers for a whole report.

Run `python tests/diagnostics/reporting/conftest.py OUT.html` to look at it.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.manifest import manifest
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.changes import ChangedSuccess
from toyshift.diagnostics.diversity import measure_vectors
from toyshift.diagnostics.reporting.data import (
    Curve,
    Repair,
    RepairLine,
    ReportData,
    SensitivityPanel,
    Sheet,
    Video,
)
from toyshift.diagnostics.reporting.page import write_report
from toyshift.diagnostics.reporting.panels import object_panel
from toyshift.diagnostics.reporting.shifts import shift_panels
from toyshift.diagnostics.reporting.studies import study_panel
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.seen import Seen, objects_by_test
from toyshift.diagnostics.sensitivity import SensitivityConfig, SensitivityResult, analyse
from toyshift.diagnostics.statistics import Estimate
from toyshift.diagnostics.summaries import compare, compare_all, summarise
from toyshift.diagnostics.video import write_mp4

SETS = {
    "toys:test": "New toys", "ycb-like": "YCB-like objects", "ycb:YCB?graspable": "Real YCB scans",
    "toys:train": "Training toys",
}
RATES = {
    "detpool": (0.72, 0.61, 0.56, 0.78), "attention-mask": (0.62, 0.55, 0.50, 0.70), "mean": (0.34, 0.19, 0.17, 0.40),
    "oracle": (0.95, 0.93, 0.90, 0.96),
    "random": (0.0, 0.0, 0.0, 0.0),
}
TRAINED = ("detpool", "attention-mask", "mean")
OBJECTS = [
    "master chef can", "cracker box", "sugar box", "tomato soup can", "mustard bottle", "tuna fish can", "pudding box",
    "gelatin box", "potted meat can", "banana", "strawberry", "apple", "lemon", "peach", "pear", "orange", "plum",
    "pitcher base", "bleach cleanser", "bowl", "mug", "sponge", "spatula", "power drill", "wood block", "scissors",
    "large marker", "adjustable wrench", "clamp", "baseball", "tennis ball", "foam brick",
]
FAILED, SHARES = ["not_lifted", "dropped", "no_contact", "timeout"], [0.5, 0.25, 0.15, 0.1]


def play(
    policy: str, object_set: str, rate: float, look: str = "", trials: int = 96, episode_seed: int = 0
) -> list[Row]:
    rng = np.random.default_rng([len(policy), len(object_set), len(look), episode_seed])
    ease = {o: float(np.clip(rate + rng.normal(0, 0.18 if 0 < rate < 1 else 0), 0, 1)) for o in OBJECTS}
    rows = []
    for i in range(trials):
        o = OBJECTS[i % len(OBJECTS)]
        success = bool(rng.random() < ease[o])
        failure = "" if success else str(rng.choice(FAILED, p=SHARES))
        pooling = policy.replace("-mask", " + mask").split("-")[0] if policy not in ("oracle", "random") else ""
        outcome = (success, 0.3 if success else 0.05, 70, failure, look, 0.4, i // 32, trials)
        rows.append(Row(policy, pooling, object_set, o.replace(" ", "_"), 7, i, *outcome))
    return rows


def picture(seed: int, size: int = 96) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size - 0.5
    image = np.ones((size, size, 3)) * (0.80 + 0.08 * y[..., None])
    for _ in range(int(rng.integers(1, 4))):
        centre, radius = rng.uniform(-0.14, 0.14, 2), rng.uniform(0.12, 0.24)
        dx, dy = abs(x - centre[0]), abs(y - centre[1])
        inside = dx**2 + dy**2 < radius**2 if rng.random() < 0.5 else np.maximum(dx, dy) < radius * 0.8
        colour = np.array([[0.85, 0.25, 0.2], [0.2, 0.45, 0.85], [0.95, 0.75, 0.2], [0.25, 0.65, 0.35]][seed % 4])
        image[inside] = colour * (0.85 - 0.4 * (x + y)[inside][:, None])
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def sensitivity(policy: str, effects: dict[str, float], target: float) -> SensitivityResult:
    rng = np.random.default_rng(len(policy))
    shape = (40, 8, 7)
    base, direction = rng.normal(size=shape), rng.choice([-1.0, 1.0], size=shape)

    def moved(amount: float) -> np.ndarray:
        return base + amount * direction * rng.gamma(4, 0.25, size=(40, 1, 1))

    unit = "standard deviations of the training actions"
    changed = {factor: moved(effect) for factor, effect in effects.items()}
    looks = np.arange(40), np.ones(40, dtype=bool)
    return analyse(base, changed, moved(target), base, np.ones(7), *looks, SensitivityConfig(), policy, policy, unit)


REPAIRED = (
    "The demonstrations were drawn again from cameras turned by up to 20 degrees, actions untouched, and the policy "
    "was trained on them for two more minutes. The control was trained as long on plain copies."
)


CARDS = (
    Card(
        kind="policy", subject="runs/told-by-table", cue="table", word="shortcut", unit="cm of the target's place",
        strength=Estimate(7.4, 6.1, 8.6, 24), null=0.0,
        verdict="It takes the table's texture for the target's place: swapped in the same state, it goes 84 % of the "
        "way to where the data had the target under the other.",
        agree=(
            "counterfactual: table 0 -> 3 in the same state moves it by +7.4 cm [6.1, 8.6] of the target's place "
            "(beta 0.84 [0.70, 0.97], 1 follows the cue alone), p 0.0015 where signs of whole objects are dealt out",
            "patching: a changed table comes in by the context's tokens (0.79 [0.66, 0.92] of the way)",
        ),
        disagree=("it follows the target as well: 16 % of the way is not taken",),
        unknown=("how often such a verdict is wrong: the exam that measures it has not been run yet",),
        advice=(
            "render the same episodes with the table's texture drawn alike wherever the target lies, and train on "
            "them\ntoyshift augment cue runs/fragments runs/fragments-clean --factor table --correlation 0",
            "then diagnose what was trained on it",
        ),
    ),
    Card(
        kind="policy", subject="runs/<weak>", cue="", word="incapable", unit="", null=float("nan"),
        strength=Estimate(float("nan"), float("nan"), float("nan"), 0), verdict="Incapable: nothing is said.",
        error_rate=Estimate(0.04, 0.01, 0.13, 50),
    ),
    Card(
        kind="dataset", subject="left, right (2 datasets, 200 episodes)", cue="table", unit="NMI(position, table)",
        verdict="The table's texture tells almost wholly where the target lies.", null=0.01,
        strength=Estimate(0.93, 0.88, 0.97, 200),
        table=tuple(
            {"relevant": "position", "irrelevant": name, "nmi": nmi, "low": nmi - 0.05, "high": nmi + 0.04}
            for name, nmi in (("table", 0.93), ("light", 0.11), ("background", 0.06))
        ),
    ),
)  # fmt: skip


STUDY = {
    "cues": [
        {
            "disparity": disparity, "dsl": {"value_low_high": [dsl, dsl - 0.08, dsl + 0.08]}, "n": 200,
            "excess": {"difference": {"value": dsl, "low": dsl - 0.1, "high": dsl + 0.1, "n": 90}, "p_value": 1e-5},
            "by_seed": [dsl - 0.02, dsl + 0.02],
        }
        for disparity, dsl in ((0.25, 0.31), (0.5, 0.44), (1.0, 0.62))
    ],
    "missing": ["d2.000-s0"], "gains": [], "settings": {"batch": 128, "factor": "azimuth"},
}  # fmt: skip


def shifted() -> list[Row]:
    """Rows under no shift, two factors at two levels, and both together on starts of their own."""
    rates = {"": 0.8, "camera-azimuth=1": 0.7, "camera-azimuth=3": 0.3, "light=1": 0.8, "light=3": 0.78}
    rows = [(row, shift) for shift, rate in rates.items() for row in play("detpool", "toys:test", rate)]
    both = {"": 0.8, "camera-azimuth=3": 0.5, "light=3": 0.7, "camera-azimuth=3,light=3": 0.1}
    pairs = [(row, shift) for shift, rate in both.items() for row in play("detpool", "toys:test", rate, episode_seed=1)]
    told = [dataclasses.replace(row, shift=shift) for row, shift in rows]
    return told + [dataclasses.replace(row, shift=shift, seed=8) for row, shift in pairs]


def sample(folder: Path) -> ReportData:
    rows = [r for p, rates in RATES.items() for s, rate in zip(SETS, rates, strict=True) for r in play(p, s, rate)]
    success = summarise(rows)
    effects = {
        "detpool": ({"table": 0.03, "background": 0.003, "azimuth": 0.21, "light": 0.05, "object_colour": 0.09}, 0.06),
        "mean": ({"table": 0.24, "background": 0.31, "azimuth": 0.40, "light": 0.16, "object_colour": 0.13}, 0.01),
    }
    drops = {
        "table": (0.0, 0.10), "background": (0.01, 0.14), "azimuth": (0.30, 0.16), "light": (0.02, 0.06),
        "object_colour": (0.03, 0.05),
    }
    panels = []
    for i, (policy, (effect, target)) in enumerate(effects.items()):
        rates = {f: max(0.01, RATES[policy][1] - drop[i]) for f, drop in drops.items()}
        of_policy = [r for r in rows if r.policy == policy]
        played = {"": [r for r in of_policy if r.object_set == "ycb-like"]}
        played |= {f: play(policy, "ycb-like", rate, f"{f}=1") for f, rate in rates.items()}
        found = ChangedSuccess.of_rows(played, [r for r in of_policy if r.object_set == "toys:train"])
        panels.append(SensitivityPanel(sensitivity(policy, effect, target).judged(found), found))
    lines = []
    for title, repaired, control in (("Camera turned by 15°", 0.54, 0.31), ("Training camera", 0.60, 0.62)):
        a, b = play("detpool-view", "ycb-like", repaired, title), play("detpool-plain", "ycb-like", control, title)
        before = summarise(play("detpool", "ycb-like", control, title))[0]
        lines.append(RepairLine(title, summarise(a)[0], summarise(b)[0], compare(a, b), before))
    steps = np.arange(0, 6000, 20)

    def losses(policy: str, floor: float) -> list[float]:
        noise = 0.02 * np.random.default_rng(len(policy)).normal(size=len(steps))
        return list(np.exp(-steps / 900) + floor + noise * np.exp(-steps / 2000))

    curves = [
        Curve(metric, policy, list(steps), losses(policy, floor * scale))
        for metric, scale in (("loss", 1.0), ("validation loss", 1.2))
        for policy, floor in (("detpool", 0.08), ("mean", 0.13))
    ]
    films = []
    for i, ok in enumerate((True, True, False, False)):
        frames = [np.roll(picture(i, 320), 3 * t, axis=0 if ok else 1) for t in range(30)]
        path = write_mp4(folder / f"film{i}.mp4", frames)
        caption = "episode 12" if ok else "dropped it, episode 31"
        whose, start = ("detpool-view", "start 7") if i == 1 else ("detpool-plain", "start 7") if i == 2 else ("", "")
        films.append(Video(path, ok, f"Detection pooling, {OBJECTS[i * 4]}", caption, start, whose))
    thumbs = {o.replace(" ", "_"): picture(i) for i, o in enumerate(OBJECTS)}
    names = {o.replace(" ", "_"): o for o in OBJECTS}
    trained = [r for r in rows if r.policy in TRAINED]
    tests = objects_by_test(trained)
    seen = {there: Seen(tuple(sorted(met)) if there[1] == "toys:train" else ()) for there, met in tests.items()}
    rng = np.random.default_rng(0)
    vectors = {name: rng.normal(size=(60, 8)) + shift for name, shift in (("left", 0.0), ("right", 0.4))}
    vectors = {name: v / np.linalg.norm(v, axis=1, keepdims=True) for name, v in vectors.items()}
    return ReportData(
        title="Sample report with made-up numbers",
        subtitle="Two policies learned to grasp on random toys only. How well do they lift objects they have never "
        "seen, and what do they look at when they fail?",
        ran=(
            "Two policies were trained on the same 500 demonstrations with 250 random toys; they differ only in how "
            "the image is pooled.",
            "Each was tested on 96 episodes per object set, from the same initial states, at the 0.3 m threshold, "
            "beside the expert that made the demonstrations and a random policy.",
        ),
        success=success, comparisons=compare_all(rows, "detpool", ("attention-mask", "mean")),
        trained_on=dict.fromkeys(RATES, "toys:train"), seen=seen, set_titles=SETS, cards=CARDS, sensitivity=panels,
        repair=(Repair("Viewpoint augmentation", REPAIRED, lines, policies=("detpool-plain", "detpool-view")),),
        shifts=shift_panels(shifted(), commands=("toyshift study shifts --policy runs/detpool",)),
        studies=[study_panel("dsl", STUDY, 400, ("toyshift study dsl --results results/dsl --tabulate",))],
        made_by={"success": ("toyshift evaluate --policy runs/detpool",)},
        objects=[object_panel(s, trained, names, thumbs) for s in ("ycb-like", "ycb:YCB?graspable")], curves=curves,
        sheets=(
            Sheet(
                "Training toys", "One to five primitives stuck together, in one of four colours.",
                [(f"toy {i}", picture(100 + i)) for i in range(40)],
            ),
            Sheet(
                "Test objects", "YCB-like objects, never seen in training.", [(names[i], p) for i, p in thumbs.items()]
            ),
        ),
        videos=films, diversity=measure_vectors(vectors, resamples=100),
        manifest=manifest({}, 7, gl_renderer="llvmpipe (LLVM 15.0.6, 256 bits)"),
        commands=("toyshift run quickstart --ycb YCB --seed 7", "toyshift report runs/quickstart"),
    )


@pytest.fixture(scope="session", name="play")
def play_fixture() -> Any:
    return play


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> ReportData:
    return sample(tmp_path_factory.mktemp("films"))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_report(sample(target.parent), target)
