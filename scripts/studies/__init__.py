"""Runs a study: rows that are kept as they come, a table, a figure.

toyshift study lego-table --budget small --ycb DIR           pooling x demonstrations x seeds, zero-shot success
toyshift study lego-table --dry-run                          what it would run, and how long that takes
toyshift study lego-table --tabulate                         table and figure of what there is so far
toyshift study recipe --ycb DIR --results results/recipe --from-scratch      makes committed rows again, and compares
toyshift study recipe --ycb DIR                              the best recipe, three seeds
toyshift study mask-iou --policy runs/detpool                success with masks that are wrong
toyshift study toys-scaling --ycb DIR                        toys x demonstrations: LEGO's scaling, a fitted curve
toyshift study leave-one-out --ycb DIR                       toys without one of the four primitives
toyshift study toy-complexity --ycb DIR                      toys of k parts only, and of all but k
toyshift study shortcut-grid                                 shortcut learning over radius and distance, crossed
toyshift study detpool-vs-shortcut                           what detection pooling does to planted shortcuts
toyshift study latency --policy runs/detpool                  success with actions that arrive late
toyshift study shifts --policy runs/detpool                  what every shift costs, and whether two compound
toyshift study repair --repairs hint toward-other            which repair repairs a shortcut, beside its controls
"""
