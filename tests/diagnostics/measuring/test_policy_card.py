"""Cards of policies: planted findings give the verdict that is true, and no more than that is said."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.files import read_json, write_json
from toyshift.data.collecting.dials import fragment
from toyshift.data.collecting.fragment_folder import claim_plan, plan_of
from toyshift.diagnostics.cards import Card, card_text
from toyshift.diagnostics.changes import ChangedSuccess
from toyshift.diagnostics.measures import POLICY, Asked, Measure, card_truths
from toyshift.diagnostics.measuring import planted, policy_card
from toyshift.diagnostics.measuring.counterfactual import Swaps, counterfactual
from toyshift.diagnostics.measuring.finding import Finding, Findings, undefined
from toyshift.diagnostics.measuring.implied import SAME, Implied
from toyshift.diagnostics.measuring.policy_card import INCAPABLE, MOVED, NOTHING, SHORTCUT, SIDE, UNKNOWN
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.sensitivity import FactorEffect, SensitivityResult
from toyshift.diagnostics.statistics import Estimate
from toyshift.scripts import cli, diagnose
from toyshift.scripts.options import options_of, refusal

ABLE = (20, 20)
TABLE = Implied("table", (0, 3), ((0.0, -0.05), (0.0, 0.05)), 100, 1.0, 0.01)
KNOWN, LOOSE = Swaps({"light": (0.5,)}, {"table": TABLE}), Swaps({"table": (3,), "light": (0.5,)})
LIMITS = {"sensitive_above": 1.0, "robust_below": 0.1, "capable_from": 0.5}


def asked(**given: Any) -> Asked:
    own: dict[str, Any] = {
        "policy": "runs/mine", "objects": "toys:test", "scenes": 40, "looks": 1, "trials": 20, "camera": "", "seed": 0,
        "out": Path("out"),
    }  # fmt: skip
    return Asked(**(own | given))


def swapped(
    swaps: Swaps, able: tuple[int, int] | None = ABLE, notes: Mapping[str, str] | None = None, scenes: int = 40,
    objects: int = 40, **script: Any,
) -> Findings:
    policy = planted.scripted(**({"slope": 10 / 3} | script))
    looked = planted.looked_at(policy, swaps, looks=1, scenes=scenes, objects=objects)
    return counterfactual(looked, swaps, training=able, notes=notes)


def card_of(answers: Mapping[str, Any], **given: Any) -> Card:
    card = policy_card.policy_card(asked(**given), answers)
    assert card is not None
    return card


def sensitivity(
    training: tuple[int, int] | None = ABLE, pooling: str = "attention", **ratios: float
) -> SensitivityResult:
    measured = SensitivityResult(
        "mine", pooling, Estimate(0.1, 0.09, 0.11, 40), 0.0,
        tuple(FactorEffect(f, Estimate(r, r, r, 40), Estimate(r, 0.9 * r, 1.1 * r, 40)) for f, r in ratios.items()),
        "standard deviations", 40, 40, LIMITS,
    )  # fmt: skip
    plain = rows(ABLE[1])
    success = ChangedSuccess.of_rows({"": plain}, rows(training[0])) if training else None
    return measured.judged(success)


def rows(good: int, n: int = 20, look: str = "") -> list[Row]:
    return planted.rows_of("mine", (np.arange(n) < good)[:, None], look=look)


def inside(name: str, factor: str, card: str, verdict: str = "") -> Findings:
    value = Estimate(0.8, 0.7, 0.9, 12)
    return Findings((Finding(
        name=name, subject=f"mine, {factor}", value=value, unit="of", null=0.0, verdict=verdict or card, card=card,
    ),))  # fmt: skip


def test_a_cue_that_the_data_taught_is_called_a_shortcut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_card, "EXAM", tmp_path / "none.json")
    card = card_of({"counterfactual": swapped(KNOWN, rho=0.5)}, trained_on=(Path("runs/fragments"),))
    assert (card.word, card.cue, card.unit, card.null) == (SHORTCUT, "table", "cm of the target's place", 0.0)
    assert card.strength.value == pytest.approx(5.0)
    assert card.verdict == (
        "It takes the table's texture for the target's place, in part: swapped in the same state, it goes 50 % of the "
        "way to where the data had the target under the other."
    )
    assert any("beta 0.50" in line and "p 0.0" in line for line in card.agree)
    assert any(line.startswith("50 % of the way there") for line in card.disagree)
    assert [line["factor"] for line in card.table] == ["table", "light"]
    assert card.error_rate is None
    assert any("exam" in line for line in card.unknown)


def test_a_side_without_data_is_no_shortcut() -> None:
    card = card_of({"counterfactual": swapped(LOOSE, rho=0.5)})
    assert (card.word, card.cue) == (SIDE, "table")
    assert "not known (no data were given)" in card.verdict
    assert card.advice[0].endswith("toyshift diagnose --policy runs/mine --trained-on DATA")
    assert "shortcut" not in card.verdict


def test_what_never_varied_in_training_was_not_taught_by_it() -> None:
    card = card_of({"counterfactual": swapped(LOOSE, notes={"table": SAME}, rho=0.5)}, trained_on=(Path("d"),))
    assert (card.word, card.cue) == (MOVED, "")
    assert card.verdict == "Sensitive to the table's texture; no shortcut is shown."
    assert any(line.startswith("training cannot have taught the table's texture") for line in card.disagree)
    assert card.strength.value == pytest.approx(5.0)


def test_going_away_from_what_a_factor_implied_is_no_shortcut_on_it() -> None:
    card = card_of({"counterfactual": swapped(KNOWN, rho=-0.5)}, trained_on=(Path("d"),))
    assert card.word == MOVED
    assert any(line.startswith("it goes away from the place") for line in card.disagree)


def test_a_label_alone_is_sensitivity_and_a_missing_side_speaks_against_more() -> None:
    answers = {"counterfactual": swapped(LOOSE, rho=0.0), "sensitivity": sensitivity(light=3.0, table=0.01)}
    card = card_of(answers)
    assert (card.word, card.cue, card.strength.value) == (MOVED, "", 3.0)
    assert card.verdict == "Sensitive to the light; no shortcut is shown."
    assert any("light 1 -> 0.5 in the same state shows no side" in line for line in card.disagree)
    assert any("as much as 3.0 cm" in line for line in card.agree)


@pytest.mark.parametrize("able", [(4, 20), None])
def test_nothing_is_said_of_the_incapable_and_the_unknown(able: tuple[int, int] | None) -> None:
    card = card_of({"counterfactual": swapped(KNOWN, able, rho=1.0), "sensitivity": sensitivity(able, table=9.0)})
    assert card.word == (INCAPABLE if able else UNKNOWN)
    assert (card.cue, card.agree, card.disagree, card.table) == ("", (), (), ())
    assert "nothing is said" in card.verdict.lower()
    assert np.isnan(card.strength.value)
    assert "takes" not in card_text(card)


def test_few_episodes_that_leave_open_whether_it_can_do_its_task_are_named() -> None:
    card = card_of({"counterfactual": swapped(KNOWN, (6, 10), rho=1.0)}, trained_on=(Path("d"),))
    assert card.word == SHORTCUT
    assert any("6 of 10 episodes leave 31 % to 83 %" in line for line in card.unknown)
    sure = card_of({"counterfactual": swapped(KNOWN, rho=1.0)}, trained_on=(Path("d"),))
    assert not any("episodes leave" in line for line in sure.unknown)


def test_nothing_found_is_no_proof_of_absence() -> None:
    card = card_of({"counterfactual": swapped(LOOSE), "sensitivity": sensitivity(table=0.01, light=0.5)})
    assert (card.word, card.cue) == (NOTHING, "")
    assert card.verdict.startswith("Nothing was found; that is no proof of absence.")
    assert any("the table's texture (robust)" in line for line in card.agree)
    assert any("robust to the light" in line for line in card.unknown)
    assert card.advice[0].endswith("diagnose --policy runs/mine --trained-on DATA --scenes 80 --trials 50")
    again = card_of({"counterfactual": swapped(LOOSE)}, training_set="toys:train", objects="ycb-like").advice[0]
    assert "--policy runs/mine --training-set toys:train --objects ycb-like --trained-on DATA" in again


def test_jolts_to_no_side_are_told_but_not_named() -> None:
    card = card_of({"counterfactual": swapped(LOOSE, jolt=3.0)})
    assert card.word == NOTHING
    assert any(line.startswith("its actions do move either way") for line in card.disagree)


def test_what_does_not_follow_its_target_cannot_be_judged() -> None:
    card = card_of({"counterfactual": swapped(LOOSE, follows=0.0)})
    assert card.word == UNKNOWN
    assert card.verdict.startswith("Nothing can be said: its actions do not follow the target")
    few = card_of({"counterfactual": swapped(LOOSE, scenes=5, rho=1.0)})
    assert few.verdict.startswith("Nothing can be said: 5 scenes; it needs 9")


def test_one_object_says_nothing_of_others() -> None:
    answers = {
        "counterfactual": swapped(KNOWN, objects=1, rho=1.0),
        "patching": Findings((undefined("patching", "of", "of one object nothing is known", subject="mine, table"),)),
    }
    card = card_of(answers, trained_on=(Path("d"),))
    assert card.word == SHORTCUT
    assert any("1 objects: scenes are the units, nothing is said of new objects" in line for line in card.unknown)
    assert "patching: of one object nothing is known" in card.unknown


def test_evidence_stands_on_its_side() -> None:
    drop = ChangedSuccess.of_rows({"": rows(20), "table": rows(2, look="table=3")}, rows(20))
    answers = {
        "counterfactual": swapped(KNOWN, rho=1.0), "success": drop,
        "predicted": inside("predicted", "table", "foretold"),
        "patching": inside("patching", "table", "comes in by the context"),
        "probes": inside("probes", "table", "", "read; not admitted: halves differ"),
        "steer": inside("steer", "table", "", "no direction is shown to carry the table"),
        "rule": inside("rule", "places", "", "it follows the nearest example"),
    }
    card = card_of(answers, trained_on=(Path("d"),))
    assert "patching: comes in by the context" in card.beside
    assert "rule, places: it follows the nearest example" in card.beside
    assert any("changes: -90 points" in line for line in card.agree)
    assert "steer: no direction is shown to carry the table" in card.unknown
    told = card_text(card)
    assert "foretold" not in told  # its formula is not shown to work
    assert "not admitted" not in told
    still = {"patching": Findings((undefined("patching", "of", "there is nothing to carry", subject="mine, table"),))}
    against = card_of({**answers, **still}, trained_on=(Path("d"),))
    assert "patching: there is nothing to carry" in against.disagree
    holds = ChangedSuccess.of_rows({"": rows(200, 200), "table": rows(200, 200, "table=3")}, rows(20))
    steady = card_of({**answers, "success": holds}, trained_on=(Path("d"),))
    assert any("holds: +0 points" in line for line in steady.disagree)


def test_success_that_is_lost_is_sensitivity_but_not_where_there_was_none_to_lose() -> None:
    drop = ChangedSuccess.of_rows({"": rows(20), "light": rows(2, look="light=0.5")}, rows(20))
    card = card_of({"success": drop})
    assert (card.word, card.unit) == (MOVED, "change of success")
    assert card.strength.value == pytest.approx(-0.9)
    weak = ChangedSuccess.of_rows({"": rows(20), "light": rows(2, look="light=0.5")}, rows(3))
    own = card_of({"success": weak, "counterfactual": swapped(LOOSE)})
    assert own.word == NOTHING
    assert any("with nothing changed it lifts 3 of 20" in line for line in own.unknown)


def test_of_a_bundle_it_is_said_once_that_it_shows_no_network() -> None:
    why = "an exported bundle does not show its network; name the trained folder"
    shut = {name: Findings((undefined(name, "", why, subject="runs/mine"),)) for name in policy_card.INSIDE}
    card = card_of({"counterfactual": swapped(LOOSE, rho=0.5), **shut})
    assert [line for line in card.unknown if "network" in line] == [f"what is inside its network: {why}"]
    own = card_of({"counterfactual": swapped(LOOSE, rho=0.5), "steer": inside("steer", "table", "carries it")})
    assert not any("network" in line for line in own.unknown)


def test_a_policy_behind_a_server_is_not_looked_into() -> None:
    card = card_of({"counterfactual": swapped(LOOSE, rho=0.5)}, policy="ws://localhost:8000")
    assert any("it only tells its actions" in line for line in card.unknown)
    assert "what was not measured: sensitivity" in card.unknown
    assert not any("detection pooling" in line for line in card.advice)
    local = card_of({"counterfactual": swapped(LOOSE, rho=0.5)})
    assert "what was not measured: sensitivity, patching, probes, steer" in local.unknown


def test_advice_is_for_the_cue() -> None:
    measured = {"sensitivity": sensitivity(azimuth=3.0)}
    advice = "\n".join(card_of(measured).advice)
    assert "toyshift augment viewpoint DATA DATA-views --azimuth -30 30" in advice
    assert "--pooling detpool" in advice
    pooled = card_of({"sensitivity": sensitivity(pooling="detpool", azimuth=3.0)})
    assert "--pooling detpool" not in "\n".join(pooled.advice)
    colour = card_of({"sensitivity": sensitivity(object_colour=3.0)})
    assert "--pooling detpool" not in "\n".join(colour.advice)
    assert "--factor object_colour" in "\n".join(colour.advice)


@pytest.mark.parametrize("factor", ["table", "background", "azimuth", "light", "object_colour", "others"])
def test_commands_of_the_advice_exist(factor: str) -> None:
    told = policy_card.Told(factor)
    for word, first in ((SHORTCUT, told), (SIDE, told), (MOVED, told), (NOTHING, None), (UNKNOWN, None)):
        for given in ({}, {"trained_on": (Path("runs/my demos"),)}):
            advice = list(policy_card._advice(asked(**given), word, first, "mean"))
            commands = [line for text in advice for line in text.splitlines()[1:]]
            assert len(commands) >= (2 if first and factor != "object_colour" else 1)
            for command in commands:
                words, options, rest = cli.find(shlex.split(command)[1:])
                assert refusal(options_of(options), rest, words, complete=False) is None


def test_a_folder_of_sub_datasets_is_dressed_anew_with_its_own_dials(tmp_path: Path) -> None:
    design = fragment(2, diversity=0.25, disparity=1.5, correlation=1.0, factor="table")
    claim_plan(tmp_path / "data", plan_of(design, "toys:train", 250, 0), "toyshift data fragment")
    advice = list(policy_card._advice(asked(trained_on=(tmp_path / "data",)), SHORTCUT, policy_card.Told("table"), ""))
    data = tmp_path / "data"
    dials = "--factor table --diversity 0.25 --disparity 1.5 --correlation 0"
    places = f"toyshift evaluate --policy {asked().policy} --swapped {data} --reach 0.06 --trials 50"
    assert advice[0].splitlines()[1] == places
    assert advice[1].splitlines()[1] == f"toyshift augment cue {data} {data}-clean {dials}"
    light = list(policy_card._advice(asked(trained_on=(tmp_path / "data",)), SHORTCUT, policy_card.Told("light"), ""))
    assert not any("--swapped" in line for line in light)  # the folder's plan swaps the table alone


def test_a_little_of_a_cue_is_leant_on() -> None:
    card = card_of({"counterfactual": swapped(KNOWN, rho=0.1)}, trained_on=(Path("d"),))
    assert card.word == SHORTCUT
    assert card.verdict.startswith("It leans on the table's texture for the target's place, in part: ")
    assert "it goes 10 % of the way" in card.verdict
    faint = card_of({"counterfactual": swapped(KNOWN, rho=0.03)}, trained_on=(Path("d"),))
    assert faint.word == NOTHING
    told = "swapped in the same state, none sends it 0.5 cm or more: table"
    assert any(line.startswith(told) for line in faint.agree)


def test_the_rate_of_errors_is_the_exams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "exam.json"
    monkeypatch.setattr(policy_card, "EXAM", file)
    write_json(file, {SHORTCUT: {"wrong": 2, "cards": 50}})
    card = card_of({"counterfactual": swapped(KNOWN, rho=1.0)}, trained_on=(Path("d"),))
    assert card.error_rate is not None
    assert (card.error_rate.value, card.error_rate.n) == (pytest.approx(0.04), 50)
    assert (card.error_rate.low, card.error_rate.high) == pytest.approx((0.011, 0.135), abs=0.001)  # Wilson's
    assert not any("exam" in line for line in card.unknown)
    assert card_of({"counterfactual": swapped(LOOSE, rho=1.0)}).error_rate is None


def test_a_card_is_read_as_it_was_written() -> None:
    for answers in ({"counterfactual": swapped(KNOWN, rho=0.5)}, {"counterfactual": swapped(KNOWN, (1, 20))}):
        card = card_of(answers, trained_on=(Path("d"),))
        kept = json.loads(json.dumps(card.to_json(), allow_nan=False))
        again = Card.from_json(kept | {"manifest": {}})
        assert again.to_json() == card.to_json()
        assert card_text(again) == card_text(card)
        # by what they tell: not a number equals itself only where dataclasses are compared as tuples, until Python 3.12
        changed = dataclasses.replace(again, strength=card.strength, null=card.null)
        assert repr(changed) == repr(card)


def test_the_command_ends_in_a_card_for_each_policy(
    policy_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = swapped(LOOSE, rho=0.5)
    module = types.ModuleType("toyshift.diagnostics.planted_answers")
    vars(module).update(answer=lambda asked: found, shown=lambda result: "figures", truths=list)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    place = "planted_answers:"
    measure = Measure("counterfactual", "?", POLICY, place + "answer", place + "shown", place + "truths", "", "")
    monkeypatch.setattr(diagnose, "MEASURES", (measure,))
    policies = tuple(str(policy_folder(tmp_path / name)) for name in ("a/mine", "b/mine", "other"))
    told = diagnose.main(diagnose.Config(policy=policies, out=tmp_path / "out"))
    files = sorted((tmp_path / "out").glob("card-*.json"))
    assert [file.name.endswith(("_a_mine.json", "_b_mine.json", "card-other.json")) for file in files] == [True] * 3
    assert [read_json(file)["subject"] for file in files] == sorted(policies)
    assert "manifest" in read_json(files[0])
    assert [card["word"] for card in told["cards"]] == [SIDE] * 3
    said = capsys.readouterr().out
    assert said.count("policy card: ") == 3
    assert said.rindex("figures") < said.index("policy card: ")
    assert [Card.from_json(read_json(file)).cue for file in files] == ["table"] * 3


def test_whether_it_goes_to_what_is_named_stands_beside_the_verdict() -> None:
    from toyshift.diagnostics.measuring.named import named, other_named

    policy, world = planted.heeding(0.0, favourite=True), planted.TwoThings()
    looked = planted.looked_at(policy, other_named, 20, looks=1, world=world)
    ignores = Findings((named(looked, reached=(18, 20)),))
    for able in (ABLE, (2, 20)):  # of a policy of which nothing else is said, too
        card = card_of({"counterfactual": swapped(LOOSE, able), "named": ignores})
        assert card.beside[0].startswith("instruction: ignores what is named: told the other object's name in the same")
    assert card.word == INCAPABLE
    lost = Findings((named(looked, reached=(2, 20)),))
    card = card_of({"counterfactual": swapped(LOOSE), "named": lost})
    assert card.beside == ("instruction: it does not reach either object: its hand comes near one in 2 of 20 episodes",)
    assert card_of({"counterfactual": swapped(LOOSE)}).beside == ()


def test_measures_that_name_no_factor_give_no_card() -> None:
    assert policy_card.policy_card(asked(), {}) is None
    assert policy_card.policy_card(asked(), {"predicted": inside("predicted", "table", "foretold")}) is None


def test_planted_policies_get_the_words_they_deserve() -> None:
    truths = card_truths(POLICY)
    assert len(truths) == 5
    assert [truth for truth in truths if not truth.ok] == []
