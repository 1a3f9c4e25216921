"""Tries out who finds the target in images.

toyshift masks try --data runs/demos --provider colour --out masks.mp4     IoU with the true masks, ms per frame
toyshift masks try --video lab.mp4 --provider box --box 120 200 180 260    your own, the box in its first frame
toyshift masks try --video lab.mp4 --provider background --background empty.png
"""
