"""Makes changed copies of datasets: repairs and their controls, and sub-datasets dressed with a planted cue.

toyshift augment viewpoint runs/demos runs/demos-views
toyshift augment cue runs/places runs/told-by-table --factor table
"""
