"""Episodes as a Rerun recording: pictures, masks, state and action on a time line (extra `rerun`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toyshift.core.contract import ACTION, IMAGE_PREFIX, MASK_PREFIX, STATE
from toyshift.core.files import atomic_path
from toyshift.core.progress import track
from toyshift.data.episode import is_image, is_mask
from toyshift.data.formats.exchange import require_package
from toyshift.data.store.dataset import Dataset


def write_rerun(path: Path, dataset: Dataset, episodes: Sequence[int]) -> None:
    """Writes an .rrd file with one entity per episode, whole or not at all.

    Raises:
        MissingDependencyError: rerun-sdk is not installed.
        FileError: an episode is damaged.
    """
    rr = require_package("rerun", "rerun", "a Rerun recording")
    vectors = {ACTION: dataset.action_contract.names, STATE: dataset.observation_contract.state_names}
    with atomic_path(Path(path)) as temporary:
        recording = rr.RecordingStream(f"toyshift {dataset.folder.resolve().name}")
        recording.save(str(temporary))
        for i in track(episodes, "rerun", len(episodes), "episode"):
            episode = dataset.episode(i)
            for t in range(len(episode)):
                recording.set_time("time", duration=t / dataset.action_contract.control_hz)
                for key, values in episode.frames.items():
                    if is_image(key):
                        recording.log(f"episode_{i}/{key.removeprefix(IMAGE_PREFIX)}", rr.Image(values[t]))
                    elif is_mask(key):
                        camera = key.removeprefix(MASK_PREFIX)
                        recording.log(f"episode_{i}/{camera}/mask", rr.SegmentationImage(values[t]))
                for key, names in vectors.items():
                    for name, value in zip(names, episode.frames[key][t], strict=True):
                        recording.log(f"episode_{i}/{key}/{name}", rr.Scalars(float(value)))
        recording.flush()
        recording.disconnect()
