"""How far background leaks into detection pooling, per encoder (random weights; EfficientNet-Lite0 ImageNet's): the table in docs/policies.md.

.venv/bin/python benchmarks/leakage.py
"""

from __future__ import annotations

from typing import Any

from toyshift.policies.config import PolicyConfig
from toyshift.policies.encoders import make_encoder
from toyshift.policies.leakage import measure_leakage
from toyshift.policies.pretrained import fitted, read_lite0

SIDE = 96  # pixels
CASES = (
    ("conv-small", "detpool"), ("conv-classic", "detpool"), ("resnet18", "detpool"), ("efficientnet-lite0", "detpool"),
    ("vit-tiny", "detpool-post"), ("vit-tiny", "detpool"),
)


def main() -> None:
    print("| encoder | pooling | pixels beyond the patch | share of the sensitivity outside the patch |\n|---|---|---|---|")
    for encoder, pooling in CASES:
        net: Any = make_encoder(PolicyConfig(encoder=encoder, pooling=pooling), (SIDE, SIDE)).eval()
        if encoder == "efficientnet-lite0":
            net.net.load_state_dict(fitted(read_lite0(), net, "package"))
        found = measure_leakage(net)
        print(f"| {encoder} | {pooling} | {found.pixels} | {100 * found.share:.0f} % |")


if __name__ == "__main__":
    main()
