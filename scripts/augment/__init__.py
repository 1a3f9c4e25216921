"""Makes a repaired copy of a dataset.

toyshift augment viewpoint runs/demos runs/demos-views --azimuth -30 30
"""
