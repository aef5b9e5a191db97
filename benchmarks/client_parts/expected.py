"""What every client has to come to: the decisions of /classify on a hundred digits. NumPy alone."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

OUTPUTS = ("probabilities", "noise_probability", "reject_score", "rejected", "label")


class Expected:
    """The folder and the URL that the command line names."""

    def __init__(self) -> None:
        self.url, folder = sys.argv[1:3]
        self.folder = Path(folder)
        self.images = np.load(self.folder / "images.npy", allow_pickle=False)  # noqa: TID251
        self.decisions: list[dict[str, Any]] = json.loads((self.folder / "decisions.json").read_text())

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]

    def files(self) -> list[bytes]:
        """The digits as PNG."""
        return [(self.folder / f"{number:03}.png").read_bytes() for number in range(len(self.images))]

    def check(self, rows: Mapping[str, Sequence[Any]], start: int = 0) -> None:
        """Compare rows of outputs, from a digit on, with the decisions: bit by bit, as every transport here is exact."""
        for place in range(len(rows["label"])):
            decision = self.decisions[start + place]
            probabilities = list(decision["probabilities"].values())
            assert [float(one) for one in rows["probabilities"][place]] == probabilities, (place, "probabilities")
            for name in ("noise_probability", "reject_score"):
                assert float(rows[name][place]) == decision[name], (place, name)
            assert bool(rows["rejected"][place]) is decision["rejected"], place
            label = rows["label"][place]
            assert (label.decode() if isinstance(label, bytes) else str(label)) == decision["label"], place


def done(version: str, ran: str) -> None:
    """Tell who asks what was run; whatever was wrong has been raised before."""
    print(json.dumps({"version": version, "ran": ran}))
