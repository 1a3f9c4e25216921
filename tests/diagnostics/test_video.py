"""Videos: what is written can be read back, and shows the episode it names."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.video import choose, write_mp4


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
    rows = [Row("p", "", "s", "ab"[i % 2] if i < 6 else "c", 0, i, i != 3, 0.3, 10, "", "", 0.0, i // 3) for i in range(7)]
    assert [r.object_id for r in choose(rows, 3, 1)] == ["a", "b", "c", "b"]
    assert [r.success for r in choose(rows, 3, 5)] == [True, True, True, False]
