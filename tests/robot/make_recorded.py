"""Writes recorded.json, where the simulator is: an expert's actions, and the arm and contract that they are of.

python tests/robot/make_recorded.py
"""

import json
from pathlib import Path

import numpy as np

EPISODE = 1  # of seed 0; it succeeds in 25 steps


def main() -> None:
    from toyshift.data.grasping.choose import make_expert
    from toyshift.diagnostics.actors import make_grasp_env
    from toyshift.diagnostics.bundle_facts import arm_of

    env = make_grasp_env("toys:test?n=4", cameras=())
    env.reset(seed=0, options={"episode": EPISODE})
    expert, actions, done = make_expert(env), [], False
    expert.reset(0, EPISODE)
    while not done:
        actions.append(np.asarray(expert.act(), np.float32))
        _, done, _ = env.advance(actions[-1])
    arm = arm_of("panda")
    value = {
        "arm": arm.to_json(), "action": env.action_contract.to_json(), "start": list(arm.home),
        "actions": [[round(float(entry), 5) for entry in action] for action in actions],
    }  # fmt: skip
    Path(__file__).with_name("recorded.json").write_text(json.dumps(value) + "\n")


if __name__ == "__main__":
    main()
