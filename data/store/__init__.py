"""Datasets on disk: LeRobotDataset v3 written, read, checked, summed up and mixed."""
