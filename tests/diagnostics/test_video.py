"""Videos: what is written can be read back, and shows the episode it names."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.actors import EnvSpec, RandomActor
from toyshift.diagnostics.evaluation import EvaluateConfig
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.video import choose, record_rollouts, write_mp4


def test_mp4_is_h264_yuv420p_with_the_frames_given(tmp_path):
    av = pytest.importorskip("av")
    frames = [np.full((33, 49, 3), 8 * i, np.uint8) for i in range(20)]
    path = write_mp4(tmp_path / "v.mp4", frames, fps=10)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == 10.0
        back = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
    assert len(back) == 20
    assert back[0].shape == (32, 48, 3)
    assert np.abs(back[15].astype(int) - 120).max() < 6
    head = path.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # plays from a data: URL at once


def test_mixed_sizes_and_no_frames_are_refused_and_leave_no_file(tmp_path):
    with pytest.raises(ConfigError, match="one size"):
        write_mp4(tmp_path / "v.mp4", [np.zeros((16, 16, 3), np.uint8), np.zeros((18, 16, 3), np.uint8)])
    with pytest.raises(ConfigError, match="at least one"):
        write_mp4(tmp_path / "v.mp4", [])
    assert not list(tmp_path.iterdir())


def test_distinct_objects_are_chosen_first():
    rows = [
        Row("p", "", "s", "ab"[i % 2] if i < 6 else "c", 0, i, i != 3, 0.3, 10, "", "", 0.0, i // 3) for i in range(7)
    ]
    assert [r.object_id for r in choose(rows, 3, 1)] == ["a", "b", "c", "b"]
    assert [r.success for r in choose(rows, 3, 5)] == [True, True, True, False]


WORLD = '''
import numpy as np
from toyshift.core.contract import ActionContract

class Env:
    """Rises by the first action; its picture is as bright as it is high; only the screen's are looked at."""
    action_contract = ActionContract("eef_delta", ("dx",), ("m",), (0.0,), (0.1,), 10.0, ("j1",))
    lift_height = 0.3

    def __init__(self, objects, screen=False):
        self.screen, self.height = screen, 0.0

    def reset(self, seed, options):
        self.height = 0.0

    def advance(self, action):
        assert not self.screen
        self.height += float(action[0])
        return 0.0, False, {"is_success": self.height > 0.4, "lift_height": self.height}

    def sim_state(self):
        return np.array([self.height])

    def load_sim_state(self, object_id, state):
        self.height = float(state[0])

    def picture(self, size, camera):
        assert self.screen and camera == "front"
        return np.full((size, size, 3), int(400 * self.height), np.uint8)

    def close(self):
        pass
'''


def test_a_film_repeats_its_row_and_is_made_once(tmp_path, monkeypatch):
    av = pytest.importorskip("av")
    (tmp_path / "filmworld.py").write_text(WORLD)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = EnvSpec(make_env=importlib.import_module("filmworld").Env)
    config = EvaluateConfig("random", "x", trials=3, seed=4, env=spec)
    rows = [Row("random", "", "x", "a", 4, i, True, 0.4, 9, "", "", 0.0, i, 3) for i in range(3)]
    shown = {"size": 64, "show": {"screen": True}, "hold_frames": 2}
    films = record_rollouts(config, rows, tmp_path / "films", successes=1, failures=1, **shown)
    assert [(f.episode, f.success) for f in films] == [(0, True)]  # there is no failure to show
    actor, height, steps = RandomActor(), 0.0, 0
    env = type("E", (), {"action_contract": importlib.import_module("filmworld").Env.action_contract})()
    actor.reset(env, 4, 0)
    while height <= 0.4:
        height, steps = height + float(actor.actions(env)[0, 0]), steps + 1
    with av.open(str(films[0].path)) as container:
        brightness = [f.to_ndarray(format="rgb24").mean() for f in container.decode(video=0)]
    assert len(brightness) == 1 + steps + 2
    assert np.all(np.diff(brightness) > -3)
    assert abs(brightness[-1] - 400 * height) < 6
    before = films[0].path.stat().st_mtime_ns
    assert record_rollouts(config, rows, tmp_path / "films", 1, 1)[0].path.stat().st_mtime_ns == before
