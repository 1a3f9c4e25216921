"""Image noise: what optics, a sensor and an encoder do to an image, in this order."""

from __future__ import annotations

import io

import numpy as np

from toyshift.core.arrays import Image
from toyshift.envs.shifts import Variation


def noisy_image(image: Image, variation: Variation, rng: np.random.Generator) -> Image:
    """Returns the image (H, W, 3) as a variation spoils it: blur, noise, JPEG; the input is not changed."""
    for apply, drawn in variation.at("image"):
        image = apply(image, drawn.value, rng)
    return image


def blurred(image: Image, percent: float, _: np.random.Generator) -> Image:
    """Returns the image under a Gaussian blur of a standard deviation [% of the height]."""
    from scipy.ndimage import gaussian_filter

    deviation = percent / 100 * image.shape[0]  # [pixels]
    soft = gaussian_filter(image.astype(np.float32), (deviation, deviation, 0), mode="nearest")
    return np.asarray(np.clip(np.rint(soft), 0, 255), np.uint8)


def noisy(image: Image, share: float, rng: np.random.Generator) -> Image:
    """Returns the image with Gaussian noise of a standard deviation on every pixel [share of the full range]."""
    noise = 255 * share * rng.standard_normal(image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def through_jpeg(image: Image, quality: float, _: np.random.Generator) -> Image:
    """Returns the image after it was written and read as JPEG of a quality from 1 to 100."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, format="JPEG", quality=round(quality))
    return np.array(Pillow.open(buffer).convert("RGB"))
