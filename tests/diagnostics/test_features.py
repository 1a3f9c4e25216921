"""Vectors of images: what the thumbnail sees, and encoders by name and by file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.diagnostics.features import features_of, image_features

NOISE = np.random.default_rng(0).integers(0, 256, (5, 40, 60, 3)).astype(np.uint8)


def test_the_thumbnail_sees_colour_and_edges() -> None:
    flat = np.full((1, 24, 24, 3), 100, np.uint8)
    striped = flat.copy()
    striped[:, :, ::4] = 160
    vectors = image_features(np.concatenate([flat, striped, striped.transpose(0, 2, 1, 3)]))
    assert vectors.shape == (3, 320)
    assert np.allclose(vectors[0, :192], 100 / 255)
    assert np.all(vectors[0, 192:] == 0.0)
    edges = vectors[1:, 192:].reshape(2, 16, 8).sum(axis=1)  # by direction of the gradient
    assert edges[0].argmax() == 0  # along x
    assert edges[1].argmax() == 4  # along y


def test_a_pictures_vector_depends_on_it_alone() -> None:
    assert np.array_equal(image_features(NOISE)[2:3], image_features(NOISE[2:3]))


def test_a_picture_has_about_the_same_vector_at_any_size() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 192)[:, None, None], (192, 192, 3)).astype(np.uint8)
    large, small = image_features(ramp[None]), image_features(ramp[None, ::2, ::2])
    assert np.allclose(large, small, atol=0.01)


def test_bad_images_are_refused() -> None:
    for wrong in (NOISE[0], NOISE[:, :4], NOISE.astype(float)):
        with pytest.raises(ConfigError, match="uint8 images"):
            image_features(wrong)


def test_unknown_encoders_are_named() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'thumbnail'"):
        features_of("thumbnial")
    with pytest.raises(ConfigError, match="cannot be imported"):
        features_of("no_such_module:function")
    with pytest.raises(ConfigError, match=r"thumbnail takes no --encoder-weights; .*vit-small"):
        features_of("thumbnail", "timm:x.safetensors")
    with pytest.raises(ConfigError, match="vit-small has no weights of its own"):
        features_of("vit-small")
    assert features_of("os.path:basename").name == "os.path:basename"


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    net: Any = timm.create_model("resnet18", num_classes=0, global_pool="", output_stride=16).eval()
    path = tmp_path / "resnet18.safetensors"
    save_file(net.state_dict(), str(path))
    features = features_of("resnet18", f"timm:{path}")
    vectors = features.vectors(NOISE)
    assert vectors.shape == (5, 512)
    assert np.allclose(vectors[3:4], features.vectors(NOISE[3:4]), atol=1e-4)
    assert np.all(vectors.std(axis=0).max() > 0)
    assert len(features.weights) == 64
    with pytest.raises(FileError, match="never downloaded"):
        features_of("resnet18", f"timm:{tmp_path / 'missing.safetensors'}")
