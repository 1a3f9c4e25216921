"""The set `ycb-like`: shapes built to the measured sizes and masses of the YCB objects."""
