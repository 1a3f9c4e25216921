"""Plays a benchmark with one policy; what was played before is kept, so a killed run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toyshift.core.files import json_hash
from toyshift.diagnostics.actors import EnvSpec, policy_fingerprint
from toyshift.diagnostics.bench.result_file import SUFFIX, BenchResult, Facts, write_result
from toyshift.diagnostics.bench.versions import BenchVersion
from toyshift.diagnostics.evaluation import PROTOCOL, EvaluateConfig, evaluate_all
from toyshift.diagnostics.mask_sources import TRUTH
from toyshift.diagnostics.rows import read_rows_manifest
from toyshift.policies.provenance import trained_on
from toyshift.policies.remote.options import RemoteOptions


def configs_of(
    version: BenchVersion, policy: str, name: str, masks: str = TRUTH, remote: RemoteOptions | None = None
) -> list[EvaluateConfig]:
    """Returns what is evaluated, part by part."""
    return [
        EvaluateConfig(
            policy, part.objects, trials=part.episodes, seed=version.seed, name=name, shift=part.shift,
            env=EnvSpec(part.kwargs, masks), remote=remote or RemoteOptions(),
        )
        for part in version.parts
    ]  # fmt: skip


def play_benchmark(
    version: BenchVersion, policy: str, name: str, out: Path, manifest: dict[str, Any], *, masks: str = TRUTH,
    remote: RemoteOptions | None = None, workers: int = 2, ray: str = "", shortcut: str = "",
) -> BenchResult:
    """Plays what is missing and writes the result file of a policy.

    Args:
        version: the benchmark.
        policy: as `open_actor` takes it.
        name: what it is called in tables and in the file's name.
        out: folder; rows of parts lie in `rows` until all are there, and stay.
        manifest: versions, machine, revision; kept in the file beside the facts.
        masks: where masks come from, see `mask_source`.
        remote: how a policy behind a server is asked.
        workers, ray: see `evaluate_all`.
        shortcut: see `Facts`.

    Raises:
        ConfigError: this installation makes other objects than the version's.
    """
    from toyshift.toys import load_objects

    sets = dict.fromkeys(part.objects for part in version.parts)
    version.check_objects({objects: tuple(load_objects(objects).ids) for objects in sets})
    fingerprint = policy_fingerprint(policy, remote)
    folder = out / "rows" / f"{version.name}-{json_hash([policy, fingerprint, masks])[:8]}"
    asked = [
        (config, folder / f"{part.name.replace(' ', '-')}{SUFFIX}")
        for part, config in zip(version.parts, configs_of(version, policy, name, masks, remote), strict=True)
    ]
    rows = [row for some in evaluate_all(asked, workers, ray=ray) for row in some]
    renderers = {str(read_rows_manifest(path).get("gl_renderer", "none")) for _, path in asked}
    taught = sorted({objects for one in trained_on(policy) or () for objects in one["object_sets"]})
    facts = Facts(
        name=version.name, digest=version.digest, policy=name, fingerprint=fingerprint, protocol=PROTOCOL,
        renderer=", ".join(sorted(renderers - {"none"})) or "none", masks=masks, trained_on=tuple(taught),
        shortcut=shortcut,
    )  # fmt: skip
    return write_result(out / f"{name}-{version.name.lower()}{SUFFIX}", facts, rows, manifest)
