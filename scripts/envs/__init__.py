"""Plays and shows the environments.

toyshift envs play                               keyboard control in MuJoCo's viewer, or a video
toyshift envs shifts --out runs/shifts           a contact sheet of every shift at every level
toyshift envs robots --out runs/robots.png       a contact sheet of every robot
toyshift envs hub --out runs/hub                 env.py and README.md of a Hub repository for LeRobot
"""
