"""Reading pictures that people give: photographs and screenshots, PNG or JPEG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toyshift.core.arrays import Image
from toyshift.core.errors import FileError

FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 100_000_000


def read_picture(path: Path) -> Image:
    """Returns a picture (H, W, 3) uint8 sRGB; what is transparent or grey becomes opaque and coloured.

    Raises:
        FileError: it is missing, cut off, too large, or neither PNG nor JPEG.
    """
    from PIL import Image as Pillow

    kinds = " or ".join(FORMATS)
    if not path.is_file():
        raise FileError(f"picture {path} does not exist; give a {kinds} file")
    try:
        with Pillow.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                size = f"{picture.width} x {picture.height} pixels"
                raise FileError(f"picture {path} has {size}; at most {MOST_PIXELS:,} are read")
            return np.array(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise FileError(f"picture {path} cannot be read ({error}); give a whole {kinds} file") from error
