"""What storing images as video costs in success: detection pooling, trained on PNG images and on the same in H.264.

python benchmarks/video_cost.py --data runs/quickstart/demos --out results/video_cost.json

It takes about 20 minutes on two idle cores. The video is the one that images above 160 pixels get (`data/video.py`);
all else is the same: actions, masks, initial weights, order of samples, test episodes (whose images were no video).
Both parts are kept in --work, and a second run goes on where the first was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.files import write_json
from toyshift.core.manifest import manifest
from toyshift.core.progress import track
from toyshift.core.workers import worker_pool
from toyshift.data import open_dataset
from toyshift.data.episode import Episode, episode_indices, is_image, write_episode
from toyshift.data.store.dataset import Dataset
from toyshift.data.store.lerobot import finalize
from toyshift.data.video import CODEC, KEY_EVERY, PIXELS, QUALITY, decode_clip, encode_clip
from toyshift.diagnostics import EvaluateConfig, evaluate
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.statistics import clustered, paired_difference
from toyshift.policies import train
from toyshift.scripts.recipe import quickstart_recipe

SETS = ("ycb-like?graspable", "toys:test")
VIDEO = {"codec": CODEC, "pixels": PIXELS, "crf": QUALITY, "key_every": KEY_EVERY}
SEED = 1000  # of test episodes, apart from those of demonstrations, as in the quickstart


def through_video(source: Dataset, out: Path) -> dict[str, float]:
    """Writes the dataset with each image replaced by what the video of its episode decodes to; resumable.

    It is stored as PNG: nothing more is lost.

    Returns:
        bytes per image as PNG and as video, peak signal-to-noise ratio of all images [dB].
    """
    done = (out / "meta" / "info.json").exists()
    there = set() if done else episode_indices(out)
    squares = pixels = png_bytes = clip_bytes = images = 0
    for i in track(range(source.num_episodes), "through video", source.num_episodes, "episode"):
        encoded = source.encoded(i)
        frames = dict(encoded.decode().frames)
        for key in filter(is_image, list(frames)):
            clip = encode_clip(frames[key])
            decoded = decode_clip(clip, frames[key].shape[1:], f"episode {i}, {key}")
            squares += int(((decoded.astype(np.int32) - frames[key]) ** 2).sum())
            pixels += decoded.size
            png_bytes, clip_bytes = png_bytes + sum(map(len, encoded.pngs[key])), clip_bytes + len(clip)
            images += len(decoded)
            frames[key] = decoded
        if not done and i not in there:
            write_episode(out, Episode(i, frames, encoded.meta))
    if not done:
        facts, robot = manifest({"source_hash": source.content_hash(), **VIDEO}), str(source.info["robot_type"])
        finalize(out, source.action_contract, source.observation_contract, facts, robot_type=robot)
    ratio = round(10 * float(np.log10(255**2 * pixels / squares)), 2)
    return {"png_bytes": round(png_bytes / images), "video_bytes": round(clip_bytes / images), "psnr_db": ratio}


def compare(rows: dict[str, list[Row]]) -> dict[str, Any]:
    """Returns success of both policies with intervals for new objects, and video's minus PNG's on the same episodes."""
    by = {name: sorted(found, key=lambda row: row.episode) for name, found in rows.items()}
    objects = [row.object_id for row in by["png"]]
    if objects != [row.object_id for row in by["video"]]:
        raise AssertionError("the two policies met different episodes")
    success = {name: [row.success for row in found] for name, found in by.items()}
    difference = paired_difference(success["video"], success["png"], objects).to_json()
    rates = {name: clustered(values, objects).to_json() for name, values in success.items()}
    return rates | {"video_minus_png": difference}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("runs/quickstart/demos"))
    parser.add_argument("--work", type=Path, default=Path("runs/video_cost"))
    parser.add_argument("--out", type=Path, default=Path("results/video_cost.json"))
    parser.add_argument("--steps", type=int, default=1100)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    args = parser.parse_args()
    source = open_dataset(args.data)
    if source.videos:
        held = ", ".join(source.videos)
        parser.error(f"{args.data} holds video already ({held}); give a dataset of images up to 160 pixels")
    images = through_video(source, args.work / "video")
    folders = {"png": args.data, "video": args.work / "video"}
    policies = {name: args.work / f"policy-{name}-{args.seed}" for name in folders}
    losses = {}
    for name, folder in folders.items():
        data, policy = (str(folder),), str(policies[name])
        recipe = quickstart_recipe("detpool", data, policy, args.steps, args.batch, args.seed)
        losses[name] = train(recipe)["validation_loss"]
    sets: dict[str, Any] = {}
    with worker_pool(args.workers) as pool:
        for objects in SETS:
            rows: dict[str, list[Row]] = {}
            for name, trained in policies.items():
                config = EvaluateConfig(str(trained), objects, trials=args.trials, seed=SEED, name=name)
                file = f"{name}-{args.seed}-{objects.translate(str.maketrans(':?', '__'))}-{args.trials}.parquet"
                rows[name] = list(evaluate(config, args.work / "rows" / file, workers=args.workers, pool=pool))
            sets[objects] = compare(rows)
            print(objects, json.dumps(sets[objects]["video_minus_png"]))
    asked = {"data": source.content_hash(), "steps": args.steps, "batch": args.batch, "trials": args.trials}
    found = {"images": images, "validation_loss": losses, "sets": sets, "manifest": manifest(asked, args.seed)}
    write_json(args.out, {"video": VIDEO, "episodes": source.num_episodes, **found})
    print(f"results: {args.out}")


if __name__ == "__main__":
    main()
