"""Properties of the poolings: what they may and may not depend on."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from toyshift.core.errors import UnknownNameError
from toyshift.policies.network import pooling as poolings
from toyshift.policies.network.views import patch_coverage, target_pixels
from toyshift.policies.parts import ENCODERS, HEADS, POOLINGS, part_of

BATCH, VIEWS, COUNT, WIDTH = 3, 2, 16, 32
ON_TARGET = ("detpool", "detpool-post", "box")
GLOBAL = tuple(name for name in POOLINGS if name not in ON_TARGET)


def make_pooling(name: str, width: int) -> torch.nn.Module:
    return poolings.make_pooling(name, width, (4, 4))


def test_the_table_says_what_the_poolings_are() -> None:
    assert {name for name, part in POOLINGS.items() if part.on_target} == set(ON_TARGET)
    first = [name for name, part in POOLINGS.items() if part.first and not part.class_token]  # of one token is a mean
    assert all(hasattr(make_pooling(name, WIDTH), "average") for name in first)


@pytest.mark.parametrize("table", [POOLINGS, ENCODERS, HEADS])
def test_every_part_is_where_the_table_says(table: dict[str, Any]) -> None:
    assert all(callable(part_of("part", name, table)) for name in table)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(BATCH, VIEWS, COUNT, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.rand(BATCH, VIEWS, COUNT, generator=torch.Generator().manual_seed(1)) * (torch.arange(COUNT) % 3 == 0)


def test_a_mask_of_everything_is_mean_pooling(tokens: torch.Tensor) -> None:
    ones = torch.ones(BATCH, VIEWS, COUNT)
    torch.testing.assert_close(make_pooling("detpool", WIDTH)(tokens, ones), tokens.mean(2))
    torch.testing.assert_close(
        make_pooling("detpool", WIDTH)(tokens, 0.25 * ones), make_pooling("mean", WIDTH)(tokens, ones)
    )


def test_detpool_is_the_coverage_weighted_mean(tokens: torch.Tensor) -> None:
    mask = torch.zeros(BATCH, VIEWS, COUNT)
    mask[:, :, 4], mask[:, :, 7] = 0.75, 0.25
    torch.testing.assert_close(
        make_pooling("detpool", WIDTH)(tokens, mask), 0.75 * tokens[:, :, 4] + 0.25 * tokens[:, :, 7]
    )


def test_tokens_outside_the_mask_do_not_matter_to_detpool(tokens: torch.Tensor, mask: torch.Tensor) -> None:
    pooling = make_pooling("detpool", WIDTH)
    changed = torch.where(mask.unsqueeze(-1) > 0, tokens, 1e3 * torch.randn_like(tokens))
    assert torch.equal(pooling(tokens, mask), pooling(changed, mask))


@pytest.mark.parametrize("name", GLOBAL)
def test_the_others_ignore_the_mask_and_see_everything(name: str, tokens: torch.Tensor, mask: torch.Tensor) -> None:
    pooling = make_pooling(name, WIDTH)
    assert torch.equal(pooling(tokens, mask), pooling(tokens, torch.zeros_like(mask)))
    changed = tokens.clone()
    changed[:, :, 1] = 2.0 * torch.arange(WIDTH).remainder(3)  # not a constant, which a LayerNorm would remove
    assert not torch.allclose(pooling(tokens, mask), pooling(changed, mask))


@pytest.mark.parametrize("name", sorted(POOLINGS))
def test_order_of_samples_views_and_tokens(name: str, tokens: torch.Tensor, mask: torch.Tensor) -> None:
    pooling = make_pooling(name, WIDTH)
    out = pooling(tokens, mask)
    assert out.shape == (BATCH, VIEWS, WIDTH)
    torch.testing.assert_close(pooling(tokens.flip(0), mask.flip(0)), out.flip(0))
    torch.testing.assert_close(pooling(tokens.flip(1), mask.flip(1)), out.flip(1))
    if name == "spatial-softmax":  # places mirrored in both directions
        torch.testing.assert_close(pooling(tokens.flip(2), mask.flip(2)), -out)
    else:
        torch.testing.assert_close(pooling(tokens.flip(2), mask.flip(2)), out)  # position comes from the encoder alone
    torch.testing.assert_close(pooling(tokens[:1, 1:], mask[:1, 1:]), out[:1, 1:])


@pytest.mark.parametrize("name", ON_TARGET)
def test_an_empty_mask_gives_the_learned_nothing(name: str, tokens: torch.Tensor, mask: torch.Tensor) -> None:
    pooling = make_pooling(name, WIDTH)
    mask[1, 0] = 0.0
    tokens.requires_grad_()
    out = pooling(tokens, mask)
    assert torch.equal(out[1, 0], pooling.nothing)
    assert not torch.equal(out[1, 1], pooling.nothing)
    out.sum().backward()
    assert tokens.grad is not None
    assert torch.isfinite(tokens.grad).all()
    assert pooling.nothing.grad is not None
    torch.testing.assert_close(pooling.nothing.grad, torch.ones(WIDTH))


def test_coverage_is_the_share_of_target_pixels() -> None:
    masks = torch.zeros(1, 16, 24, dtype=torch.uint8)
    masks[0, :8, 8:16] = 1  # one whole patch
    masks[0, 8:12, 0:4] = 1  # a quarter of another
    masks[0, 8:, 16:] = 3  # the robot is not the target
    coverage = patch_coverage(target_pixels(masks), patch=8)
    torch.testing.assert_close(coverage, torch.tensor([[0.0, 1.0, 0.0, 0.25, 0.0, 0.0]]))


def test_an_unknown_pooling_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'detpool'.*attention, box, cls, crop, detpool"):
        make_pooling("detpol", WIDTH)


def test_spatial_softmax_finds_the_place_of_the_largest_token() -> None:
    pooling = make_pooling("spatial-softmax", WIDTH)
    with torch.no_grad():
        pooling.maps.weight.fill_(1.0)
        pooling.maps.bias.zero_()
    tokens = torch.zeros(1, 1, COUNT, WIDTH)
    tokens[0, 0, 6] = 10.0  # row 1, column 2 of 4 x 4
    out = pooling(tokens, torch.ones(1, 1, COUNT)).reshape(-1, 2)
    torch.testing.assert_close(out, torch.tensor([[0.25, -0.25]]).expand(WIDTH // 2, 2))


def test_efficient_probing_is_its_formula_and_has_its_parameters() -> None:
    width = 64
    pooling = make_pooling("efficient-probing", width)
    # M d + d^2: no query or key projection
    assert sum(p.numel() for p in pooling.parameters()) == 32 * width + width * width
    x = torch.randn(COUNT, width)
    blocks = []
    for i, query in enumerate(pooling.query):
        weight = (x @ query / width**0.5).softmax(0)
        blocks.append(weight @ (x @ pooling.value.weight.t())[:, 2 * i : 2 * i + 2])
    torch.testing.assert_close(
        pooling(x[None, None], torch.ones(1, 1, COUNT))[0, 0], torch.cat(blocks), rtol=1e-4, atol=1e-5
    )


def test_attention_pooling_is_multi_head_attention_with_one_learned_query(tokens: torch.Tensor) -> None:
    torch.manual_seed(2)
    pooling = poolings.AttentionPool(WIDTH, heads=4)
    x = pooling.norm(tokens).flatten(0, 1)  # (B V, N, C)
    # (B V, heads, N, D)
    key, value = (projection(x).unflatten(-1, (4, -1)).transpose(1, 2) for projection in (pooling.key, pooling.value))
    query = pooling.query.unsqueeze(1).expand(len(x), -1, 1, -1)
    plain = torch.nn.functional.scaled_dot_product_attention(query, key, value).flatten(1).unflatten(0, (BATCH, VIEWS))
    torch.testing.assert_close(pooling(tokens, torch.zeros(())), pooling.out(plain))
