"""Rule or nearest example: 0 for a copy, 1 for the rule, a half for their mean; and actions that tell nothing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, FileError
from toyshift.diagnostics.measuring.case import case_index, read_arrays
from toyshift.diagnostics.measuring.planted import case_or_law


@pytest.mark.parametrize(
    ("policy", "beta", "said"),
    [("copies", 0.0, "follows the nearest example"), ("half", 0.5, "beta 0.50"), ("obeys", 1.0, "follows the rule")],
)
def test_planted_policies_measure_what_they_are(policy: str, beta: float, said: str) -> None:
    made = case_or_law()
    found = case_index(made[policy], made["law"], made["nearest"])
    assert found.value.value == pytest.approx(beta, abs=1e-9)
    assert said in found.verdict
    assert found.table[0]["aside"] == pytest.approx(0.0, abs=1e-9)


def test_the_scale_divides_and_noise_widens() -> None:
    made = case_or_law()
    scale = np.asarray([1.0, 10.0, 0.1])
    noise = np.random.default_rng(0).normal(size=made["law"].shape)
    plain = case_index(made["half"] + noise, made["law"], made["nearest"])
    scaled = case_index(*(made[n] * scale + noise * scale * (n == "half") for n in ("half", "law", "nearest")), scale)
    assert scaled.value.value == pytest.approx(plain.value.value)
    assert plain.value.low < 0.5 < plain.value.high
    assert plain.value.high - plain.value.low > 0.02


def test_episodes_are_resampled_as_a_whole() -> None:
    rng = np.random.default_rng(1)
    law, nearest = rng.normal(size=(2, 60, 2, 2))
    own = nearest + np.repeat(rng.random(6), 10)[:, None, None] * (law - nearest)  # each episode follows its own share
    spans = [case_index(own, law, nearest, episodes=e).value for e in (None, np.repeat(range(6), 10).tolist())]
    assert spans[1].n == 6
    assert spans[1].high - spans[1].low > 2 * (spans[0].high - spans[0].low)


def test_fewer_than_eight_scenes_or_episodes_have_no_verdict() -> None:
    made = case_or_law()
    for few, told in (({"episodes": [i % 7 for i in range(60)]}, "7 episodes"), ({}, "7 scenes")):
        some = slice(None) if few else slice(7)
        found = case_index(made["obeys"][some], made["law"][some], made["nearest"][some], **few)  # type: ignore[arg-type]
        assert found.verdict.startswith("too few to tell")
        assert found.card == ""
        assert found.caveats == (f"{told}: no verdict below 8, where intervals are too narrow",)
        assert found.value.value == pytest.approx(1.0)
    far = case_index(made["law"][:7] + 100, made["law"][:7], made["nearest"][:7])
    assert far.verdict.startswith("too few to tell")
    assert case_index(made["obeys"][:8], made["law"][:8], made["nearest"][:8]).card


def test_what_lies_far_aside_follows_neither() -> None:
    made = case_or_law()
    found = case_index(made["law"] + 100, made["law"], made["nearest"])
    assert found.verdict.startswith("it follows neither rule nor nearest example")
    assert found.card == ""


def test_scenes_that_tell_nothing_are_left_out() -> None:
    made = case_or_law(10)
    alike = made["law"].copy()
    alike[2:] = made["nearest"][2:] + 0.19
    found = case_index(made["copies"], alike, made["nearest"])
    assert found.table[0]["scenes"] == 2
    assert "8 scenes in which rule and example hardly differ are left out" in found.caveats
    nothing = case_index(made["copies"], made["nearest"], made["nearest"])
    assert math.isnan(nothing.value.value)
    assert nothing.verdict.startswith("undefined: in 0 of 10 scenes")
    assert case_index(*np.zeros((3, 0, 4, 2))).verdict.startswith("undefined: there is no scene")
    one = case_index(made["copies"], made["law"], made["nearest"], episodes=["a"] * 10)
    assert one.verdict.startswith("undefined: in 10 of 10 scenes")  # of one episode


def test_arrays_that_do_not_fit_are_refused() -> None:
    made = case_or_law(10)
    chunks = made["copies"], made["law"], made["nearest"]
    with pytest.raises(ConfigError, match=r"\(9, 4, 3\)"):
        case_index(chunks[0][:9], *chunks[1:])
    with pytest.raises(ConfigError, match=r"a scale \(A,\); got .*\(4,\)"):
        case_index(*chunks, np.ones(4))
    with pytest.raises(ConfigError, match="not finite"):
        case_index(chunks[0] * np.nan, *chunks[1:])
    with pytest.raises(ConfigError, match="not above 0"):
        case_index(*chunks, np.zeros(3))
    with pytest.raises(ConfigError, match="3 episode labels for 10 scenes"):
        case_index(*chunks, episodes=["a"] * 3)


def test_files_that_hold_no_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(FileError, match=r"does not exist; give an \.npz file with the arrays pred, law, nearest"):
        read_arrays(path)
    path.write_bytes(b"PK no zip")
    with pytest.raises(FileError, match=r"no \.npz file that can be read"):
        read_arrays(path)
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(FileError, match=r"no \.npz file that can be read"):
        read_arrays(tmp_path / "a.npy")
    np.savez(path, pred=np.zeros(2), law=np.zeros(2), nearest=np.asarray(["a", "b"]))
    with pytest.raises(FileError, match="nearest holds <U1, not numbers"):
        read_arrays(path)
    np.savez(path, pred=np.zeros((2, 2, 2)))
    with pytest.raises(FileError, match="lacks the arrays law, nearest; it has: pred"):
        read_arrays(path)
