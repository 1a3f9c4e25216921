"""The report from made-up numbers: one self-contained file, all sections, nothing invented where something is missing.

Run `python tests/diagnostics/test_report.py OUT.html` to look at it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import FileError
from toyshift.core.manifest import manifest
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.changes import ChangedSuccess
from toyshift.diagnostics.diversity import measure_vectors
from toyshift.diagnostics.reporting.chapters import CHAPTERS
from toyshift.diagnostics.reporting.page import render_report, write_report
from toyshift.diagnostics.reporting.success import derive_headlines
from toyshift.diagnostics.reporting.charts import curve_panel, nice_ticks, thin
from toyshift.diagnostics.reporting.formatting import percent, points, short
from toyshift.diagnostics.reporting.data import (
    Curve,
    Repair,
    RepairLine,
    ReportData,
    SensitivityPanel,
    Sheet,
    Video,
)
from toyshift.diagnostics.reporting.panels import object_panel, read_curves
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.seen import Seen, objects_by_test
from toyshift.diagnostics.sensitivity import SensitivityConfig, SensitivityResult, analyse
from toyshift.diagnostics.statistics import Estimate, holm
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
        error_rate=0.04,
    ),
)  # fmt: skip


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
        films.append(Video(path, ok, f"Detection pooling, {OBJECTS[i * 4]}", caption))
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
        repair=(Repair("Viewpoint augmentation", REPAIRED, lines),),
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


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> ReportData:
    return sample(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def page(data) -> str:
    return render_report(data)


class Parsed(HTMLParser):
    VOID = frozenset({"meta", "img", "br", "hr", "input", "link", "rect", "line", "circle", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.sources += [values["src"]] if "src" in values else []
        self.links += [values["href"]] if "href" in values else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_network(page):
    parsed = Parsed(page)
    assert parsed.open == []
    assert not re.search(r"https?:|src=['\"]?//|url\(|@import", page)
    assert all(s.startswith(("data:image/jpeg;base64,", "data:video/mp4;base64,")) for s in parsed.sources)
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)
    assert all(link.startswith("#") for link in parsed.links)
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    assert len(parsed.ids) == len(set(parsed.ids))


def test_every_section_is_there(page):
    ids = set(Parsed(page).ids)
    assert {"headlines", "ran", *NAVIGATION} <= ids
    assert "left-out" not in ids
    for text in ("Oracle (expert)", "Random actions", "Detection pooling", "trained on these", "zero-shot", "llvmpipe"):
        assert text in page
    assert "toyshift run quickstart" in page
    assert "Sensitive to camera azimuth" in page


def test_numbers_on_the_page_are_those_of_the_rows(data, page):
    for s in data.success:
        assert f"{s.k} / {s.n}" in page
        assert percent(s.rate) in page
    difference = data.repair[0].lines[0].difference.difference
    assert f"{points(difference.value)} points" in page


def test_masks_retention_and_corrected_p_values_are_told(data, page):
    told = re.search(r"Given the target&#39;s mask by the simulator, .*? too: (.*?)\. The other", page)
    assert told is not None
    assert told[1] == "detection pooling; attention pooling, mask as input"
    assert "Undertrained" not in page
    sides = {s.object_set: s for s in data.success if s.policy == "mean"}
    assert f">{sides['ycb-like'].rate / sides['toys:train'].rate:.2f} [" in page
    assert page.count('data-label="retention">\u2013<') == 5  # the training toys themselves
    assert len(data.comparisons) == 8
    lines = data.repair[0].lines
    for line, p in zip(lines, holm([x.difference.p_value for x in lines]), strict=True):
        shown = "&lt;0.001" if p < 0.001 else f"{p:.3f}"
        assert f", {shown} after Holm&#39;s correction for 2 comparisons" in page.replace("'", "&#39;")
        assert p >= line.difference.p_value


def test_a_policy_that_fails_on_its_own_toys_is_flagged_everywhere(data):
    weak = [r for s in SETS for r in play("mean", s, 0.05)]
    success = [s for s in data.success if s.policy != "mean"] + summarise(weak)
    flagged = dataclasses.replace(data, success=success)
    page = render_report(flagged)
    assert "Undertrained: below 20 % on the toys it was trained on" in page
    plain = re.sub(r"<title>.*?</title>", "", page)
    assert not re.findall(r"Mean pooling(?! \(undertrained\))", plain)
    assert plain.count("Mean pooling (undertrained)") > 10
    details = [h.detail for h in derive_headlines(flagged)[:3]]
    assert all("Attention pooling, mask as input" in text and "Mean pooling (undertrained)" in text for text in details)
    unknown = render_report(dataclasses.replace(flagged, trained_on={}))
    assert "(undertrained)" not in unknown
    assert "Retention" not in unknown


def test_headlines_come_from_zero_shot_sets_first(data):
    heads = derive_headlines(data)
    best = next(s for s in data.success if s.policy == "detpool" and s.object_set == "toys:test")
    assert heads[0].value == percent(best.rate)
    assert "zero-shot" in heads[0].label
    assert heads[-1].label == "points of success from viewpoint augmentation"
    training = [s for s in data.success if s.object_set == "toys:train"]
    trained = derive_headlines(dataclasses.replace(data, success=training, repair=()))
    assert trained[0].label == "of training toys lifted, trained on these"


def test_the_first_policy_that_was_asked_for_is_the_headline_never_the_best(data):
    for policies in itertools.permutations(TRAINED):
        success = sorted(data.success, key=lambda s: ("oracle", "random", *policies).index(s.policy))
        heads = derive_headlines(dataclasses.replace(data, success=success))
        for head, object_set in zip(heads[:3], ("toys:test", "ycb-like", "ycb:YCB?graspable"), strict=True):
            first, *others = (
                next(s for s in success if (s.policy, s.object_set) == (policy, object_set)) for policy in policies
            )
            assert head.value == percent(first.rate)
            assert f", {first.k} of {first.n}, 95\u00a0% interval " in head.detail
            places = [head.detail.index(percent(s.rate)) for s in others]
            assert places == sorted(places)  # the others, in the order asked as well


def test_nothing_is_said_of_objects_where_nobody_knows(data):
    unknown = dataclasses.replace(data, seen={}, trained_on={}, subtitle="", ran=(), sheets=())
    page = render_report(unknown)
    assert "zero-shot" not in page
    assert "trained on these" not in page
    assert derive_headlines(unknown)[0].label == "of new toys lifted"


def test_what_was_seen_is_said_by_policy_and_object(data):
    objects = sorted({bar.object_id for bar in data.objects[0].bars})
    seen = {
        ("detpool", "ycb-like"): Seen(tuple(objects[:3])), ("mean", "ycb-like"): Seen(),
        ("attention-mask", "ycb-like"): Seen((), tuple(objects[:1])),
    }
    page = render_report(dataclasses.replace(data, seen=seen, trained_on={}))
    card = page[page.index("<h3>YCB-like objects") : page.index("<h3>Real YCB scans")]
    told = (
        f"trained on 3 of these {len(objects)}: detection pooling; not known whether trained on these: "
        "attention pooling, mask as input; zero-shot: mean pooling."
    )
    assert f'<p class="small">{told}</p>' in card
    assert 'class="tag"' not in card
    assert page.count("<small>in the training of detection pooling</small>") == 3


def test_sets_without_titles_get_readable_ones_that_stay_apart(data):
    strings = ["toys:test?n=12", "ycb-like", "ycb:DIR", "ycb:DIR?graspable", "meshes:DIR"]
    success = [dataclasses.replace(data.success[0], object_set=s) for s in strings]
    page = render_report(ReportData("x", success=success))
    scans = (f"Real YCB scans ({name})" for name in ("ycb:DIR", "ycb:DIR?graspable"))
    for title in ("Test toys", "YCB-like objects", *scans, "meshes:DIR"):
        assert f"<h3>{title}<" in page


def test_what_is_missing_is_said_not_invented(data):
    page = render_report(ReportData("Empty <run> & co"))
    ids = set(Parsed(page).ids)
    assert ids == {"left-out"}
    assert page.count("<li>") == 11
    assert "Empty &lt;run&gt; &amp; co" in page
    some = render_report(dataclasses.replace(data, sensitivity=(), videos=()))
    assert "no diagnosis was run" in some
    assert "none were recorded" in some
    assert "sensitivity" not in Parsed(some).ids


def test_sensitivity_is_shown_by_its_shift_with_labels_for_the_capable_only(data, page):
    detpool, mean = (panel.result for panel in data.sensitivity)
    for f in detpool.factors:
        assert f"<b>{f.shift.value:.3f}</b>" in page
        assert f"as {f.ratio.value:.2f}" in page
    cards = page[page.index('id="sensitivity"') : page.index('id="repair"')].split('<div class="card">')[1:]
    assert [card.count('class="chip') for card in cards] == [5, 0]
    assert "Incapable: lifts" in cards[1]
    assert f"{mean.training[0]} of 96" in cards[1]
    azimuth = next(f for f in detpool.factors if f.factor == "azimuth")
    assert f"{points(azimuth.success.difference.value)} points" in cards[0]
    assert "agrees: success falls" in cards[0]
    alone = dataclasses.replace(data.sensitivity[0], result=detpool.judged(None), success=None)
    told = render_report(dataclasses.replace(data, sensitivity=[alone]))
    assert "Not labelled: success on training toys unknown." in told


def test_cards_are_shown_with_their_evidence_and_commands(data, page):
    section = page[page.index('id="cards"') : page.index('id="sensitivity"')]
    shortcut, weak = section.split("<article")[1:]
    first = data.cards[0]
    for text in (first.verdict, *first.agree, *first.disagree, *first.unknown):
        assert f">{text}<" in shortcut.replace("&#39;", "'").replace("&gt;", ">")
    assert '<span class="chip shortcut">shortcut</span>' in shortcut
    assert "<b>7.40</b> cm of the target&#39;s place" in shortcut
    assert "6.10 to 8.60; by chance 0.00" in shortcut
    said, command = first.advice[0].split("\n")
    assert f"<li>{said[:1].upper()}{said[1:]}<pre><code>{command}</code></pre></li>" in shortcut.replace("&#39;", "'")
    assert "is wrong: not measured." in shortcut
    assert "runs/&lt;weak&gt;" in weak
    assert 'class="strength"' not in weak
    assert "For it" not in weak
    assert "is wrong: 4\u00a0%." in weak
    assert "cards" not in Parsed(render_report(dataclasses.replace(data, cards=()))).ids


def test_writing_is_atomic_and_missing_films_are_named(data, tmp_path):
    path = write_report(data, tmp_path / "run" / "report.html")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(FileError, match=r"gone\.mp4"):
        write_report(dataclasses.replace(data, videos=(Video(tmp_path / "gone.mp4", True, "x"),)), path)
    assert path.read_text(encoding="utf-8").endswith("</html>\n")


def test_curves_are_read_with_a_cut_off_last_line(tmp_path):
    lines = [json.dumps({"step": i, "loss": 1.0 / (1 + i), "lr": 0.1, "validation_loss": 2.0}) for i in range(5)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 5, "lo']))
    curves = read_curves(tmp_path / "metrics.jsonl", "detpool")
    assert [c.metric for c in curves] == ["loss", "validation_loss"]
    assert curves[0].values[-1] == pytest.approx(0.2)
    (tmp_path / "metrics.jsonl").write_text("nonsense\n" + lines[0])
    with pytest.raises(FileError, match="line 1"):
        read_curves(tmp_path / "metrics.jsonl", "detpool")


def test_chart_geometry():
    panel = curve_panel("loss", [("a", "c0", [0, 50, 100], [0.0, 5.0, 10.0])])
    assert panel["lines"][0]["path"] == "M0.00 100.00 L50.00 50.00 L100.00 0.00"
    assert panel["y"][0] == {"at": 100.0, "text": "0"}
    logarithmic = curve_panel("loss", [("a", "c0", [0, 1], [0.01, 1.0])])
    assert logarithmic["log"]
    assert logarithmic["lines"][0]["path"].endswith("L100.00 0.00")
    assert nice_ticks(0, 97) == [0, 25, 50, 75, 100]
    assert short(12500) == "12.5k"
    x, y = thin(range(10_000), [2.0] * 10_000)
    assert len(x) == 240
    assert set(y) == {2.0}


def test_percentages_do_not_round_to_certainty():
    assert percent(0.999).startswith(">99")
    assert percent(0.001).startswith("<1")
    assert percent(1.0) == "100\u00a0%"
    assert points(-0.123) == "\u221212"
    assert points(0.001) == "0"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_report(sample(target.parent), target)
