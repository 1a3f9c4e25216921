"""Checks what must be right before a policy moves a real robot, moves one by a bundle, and simulates one.

toyshift robot board --out board.pdf                       the board that the camera check looks for, to print
toyshift robot check bundle --image front=lab.png --board front=board.png --board-at 0.4 0.1 0.003 -90
toyshift robot sim --port 8123                                        our Panda, in its own process and time
toyshift robot run bundle --robot socket:127.0.0.1:8123 --masks robot    a dry run: nothing is sent
toyshift robot run bundle --robot socket:127.0.0.1:8123 --masks robot --execute --record runs/robot/episodes
toyshift robot alarm bundle --data runs/demos --out alarm.npz          then: toyshift robot run ... --alarm alarm.npz
"""
