"""What is fixed in the quickstart, and told in its report."""

POOLINGS = ("detpool", "mean")
TRAINING_TOYS, NEW_TOYS, YCB_LIKE = "toys:train", "toys:test", "ycb-like?graspable"
DIAGNOSED_SET = NEW_TOYS
REPAIRED_TURN = 20.0  # the repair renders from cameras turned by up to this much [deg]; the tests turn them by 15
