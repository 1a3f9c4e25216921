"""Converts, mixes, checks and shows datasets.

toyshift data info runs/demos                            what it holds; --json for programs
toyshift data check runs/demos --repair runs/clean       what is wrong with it, and a copy without that
toyshift data convert runs/demos demos.hdf5 --to robomimic
toyshift data fragment --m 2 --diversity 0.5 --disparity 0.8 --out runs/parts    a planted dependence
toyshift data mix runs/a runs/b --weights 2 1 --out mix.json
toyshift data view runs/demos --out demos.html           one HTML page with sampled episodes
toyshift data replay runs/demos                          executes the recorded actions again
"""
