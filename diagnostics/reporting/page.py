"""Draws `ReportData` as one self-contained HTML file: no network, every picture, film and number inside.

The page's script sorts and filters tables, and opens what is folded before it is printed; without it all is there.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import toyshift.diagnostics
from toyshift.core.files import write_text
from toyshift.core.templates import templates
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.reporting import figures, formatting, glossary, wording
from toyshift.diagnostics.reporting.chapters import CHAPTERS, WITHOUT_RAN
from toyshift.diagnostics.reporting.charts import clip_uri, image_uri, video_uri
from toyshift.diagnostics.reporting.data import ReportData
from toyshift.diagnostics.reporting.names import REFERENCES, Names, factor_title
from toyshift.diagnostics.reporting.runs import run_numbers
from toyshift.diagnostics.reporting.shifts import heat, levels_of, pair_numbers, shift_numbers
from toyshift.diagnostics.reporting.success import derive_headlines, labels, notes, seen_by, sets_in_order
from toyshift.diagnostics.retention import retentions

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(toyshift.diagnostics.__file__).parent / "assets" / "report"


def page_templates() -> jinja2.Environment:
    """Returns the templates of pages, with what writes figures and holds pictures and films."""
    environment = templates(TEMPLATES)
    environment.filters |= {
        "percent": formatting.percent, "span": formatting.span, "points": formatting.points,
        "short": formatting.short, "number": formatting.number, "between": formatting.between, "p": formatting.p_value,
        "image": image_uri, "film": video_uri, "clip": clip_uri,
    }  # fmt: skip
    return environment


def render_report(data: ReportData) -> str:
    """Returns the page as a string of HTML."""
    names = Names(data)
    shown = _chapters(data, names)
    environment = page_templates()
    environment.filters |= {
        "policy": names.policy, "colour": names.colour, "set_title": names.set, "factor": factor_title,
        "in_order": wording.in_order, "verdict": wording.verdict_sentence, "at": wording.bar_scale(data.sensitivity),
        "measures": wording.measures, "entry": wording.entry, "repaired": wording.repaired, "heat": heat,
        "levels": levels_of, "seen": functools.partial(seen_by, data, names),
    }
    left_out = [] if data.ran else [WITHOUT_RAN]
    left_out += [chapter.without for chapter in CHAPTERS if not shown[chapter.name] and chapter.without]
    if data.runs:  # what one of them lacks its own report says
        left_out = []
    return environment.get_template("report.html.j2").render(
        title=data.title, subtitle=data.subtitle, headlines=data.headlines or derive_headlines(data), ran=data.ran,
        left_out=[*data.left_out, *left_out], references=REFERENCES,
        chapters=[(chapter, shown[chapter.name]) for chapter in CHAPTERS if shown[chapter.name]],
        made=str(data.manifest.get("made", "")), git=str(data.manifest.get("git", "")),
    )


def _chapters(data: ReportData, names: Names) -> dict[str, Any]:
    """Returns what the template of every chapter is given, by its name; nothing for a chapter that is left out."""

    def made(name: str) -> Sequence[str]:
        return data.made_by.get(name, ())

    rank = {object_set: i for i, object_set in enumerate(sets_in_order(data))}
    order = {"random": 2, "oracle": 1}
    ordered = sorted(data.success, key=lambda s: (rank[s.object_set], order.get(s.policy, 0)))
    compared = sorted(data.comparisons, key=lambda c: rank.get(c.object_set, len(rank)))
    p_holm = wording.corrected(data.repair)
    curves = wording.curve_panels(data, names)
    groups = wording.provenance(data.manifest)
    by_kind = {kind: [card for card in data.cards if card.kind == kind] for kind in ("policy", "dataset")}
    found: dict[str, Any] = {
        "runs": data.runs and {"panel": data.runs, "numbers": run_numbers(data.runs, made("runs"))},
        "success": data.success and {
            "sets": {object_set: [s for s in ordered if s.object_set == object_set] for object_set in rank},
            "labels": labels(data, names), "notes": notes(data, names),
            "numbers": figures.success_numbers(data, names, ordered), "comparisons": compared,
            "compared": figures.comparison_numbers(data, names, compared),
        },
        "policy-cards": _cards(by_kind["policy"], data),
        "dataset-cards": _cards(by_kind["dataset"], data),
        "sensitivity": data.sensitivity and {
            "panels": [(p, figures.sensitivity_numbers(p, made("sensitivity"))) for p in data.sensitivity],
        },
        "shifts": data.shifts and {
            "panels": data.shifts, "numbers": shift_numbers(data.shifts, names),
            "pairs": pair_numbers(data.shifts, names),
        },
        "repair": (data.repair or data.clips or data.played) and {
            "repairs": [(repair, wording.films_of(data.videos, repair.policies)) for repair in data.repair],
            "p_holm": p_holm, "count": len(p_holm), "id": id, "clips": data.clips,
            "played": data.played,
            "numbers": figures.repair_numbers(data.repair, p_holm, made("repair")),
        },
        "studies": data.studies and {"studies": data.studies},
        "videos": data.videos and {"groups": wording.film_groups(data.videos)},
        "objects": data.objects and {
            "panels": [(p, figures.object_numbers(p, names, made("success"))) for p in data.objects],
        },
        "diversity": data.diversity and {
            "diversity": data.diversity, "numbers": figures.diversity_numbers(data.diversity, made("diversity")),
        },
        "curves": curves and {
            "panels": [(p, figures.curve_numbers(data.curves, p["metric"], made("curves"))) for p in curves],
        },
        "sheets": data.sheets and {"sheets": data.sheets},
        "provenance": (groups or data.commands) and {"groups": groups, "commands": data.commands},
    }  # fmt: skip
    used = [name for name, content in found.items() if content]
    words = glossary.words_of([*used, *(["retention"] if retentions(data.success, data.trained_on) else [])])
    return found | {"words": words and {"words": words}}


def _cards(cards: Sequence[Card], data: ReportData) -> dict[str, Any]:
    found = [(card, figures.card_numbers(card, data.made_by.get(f"card {card.subject}", ()))) for card in cards]
    return {"cards": found, "made_by": data.made_by} if found else {}


def write_report(data: ReportData, path: Path) -> Path:
    """Writes the report atomically.

    Args:
        data: what to show.
        path: the HTML file.

    Raises:
        FileError: a film that is to be embedded cannot be read.
    """
    write_text(Path(path), render_report(data))
    return Path(path)
