"""Runs a whole experiment.

toyshift run quickstart                          toys, demonstrations, three policies, zero-shot test, diagnosis, a
                                                 planted shortcut with its repair, one HTML report
toyshift run quickstart --ycb DIR                the same, with real YCB objects
toyshift run quickstart --out runs/second        another folder
toyshift run quickstart --results results/quickstart      keeps results.json and all rows there too
"""
