#!/usr/bin/env bash
# datasets 5.2.0 (loader "webdataset"): from the sixth sample on, an image with another suffix is replaced by None.
#
# Expected: in a WebDataset archive each sample has its image as jpg, png or webp; the webdataset library reads such a mixture by
# asking for "jpg;png". A loader that wants one type for all says so: with a png among the first samples datasets raises an error
# that the files do not have the same types.
# Seen: the columns are taken from the first five samples only. Of every later one, what is called otherwise is dropped and
# what is missing is None. Ten samples of class 0 as jpg followed by ten of class 1 as png give twenty rows, ten of them with
# a label and no image. Likewise labels: samples that have json instead of cls keep the image and lose the label. No warning.
# The documentation says that columns come from the suffixes; that five samples decide is only in the source.
# For who trains with rejection: archives are written class by class or source by source, so that it is whole classes that
# lose their images, the last ones. Training code that skips rows without an image then learns fewer classes than the data
# set has. Count the images that are not None for each class.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile datasets==5.2.0 pillow==13.0.0
HF_HUB_OFFLINE=1 HF_DATASETS_CACHE="$work/cache" "$work/venv/bin/python" - "$work" <<'PY'
import io
import sys
import tarfile

import datasets
from PIL import Image

datasets.disable_progress_bars()


def loaded(name: str, samples: list[dict[str, bytes]]) -> datasets.Dataset | None:
    """The rows of an archive of these samples; None if the loader refuses them."""
    file = f"{sys.argv[1]}/{name}.tar"
    with tarfile.open(file, "w") as archive:
        for number, sample in enumerate(samples):
            for suffix, data in sample.items():
                member = tarfile.TarInfo(f"{number:03}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    try:
        return datasets.load_dataset("webdataset", data_files=file, split="train")
    except ValueError:
        return None


def image(kind: str) -> bytes:
    with io.BytesIO() as file:
        Image.new("RGB", (4, 4), "red").save(file, kind)
        return file.getvalue()


jpg, png = image("JPEG"), image("PNG")
cats = [{"jpg": jpg, "cls": b"0"}] * 10
dogs = [{"png": png, "cls": b"1"}] * 10
early = loaded("early", cats[:2] + dogs)
late = loaded("late", cats + dogs)
unlabelled = loaded("json", cats + [{"jpg": jpg, "json": b'{"label": 1}'}] * 10)
seen = {
    "two jpg, then png": "refused" if early is None else "loaded",
    "ten jpg, then ten png: columns": sorted(name for name in late.column_names if name[0] != "_"),
    "images of class 0": sum(row["jpg"] is not None for row in late if row["cls"] == 0),
    "images of class 1": sum(row["jpg"] is not None for row in late if row["cls"] == 1),
    "rows of class 1": sum(label == 1 for label in late["cls"]),
    "ten cls, then ten json: labels": unlabelled["cls"][:],
}
for what, value in seen.items():
    print(f"{what}: {value}")
assert seen == {
    "two jpg, then png": "refused",
    "ten jpg, then ten png: columns": ["cls", "jpg"],
    "images of class 0": 10,
    "images of class 1": 0,
    "rows of class 1": 10,
    "ten cls, then ten json: labels": [0] * 10 + [None] * 10,
}, "this behaviour has changed"
PY
