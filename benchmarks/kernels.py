r"""What other CPU kernels change: the bits of single computations, starts, images, and the outcomes of episodes.

python benchmarks/kernels.py --results results/kernels                                 the expert, 300 episodes each
python benchmarks/kernels.py --policy runs/quickstart/policies/detpool --results results/kernels   and a trained policy
python benchmarks/kernels.py --episodes 40 --only "NumPy*" --out runs/try              some settings, beside "as it is"

Each setting is a process whose libraries are told, by variables that they read when they are loaded, to leave unused
what the CPU has: so one machine shows what others would do, as far as its own instructions go. Compared with "as it
is"; "again" changes nothing, and must be equal. Each has a cache of its own. An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fnmatch
import functools
import importlib
import importlib.util
import itertools
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.errors import UnknownNameError
from toyshift.core.files import atomic_path, read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.diagnostics import EvaluateConfig, evaluate, read_rows, read_rows_manifest, write_rows
from toyshift.diagnostics.reproduction import reproductions
from toyshift.diagnostics.tables import render_table
from toyshift.scripts.studies.figures import markdown_table

AS_IT_IS, AGAIN = "as it is", "again"
AVX512, AVX2 = ("AVX512",), ("AVX512", "AVX2", "FMA3")  # how NumPy's names of features begin
CAMERAS = ("front", "wrist")
OPENBLAS = ("openblas_get_corename64_", "openblas_get_corename", "scipy_openblas_get_corename")


def numpy_features() -> list[str]:
    """Returns the features for which NumPy has kernels and that it uses here, the newest last."""
    where = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"
    of = importlib.import_module(f"{where}._multiarray_umath")
    return [name for name in of.__cpu_dispatch__ if of.__cpu_features__[name]]


def settings() -> dict[str, dict[str, str]]:
    """Returns what libraries are told, by setting."""

    def numpy_without(begin: tuple[str, ...]) -> dict[str, str]:
        return {"NPY_DISABLE_CPU_FEATURES": " ".join(x for x in numpy_features() if x.startswith(begin))}

    def openblas(core: str) -> dict[str, str]:
        return {"OPENBLAS_CORETYPE": core}

    torch = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    old = ("AVX2", "FMA", "FMA4", "AVX512F", "AVX512VL", "AVX512BW", "AVX512DQ")
    return {
        AS_IT_IS: {},
        AGAIN: {},
        "NumPy without AVX-512": numpy_without(AVX512),
        "NumPy without AVX2": numpy_without(AVX2),
        "OpenBLAS for Haswell (AVX2)": openblas("Haswell"),
        "OpenBLAS for Nehalem (SSE)": openblas("Nehalem"),
        "C library without FMA": {"GLIBC_TUNABLES": f"glibc.cpu.hwcaps={','.join(f'-{name}' for name in old)}"},
        "llvmpipe of 128 bits": {"LP_NATIVE_VECTOR_WIDTH": "128"},
        "two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        "torch with AVX2": torch,
        "all with AVX2": numpy_without(AVX512) | openblas("Haswell") | torch,
    }


# ---------------------------------------------------------------- in the process of a setting


def taken() -> dict[str, str]:
    """Returns what libraries say they use: a setting that none of them took would show nothing."""
    import torch

    from toyshift.envs.render.renderer import gl_renderer_name

    said = {"NumPy": numpy_features()[-1], "torch": torch.backends.cpu.get_cpu_capability(), "GL": gl_renderer_name()}
    for package in ("numpy", "scipy"):
        spec = importlib.util.find_spec(package)
        folder = Path(str(spec and spec.origin)).parents[1] / f"{package}.libs"
        for path, name in itertools.product(folder.glob("*openblas*.so*"), OPENBLAS):
            if corename := getattr(ctypes.CDLL(str(path)), name, None):
                corename.restype = ctypes.c_char_p
                said[f"OpenBLAS of {package}"] = corename().decode()
    return said


def computations() -> dict[str, np.ndarray]:
    """Returns what single computations give; each is one library's, and all begin from the same drawn numbers."""
    import mujoco
    import scipy.linalg
    import torch

    from toyshift.envs.tasks.grasp import GraspEnv

    rng = np.random.default_rng(0)
    x, a = rng.uniform(-3.0, 3.0, 20_000), rng.normal(size=(96, 96))
    spd = np.round(a @ a.T, 6) + 96.0 * np.eye(96)  # rounded, so that the last bits of the product do not count
    small = x.astype(np.float32)
    libm = [f for v in x[:5000] for f in (math.exp(v), math.sin(v), math.pow(abs(v), 1.7), math.atan2(v, 1.3))]
    out = {
        "NumPy: exp, sin, cos of float64": np.concatenate([np.exp(x), np.sin(x), np.cos(x)]),
        "NumPy: exp, sin, cos of float32": np.concatenate([np.exp(small), np.sin(small), np.cos(small)]),
        "NumPy: roots, products, quotients": np.concatenate([np.sqrt(np.abs(x)), x * x[::-1], x / (x[::-1] + 4.0)]),
        "NumPy: sums": np.array([x[i : i + 777].sum() for i in range(0, 19_000, 97)]),
        "NumPy's OpenBLAS: products of 96 x 96": a @ a.T,
        "NumPy's OpenBLAS: products of 7 x 6": np.stack([a[i : i + 7, :6] @ a[:6, i] for i in range(80)]),
        "NumPy's OpenBLAS: solutions of 6 x 6": np.linalg.solve(spd[:6, :6], a[:6]),
        "SciPy's OpenBLAS: Cholesky of 96 x 96": scipy.linalg.cholesky(spd),
        "C library: exp, sin, pow, atan2": np.array(libm),
    }
    generator = torch.Generator().manual_seed(0)
    images, weights = torch.randn(4, 3, 96, 96, generator=generator), torch.randn(32, 3, 5, 5, generator=generator)
    left = torch.randn(128, 256, generator=generator)
    with torch.inference_mode():
        out["torch: convolution"] = torch.nn.functional.conv2d(images, weights, stride=2).numpy()
        out["torch: product"] = (left @ left.T).numpy()
        out["torch: GELU, softmax"] = torch.softmax(torch.nn.functional.gelu(left), -1).numpy()
    with contextlib.closing(GraspEnv(objects="toys:test", cameras=())) as env:
        env.reset(seed=0, options={"episode": 0})
        model, data = env.scene.model, env.scene.data
        data.qpos, data.qvel, data.ctrl = np.round(data.qpos, 6), 0.0, np.round(data.ctrl, 2)
        model.opt.gravity[:] = (0.5, 0.2, -9.81)  # the toy rolls and the arm swings
        for _ in range(500):
            mujoco.mj_step(model, data)
        out["MuJoCo: 500 physics steps of a toy and the arm"] = np.array(data.qpos)
    return out


def starts(objects: str, episodes: int, seed: int) -> dict[str, np.ndarray]:
    """Returns the first states of episodes (n, q) and their first images (n, cameras, H, W, 3)."""
    from toyshift.envs.tasks.grasp import GraspEnv

    states, images = [], []
    with contextlib.closing(GraspEnv(objects=objects, cameras=CAMERAS, image_size=96)) as env:
        for i in range(episodes):
            target = i % len(env.objects)
            observation, _ = env.reset(seed=seed, options={"episode": i, "object": target, "purpose": "test"})
            states.append(np.array(env.scene.data.qpos))
            images.append(np.stack([observation["pixels"][name] for name in CAMERAS]))
    return {"states": np.stack(states), "images": np.stack(images)}


def work(args: argparse.Namespace, folder: Path) -> None:
    """Computes, draws and plays what is missing of a setting."""
    write_json(folder / "taken.json", taken())
    for path, make in (
        (folder / "bits.npz", computations),
        (folder / f"starts-{args.episodes}.npz", lambda: starts(args.objects, args.episodes, args.seed)),
    ):
        if not path.exists():
            with atomic_path(path) as temporary:
                np.savez(temporary, **make())
    for policy in policies(args):
        config = EvaluateConfig(policy, args.objects, args.episodes, seed=args.seed)
        evaluate(config, folder / f"{Path(policy).name}.parquet", workers=0)


# ---------------------------------------------------------------- all settings


def policies(args: argparse.Namespace) -> list[str]:
    return ["oracle", *([args.policy] if args.policy else [])]


def differing(here: Path, there: Path) -> dict[str, dict[str, float]]:
    """Returns for each array of two files how many values differ, of how many, and by how much at most."""
    out = {}
    with np.load(here) as now, np.load(there) as before:
        for name in before.files:
            a, b = now[name], before[name]
            largest = float(np.max(np.abs(a.astype(np.float64) - b)))
            entry: dict[str, float] = {"differ": int(np.sum(a != b)), "of": a.size, "largest": largest}
            if name in ("states", "images"):
                entry["episodes"] = int(np.sum((a != b).reshape(len(a), -1).any(axis=1)))
            out[name] = entry
    return out


def compare(args: argparse.Namespace, folder: Path, first: Path) -> dict[str, Any]:
    """Returns in what a setting differs from the first."""
    start, rows = f"starts-{args.episodes}.npz", {}
    for policy in policies(args):
        file = f"{Path(policy).name}.parquet"
        sides = [[row for row in read_rows(where / file) if row.episode < args.episodes] for where in (folder, first)]
        rows[Path(policy).name] = reproductions(*sides)[0].to_json()
    bits = differing(folder / "bits.npz", first / "bits.npz")
    begun = differing(folder / start, first / start)
    return {"taken": read_json(folder / "taken.json"), "bits": bits, "starts": begun, "rows": rows}


def table(found: dict[str, dict[str, Any]]) -> str:
    """Returns what differs from "as it is", for people."""
    lines = []
    for name, x in found.items():
        bits = sorted({key.partition(":")[0] for key, value in x["bits"].items() if value["differ"]})
        begun = [f"{x['starts'][key]['episodes']:.0f}" for key in ("states", "images")]
        played = []
        for rows in x["rows"].values():
            change = rows["paired"]["difference"]
            told = f"{100 * change['value']:+.1f} ({100 * change['low']:+.0f} to {100 * change['high']:+.0f})"
            played += [f"{rows['n'] - rows['equal']} of {rows['n']}", str(rows["outcomes"]), told]
        lines.append([name, ", ".join(bits) or "none", *begun, *played])
    first = next(iter(found.values()))["rows"]
    heads = [f"{policy}: {what}" for policy in first for what in ("rows", "outcomes", "success, points")]
    return render_table(["setting", "other bits", "other starts", "other first images", *heads], lines)


def markdown(found: dict[str, dict[str, Any]]) -> str:
    """Returns the table of docs/reproduction.md, with its marks for check_claims.py."""
    played = list(found[AS_IT_IS]["rows"])
    places = [f"starts/{what}/episodes" for what in ("states", "images")]
    places += [f"rows/{policy}/{what}" for policy in played for what in ("equal", "outcomes")]
    heads = [f"`{policy}`: {what}" for policy in played for what in ("equal rows", "other outcomes")]
    rows = []
    for name, x in found.items():
        bits = sorted({key.partition(":")[0] for key, value in x["bits"].items() if value["differ"]})
        figures = [functools.reduce(lambda value, key: value[key], place.split("/"), x) for place in places]
        figures[-1] = f"{figures[-1]}<!-- claim: value of kernels/table.json#settings/{name}/{{{','.join(places)}}} -->"
        rows.append((name, ", ".join(bits) or "none", *figures))
    return markdown_table(f"| {' | '.join(['setting', 'other bits', 'other states', 'other images', *heads])} |", rows)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="", help="folder of a trained policy, played besides the expert")
    parser.add_argument("--objects", default="toys:test", help="object set")
    parser.add_argument("--episodes", type=int, default=300, help="episodes of each setting and policy")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--only", nargs="+", default=["*"], help='settings, with * for anything; "as it is" always')
    parser.add_argument("--out", type=Path, default=Path("runs/kernels"), help="folder of work")
    parser.add_argument("--results", type=Path, help="folder for rows and table.json, small enough to commit")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)  # in the process of a setting: its folder
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    args = parse(argv)
    if args.work:
        work(args, args.work)
        return {}
    told = settings()
    chosen = [name for name in told if name == AS_IT_IS or any(fnmatch.fnmatchcase(name, x) for x in args.only)]
    if len(chosen) == 1 and args.only != [AS_IT_IS]:
        raise UnknownNameError("setting", args.only[0], told)
    found: dict[str, dict[str, Any]] = {}
    for name in chosen:
        folder = args.out / name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        own = {"TOYSHIFT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}  # what is cached has bits too
        print(f"{name}: {told[name] or 'nothing is held back'}", file=sys.stderr, flush=True)
        words = [sys.executable, __file__, *(sys.argv[1:] if argv is None else argv), "--work", str(folder)]
        subprocess.run(words, env=os.environ | own | told[name], check=True)
        found[name] = {"told": told[name], **compare(args, folder, args.out / AS_IT_IS.replace(" ", "-"))}
        print(table(found), flush=True)
    if args.results:
        asked = {"policy": args.policy, "objects": args.objects, "episodes": args.episodes}
        for name, policy in itertools.product(chosen, policies(args)):
            file = f"{Path(policy).name}.parquet"
            path = args.out / name.replace(" ", "-") / file
            write_rows(args.results / name.replace(" ", "-") / file, read_rows(path), read_rows_manifest(path))
        write_json(args.results / "table.json", {"settings": found, "manifest": manifest(asked, args.seed)})
        print(markdown(found))
    return found


if __name__ == "__main__":
    main()
