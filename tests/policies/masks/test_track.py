"""Masks by SAM 2 and EdgeTAM of transformers: small models with random weights, frame by frame, old frames dropped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import FileError, MissingDependencyError
from toyshift.policies.masks.provider import Prompt
from toyshift.policies.masks.providers import provider_maker

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 60, 80, 3), dtype=np.uint8)
BOX = Prompt((10, 20, 30, 50))
SIDE = 128  # of the shrunken models; the released ones take 1024


@pytest.fixture(scope="module", params=["sam2_video", "edgetam_video"])
def folder(request, tmp_path_factory) -> Path:
    """A model as its configuration has it but for its size, with random weights, as transformers writes it."""
    pytest.importorskip("transformers", reason="needs the extra sam2 (transformers)")
    import torch
    import transformers

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp(request.param)
    common = {
        "image_size": SIDE, "num_maskmem": 3, "max_object_pointers_in_encoder": 4, "memory_attention_num_layers": 1,
        "prompt_encoder_config": {"image_size": SIDE}, "memory_attention_rope_feat_sizes": [SIDE // 16] * 2,
    }  # fmt: skip
    sizes = [[SIDE // n] * 2 for n in (4, 8, 16)]
    if request.param == "sam2_video":
        backbone = {"image_size": [SIDE, SIDE], "blocks_per_stage": [1, 1, 2, 1], "global_attention_blocks": [3]}
        vision = {"model_type": "sam2_vision_model", "backbone_feature_sizes": sizes}
        vision["backbone_config"] = {"model_type": "sam2_hiera_det_model", **backbone}
        model = transformers.Sam2VideoModel(transformers.Sam2VideoConfig(vision_config=vision, **common))
    else:
        common |= {"memory_attention_rope_k_sizes": [4, 4], "perceiver_resampler_num_latents": 16,
                   "perceiver_resampler_num_latents_2d": 16}  # fmt: skip
        # transformers 5.24's own default misspells the word "architecture", and is another network
        backbone = {"model_type": "timm_wrapper", "architecture": "repvit_m1", "num_classes": 2}
        backbone["model_args"] = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
        vision = {"model_type": "edgetam_vision_model", "backbone_feature_sizes": sizes, "backbone_config": backbone}
        model = transformers.EdgeTamVideoModel(transformers.EdgeTamVideoConfig(vision_config=vision, **common))
    model.save_pretrained(place)
    return place


def seen(provider, images=IMAGES, prompt=BOX):
    provider.prompt({"front": prompt})
    return np.stack([provider.masks({"front": image})["front"] for image in images])


def test_masks_have_the_images_size_and_the_model_says_them(folder):
    make = provider_maker(f"track:{folder}")
    first = seen(make())
    assert first.shape == IMAGES.shape[:3]
    assert first.dtype == np.uint8
    assert set(np.unique(first)) <= {0, 1}
    np.testing.assert_array_equal(seen(make()), first)  # another episode remembers nothing
    other = seen(make(), prompt=Prompt((30, 40, 60, 80)))
    assert not np.array_equal(other[0], first[0])  # it is asked about another place


def test_old_frames_are_dropped_and_change_nothing(folder):
    make = provider_maker(f"track:{folder}")
    dropping, keeping = make(), make()
    keeping._keep = 10**6
    np.testing.assert_array_equal(seen(dropping), seen(keeping))
    session, whole = (one._states["front"].session for one in (dropping, keeping))
    assert list(session.processed_frames) == [len(IMAGES) - 1]
    (outputs,), (all_,) = session.output_dict_per_obj.values(), whole.output_dict_per_obj.values()
    assert list(outputs["cond_frame_outputs"]) == [0]  # the prompt is not forgotten
    assert len(outputs["non_cond_frame_outputs"]) == 4
    assert len(all_["non_cond_frame_outputs"]) == len(IMAGES) - 1


def test_a_file_that_was_cut_off_and_one_that_lacks_tensors(folder, tmp_path):
    from safetensors.numpy import load_file, save_file

    weights = folder / "model.safetensors"
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(FileError, match=r"cannot be loaded as .*VideoModel"):
        provider_maker(f"track:{tmp_path}")
    tensors = load_file(weights)
    del tensors["no_object_pointer"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FileError, match=r"lacks 1 tensors .*no_object_pointer"):
        provider_maker(f"track:{tmp_path}")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "has no config.json and no model.safetensors"),
        ({"config.json": "{}", "sam2.1.pt": ""}, "has no model.safetensors; sam2.1.pt is a pickle"),
        ({"config.json": "{", "model.safetensors": ""}, "config.json cannot be read"),
        ({"config.json": "[]", "model.safetensors": ""}, "config.json cannot be read"),
        ({"config.json": json.dumps({"model_type": "bert"}), "model.safetensors": ""}, "type 'bert'"),
    ],
)
def test_folders_without_weights_are_refused(tmp_path, files, said):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(FileError, match=said):
        provider_maker(f"track:{tmp_path}")


def test_a_missing_folder_and_a_missing_package_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileError, match="nowhere is no folder"):
        provider_maker(f"track:{tmp_path / 'nowhere'}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam2_video"}))
    (tmp_path / "model.safetensors").write_text("")
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'toyshift\[sam2\]'"):
        provider_maker(f"track:{tmp_path}")
