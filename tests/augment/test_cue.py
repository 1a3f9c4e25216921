"""A new cue: actions and masks stay, what is seen tells the place as planted, and other factors stay as they were."""

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.augment import augment_cue, augment_viewpoint
from toyshift.augment.augmentation import SeenAs
from toyshift.augment.cue import Cue, CueByTarget
from toyshift.augment.rerender import Rerendering, rerender
from toyshift.augment.seen import unmoved
from toyshift.core.contract import ACTION, STATE
from toyshift.core.errors import ConfigError, FileError
from toyshift.data.collecting.collection import collect
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.dials import fragment
from toyshift.data.collecting.fragment_folder import collect_fragments, dependence_of
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.envs.render.renderer import Renderer
from toyshift.envs.shifts import Look

FRONT, WRIST = "observation.images.front", "observation.images.wrist"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, thinned: Callable[[Path, Path], Path]) -> Path:
    out = tmp_path_factory.mktemp("fragments") / "whole"
    design = fragment(2, diversity=0.25, disparity=1.5, correlation=0.0, factor="azimuth")
    collect_fragments(design, CollectConfig("toys:train?n=6", 8, out, workers=0, image_size=32))
    return thinned(out, out.with_name("places"))


def parts(folder: Path) -> list[Dataset]:
    return [open_dataset(folder / f"part-{i}") for i in range(2)]


def looks(folder: Path) -> list[list[dict[str, float]]]:
    return [[part.meta(i)["factors"]["look"] for i in range(part.num_episodes)] for part in parts(folder)]


def test_the_place_is_told_by_the_new_cue_alone(places: Path, tmp_path: Path) -> None:
    told = augment_cue(places, tmp_path / "table", "table", disparity=1.5, workers=0)
    design, found = dependence_of(tmp_path / "table")
    assert (design.factor, design.correlation, told["episodes"]) == ("table", 1.0, 8)
    assert found.planted is not None
    assert told["planted"] == pytest.approx(found.planted)
    assert found.agrees
    first, second = ({look["table"] for look in part} for part in looks(tmp_path / "table"))
    assert len(first) == len(second) == 1
    assert first != second
    for before, after in zip(parts(places), parts(tmp_path / "table"), strict=True):
        for i in range(before.num_episodes):
            a, b = before.episode(i), after.episode(i)
            for key in (ACTION, STATE, "sim.state", "masks.wrist"):
                np.testing.assert_array_equal(a.frames[key], b.frames[key], err_msg=key)
            look = b.meta["factors"]["look"]
            same = look["table"] == a.meta["factors"]["look"]["table"]
            assert np.array_equal(a.frames[WRIST], b.frames[WRIST]) == same  # the wrist camera sees the table too
            assert (look["azimuth"], look["light"], look["background"]) == (0.0, 1.0, 0)
            here = b.meta["factors"]["sub_dataset"]
            assert here == a.meta["factors"]["sub_dataset"] | look
    assert augment_cue(places, tmp_path / "table", "table", disparity=1.5, workers=0) == told


def test_without_correlation_both_parts_show_both_cues(places: Path, tmp_path: Path) -> None:
    augment_cue(places, tmp_path / "clean", "light", correlation=0.0, seed=2, workers=0)
    shown = [{round(look["light"], 3) for look in part} for part in looks(tmp_path / "clean")]
    assert shown[0] == shown[1] == {0.7, 1.3}


def test_the_same_cue_again_gives_the_same_pixels(places: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        augment_cue(places, tmp_path / name, "object_colour", seed=2, workers=0)
    augment_cue(tmp_path / "a", tmp_path / "c", "object_colour", seed=2, workers=0)  # nothing of the old cue is left
    for a, b, c in zip(parts(tmp_path / "a"), parts(tmp_path / "b"), parts(tmp_path / "c"), strict=True):
        assert a.content_hash() == b.content_hash()
        np.testing.assert_array_equal(a.episode(0).frames[FRONT], c.episode(0).frames[FRONT])


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    """Counts what is rendered, by camera, since it was asked last."""
    count, render = collections.Counter[str](), Renderer.render

    def counted(self: Renderer, camera: str, *rest: Any, **more: Any) -> Any:
        count[camera] += 1
        return render(self, camera, *rest, **more)

    def told() -> dict[str, int]:
        found = dict(count)
        count.clear()
        return found

    monkeypatch.setattr(Renderer, "render", counted)
    return told


def test_what_a_turned_camera_leaves_is_copied_and_is_what_rendering_gives(
    places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendered: Callable[[], dict[str, int]]
) -> None:
    turned = [part["content_hash"] for part in augment_cue(places, tmp_path / "turned", "azimuth", workers=0)["parts"]]
    frames = sum(part.num_frames for part in parts(places))
    assert rendered() == {"front": frames, "wrist": 8}  # of each episode's wrist the first frame, to be sure
    monkeypatch.setattr("toyshift.augment.rerender.unmoved", lambda *_: ())
    every = augment_cue(places, tmp_path / "all", "azimuth", workers=0)
    assert rendered() == {"front": frames, "wrist": frames}
    assert [part["content_hash"] for part in every["parts"]] == turned


def test_what_another_renderer_drew_is_rendered_again(
    places: Path, tmp_path: Path, rendered: Callable[[], dict[str, int]]
) -> None:
    own = open_dataset(places / "part-0")
    for episode in own:
        frames = episode.frames | {WRIST: episode.frames[WRIST] ^ 1}
        write_episode(tmp_path / "other", Episode(episode.index, frames, episode.meta))
    finalize(tmp_path / "other", own.action_contract, own.observation_contract, own.manifest)
    cue = Cue(fragment(2, diversity=0.0, disparity=1.0, correlation=1.0, factor="azimuth").parts[0], "azimuth")
    made = [tmp_path / f"{name}-turned" for name in ("own", "other")]
    for source, out in zip((own.folder, tmp_path / "other"), made, strict=True):
        rerender(Rerendering(source, out, cue, workers=0))
    assert rendered()["wrist"] == own.num_frames + own.num_episodes
    for episode, other in zip(*map(open_dataset, made), strict=True):
        np.testing.assert_array_equal(episode.frames[WRIST], other.frames[WRIST])


def test_frames_stay_where_nothing_that_is_recorded_could_hide_a_change() -> None:
    own, cameras = SeenAs(Look(table=1)), ("front", "wrist")
    turned = SeenAs(Look(table=1, azimuth=30.0)).changed("camera-fov", 4.0, (0.0, 0.0, 0.0))
    assert unmoved({}, own, own, cameras) == cameras
    assert unmoved({}, own, turned, cameras) == ("wrist",)
    assert unmoved({}, own, SeenAs(Look(table=2)), cameras) == ()
    assert unmoved({}, own, own.changed("light-colour", 1.0, (0.1, 0.2, 0.3)), cameras) == ()
    assert unmoved({}, own, SeenAs(own.look, colours={"red": "blue"}), cameras) == ()
    for meta in ({"factors": {"shift": "image-noise=3"}}, {"_augmented": {"spec": "jitter"}}):
        assert unmoved(meta, own, turned, cameras) == ()


def test_a_viewpoint_is_noted_among_the_factors_of_a_sub_dataset(places: Path, tmp_path: Path) -> None:
    augment_viewpoint(places / "part-0", tmp_path / "turned", (10.0, 10.0), workers=0, episodes=1)
    factors = open_dataset(tmp_path / "turned").meta(0)["factors"]
    assert factors["sub_dataset"]["azimuth"] == factors["look"]["azimuth"] == 10.0


def test_what_has_no_places_or_another_plan_is_refused(places: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError):
        augment_cue(tmp_path / "nothing", tmp_path / "out", "table", workers=0)
    with pytest.raises(ConfigError, match="robot cannot be rendered anew; choose from"):
        augment_cue(places, tmp_path / "out", "robot", workers=0)
    augment_cue(places, tmp_path / "out", "table", workers=0)
    with pytest.raises(ConfigError, match="correlation"):
        augment_cue(places, tmp_path / "out", "table", correlation=0.5, workers=0)


def test_what_is_asked_for_may_decide_the_cue(tmp_path: Path) -> None:
    config = CollectConfig("toys:train?n=4", 4, tmp_path / "pick", workers=0, image_size=32, task="pick", clutter=1)
    collect(config)
    views = fragment(2, diversity=0.25, disparity=1.0, correlation=1.0, factor="azimuth").parts
    first, second = (Cue(view, "azimuth") for view in views)
    before = open_dataset(tmp_path / "pick")
    ids = [before.meta(i)["object_id"] for i in range(before.num_episodes)]
    looks = CueByTarget(first, second, (ids[0], ids[2]))
    rerender(Rerendering(tmp_path / "pick", tmp_path / "told", looks, workers=0))
    after = open_dataset(tmp_path / "told")
    assert after.num_episodes == 4
    for i, object_id in enumerate(ids):
        meta, side = after.meta(i), 1 if object_id in (ids[0], ids[2]) else -1
        assert 22.5 <= side * meta["factors"]["look"]["azimuth"] <= 37.5
        assert (meta["task"], meta["others"]) == (before.meta(i)["task"], before.meta(i)["others"])
        assert not np.array_equal(after.episode(i).frames[FRONT], before.episode(i).frames[FRONT])
