"""The conv encoders: shapes, positions, receptive fields, and windows that give the same tokens as the whole image."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.policies.config import BACKBONE_NAMES, ENCODER_NAMES, PolicyConfig
from toyshift.policies.network.encoders import Jitter, initial_position, make_encoder, standardise

SIZE = (40, 64)


def build(name: str = "conv-small", **kwargs: Any) -> torch.nn.Module:
    encoder = make_encoder(PolicyConfig(encoder=name, **({"width": 32, "stem": 16} | kwargs)), SIZE)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.parameters():  # biases are zero at the start: give them values that show
            if parameter.ndim == 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return encoder


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [n for n in ENCODER_NAMES if n not in BACKBONE_NAMES])
@pytest.mark.parametrize("extra", [{}, {"coordinates": True, "mask_input": True}])
def test_wanted_tokens_equal_those_of_the_whole_image(name: str, extra: dict[str, Any], images: torch.Tensor) -> None:
    encoder = build(name, **extra)
    target = (images[..., 0] > 128).float()
    whole = encoder(images, target)
    assert whole.shape == (3, 40, 32)
    wanted = torch.zeros(3, 40, dtype=torch.bool)
    wanted[0, [0, 7, 9, 32, 39]] = True  # corners and borders, where padding shows
    wanted[2, 20:24] = True
    some = encoder(images, target, None, wanted)
    torch.testing.assert_close(some[wanted], whole[wanted], rtol=1e-5, atol=1e-5)
    assert not some[~wanted].any()
    weight = torch.randn(some.shape, generator=torch.Generator().manual_seed(1)) * wanted.unsqueeze(-1)
    gradients = [torch.autograd.grad((tokens * weight).sum(), list(encoder.parameters())) for tokens in (some, whole)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_no_token_wanted(images: torch.Tensor) -> None:
    assert not build()(images, None, None, torch.zeros(3, 40, dtype=torch.bool)).any()


def test_a_token_sees_little_beyond_its_patch(images: torch.Tensor) -> None:
    encoder = build()
    changed = images.clone()
    changed[:, 16:24, 24:32] ^= 255  # the patch in row 2, column 3
    moved = (encoder(images) != encoder(changed)).any(-1)[0].reshape(5, 8)
    assert moved[2, 3]
    inside = torch.zeros(5, 8, dtype=torch.bool)
    inside[1:4, 2:5] = True
    assert not moved[~inside].any()


def test_equal_pixels_at_other_places_give_other_tokens() -> None:
    tokens = build()(torch.full((1, *SIZE, 3), 90, dtype=torch.uint8))[0]
    assert not torch.allclose(tokens[9], tokens[10])  # interior tokens, which padding does not reach


def test_positions_start_as_the_place_of_the_patch() -> None:
    position = initial_position((5, 8), 32)
    assert position.shape == (40, 32)
    weight = torch.zeros(40)
    weight[[9, 10, 17, 18]] = 0.25  # rows 1 and 2, columns 1 and 2: centred at row 2 and column 2 of the patch borders
    centre = weight @ position
    assert centre[0] == pytest.approx(2 * 2 / 8 - 1)  # x
    assert centre[1] == pytest.approx(2 * 2 / 5 - 1)  # y


def test_standardised_pixels_and_jitter(images: torch.Tensor) -> None:
    plain = standardise(images)
    assert plain.min() >= -2.0
    assert plain.max() <= 2.0
    gain, bias = torch.tensor([[0.5, 1.0, 2.0]]).repeat(3, 1), torch.tensor([0.0, 1.0, -1.0])
    expected = plain * gain[:, :, None, None] + bias[:, None, None, None]
    numbers = images.float()
    for seen in (standardise(images, Jitter(gain, bias)), standardise(numbers, Jitter(gain, bias))):
        torch.testing.assert_close(seen, expected, rtol=1e-5, atol=1e-5)
        assert seen.stride() == plain.stride(), "channels are not the innermost dimension"
    assert torch.equal(numbers, images.float()), "jitter wrote into the images that it was given"


def test_bad_sizes_and_names() -> None:
    with pytest.raises(ConfigError, match=r"no multiple of the patch of conv-small \(8 pixels"):
        make_encoder(PolicyConfig(), (90, 96))
    with pytest.raises(UnknownNameError, match="conv-small"):
        PolicyConfig(encoder="conv-smal")


def test_gradients_of_single_tokens_are_the_same_bits_every_time() -> None:
    torch.manual_seed(0)
    encoder = make_encoder(PolicyConfig(), (96, 96))
    images = torch.randint(0, 256, (128, 96, 96, 3), dtype=torch.uint8)
    wanted = torch.rand(128, 144) < 0.2
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gradients = []
        for _ in range(4):
            encoder.zero_grad()
            encoder(images, wanted=wanted).square().mean().backward()
            gradients.append(torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
