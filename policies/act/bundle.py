"""Export of a trained policy to a bundle that checks itself: ONNX with normalisers inside, contract, golden vectors.

A bundle is a folder: policy.onnx (the network), contract.json (what goes in and out, what it means, the arm, cameras,
data and success), golden.npz (inputs and outputs recorded at export), README.md (a card of the contract), one training
image of each camera and the embeddings of instructions where those are known, and bundle.json (SHA-256 of all others,
written last).
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toyshift.core.contract import HISTORY_IS_PAD, MASK_TARGET
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.extras import needs
from toyshift.core.files import atomic_dir, read_json, write_json, write_text
from toyshift.core.manifest import package_versions
from toyshift.core.seeds import episode_rng
from toyshift.policies import checkpoints
from toyshift.policies.act.bundle_facts import BundleFacts, model_card, picture_file
from toyshift.policies.act.bundle_format import (
    BUNDLE_FILE,
    CARD_FILE,
    FEATURES,
    FORMAT,
    GOLDEN_FILE,
    HISTORY,
    MODEL_FILE,
    OUTPUT,
    PROPOSAL,
    SENTENCES_FILE,
    TOLERANCE,
    TRIED,
    described,
    input_table,
)
from toyshift.policies.batch_keys import INSTRUCTION
from toyshift.policies.checkpoints import CONTRACT_FILE
from toyshift.policies.config import PolicyConfig
from toyshift.policies.instructions import SENTENCE_SIZE, instructions_of
from toyshift.policies.network.policy import Policy
from toyshift.policies.network.weights import load_network
from toyshift.policies.provenance import TRAINED_ON, trained_on
from toyshift.policies.unknown_names import in_general

GOLDEN_CASES = 6
OPSET = 18


class _Flat(nn.Module):
    """The policy with positional inputs and outputs, as ONNX has no dictionaries.

    Args:
        policy: to be exported.
        names: of the inputs, in their order.
    """

    def __init__(self, policy: Policy, names: tuple[str, ...]) -> None:
        super().__init__()
        self.policy, self.names = policy, names
        self.outputs = (OUTPUT, FEATURES, PROPOSAL) if policy.config.proposals else (OUTPUT, FEATURES)
        for module in policy.modules():
            if getattr(module, "inplace", False):  # doubled the time of exporting EfficientNet, for the same graph
                module.inplace = False  # type: ignore[assignment]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        policy, given = self.policy, dict(zip(self.names, inputs, strict=True))
        images, masks = (
            {c: given[f"{kind}.{c}"] for c in policy.cameras if f"{kind}.{c}" in given} for kind in ("image", "mask")
        )
        features = policy.observe(images, masks, given["state"], given.get(INSTRUCTION))
        steps, is_pad = features.unsqueeze(1), given.get(HISTORY_IS_PAD)
        if is_pad is not None:
            steps = torch.cat([given[HISTORY], steps], dim=1)
            is_pad = torch.cat([is_pad, torch.zeros_like(is_pad[:, :1])], dim=1)
        considered, chosen = policy.consider(steps, is_pad, given.get(TRIED))
        actions = policy.answer(considered, given["state"], given.get("noise"))
        return (actions, features) if chosen is None else (actions, features, chosen)


def golden_inputs(policy: Policy, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Makes inputs that look like observations: gradients with a coloured block under the mask.

    The last case sees nothing under the mask.
    Histories are the features of the other cases; the first case has a full one, the second none.
    """
    sizes = dict(policy.observation_contract.cameras)
    rng = episode_rng(seed, 0, "golden")
    inputs: dict[str, NDArray[Any]] = {}
    masks: dict[str, NDArray[Any]] = {}
    for camera in policy.cameras:
        height, width = sizes[camera]
        ramp = np.linspace(40, 200, height)[None, :, None, None] + np.zeros((GOLDEN_CASES, height, width, 3))
        images = ramp + rng.normal(0, 12, ramp.shape)
        labels = np.zeros((GOLDEN_CASES, height, width), dtype=np.uint8)
        for i in range(GOLDEN_CASES - 1):
            y, x = rng.integers(0, height * 3 // 4), rng.integers(0, width * 3 // 4)
            h, w = rng.integers(3, height // 4 + 1), rng.integers(3, width // 4 + 1)
            labels[i, y : y + h, x : x + w] = MASK_TARGET
            images[i, y : y + h, x : x + w] = rng.uniform(0, 255, 3)
        if policy.config.needs_images:
            inputs[f"image.{camera}"] = images.clip(0, 255).astype(np.uint8)
        masks[f"mask.{camera}"] = labels
    if policy.config.needs_masks:
        inputs |= masks
    mean, std = policy.normalise_state.mean.numpy(), policy.normalise_state.std.numpy()
    inputs["state"] = (mean + std * rng.standard_normal((GOLDEN_CASES, len(mean)))).astype(np.float32)
    inputs |= _golden_instructions(policy.config, rng)
    if policy.config.steps_seen > 1:
        seen = {name: torch.from_numpy(array) for name, array in (inputs | masks).items()}
        with torch.no_grad():
            pixels, targets = (
                {c: seen[f"{kind}.{c}"] for c in policy.cameras if f"{kind}.{c}" in seen} for kind in ("image", "mask")
            )
            features = policy.observe(pixels, targets, seen["state"], seen.get(INSTRUCTION)).numpy()
        before = policy.config.steps_seen - 1
        known = np.array([before, 0, 1, before // 2, before, before])[:GOLDEN_CASES]
        is_pad = np.arange(before) < before - known[:, None]  # (cases, T-1)
        cases = (np.arange(GOLDEN_CASES)[:, None] + np.arange(before)) % GOLDEN_CASES
        inputs[HISTORY], inputs[HISTORY_IS_PAD] = np.where(is_pad[..., None], np.float32(0), features[cases]), is_pad
    if (proposals := policy.config.proposals):  # the first case has tried none, each further one one more
        inputs[TRIED] = np.arange(proposals) < (np.arange(GOLDEN_CASES) % (proposals + 1))[:, None]
    if policy.config.needs_noise:
        shape = (GOLDEN_CASES, policy.config.chunk, policy.action_contract.size)
        inputs["noise"] = rng.standard_normal(shape, dtype=np.float32)
    return inputs


def _golden_instructions(config: PolicyConfig, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Returns rows of the table, or random directions in the place of sentences, which need a sentence encoder."""
    if config.tabled and not config.latent:
        return {INSTRUCTION: np.arange(GOLDEN_CASES, dtype=np.int64) % len(config.vocabulary)}
    if config.told == "minilm":
        directions = rng.standard_normal((GOLDEN_CASES, SENTENCE_SIZE), dtype=np.float32)
        return {INSTRUCTION: directions / np.linalg.norm(directions, axis=1, keepdims=True)}
    return {}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's progress report and deprecation notes off the screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _write_onnx(flat: _Flat, inputs: dict[str, NDArray[Any]], path: Path) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401  torch.onnx asks for it late
    except ImportError as error:
        raise needs("export", "a bundle", error) from error

    tensors, batch = tuple(torch.from_numpy(a) for a in inputs.values()), torch.export.Dim("batch")
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            flat, tensors, input_names=list(inputs), output_names=list(flat.outputs), opset_version=OPSET,
            dynamo=True, dynamic_shapes={"inputs": tuple({0: batch} for _ in tensors)}, verbose=False,
        )  # fmt: skip
        assert program is not None  # without dynamo it writes the file itself
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # stack traces, with paths of this machine
        program.save(str(path), external_data=False)
    onnx.checker.check_model(str(path), full_check=True)


def write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Writes an NPZ without object arrays and without dates, so that equal arrays give equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED)


def export(folder: str | Path, out: str | Path, facts: BundleFacts | None = None) -> Path:
    """Exports a trained folder to a bundle that runs in onnxruntime without torch.

    Args:
        folder: written by `train`, finished.
        out: folder of the bundle; replaced as a whole.
        facts: what the bundle tells beside the network, see `diagnostics.bundle_facts`; None for nothing.

    Returns:
        the bundle's folder.

    Raises:
        FileError: `folder` is half-trained, damaged or no trained folder, or `out` holds something that is no bundle.
        ConfigError: instructions are to be embedded for a policy that is told none that way.
        ToyShiftError: the bundle does not reproduce its golden vectors.
    """
    from toyshift.data.png import encode_png
    from toyshift.policies.act.verification import verify

    folder, out, facts = Path(folder), Path(out), facts or BundleFacts()
    if out.exists() and not (out / BUNDLE_FILE).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise FileError(f"{out} exists and is no bundle; it would be replaced as a whole: choose another --out")
    policy: Policy = load_network(folder)
    embedded = _embedded(policy.config, facts.sentences)
    inputs = golden_inputs(policy)
    flat = _Flat(policy, tuple(inputs)).eval()
    with torch.no_grad():
        outputs = [output.numpy() for output in flat(*(torch.from_numpy(a) for a in inputs.values()))]
    contract = _contract(folder, policy, flat, outputs[1].shape[-1], facts)
    golden = {f"in:{k}": v for k, v in inputs.items()}
    golden |= {f"out:{k}": v for k, v in zip(flat.outputs, outputs, strict=True)}
    with atomic_dir(out) as temporary:
        _write_onnx(flat, inputs, temporary / MODEL_FILE)
        write_arrays(temporary / GOLDEN_FILE, golden)
        if embedded:
            write_arrays(temporary / SENTENCES_FILE, embedded)
        for camera, image in facts.pictures.items():
            (temporary / picture_file(camera)).write_bytes(encode_png(image))
        write_json(temporary / CONTRACT_FILE, contract)
        write_text(temporary / CARD_FILE, model_card(contract, facts.pictures))
        files = {path.name: checkpoints.file_hash(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / BUNDLE_FILE, {"format": FORMAT, "sha256": files})
        verify(temporary)
    return out


def _embedded(config: PolicyConfig, sentences: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Returns the arrays of the file of embedded instructions; {} for none.

    What an unknown name is compared with and told as belongs to the policy, and is among them.
    """
    if config.fallback:
        sentences = tuple(dict.fromkeys((*sentences, *config.vocabulary, in_general(config.vocabulary))))
    if not sentences:
        return {}
    told = instructions_of(config)
    if config.instruction != "minilm" or told is None:
        raise ConfigError(
            f"embeddings of instructions are for policies with instruction minilm, this one has {config.instruction}"
        )
    return {"sentences": np.array(sentences), "embeddings": told(sentences)}


def _contract(folder: Path, policy: Policy, flat: _Flat, features: int, facts: BundleFacts) -> dict[str, Any]:
    """Returns what contract.json says."""
    config, action = policy.config, policy.action_contract
    meanings = {
        OUTPUT: described(
            ["batch", config.chunk, action.size], "float32", list(action.units),
            "physical actions, not clipped; clip to the action contract's low and high",
            range=[list(action.low), list(action.high)], frame=action.frame,
        ),
        FEATURES: described(
            ["batch", features], "float32", "1",
            f"of this observation, for the next inputs `{HISTORY}` where there are some, and for monitors",
            range=None, frame=None,
        ),
        PROPOSAL: described(
            ["batch"], "int64", "row", f"which proposal is acted on, for the next inputs `{TRIED}`",
            range=[0, config.proposals - 1], frame=None,
        ),
    }  # fmt: skip
    made = {
        "folder": folder.name, "step": checkpoints.read_state(folder)["step"],
        "git": read_json(folder / checkpoints.CONFIG_FILE)["manifest"]["git"],
    }
    known = trained_on(folder)
    contract = {
        "format": FORMAT,
        "opset": OPSET,
        "exporter": f"torch {torch.__version__}, torch.onnx.export(dynamo=True)",
        "inputs": input_table(policy.observation_contract, config, action, features),
        "outputs": {name: meanings[name] for name in flat.outputs},
        "action": action.to_json(),
        "observation": policy.observation_contract.to_json(),
        "policy": config.to_json(),
        "control_hz": action.control_hz,
        "execute": config.execute,
        "tolerance": TOLERANCE,
        "versions": package_versions(),
        "trained": made,
        "arm": facts.arm,
        "cameras": facts.cameras,
        "success": facts.success,
        "sentences": list(facts.sentences),
    }
    return contract if known is None else contract | {TRAINED_ON: known}
