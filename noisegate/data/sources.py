"""The source that needs no download: scikit-learn's handwritten digits. And what is known of every source's licence."""

from collections.abc import Iterator

import numpy as np
from sklearn.datasets import load_digits

from noisegate.data.members import Member

LICENCES = {
    "digits": (
        "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository (1998), "
        "CC BY 4.0; the copy of its test set that scikit-learn carries."
    ),
    "cifar10": (
        "CIFAR-10, A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009). "
        "Published for research without a licence; its images were collected from the web."
    ),
}

_DIGITS_WHITE = 16


def digits_members() -> Iterator[Member]:
    """The 1,797 scans of digits in the layout `<class>/<image>`: 8×8 gray levels 0 … 16, as RGB 0 … 255 of 8×8.

    They grow to the data set's image size, and are split 80 to 20, as every data set is: by `pack`.
    """
    digits = load_digits()
    levels = np.rint(digits.images * (255 / _DIGITS_WHITE)).astype(np.uint8)
    for index, (level, digit) in enumerate(zip(levels, digits.target, strict=True)):
        yield Member(f"{digit}/{index:04d}.png", np.repeat(level[:, :, np.newaxis], 3, axis=2))
