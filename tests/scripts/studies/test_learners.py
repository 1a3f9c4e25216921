"""What studies of trained policies share: resuming, tables by what was varied; and the study of length on top of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import toyshift.diagnostics
import toyshift.policies
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import read_json
from toyshift.diagnostics import EvaluateConfig, Row, read_rows_manifest
from toyshift.envs.config import MAX_CLUTTER
from toyshift.policies.network.pooling import make_pooling
from toyshift.scripts.studies import learners, length
from toyshift.scripts.studies.cells import training_speed
from toyshift.scripts.studies.learners import LearnerStudy, is_shown, paired_lines
from toyshift.scripts.studies.length import Config, LengthStudy, target_share
from toyshift.scripts.studies.planted import COLLECTING

Played = Callable[[EvaluateConfig, int], bool]


def played(config: EvaluateConfig, success: Played) -> list[Row]:
    """Rows of a policy that succeeds where it is said to, each on an object of its own."""
    return [
        Row(policy=config.name, pooling="", object_set=config.objects, object_id=f"toy-{i}", seed=config.seed,
            episode=i, success=success(config, i), max_height=0.1, steps=9, look="", wall_s=0.1,
            failure="" if success(config, i) else "timeout")
        for i in range(config.trials)
    ]  # fmt: skip


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Played], None]:
    """Has no study collect, train or play: what comes of an episode is told."""

    def fake(success: Played) -> None:
        monkeypatch.setattr(LearnerStudy, "check", LearnerStudy.claim)
        monkeypatch.setattr(LearnerStudy, "dataset", lambda self, lesson: self.collected(lesson).out)
        done = {"loss": 0.5, "validation_loss": 0.25, "samples": 8}
        monkeypatch.setattr(toyshift.policies, "train", lambda recipe: done, raising=False)
        monkeypatch.setattr(learners, "manifest", lambda settings, seed, **facts: {"seed": seed, **facts})
        monkeypatch.setattr(
            toyshift.diagnostics, "evaluate", lambda config, *_, **__: played(config, success), raising=False
        )  # fmt: skip

    return fake


def asked(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    places = {"out": tmp_path / "run", "results": tmp_path / "results", "docs": tmp_path / "docs"}
    return {**places, "workers": 1, "allow_dirty": True, **changes}


def test_the_plan_fits_its_budget(tmp_path: Path) -> None:
    study = LengthStudy(Config(out=tmp_path, workers=2))
    cells = study.cells()
    assert [cell.name for cell in cells[:3]] == ["others-detpool-s0", "others-attention-s0", "others-mean-s0"]
    assert len(cells) == 2 * 3
    assert 2 * sum(cell.estimate for cell in cells) < 0.8 * 3600  # core-seconds of two cores
    first, second = cells[:2]
    per_sample = 1 / training_speed("attention") - 1 / training_speed("detpool")
    collected = first.estimate - second.estimate + study.practice.steps * study.practice.batch * per_sample
    assert collected == pytest.approx(COLLECTING * 200)  # once
    study = LengthStudy(Config(out=tmp_path, workers=2, seeds=2))
    lesson = study.lessons["others-mean-s1"]
    assert study.collected(lesson).clutter == "0-1"
    assert study.recipe(lesson, "d", "o").policy.mask_input
    env = study.tests(lesson, "p", "c")["6 others"].env
    assert env.kwargs == {"clutter": 6}


def test_rates_and_jitter_are_those_that_the_search_found(tmp_path: Path) -> None:
    table = read_json(Path(__file__).parents[3] / "results" / "lego_fair" / "table.json")
    best = {x["pooling"]: x for x in table["search"] if x["best"]}
    study = LengthStudy(Config(out=tmp_path, workers=1))
    for pooling, called in (("detpool", "detpool+mask"), ("attention", "attention+mask"), ("mean", "mask-channel")):
        made, found = study.recipe(study.lessons[f"others-{pooling}-s0"], "d", "o"), best[called]
        assert (made.lr, made.brightness > 0, made.policy.pooled_norm) == (found["lr"], found["jitter"], found["norm"])


def test_who_lifts_little_where_the_test_is_like_training_says_nothing(tmp_path: Path) -> None:
    def line(longer: str, pooling: str, test: str, rate: float) -> dict[str, Any]:
        return {"longer": longer, "pooling": pooling, "test": test, "rate": rate}

    lines = [
        line("others", "mean", "6 others", 0.5), line("others", "mean", "1 others", 0.1),
        line("others", "detpool", "6 others", 0.1), line("others", "detpool", "1 others", 0.2),
        line("parts", "mean", "4 and 5 parts", 0.1), line("parts", "mean", "up to 3 parts", 0.4),
    ]  # fmt: skip
    assert length.undertrained(lines) == [["others", "mean"]]


def test_a_stopped_study_goes_on_and_its_page_says_what_rows_hold(
    tmp_path: Path, faked: Callable[[Played], None]
) -> None:
    def success(config: EvaluateConfig, i: int) -> bool:
        if "mean" in config.name:
            return i < 4
        return i < (34 if "detpool" in config.name else 34 - 5 * config.env.kwargs.get("clutter", 0))

    faked(success)
    cfg = Config(**asked(tmp_path, seeds=1, trials=40, others=(1, 6)))
    first = length.main(dataclasses.replace(cfg, cells=2))
    assert first["ran"] == ["others-detpool-s0", "others-attention-s0"]
    assert "**Not complete:** 4 cells" in (tmp_path / "docs" / "length.md").read_text()
    made = length.main(cfg)
    assert made["missing"] == []
    assert length.main(cfg)["ran"] == []
    facts = read_rows_manifest(tmp_path / "results" / "rows" / "others-mean-s0.parquet")
    assert facts["lesson"] == {"varied": {"longer": "others", "pooling": "mean"}, "seed": 0}
    assert facts["validation_loss"] == 0.25
    table = made["table"]
    line = next(x for x in table["success"] if (x["pooling"], x["test"]) == ("attention", "6 others"))
    assert (line["n"], line["k"], line["by_seed"]) == (40, 4, [0.1])
    found = {(x["what"], x["test"], x["second"]): is_shown(x) for x in table["comparisons"]}
    assert found["pooling", "6 others", "detpool"] == 1
    assert found["pooling", "1 others", "attention"] == 1
    assert found["pooling", "6 others", "attention"] == 0
    assert found["length", "attention", "6 others"] == -1
    assert found["length", "detpool", "6 others"] == 0
    text = (tmp_path / "docs" / "length.md").read_text()
    assert table["undertrained"] == [["others", "mean"], ["parts", "mean"]]
    assert "in 1 of 2 poolings, and to rise in 0." in text
    assert "**Undertrained**, below 20 % in the test most like training" in text
    assert (tmp_path / "docs" / "length.png").stat().st_size > 1000
    with pytest.raises(ConfigError, match=r"another configuration \(trials: 41 now, 40 there\)"):
        length.main(dataclasses.replace(cfg, trials=41))


def test_a_difference_counts_shared_starts_alone() -> None:
    first = played(EvaluateConfig("p", "s", 30, name="a"), lambda _, i: i < 3)
    second = played(EvaluateConfig("p", "s", 40, name="b"), lambda _, i: i < 24 or i > 30)
    (line,) = paired_lines([({}, first, second)])
    assert line["paired"]["difference"]["value"] == pytest.approx(21 / 30)
    assert (line["holm_p"], is_shown(line)) == (pytest.approx(2 / 2**21), 1)
    assert paired_lines([({}, first, [dataclasses.replace(row, seed=9) for row in second])]) == []


@pytest.mark.parametrize("pooling", ["detpool", "mean", "attention"])
def test_formulas_are_those_of_the_poolings(pooling: str) -> None:
    target, others, width = 3, 5, 8
    torch.manual_seed(0)
    made = make_pooling(pooling, width, (1, target + others))
    mask = torch.tensor([1.0] * target + [0.0] * others)[None, None]
    one, other = torch.randn(2, width)
    tokens = torch.stack([one] * target + [other] * others)[None, None]
    with torch.no_grad():
        mixed = made(tokens, mask)
        pure = [made(part.expand(1, 1, target + others, width), torch.ones_like(mask)) for part in (one, other)]
        logits = None
        if pooling == "attention":  # one head's are another's: a query for all
            made.query.copy_(made.query[:1].expand_as(made.query))
            made.key.weight.copy_(made.key.weight[: width // 4].repeat(4, 1))
            mixed = made(tokens, mask)
            pure = [made(part.expand(1, 1, target + others, width), torch.ones_like(mask)) for part in (one, other)]
            key = made.norm(tokens[0, 0]) @ made.key.weight[: width // 4].T
            logits = (key @ made.query[0] * (width // 4) ** -0.5).double().numpy()
    share = target_share(pooling, target, others, logits)
    expected = share * pure[0] + (1 - share) * pure[1]
    np.testing.assert_allclose(mixed.numpy(), expected.numpy(), atol=1e-5)
    assert target_share(pooling, target, 0) == 1.0


def test_bad_input(tmp_path: Path) -> None:
    assert length.MOST_OTHERS == MAX_CLUTTER
    with pytest.raises(ConfigError, match="there is no formula for pooling 'cls'"):
        target_share("cls", 1, 1)
    with pytest.raises(ConfigError, match="target is 0"):
        target_share("mean", 0, 1)
    with pytest.raises(ConfigError, match="--poolings and --others"):
        Config(out=tmp_path, others=())
    with pytest.raises(ConfigError, match="others must be from 0 to 10"):
        Config(out=tmp_path, others=(11,))
    with pytest.raises(FileError, match="holds no rows yet; run `toyshift study length"):
        length.main(Config(**asked(tmp_path, tabulate=True)))
