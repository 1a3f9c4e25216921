"""The page of made-up numbers: one self-contained file, all chapters, nothing invented where something is missing."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import re
import urllib.parse
from html.parser import HTMLParser

import pytest

from toyshift.core.errors import FileError
from toyshift.diagnostics.reporting.chapters import CHAPTERS
from toyshift.diagnostics.reporting.charts import curve_panel, nice_ticks, thin
from toyshift.diagnostics.reporting.data import RepairLine, ReportData, Video
from toyshift.diagnostics.reporting.formatting import percent, points, short
from toyshift.diagnostics.reporting.glossary import WORDS
from toyshift.diagnostics.reporting.page import render_report, write_report
from toyshift.diagnostics.reporting.panels import read_curves
from toyshift.diagnostics.reporting.success import derive_headlines
from toyshift.diagnostics.seen import Seen
from toyshift.diagnostics.statistics import Estimate, PairedDifference, holm
from toyshift.diagnostics.summaries import summarise

TRAINED = ("detpool", "attention-mask", "mean")


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
    assert not re.search(r"https?:|src=['\"]?//|url\(|@import|fetch\(|XMLHttp|WebSocket", page)
    assert all(s.startswith(("data:image/jpeg;base64,", "data:video/mp4;base64,")) for s in parsed.sources)
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)
    assert all(link.startswith(("#", "data:text/csv;", "data:,")) for link in parsed.links)
    assert not {"iframe", "object", "embed"} & set(parsed.tags)
    assert len(parsed.ids) == len(set(parsed.ids))


def test_every_section_is_there(page):
    ids = set(Parsed(page).ids)
    assert {"headlines", "ran", *(chapter.name for chapter in CHAPTERS if chapter.name != "runs")} <= ids
    assert "left-out" not in ids
    for chapter in CHAPTERS[1:]:
        assert f'<p class="asked">{chapter.asked}' in page.replace("&#39;", "'")
    for text in ("Oracle (expert)", "Random actions", "Detection pooling", "trained on these", "zero-shot", "llvmpipe"):
        assert text in page
    assert "toyshift run quickstart" in page
    assert "Sensitive to camera azimuth" in page


def test_numbers_on_the_page_are_those_of_the_rows(data, page):
    for s in data.success:
        assert f"{s.k} / {s.n}<" in page
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
    empty = re.findall(r'data-label="Retention" data-sort="">\u2013<', page)
    assert len(empty) == 5 + 3  # the training toys themselves, and nothing over nothing of random actions
    assert len(data.comparisons) == 8
    lines = data.repair[0].lines
    for line, p in zip(lines, holm([x.difference.p_value for x in lines]), strict=True):
        shown = "&lt;0.001" if p < 0.001 else f"{p:.3f}"
        assert f", {shown} after Holm&#39;s correction for 2 comparisons" in page.replace("'", "&#39;")
        assert p >= line.difference.p_value


def test_a_repair_is_better_only_after_holms_correction(data, page):
    assert ": better. <small>" in page[page.index('id="repair"') :]
    helped, *_ = data.repair[0].lines
    low, p = 0.01, 0.03  # an interval beyond 0, and p that one test more makes larger than 0.05
    close = PairedDifference(Estimate(0.10, low, 0.19, 96), 12, 3, 40, 41, p)
    alone = dataclasses.replace(helped, difference=close)
    other = dataclasses.replace(helped, difference=dataclasses.replace(close, p_value=0.9))

    def told(*lines: RepairLine) -> tuple[str, str]:
        repair = dataclasses.replace(data.repair[0], lines=lines)
        shown = dataclasses.replace(data, repair=(repair,))
        page = render_report(shown)
        return page[page.index('id="repair"') : page.index('id="studies"')], derive_headlines(shown)[-1].detail

    section, headline = told(alone)
    assert '<b class="good">+10 points</b>' in section
    assert headline.endswith("+19: better")
    section, headline = told(alone, other)
    assert 'class="good">+' not in section
    assert section.count("not shown after the correction for all comparisons.") == 2
    assert headline.endswith("+19: not shown after the correction for all comparisons")
    harmed = PairedDifference(Estimate(-0.10, -0.19, -0.01, 96), 3, 12, 40, 41, p)
    assert '<b class="bad">\u221210 points</b>' in told(dataclasses.replace(alone, difference=harmed))[0]


def test_words_are_explained_where_they_are_used(data, page):
    names = {chapter.name for chapter in CHAPTERS} | {"retention"}
    assert all(word.chapters and set(word.chapters) <= names for word in WORDS)
    told = page[page.index('id="words"') : page.index('id="provenance"')]
    assert re.findall("<dt>(.*?)</dt>", told) == [word.word.replace("'", "&#39;") for word in WORDS]
    alone = render_report(dataclasses.replace(ReportData(title="x"), diversity=data.diversity))
    told = alone[alone.index('id="words"') :]
    assert re.findall("<dt>(.*?)</dt>", told) == ["95\u00a0% interval", "Sub-dataset, cue, shortcut"]
    assert 'id="words"' not in render_report(ReportData(title="x"))


def test_a_policy_that_fails_on_its_own_toys_is_flagged_everywhere(data, play):
    sets = list(dict.fromkeys(s.object_set for s in data.success))
    weak = [r for s in sets for r in play("mean", s, 0.05)]
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
    assert heads[-1].label == "points from viewpoint augmentation"
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
    assert page.count("<li>") == len(CHAPTERS) - 1  # of several runs and of words nothing is said, of what was run
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
    cards = page[page.index('id="sensitivity"') : page.index('id="shifts"')].split('<div class="card">')[1:]
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
    section = page[page.index('id="policy-cards"') : page.index('id="sensitivity"')]
    shortcut, weak, dataset = section.split("<article")[1:]
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
    assert "is wrong: 4\u00a0% (1\u00a0% to 13\u00a0%) of the 50 of the exam." in weak
    assert "Dataset card" in dataset
    assert 'class="num" data-label="nmi" data-sort="0.93">0.93<' in dataset
    assert not {"policy-cards", "dataset-cards"} & set(Parsed(render_report(dataclasses.replace(data, cards=()))).ids)


def csv_of(page: str, name: str) -> list[dict[str, str]]:
    [link] = re.findall(rf'download="{name}.csv" href="data:text/csv;charset=utf-8,([^"]*)"', page)
    return list(csv.DictReader(io.StringIO(urllib.parse.unquote(link))))


def test_every_figure_has_its_numbers_inside_the_page(data, page):
    lines = csv_of(page, "success")
    told = {(int(x["k"]), int(x["n"]), float(x["rate"]), float(x["low"])) for x in lines}
    assert told == {(s.k, s.n, s.rate, s.clustered[0]) for s in data.success}  # as exact as they are known
    [source] = re.findall(r'<div class="source"><span>n: 1,920 episodes</span>.*?</div>', page, re.DOTALL)
    assert "<code>toyshift evaluate --policy runs/detpool</code>" in source
    names = re.findall(r'download="(.*?).csv"', page)
    assert {"success", "comparisons", "shifts", "shift_pairs", "repairs", "dsl_cues", "diversity", "loss"} <= set(names)
    assert len(names) == len(set(names))
    for name in ("sensitivity_detpool", "objects_ycb-like"):
        assert csv_of(page, name)


def test_shifts_are_shown_as_changes_the_worst_first(data, page):
    [panel] = data.shifts
    section = page[page.index('id="shifts"') : page.index('id="repair"')]
    heat = section[section.index('<table class="heat">') : section.index("</table>")]
    assert re.findall(r'<th scope="row">(.*?)</th>', heat) == ["Camera azimuth", "Light"]
    drops = {(one.factor, one.level): one.drop.difference.value for one, _ in panel.conditions}
    drop = drops["camera-azimuth", 3]
    assert drop > 0.3
    assert f'class="lost sure" style="--much:{100 * drop:.0f}.0%" title="96 episodes">{points(-drop)}<' in heat
    found = {(x["factor"], x["level"]): x for x in csv_of(page, "shifts")}
    assert float(found["camera-azimuth", "3"]["change"]) == -drop
    [pair] = csv_of(page, "shift_pairs")
    assert int(pair["n"]) == 96  # of the starts of pairs, which are in nothing else
    assert float(pair["beyond"]) == -panel.pairs[0].interaction.value < 0


def test_studies_show_rates_as_bars_and_what_is_missing(page):
    section = page[page.index('id="studies"') : page.index('id="videos"')]
    assert section.count('<svg class="whisker') == 3
    for label, rate, text in (("disparity 0.25", "31", "31\u00a0%"), ("disparity 1", "62", "62\u00a0%")):
        row = section[section.index(f'<span class="who">{label}</span>') :]
        assert f'cx="{rate}.0%"' in row[: row.index("</div>")]
        assert f"<b>{text}</b>" in row[: row.index("</div>")]
    assert "Missing: d2.000-s0." in section
    assert "Nothing yet: gains." in section
    assert 'data-label="DSL beyond the control" data-sort="0.31">+31<' in section


def test_films_of_one_start_stand_side_by_side(page):
    repair = page[page.index('id="repair"') : page.index('id="studies"')]
    films = page[page.index('id="videos"') : page.index('id="objects"')]
    for section in (repair, films):
        [side] = re.findall(r'<div class="films side">(.*?)</div>', section, re.DOTALL)
        assert side.count("<video") == 2
    chips = re.findall(r'class="chip (good|bad)"', repair[repair.index("films side") :])
    assert chips == ["bad", "good"]  # the control on the left


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
