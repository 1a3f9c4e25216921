"""Checks what must be right before a policy moves a real robot.

toyshift robot board --out board.pdf                       the board that the camera check looks for, to print
toyshift robot check bundle --image front=lab.png --board front=board.png --board-at 0.4 0.1 0.003 -90
"""
