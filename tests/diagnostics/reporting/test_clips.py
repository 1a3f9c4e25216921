"""Clips of datasets before and after an augmentation: the copy beside the very episode that it was made of."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.files import write_json
from toyshift.core.manifest import manifest
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.lerobot import finalize
from toyshift.diagnostics.reporting.clips import clip_pairs, played_pairs
from toyshift.diagnostics.reporting.data import ReportData
from toyshift.diagnostics.reporting.found import FoundStudy
from toyshift.diagnostics.reporting.gather import gather
from toyshift.diagnostics.reporting.page import render_report
from toyshift.diagnostics.video import write_mp4

ACTION = ActionContract("joint_pos", ("j0", "gripper"), ("rad", "1"), (-1.0, 0.0), (1.0, 1.0), 20.0, ("j0",))


def dataset(folder: Path, grey: list[int], metas: list[dict[str, Any]], config: dict[str, Any]) -> Path:
    for i, (level, meta) in enumerate(zip(grey, metas, strict=True)):
        frames = {
            "observation.state": np.zeros((4, 1), np.float32), "action": np.zeros((4, 2), np.float32),
            "observation.images.front": np.full((4, 32, 32, 3), level, np.uint8),
        }  # fmt: skip
        write_episode(folder, Episode(i, frames, {"task": "lift", "object_id": "toy", **meta}))
    finalize(folder, ACTION, ObservationContract((("front", (32, 32)),), ("q0",)), manifest(config, 0))
    return folder


def brightness(clip: bytes) -> float:
    with av.open(io.BytesIO(clip)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 4
    return float(np.mean(frames))


def test_a_copy_stands_beside_the_episode_that_it_is_of(tmp_path: Path) -> None:
    left = dataset(tmp_path / "demos" / "left", [10, 50, 90], [{}] * 3, {})
    right = dataset(tmp_path / "demos" / "right", [20, 60, 130], [{}] * 3, {})
    said = [{"spec": "jitter", "dataset": "right", "episode": e, "copy": c} for e, c in ((0, 0), (2, 1), (1, 1))]
    config = {"spec": "jitter", "folders": [str(left), str(right)]}
    dataset(tmp_path / "run" / "new" / "right", [20, 200, 230], [{"_augmented": one} for one in said], config)
    dataset(tmp_path / "run" / "cue", [160], [{"source_episode": 1}], {"src": str(left), "factor": "table"})
    dataset(tmp_path / "run" / "plain", [10], [{}], {})
    dataset(tmp_path / "run" / "other", [1], [{"source_episode": 2}], {"src": str(left), "factor": "table"})  # alike
    pairs, left_out = clip_pairs(tmp_path / "run")
    assert left_out == []
    assert [pair.title for pair in pairs] == ["cue: another table", "new/right: jitter"]
    told = [(brightness(pair.before), brightness(pair.after)) for pair in pairs]
    assert told == [pytest.approx((50, 160), abs=3), pytest.approx((130, 200), abs=3)]
    page = render_report(ReportData("x", clips=pairs))
    assert page.count('<video src="data:video/mp4;base64,') == 4
    assert page.index("cue: another table") > page.index('id="repair"')
    assert len(clip_pairs(tmp_path / "run", most=1)[0]) == 1
    found = gather(tmp_path / "run", pictures=False).clips  # with nothing else there
    assert [(pair.title, pair.caption) for pair in found] == [(pair.title, pair.caption) for pair in pairs]
    # pictures, not bytes: x264 may write the same ones otherwise
    assert [(brightness(pair.before), brightness(pair.after)) for pair in found] == told


def test_a_start_that_a_study_filmed_twice_stands_side_by_side(tmp_path: Path) -> None:
    folder = tmp_path / "repair"
    for name, level in (("none", 40), ("hint", 200)):
        write_mp4(folder / "clips" / name / "a.mp4", [np.full((32, 32, 3), level, np.uint8)] * 4)
    sides = {side: {"file": f"{name}/a.mp4", "name": f"{name}: {how}"}
             for side, name, how in (("before", "none", "missed"), ("after", "hint", "lifted"))}  # fmt: skip
    film = {"title": "The viewpoint: hint beside none", "caption": "+12 points; toy, seed 0", **sides}
    write_json(folder / "clips" / "clips.json", {"films": [film, film | {"after": {"file": "gone.mp4", "name": "x"}}]})
    studies = [FoundStudy("repair", folder, {}, []), FoundStudy("dsl", tmp_path, {}, [])]
    [pair], [told] = played_pairs(studies)
    assert (brightness(pair.before) < 60, brightness(pair.after) > 180) == (True, True)
    assert pair.title == "repair: The viewpoint: hint beside none"
    assert told.startswith(f"clips of {folder / 'clips'}: ")
    assert "gone.mp4" in told
    page = render_report(ReportData("x", played=[pair]))
    assert page.index("None: missed</figcaption>") < page.index("Hint: lifted</figcaption>")
    assert "picked to show what changed" in page


def test_a_source_that_is_gone_is_named(tmp_path: Path) -> None:
    dataset(tmp_path / "new", [160], [{"source_episode": 0}], {"src": str(tmp_path / "gone"), "factor": "table"})
    pairs, [told] = clip_pairs(tmp_path)
    assert pairs == []
    assert told.startswith(f"clips of {tmp_path / 'new'}: ")
    assert str(tmp_path / "gone") in told
