"""The target by a video segmentation model of transformers, SAM 2 or EdgeTAM, from a local folder."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from toyshift.core.arrays import Image
from toyshift.core.errors import FileError, MissingDependencyError
from toyshift.policies.masks.provider import Follower, Found, Prompt

# model_type of config.json -> class of transformers, and its session's
MODELS = {
    "sam2_video": ("Sam2VideoModel", "Sam2VideoInferenceSession"),
    "edgetam_video": ("EdgeTamVideoModel", "EdgeTamVideoInferenceSession"),
}
CONFIG, WEIGHTS = "config.json", "model.safetensors"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, with which both were trained
CLICKED, TOP_LEFT, BOTTOM_RIGHT = 1, 2, 3  # labels of points
TARGET = 1  # number of the one object


class _Tracked(NamedTuple):
    """A camera's session, and the number of its next frame."""

    session: Any
    frame: int


class VideoTracker(Follower[_Tracked]):
    """SAM 2 (arXiv:2408.00714) or EdgeTAM (arXiv:2501.07256), frame by frame; each camera has a memory of its own.

    The model sees the first frame with the prompt, and of the later ones as many as its memory looks back to: older
    ones are dropped, so memory does not grow with the episode. At full size it wants a GPU: on one core a frame
    takes seconds (docs/policies.md). Tried with random weights only; the released ones are unchecked.

    Args:
        folder: with config.json and model.safetensors, as `save_pretrained` of transformers writes them; nothing is
            downloaded, and pickles are not read.
        device: of torch.

    Raises:
        FileError: no such folder, a file of it lacks, is damaged, or belongs to another kind of model.
        MissingDependencyError: transformers is missing, or for EdgeTAM timm.
    """

    name = "track"

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        super().__init__()
        kind = _kind(folder)
        try:
            import torch
            from transformers import AutoConfig
            from transformers.models.edgetam_video import modeling_edgetam_video
            from transformers.models.sam2_video import modeling_sam2_video
        except ImportError as error:
            told = f"masks track needs transformers ({error})"
            raise MissingDependencyError(f"{told}; run `pip install 'toyshift[sam2]'`") from error
        module = {"sam2_video": modeling_sam2_video, "edgetam_video": modeling_edgetam_video}[kind]
        model, session = (getattr(module, name) for name in MODELS[kind])
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            loaded, report = model.from_pretrained(
                folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except ImportError as error:
            told = f"masks track: {MODELS[kind][0]} needs another package ({error})"
            raise MissingDependencyError(f"{told}; run `pip install 'toyshift[sam2]'`") from error
        except Exception as error:  # transformers raises many kinds for damaged files
            raise FileError(f"{folder} cannot be loaded as {MODELS[kind][0]} ({error}); fetch it again") from error
        if lacking := sorted(report["missing_keys"]):
            told = f"{folder / WEIGHTS} lacks {len(lacking)} tensors of {MODELS[kind][0]}, such as {lacking[0]}"
            raise FileError(f"{told}; fetch it again")
        self._torch, self._model, self._session = torch, loaded.eval().to(device), session
        self._device, self._side = device, int(config.image_size)
        self._keep = max(int(config.num_maskmem), int(config.max_object_pointers_in_encoder))

    def anew(self) -> VideoTracker:
        """Returns one for another episode, with the same weights and no memory."""
        other = copy.copy(self)
        Follower.__init__(other)
        return other

    def begin(self, camera: str, image: Image, prompt: Prompt | None) -> tuple[Found, _Tracked]:
        assert prompt is not None  # `prompted`
        height, width = image.shape[:2]
        session = self._session(
            video_height=height, video_width=width, inference_device=self._device, dtype=self._torch.float32
        )
        points, labels = _points(prompt, self._side / height, self._side / width)
        index = session.obj_id_to_idx(TARGET)
        coordinates = self._torch.tensor([[points]], dtype=self._torch.float32)  # (1, 1, P, 2)
        kinds = self._torch.tensor([[labels]], dtype=self._torch.int32)  # (1, 1, P)
        session.add_point_inputs(index, 0, {"point_coords": coordinates, "point_labels": kinds})
        session.obj_with_new_inputs = [TARGET]
        return self._seen(_Tracked(session, 0), image)

    def follow(self, state: _Tracked, image: Image) -> tuple[Found, _Tracked]:
        return self._seen(state, image)

    def _seen(self, state: _Tracked, image: Image) -> tuple[Found, _Tracked]:
        with self._torch.inference_mode():
            out = self._model(inference_session=state.session, frame=self._pixels(image), frame_idx=state.frame)
            scores = self._resized(out.pred_masks.float(), image.shape[:2])[0, 0]
        _forget(state.session, state.frame, self._keep)
        return np.asarray((scores > 0).cpu().numpy()), _Tracked(state.session, state.frame + 1)

    def _pixels(self, image: Image) -> Any:
        """Returns what the model takes of an image (H, W, 3): (1, 3, side, side), standardised."""
        pixels = self._torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255.0
        pixels = self._resized(pixels, (self._side, self._side), antialias=True)
        mean, std = (self._torch.tensor(three)[None, :, None, None] for three in (MEAN, STD))
        return ((pixels - mean) / std).to(self._device)

    def _resized(self, images: Any, size: tuple[int, ...], antialias: bool = False) -> Any:
        how: dict[str, Any] = {"mode": "bilinear", "align_corners": False, "antialias": antialias}
        return self._torch.nn.functional.interpolate(images, size=tuple(size), **how)


def _kind(folder: Path) -> str:
    """Returns the model_type of a folder that has all that is needed."""
    wanted = f"a folder with {CONFIG} and {WEIGHTS}"
    if not folder.is_dir():
        raise FileError(f"masks track: {folder} is no folder; give track:FOLDER, {wanted}")
    there = {path.name for path in folder.iterdir()}
    if lacks := [name for name in (CONFIG, WEIGHTS) if name not in there]:
        pickles = sorted(name for name in there if Path(name).suffix in (".pt", ".pth", ".bin"))
        hint = f"; {pickles[0]} is a pickle, which is not read" if pickles else ""
        raise FileError(f"masks track: {folder} has no {' and no '.join(lacks)}{hint}; give {wanted}")
    try:
        kind = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise FileError(f"masks track: {folder / CONFIG} cannot be read ({error}); fetch it again") from error
    if kind not in MODELS:
        raise FileError(f"masks track: {folder} holds a model of type {kind!r}; it must be one of {', '.join(MODELS)}")
    return str(kind)


def _points(prompt: Prompt, down: float, right: float) -> tuple[list[list[float]], list[int]]:
    """Returns points (x, y) in the model's image and their labels; arguments: its pixels per pixel of ours."""
    if prompt.box is not None:
        top, left, bottom, end = prompt.box
        return [[left * right, top * down], [end * right, bottom * down]], [TOP_LEFT, BOTTOM_RIGHT]
    assert prompt.click is not None
    row, column = prompt.click
    return [[(column + 0.5) * right, (row + 0.5) * down]], [CLICKED]


def _forget(session: Any, frame: int, keep: int) -> None:
    """Drops what the model does not look back to: images but the latest, and outputs older than `keep` frames.

    The output of the frame with the prompt stays.
    """
    for old in [index for index in session.processed_frames if index < frame]:
        del session.processed_frames[old]
    for outputs in session.output_dict_per_obj.values():
        later = outputs["non_cond_frame_outputs"]
        for old in [index for index in later if index <= frame - keep]:
            del later[old]
    for tracked in session.frames_tracked_per_obj.values():
        for old in [index for index in tracked if index <= frame - keep]:
            del tracked[old]
