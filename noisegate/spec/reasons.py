"""Why a training image may be worth a look: the reason codes of the sample table, and what each means."""

from typing import Literal, get_args

Reason = Literal[
    "label_issue",
    "illusive",
    "below_noise",
    "copy_of_other_class",
    "copy_in_test",
    "exact_copy",
    "near_copy",
    "outlier",
    "dark",
    "bright",
    "blurry",
    "low_information",
    "odd_aspect",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

MEANINGS: dict[Reason, str] = {
    "label_issue": "cleanlab finds that another class fits better, by probabilities that the table names",
    "illusive": "never classified correctly, in any recorded epoch of any execution",
    "below_noise": "its margin is lower than that of 99 % of the noise images, which have no class of their own",
    "copy_of_other_class": "the same picture, exactly or nearly, has another label elsewhere",
    "copy_in_test": "the same picture, exactly or nearly, is a test image",
    "exact_copy": "an earlier training image has the same pixels",
    "near_copy": "an earlier training image is the same picture, recompressed, resized or slightly changed",
    "outlier": "far from its nearest neighbours among the training images, by the network's features",
    "dark": "hardly anything in it is brighter than black",
    "bright": "hardly anything in it is darker than white",
    "blurry": "has no sharp edge",
    "low_information": "nearly one colour",
    "odd_aspect": "more than three times as long as it is wide, or as wide as it is long",
}
