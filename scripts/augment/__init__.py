"""Makes a changed copy of a dataset: the same episodes, seen otherwise.

toyshift augment viewpoint runs/demos runs/demos-views --azimuth -30 30
toyshift augment cue runs/places runs/told-by-table --factor table
"""
