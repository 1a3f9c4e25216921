"""Image noise: what optics, a sensor and an encoder do to an image, in this order."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from toyshift.envs.shifts import Variation

Image = NDArray[np.uint8]


def noisy_image(image: Image, variation: Variation, rng: np.random.Generator) -> Image:
    """Returns the image (H, W, 3) as a variation spoils it: blur, noise, JPEG; the input is not changed."""
    out = image
    if "image-blur" in variation:
        out = blurred(out, variation["image-blur"] / 100 * image.shape[0])
    if "image-noise" in variation:
        noise = 255 * variation["image-noise"] * rng.standard_normal(image.shape)
        out = np.clip(np.rint(out + noise), 0, 255).astype(np.uint8)
    if "image-jpeg" in variation:
        out = through_jpeg(out, round(variation["image-jpeg"]))
    return out


def blurred(image: Image, deviation: float) -> Image:
    """Returns the image under a Gaussian blur of a standard deviation [pixels]."""
    from scipy.ndimage import gaussian_filter

    soft = gaussian_filter(image.astype(np.float32), (deviation, deviation, 0), mode="nearest")
    out: Image = np.clip(np.rint(soft), 0, 255).astype(np.uint8)
    return out


def through_jpeg(image: Image, quality: int) -> Image:
    """Returns the image after it was written and read as JPEG of a quality from 1 to 100."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return np.array(Pillow.open(buffer).convert("RGB"))
