"""What an encoder is shown of one view: the image as it is, resized, or cropped around the target; and the mask."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from toyshift.core.contract import MASK_BACKGROUND, MASK_OTHER, MASK_ROBOT, MASK_TARGET
from toyshift.policies.parts import POOLINGS

MARGIN = 1.25  # side of a crop over the longer side of the target's box
SMALLEST_CROP = 8.0  # pixels
GREYS = {MASK_BACKGROUND: 128, MASK_TARGET: 255, MASK_OTHER: 64, MASK_ROBOT: 0}  # of a picture of masks


class EncoderInput(NamedTuple):
    """What the encoder of a camera is shown, and what the mask says about its tokens.

    Attributes:
        image: (B, H, W, 3) sRGB, uint8 or float of the same range.
        target: (B, H, W) float, 1 on the target's pixels; None for an encoder without a mask channel.
        coverage: (B, N) float, the share of each patch that the target covers; (1, 1) ones where masks are ignored.
        wanted: (B, N) bool, the tokens that are used; None = all.
        place: (B, 4) where a crop was cut out, see `crop`; None for whole images.
    """

    image: Tensor
    target: Tensor | None
    coverage: Tensor
    wanted: Tensor | None
    place: Tensor | None


class SeenView(NamedTuple):
    """What the encoder of a camera makes of a view: all that the pooling needs.

    Attributes:
        tokens: (B, N, C), row by row from the image's top left; with `pool_first` the encoder's own, not projected.
        coverage: as of `EncoderInput`.
        place: as of `EncoderInput`.
    """

    tokens: Tensor
    coverage: Tensor
    place: Tensor | None


def target_pixels(masks: Tensor) -> Tensor:
    """Marks the target in label masks: (..., H, W) uint8 -> (..., H, W) float, 1 on pixels labelled as the target."""
    return (masks == MASK_TARGET).float()


def prototype(masks: Tensor) -> Tensor:
    """Returns pictures (..., H, W, 3) uint8 of label masks (..., H, W): each label in one grey, whatever it looks like.

    The idea of ProtoReasoning: act on the abstract view of a problem.
    """
    grey = torch.full_like(masks, GREYS[MASK_BACKGROUND])
    for label, value in GREYS.items():
        grey = torch.where(masks == label, value, grey)
    return grey.unsqueeze(-1).expand(*masks.shape, 3).to(torch.uint8)


def patch_coverage(target: Tensor, patch: int) -> Tensor:
    """Returns the share of each patch that the target covers: (B, H, W) float -> (B, N) float in [0, 1], row by row."""
    batch, height, width = target.shape
    blocks = target.reshape(batch, height // patch, patch, width // patch, patch)
    return blocks.mean(dim=(2, 4)).flatten(1)


def target_box(target: Tensor) -> Tensor:
    """Returns the boxes (B, 4) of targets (B, H, W): left, top, right, bottom [pixels], right and bottom exclusive.

    A target without a pixel gets the box of the whole image.
    """
    _, height, width = target.shape
    sides = []
    for inside, length in ((target.amax(dim=1) > 0, width), (target.amax(dim=2) > 0, height)):  # (B, W), (B, H)
        index = torch.arange(length, device=target.device).expand_as(inside)
        seen = inside.any(dim=1)
        first = torch.where(inside, index, length).amin(dim=1)
        last = torch.where(inside, index + 1, 0).amax(dim=1)
        sides.append((torch.where(seen, first, 0), torch.where(seen, last, length)))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], dim=1).float()


def filled_box(target: Tensor) -> Tensor:
    """Replaces targets (B, H, W) by their filled boxes, zeros and ones; an empty target stays empty."""
    rows, columns = (target.amax(dim=d, keepdim=True) > 0 for d in (2, 1))  # (B, H, 1), (B, 1, W)

    def between(line: Tensor, d: int) -> Tensor:
        """Fills the gap between the first and the last True along a dimension."""
        one = line.to(target.dtype)
        before = one.cumsum(d) > 0
        after = one.flip(d).cumsum(d).flip(d) > 0
        return before & after

    return (between(rows, 1) & between(columns, 2)).to(target.dtype)


def crop(images: Tensor, target: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Cuts a square around each target out of its image and resizes it; the image's edge is repeated beyond it.

    Where the target is not seen the whole image is resized.

    Args:
        images: (B, H, W, 3) uint8 sRGB.
        target: (B, H, W) float, 1 on the target's pixels.
        size: height and width of the result [pixels].

    Returns:
        images (B, *size, 3) float in [0, 255], and the places (B, 4) that were cut out: centre x and y, half width and
        half height, in [-1, 1] between the image's borders.
    """
    height, width = target.shape[1:]
    left, top, right, bottom = target_box(target).unbind(dim=1)
    seen = target.amax(dim=(1, 2)) > 0
    side = (torch.maximum(right - left, bottom - top) * MARGIN).clamp(min=SMALLEST_CROP)
    half = torch.stack([torch.where(seen, side, n) / n for n in (width, height)], dim=1)  # (B, 2)
    centre = torch.stack([(left + right) / width - 1.0, (top + bottom) / height - 1.0], dim=1)
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 does not hold the pixels' numbers
        across = _bilinear(centre[:, 0], half[:, 0], width, size[1])
        down = _bilinear(centre[:, 1], half[:, 1], height, size[0])
        cut = down[:, None] @ images.permute(0, 3, 1, 2).float() @ across[:, None].transpose(2, 3)  # (B, 3, h, w)
    return cut.permute(0, 2, 3, 1), torch.cat([centre, half], dim=1)


def _bilinear(centre: Tensor, half: Tensor, pixels: int, samples: int) -> Tensor:
    """Returns the weights (B, samples, pixels) that read a line evenly around a centre; both (B,) in [-1, 1].

    As matrices and not by grid_sample: onnxruntime's rounds its places otherwise, which 50 layers made 1e-4 of an
    action; these are equal to the bit.
    """
    even = (torch.arange(samples, device=centre.device) + 0.5) * (2.0 / samples) - 1.0
    place = (centre[:, None] + half[:, None] * even + 1.0) * (pixels / 2.0) - 0.5
    index = torch.arange(pixels, device=centre.device)
    return (1.0 - (place.clamp(0.0, pixels - 1.0).unsqueeze(-1) - index).abs()).clamp(min=0.0)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes images (B, H, W, 3) of uint8 or float to (B, *size, 3) float, bilinear."""
    pixels = images.permute(0, 3, 1, 2).float()
    return functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


def prepare(
    images: Tensor, target: Tensor | None, pooling: str, size: tuple[int, int]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Returns what the encoder of a view is shown.

    Args:
        images: (B, H, W, 3) uint8 sRGB.
        target: (B, H, W) float, 1 on the target's pixels; None for policies that ignore it.
        pooling: its name; "box" and "crop" change what is shown.
        size: the encoder's image height and width [pixels].

    Returns:
        images (B, *size, 3), uint8 where nothing had to be done, else float; target (B, *size) or None; the places (B,
        4) of crops or None.
    """
    picture = POOLINGS[pooling].picture
    if picture == "crop":
        assert target is not None
        images, place = crop(images, target, size)
        return images, target.new_ones(images.shape[0], *size), place
    if target is not None and picture == "box":
        target = filled_box(target)
    if images.shape[1:3] != size:
        images = resize(images, size)
        if target is not None:
            target = functional.interpolate(target[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    return images, target, None
