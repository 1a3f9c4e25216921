"""Serves a policy over openpi's websocket protocol.

toyshift serve --policy runs/detpool --port 8000
"""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

from toyshift.core import interrupts
from toyshift.core.choices import Device
from toyshift.core.errors import ConfigError
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, port=(0, 65535), max_message=(0, 1024)):
    """Options of `toyshift serve`."""

    policy: Path
    """Folder of a policy, or an exported bundle."""
    port: int = 8000
    """Port to listen at; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 lets in every machine that reaches this one, and none is asked who it is."""
    max_message: int = 0
    """Longest message that a client may send [MiB]; 0 is twice what an observation needs, at least 1."""
    device: Device = "cpu"
    """Where a trained folder computes: cpu, cuda or auto."""


def main(cfg: Config) -> dict[str, Any]:
    """Serves a policy over openpi's websocket protocol until Ctrl-C or SIGTERM; see docs/remote_policies.md.

    Example: toyshift serve --policy runs/detpool --port 8000
    """
    from toyshift.diagnostics.actors import BUILTIN, load_acting_policy, policy_fingerprint
    from toyshift.policies.remote.access import Limits
    from toyshift.policies.remote.server import PolicyServer, PolicySession, policy_metadata

    if str(cfg.policy) in BUILTIN:
        raise ConfigError(f"{cfg.policy} lives in the simulator; serve the folder of a trained policy or a bundle")
    fingerprint = policy_fingerprint(str(cfg.policy))
    policy = load_acting_policy(str(cfg.policy), cfg.device)
    with interrupts.told_to_end() as wait:
        server = PolicyServer(
            lambda: PolicySession(policy), policy_metadata(policy, fingerprint), cfg.host, cfg.port,
            limits=Limits(max_bytes=cfg.max_message * 2**20),
        )  # fmt: skip
        trial = f"toyshift evaluate --policy ws://localhost:{server.port}"
        print(f"serving {policy.name} at ws://{cfg.host}:{server.port}, Ctrl-C ends it; try: {trial}", flush=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        wait()
    server.shutdown()
    thread.join()
    return {"policy": cfg.policy, "port": server.port}
