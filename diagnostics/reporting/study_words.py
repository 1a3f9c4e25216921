"""What each study asked and how its tables are read: title, question, reading. One table, by the study's word."""

from __future__ import annotations

STUDY_WORDS: dict[str, tuple[str, str, str]] = {
    "dsl": (
        "Degree of shortcut learning",
        "When two sub-datasets differ in place and in a cue (such as the camera), does a policy go where the cue says "
        "or where it is told?",
        "DSL is the share of swapped episodes in which the cue's place is approached first: 0 % is no shortcut, 100 % "
        "follows the cue alone; chance and the control without a swap stand beside it.",
    ),
    "exam": (
        "Exam of the shortcut verdicts",
        "How often are the cards wrong, measured on policies into which a shortcut was planted or not?",
        "Each line is one planted policy with what was planted and what the card said.",
    ),
    "latency": (
        "Late actions",
        "What does it cost when computing actions takes time, and does leaving out what is late by then help?",
        "Each line is one latency; a difference is success under it minus success without, from the same starts.",
    ),
    "lego-table": (
        "LEGO's comparison of poolings",
        "Does detection pooling carry over to new objects better than other ways of pooling, at equal training?",
        "Success by pooling and set; differences are detection pooling minus the others on the same starts.",
    ),
    "mask-iou": (
        "Wrong masks",
        "How good must the target's mask be for a policy that is given one?",
        "IoU is how well the masks that were shown fit the true ones (1 is perfect); the difference is success minus "
        "that with true masks from the same starts.",
    ),
    "recipe": (
        "The recipe",
        "How well does the recommended training do on each object set, over several seeds?",
        "Each line is one object set; by seed shows how much training again moves it.",
    ),
    "shifts": (
        "Shift matrix",
        "What does every shift cost each policy?",
        "Each line is a factor and level; a drop is success without the shift minus success under it, same starts.",
    ),
    "repair": (
        "Repairs against controls",
        "Which change to the data, or to training, repairs a planted shortcut, and does its control do as well?",
        "A repair counts where it beats training on plain, doubled and own-range data on the same starts, after "
        "correction for all comparisons.",
    ),
    "shortcut-grid": (
        "Radius by distance",
        "Do shortcuts fade when sub-datasets are more varied inside (radius), and grow when they lie further apart "
        "(distance)?",
        "Each line is one radius and distance; theory expects DSL to fall and success on swapped starts to rise with "
        "radius, and the reverse with distance.",
    ),
    "detpool-vs-shortcut": (
        "Detection pooling against shortcuts",
        "Does pooling over the target alone remove reliance on viewpoint, background, table? What do neighbours cost?",
        "Each line is one cue and pooling; lower reliance is better.",
    ),
    "toys-scaling": (
        "How many toys, how many demonstrations",
        "Is it better to practise with more toys or with more demonstrations, at equal training?",
        "Each line is one number of toys and of demonstrations; LEGO's figures stand beside where the study has them.",
    ),
    "leave-one-out": (
        "Without one of the shapes",
        "Which of the four basic shapes of the toys matters most for new objects?",
        "Each line leaves one shape out; the more success falls, the more it mattered.",
    ),
    "toy-complexity": (
        "How complex the toys are",
        "Does it matter of how many pieces the toys are made?",
        "Each line trains with toys of some numbers of pieces only, or without them.",
    ),
    "weights-audit": (
        "What weights tell",
        "Can one tell from a policy's weights that it was tuned on data whose looks tell where the target is?",
        "Each line is a probe and what it has never seen; an AUC counts beside that with exchanged labels.",
    ),
    "length": (
        "More than in training",
        "Which pooling still works with more objects on the table, or on toys of more parts, than in training?",
        "Each line is a pooling and a test; differences are from the same starts.",
    ),
    "cue-priority": (
        "Which cue wins",
        "When colour, size, kind or side of the target told the same in training, which does a policy follow?",
        "Each line is a pair of cues that disagree in the test; the share is of scenes in which a toy was approached.",
    ),
    "data-factors": (
        "Of the same number of demonstrations",
        "Does it matter on how many toys demonstrations are, of how many parts these are, and how hard to grasp?",
        "Each line is a level of one factor and a set of objects; differences are from the same starts.",
    ),
    "offline-grasp": (
        "Grasps improved without a simulator",
        "May a grasp be improved by the gradient of a network that learnt which others lift?",
        "Each line is a way of training the network; optimism is what it believed minus what came out.",
    ),
    "train-longer": (
        "Training longer",
        "What do more steps, other batches, more decay or partly wrong demonstrations do to new objects?",
        "Each line is a way of training and a set of objects; differences are from the same starts.",
    ),
    "tune": (
        "Tuned training",
        "Do training settings that a search has tuned generalize better than the recipe, and than a random search's?",
        "Each line is a search's winner, or the recipe, and a condition; differences are from the same starts.",
    ),
}  # fmt: skip
UNKNOWN = (
    "What did this study find under each of its conditions?",
    "Each line of a table is one condition; columns are named as in the study's table.json.",
)
COLUMN_TITLES = {  # of keys in table.json whose words say too little
    "n": "Episodes", "k": "Successes", "rate": "Success", "lr": "Learning rate", "dsl": "DSL", "mask_iou": "Mask IoU",
    "id_success": "Success, own cue", "ood_success": "Success, swapped cue", "by_chance": "DSL by chance",
    "wilson_95": "95 % episodes", "clustered_objects_95": "95 % new objects", "excess": "DSL beyond the control",
    "by_seed": "By seed", "p_holm": "Holm p",
}  # fmt: skip
