"""Other formats in and out: RLDS, robomimic, Rerun."""
