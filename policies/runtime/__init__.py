"""Acting on a robot from an exported bundle, with NumPy and onnxruntime alone: readings in, actions out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toyshift.core.lazy import lazy_names

if TYPE_CHECKING:
    from toyshift.policies.runtime.arm_chain import ArmChain as ArmChain
    from toyshift.policies.runtime.chunk_buffer import ChunkBuffer as ChunkBuffer
    from toyshift.policies.runtime.framing import Lens as Lens
    from toyshift.policies.runtime.robot_runtime import Readings as Readings
    from toyshift.policies.runtime.robot_runtime import Runtime as Runtime

_PLACES = {
    "ArmChain": "arm_chain",
    "ChunkBuffer": "chunk_buffer",
    "Lens": "framing",
    "Readings": "robot_runtime",
    "Runtime": "robot_runtime",
}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
