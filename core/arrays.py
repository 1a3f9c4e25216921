"""Names for arrays whose type is said often; shapes and units stand where they are used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Image = NDArray[np.uint8]  # (H, W, 3) sRGB
Mask = NDArray[np.uint8]  # (H, W), labels of the contract
