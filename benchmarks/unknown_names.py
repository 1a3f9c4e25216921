"""Do unseen names gain by a fallback? Where a toy stands that nobody named in training, told so, generally, and both.

.venv/bin/python benchmarks/unknown_names.py --samples 1500 --steps 1500
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from instructions import Batch, looks  # of this folder

from toyshift.core.contract import ACTION, STATE, image_key, mask_key
from toyshift.policies import Policy, PolicyConfig
from toyshift.policies.batch_keys import INSTRUCTION
from toyshift.policies.instructions import Instructions
from toyshift.policies.unknown_names import in_general, is_unknown

UNSEEN = 0.25  # share of the names


def trained(env: Any, batch: Batch, codes: torch.Tensor, seen: np.ndarray, steps: int) -> Policy:
    """Returns a policy that learnt from the samples `seen` where the named toy stands."""
    torch.manual_seed(0)
    config = PolicyConfig(pooling="attention", instruction="minilm", chunk=1, execute=1, gripper_gain=0.0)
    stats = {k: {"mean": batch[k].mean((0, 1)).numpy(), "std": batch[k].std((0, 1)).numpy()} for k in (STATE, ACTION)}
    policy = Policy(config, env.action_contract, env.observation_contract, stats)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    for step in range(steps):
        index = torch.from_numpy(np.random.default_rng([0, step]).choice(seen, size=64))
        loss = policy({k: v[index] for k, v in (batch | {INSTRUCTION: codes}).items()})["loss"]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return policy.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--objects", default="toys:train?n=60")
    args = parser.parse_args()
    torch.set_num_threads(1)
    env, batch, said = looks(args.samples, args.objects)
    names = sorted(set(said))
    unseen = set(np.random.default_rng(0).permutation(names)[: round(UNSEEN * len(names))].tolist())
    known = tuple(name for name in names if name not in unseen)
    apart = np.array([sentence in unseen for sentence in said])
    seen = np.flatnonzero(~apart)
    held_out = seen[-len(seen) // 5 :]
    coder = Instructions("minilm", known, fallback=0.05)
    codes = torch.from_numpy(coder(said))
    policy = trained(env, batch, codes, seen[: -len(seen) // 5], args.steps)
    rows, least = coder.told_apart()
    flagged = {name: is_unknown(coder([name])[0], rows, least) for name in names}
    print(f"{len(known)} names in training, {len(unseen)} unseen, of which {sum(flagged[n] for n in unseen)} count as "
          f"unknown; told in general: {in_general(known)!r}")  # fmt: skip
    print("| names | samples | told | median error [cm] |\n" + "|---" * 4 + "|")
    general = torch.from_numpy(coder([in_general(known)])).expand(len(said), -1)
    groups = {"in training": held_out, "unseen": np.flatnonzero(apart)}
    far = [away and flagged[sentence] for away, sentence in zip(apart, said, strict=True)]
    groups["unseen, and count as unknown"] = np.flatnonzero(far)
    for group, index in groups.items():
        if not len(index):
            continue
        rest = {k: v[index] for k, v in batch.items()}
        views = [{c: rest[key(c)][:, 0] for c in policy.cameras} for key in (image_key, mask_key)]
        with torch.no_grad():
            own, as_object = (
                policy.predict(views[0], views[1], rest[STATE][:, 0], instruction=told[index])[:, 0, :2]
                for told in (codes, general)
            )
        for told, found in {"its name": own, "an object": as_object, "both, the mean": (own + as_object) / 2}.items():
            error = float(100 * (found - rest[ACTION][:, 0, :2]).norm(dim=1).median())
            print(f"| {group} | {len(index)} | {told} | {error:.1f} |", flush=True)


if __name__ == "__main__":
    main()
