"""Training samples/s from images and from cached tokens, and milliseconds per chunk of a policy, in both precisions.

python benchmarks/training.py                      everything, one thread, in processor seconds; about five minutes
python benchmarks/training.py --threads 2          on the clock of an idle machine
python benchmarks/training.py --only inference
python benchmarks/training.py --data DIR           frames of a dataset of ours instead of made-up ones
python benchmarks/training.py --only conv --policy attention-mask      another policy of the quickstart
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import clocks
import numpy as np
import torch
from safetensors.torch import save_file

from toyshift.core.contract import ACTION, STATE, ActionContract, ObservationContract, image_key, mask_key
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.lerobot import finalize
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.config import VIT_NAMES, PolicyConfig
from toyshift.policies.devices import cpu_has_bf16, torch_threads
from toyshift.policies.network.policy import Policy
from toyshift.policies.parts import ENCODERS
from toyshift.policies.training.config import TrainConfig
from toyshift.policies.training.memory import memory_advice
from toyshift.policies.training.prefetch import Prefetch
from toyshift.policies.training.training_data import open_source
from toyshift.policies.training.training_run import Run
from toyshift.scripts.recipe import KINDS, quickstart_policy, quickstart_recipe
from toyshift.scripts.recipe import STATE as STATE_NAMES

SIZE, EPISODES, LENGTH, TARGET = 96, 20, 30, 22  # the target is a square of so many pixels: a tenth of the patches
CAMERAS = ("front", "wrist")
NAMES = ("dx", "dy", "dz", "rx", "ry", "rz", "gripper")
UNITS = ("m", "m", "m", "rad", "rad", "rad", "1")
CONTRACT = ActionContract("eef_delta", NAMES, UNITS, (-1.0,) * 6 + (0.0,), (1.0,) * 7, 20.0, ())
SEEN = ObservationContract(tuple((c, (SIZE, SIZE)) for c in CAMERAS), STATE_NAMES)
# samples/s, supervised steps/s on two cores; ms per chunk on one
ASKED = {"conv": 700, "tokens": 2000, "inference": 4.0}
WARM = 3


def made_up(folder: Path) -> Path:
    """Writes a dataset of noise in which a square is the target."""
    rng = np.random.default_rng(0)
    for i in range(EPISODES):
        shape = (LENGTH, SIZE, SIZE)
        frames: dict[str, Any] = {image_key(c): rng.integers(0, 256, (*shape, 3), np.uint8) for c in CAMERAS}
        for camera in CAMERAS:
            masks = np.zeros(shape, np.uint8)
            y, x = rng.integers(0, SIZE - TARGET, 2)
            masks[:, y : y + TARGET, x : x + TARGET] = 1
            frames[mask_key(camera)] = masks
        frames[STATE] = rng.normal(size=(LENGTH, len(STATE_NAMES))).astype(np.float32)
        frames[ACTION] = rng.uniform(0, 1, (LENGTH, len(NAMES))).astype(np.float32)
        meta = {"task": "lift", "success": True, "seed": 0, "object_id": "toy", "object_set": "toys:train"}
        write_episode(folder, Episode(i, frames, meta))
    finalize(folder, CONTRACT, SEEN, {})
    return folder


def speed(config: TrainConfig, seconds: float) -> dict[str, float]:
    """Trains for so many processor seconds as the loop does; returns samples per second of processors and the clock."""
    run = Run(config, open_source(config))
    clock, done = clocks.Clock(), 0
    with memory_advice(config), Prefetch(run.batch, 0, config.steps) as batches:
        for step, (indices, batch) in enumerate(batches):
            if step == WARM:
                clock = clocks.Clock()
            run.train_step(indices, batch)
            done += step >= WARM
            if step >= WARM and clock.stopped().cpu > seconds:
                break
    return clock.stopped().rates(done * config.batch_size, 1)


def random_weights(path: Path, encoder: str) -> str:
    """Writes a ViT with random weights, frozen as if they were pretrained."""
    from timm.models.vision_transformer import VisionTransformer

    width, depth, heads = ENCODERS[encoder].vit
    sizes = {"img_size": SIZE, "embed_dim": width, "depth": depth, "num_heads": heads}
    save_file(VisionTransformer(patch_size=16, num_classes=0, **sizes).state_dict(), str(path))
    return f"timm:{path}"


def inference(seconds: float) -> dict[str, float]:
    """Returns milliseconds per chunk of the quickstart's policy with random weights, on one thread."""
    acting = TorchPolicy("quickstart", Policy(quickstart_policy("detpool"), CONTRACT, SEEN))
    rng = np.random.default_rng(0)
    masks = np.zeros((SIZE, SIZE), np.uint8)
    masks[30 : 30 + TARGET, 40 : 40 + TARGET] = 1
    obs = {
        "pixels": {c: rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8) for c in CAMERAS},
        "masks": dict.fromkeys(CAMERAS, masks),
        "agent_pos": np.zeros(len(STATE_NAMES), np.float32),
    }
    with torch_threads(1):
        for _ in range(20):
            acting.act(obs)
        clock, count = clocks.Clock(), 0
        while clock.stopped().cpu < seconds:
            acting.act(obs)
            count += 1
    times = clock.stopped()
    return {"cpu_ms": round(1e3 * times.cpu / count, 2), "wall_ms": round(1e3 * times.wall / count, 2)}


def main() -> None:
    parser = clocks.options(__doc__)
    parser.add_argument("--data", type=Path, help="a dataset; made-up frames without it")
    parser.add_argument("--only", choices=tuple(ASKED))
    parser.add_argument("--policy", choices=KINDS, default="detpool", help="of the quickstart, trained from images")
    parser.add_argument("--encoder", choices=VIT_NAMES, default="vit-base", help="frozen, of the cached tokens")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of a training")
    parser.add_argument("--seconds", type=float, default=10.0, help="processor seconds of each measurement")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    args = parser.parse_args()
    out: dict[str, Any] = {"threads": args.threads, "torch": torch.__version__, "bf16_in_hardware": cpu_has_bf16()}
    with tempfile.TemporaryDirectory() as temporary, torch_threads(args.threads):
        root = Path(temporary)
        configs: dict[str, TrainConfig] = {}
        if args.only != "inference":
            data = (str(args.data or made_up(root / "demos")),)
            conv = quickstart_recipe(args.policy, data, str(root / "run"), 100_000, 128, 0)
            configs["conv"] = dataclasses.replace(conv, threads=args.threads)
        if args.only in (None, "tokens"):
            policy = PolicyConfig(
                encoder=args.encoder, encoder_weights=random_weights(root / "vit.safetensors", args.encoder),
                freeze_encoder=True, pool_first=True,
                policy_net="transformer-small", chunk=16, history=16,
            )  # fmt: skip
            configs["tokens"] = TrainConfig(data, policy=policy, steps=100_000, batch_size=125, threads=args.threads)
        for name, config in configs.items():
            if args.only not in (None, name):
                continue
            seen = config.policy.steps_seen
            for precision in ("bf16", "f32"):
                for compiled in (False, True)[: 1 + args.compile]:
                    found = speed(dataclasses.replace(config, precision=precision, compile=compiled), args.seconds)
                    found = {k: round(v * seen) for k, v in found.items()}
                    label = f"{name}_{precision}" + "_compiled" * compiled
                    out[label] = found
                    cpu, wall = (f"{found[key]:7,}" for key in ("per_cpu_s", "per_wall_s"))
                    both = f"{cpu} supervised steps per processor second, {wall} on the clock"
                    print(f"{label:>20}: {both} ({ASKED[name]:,} asked for on two cores)", flush=True)
        if args.only in (None, "inference"):
            out["inference"] = inference(min(5.0, args.seconds))
            cpu, wall = out["inference"]["cpu_ms"], out["inference"]["wall_ms"]
            both = f"{cpu} ms of a processor per chunk, {wall} on the clock"
            print(f"{'inference':>20}: {both} ({ASKED['inference']} asked for on one core)")
    if args.json:
        print(json.dumps(out))


if __name__ == "__main__":
    main()
