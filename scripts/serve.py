"""Serves a policy over openpi's websocket protocol, or vla-eval's.

toyshift serve --policy runs/detpool --port 8000
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core import interrupts
from toyshift.core.choices import Device, Dialect, RobotName
from toyshift.core.errors import ConfigError
from toyshift.policies.remote.access import API_KEY, LIMITS, Access, Limits, read_key
from toyshift.scripts.options import Common

if TYPE_CHECKING:
    from toyshift.policies.remote.droid import DroidArm
    from toyshift.policies.remote.session import Session


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, port=(0, 65535), max_message=(0, 1024), **LIMITS):
    """Options of `toyshift serve`."""

    policy: Path
    """Folder of a policy, or an exported bundle."""
    port: int = 8000
    """Port to listen at; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Address to listen at; where other machines reach it, a key is needed, or --open."""
    api_key_file: Path | None = None
    """File with the key that clients must send (Authorization: Api-Key KEY); by default TOYSHIFT_API_KEY, if it is
    set."""
    open: bool = False
    """Ask nobody for a key, wherever they are."""
    tls_cert: Path | None = None
    """Certificate chain (PEM): clients connect to wss://."""
    tls_key: Path | None = None
    """Its private key (PEM)."""
    clients: int = 64
    """Clients at once."""
    rate: float = 1000.0
    """Messages of one client a second; 0 is no limit."""
    handshake: float = 10.0
    """Longest time for a connection to say what it wants [s]."""
    idle: float = 3600.0
    """Longest time between a client's messages [s]; 0 is for ever."""
    max_message: int = 0
    """Longest message that a client may send [MiB]; 0 is twice what an observation needs, at least 1."""
    masks: str = ""
    """How masks are found here: detector, background:FOLDER or module:name, as for `toyshift evaluate`; by default
    clients send them."""
    dialect: Dialect = "toyshift"
    """What clients speak: our keys and actions, those of openpi's DROID example, for policies of joint_delta, or
    vla-eval's protocol (needs vla-eval)."""
    robot: RobotName | None = None
    """Whose arm clients of DROID move, by default the panda's; for --dialect droid."""
    device: Device = "cpu"
    """Where a trained folder computes: cpu, cuda or auto."""


def main(cfg: Config) -> dict[str, Any]:
    """Serves a policy over openpi's websocket protocol until Ctrl-C or SIGTERM; see docs/remote_policies.md.

    Example: toyshift serve --policy runs/detpool --port 8000
    """
    from toyshift.diagnostics.actors import BUILTIN, load_acting_policy, policy_fingerprint
    from toyshift.policies.remote.server import PolicyServer

    if cfg.robot and cfg.dialect != "droid":
        raise ConfigError(f"--robot {cfg.robot} goes with --dialect droid; leave it out")
    if str(cfg.policy) in BUILTIN:
        raise ConfigError(f"{cfg.policy} lives in the simulator; serve the folder of a trained policy or a bundle")
    key = "" if cfg.open and cfg.api_key_file is None else read_key(cfg.api_key_file)
    if cfg.dialect == "vla-eval":
        _check_vla_eval(cfg, key)
    access = Access(key, cfg.open, cfg.tls_cert, cfg.tls_key)
    access.check(cfg.host)
    limits = Limits(cfg.clients, cfg.rate, cfg.handshake, cfg.idle, cfg.max_message * 2**20)
    fingerprint = policy_fingerprint(str(cfg.policy))
    policy = load_acting_policy(str(cfg.policy), cfg.device)
    if cfg.dialect == "vla-eval":
        return {"policy": cfg.policy, "port": _serve_vla_eval(cfg, policy, fingerprint)}
    open_session, metadata, limits = _dialect(cfg, policy, fingerprint, limits)
    with interrupts.told_to_end() as wait:
        server = PolicyServer(open_session, metadata, cfg.host, cfg.port, access, limits)
        scheme = "ws" if cfg.tls_cert is None else "wss"
        trial = f"toyshift evaluate --policy {scheme}://localhost:{server.port}"
        trial += " --remote-keys droid --remote-actions droid" if cfg.dialect == "droid" else ""
        print(f"serving {policy.name} at {scheme}://{cfg.host}:{server.port}, Ctrl-C ends it; try: {trial}", flush=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        wait()
    server.shutdown()
    thread.join()
    return {"policy": cfg.policy, "port": server.port}


def _dialect(
    cfg: Config, policy: Any, fingerprint: str, limits: Limits
) -> tuple[Callable[[], Session], dict[str, Any], Limits]:
    """Returns what opens a client's session, what clients are told first, and the limits."""
    from toyshift.policies.remote.session import PolicySession, policy_metadata

    finder = _mask_finder(cfg.masks, policy)
    if cfg.dialect == "toyshift":
        return lambda: PolicySession(policy, finder()), policy_metadata(policy, fingerprint, cfg.masks), limits
    from toyshift.policies.remote import droid

    droid.check_droid(policy, bool(cfg.masks))
    arm = _arm(cfg.robot or "panda", policy)
    limits = dataclasses.replace(limits, max_bytes=limits.max_bytes or droid.MAX_BYTES)
    return lambda: droid.DroidSession(policy, arm, finder()), droid.droid_metadata(policy, fingerprint), limits


def _check_vla_eval(cfg: Config, key: str) -> None:
    """Raises ConfigError for what is asked for and vla-eval's server does not know."""
    if key or cfg.tls_cert or cfg.tls_key:
        told = "vla-eval's protocol knows neither keys nor certificates"
        raise ConfigError(f"--dialect vla-eval: {told}; leave --api-key-file, {API_KEY} and --tls-cert out")
    if cfg.max_message or Limits(cfg.clients, cfg.rate, cfg.handshake, cfg.idle) != Limits():
        names = "--clients, --rate, --handshake, --idle and --max-message"
        raise ConfigError(f"--dialect vla-eval: vla-eval's server knows no such limits; leave {names} out")


def _serve_vla_eval(cfg: Config, policy: Any, fingerprint: str) -> int:
    """Serves as a model server of vla-eval until the end, and returns the port.

    Raises:
        MissingDependencyError: vla-eval is not there, or in another version.
    """
    from toyshift.policies.remote.session import PolicySession
    from toyshift.policies.remote.vla_eval_server import PolicyModelServer, serve_until

    finder = _mask_finder(cfg.masks, policy)
    server = PolicyModelServer(policy, fingerprint, lambda: PolicySession(policy, finder()), cfg.masks)
    with interrupts.told_to_end() as wait:

        def listening(port: int) -> None:
            trial = f"toyshift evaluate --policy vla-eval:localhost:{port}"
            where = f"{cfg.host}:{port}, in vla-eval's protocol"
            print(f"serving {policy.name} at {where}, Ctrl-C ends it; try: {trial}", flush=True)
            wait()

        return serve_until(server, cfg.host, cfg.port, listening)


def _mask_finder(text: str, policy: Any) -> Callable[[], Any]:
    """Returns what makes the finder of masks of one client."""
    from toyshift.diagnostics.mask_sources import mask_source, needs_simulator

    if not text:
        return lambda: None
    if not policy.needs_masks:
        raise ConfigError(f"--masks {text}: policy {policy.name} looks at no masks; leave it out")
    if needs_simulator(mask_source(text)):
        found = "at a server masks are found: detector, background:FOLDER or module:name"
        raise ConfigError(f"--masks {text} needs the simulator, or somebody who shows it the target; {found}")
    return lambda: mask_source(text)


def _arm(robot: str, policy: Any) -> DroidArm:
    """Returns what must be known of a robot's arm, from its model."""
    import numpy as np

    from toyshift.diagnostics.actors import make_grasp_env
    from toyshift.envs.control.kinematics import InverseKinematics
    from toyshift.policies.remote.droid import DroidArm

    env: Any = make_grasp_env("toys:train?n=1", robot=robot, cameras=())
    names = env.action_contract.joint_names
    if names != policy.action_contract.joint_names:
        ours = ", ".join(policy.action_contract.joint_names)
        raise ConfigError(f"--robot {robot} has the joints {', '.join(names)}; policy {policy.name} moves {ours}")
    low, high = np.array([env.scene.model.joint(name).range for name in env.scene.robot.joints]).T
    return DroidArm(InverseKinematics(env.scene).forward, low, high, env.scene.robot.gripper.speed)
