"""Are copies found in CIFAR-10, and nothing else; in how long and with how much memory?

    python benchmarks/duplicates.py --archive CIFAR10.tar.xz [--images FLOWERS.tar] [--montages FOLDER]

Near copies of training images take the place of test images: 1,800 of the 60,000 (3 %), of every kind in turn. Recall is the
share of these that are linked with their origins as what they are, near or mirrored. Then the archive's own copies are counted,
and those of scikit-learn's digits and of an archive of photographs (<class>/*, of one size).

Whether a pair that was not planted is a copy is for eyes to say: --montages writes pictures of all such pairs, the least alike
first. Time is that of the processor on one core, so that other work on the machine counts little.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import io
import tarfile
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from record import keep

from noisegate.data.copies import Copies, find_copies
from noisegate.data.duplicates import describe
from noisegate.data.sources import digits_members
from noisegate.inference.decoding import resize_pixels

Pixels = npt.NDArray[np.uint8]
Change = Callable[[Pixels], Pixels]

_PLANTED_SHARE = 0.03
_CROWD = 200_000
_DRAWN, _A_LINE = 160, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="tar of train/<class>/*, test/<class>/*")
    parser.add_argument("--images", type=Path, help="tar of <class>/*, photographs of one size")
    parser.add_argument("--montages", type=Path, help="a folder for pictures of what was found")
    parser.add_argument("--large", action="store_true", help=f"also time {_CROWD:,} images, some minutes of a core")
    asked = parser.parse_args()
    images, names, train_count = read(asked.archive)
    found: dict[str, Any] = {"planted": planted(images, train_count)}
    print(found["planted"], flush=True)
    found["cifar10"] = own(images, names, train_count, asked.montages, "cifar10")
    digits = np.stack(
        [resize_pixels(member.content, 32) for member in digits_members() if isinstance(member.content, np.ndarray)]
    )
    found["digits"] = own(
        digits, [f"digits/{place}" for place in range(len(digits))], len(digits), asked.montages, "digits"
    )
    if asked.images:
        found["photographs"] = own(*read(asked.images), asked.montages, "photographs")
    if asked.large:
        found["large"] = timed(crowd(images))[1]
    print(f"Kept in {keep('duplicates', found)}")


def read(archive: Path) -> tuple[Pixels, list[str], int]:
    """Images in the order of their paths, those in `test` last; their names; and how many are not in `test`."""
    with tarfile.open(archive) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]
    names = sorted(files, key=lambda name: ("test" in Path(name).parts, name))
    images = np.stack([np.asarray(Image.open(io.BytesIO(files[name])).convert("RGB")) for name in names])
    return images, names, sum("test" not in Path(name).parts for name in names)


def planted(images: Pixels, train_count: int) -> dict[str, Any]:
    """Recall of each kind of change."""
    generator = np.random.default_rng(0)
    count, changed, changes = round(_PLANTED_SHARE * len(images)), images.copy(), list(CHANGES)
    origins = generator.choice(train_count, count, replace=False)
    places = train_count + generator.choice(len(images) - train_count, count, replace=False)
    kinds = [changes[number % len(changes)] for number in range(count)]
    for origin, place, kind in zip(origins, places, kinds, strict=True):
        changed[place] = CHANGES[kind](images[origin])
    copies, cost = timed(changed)
    hits = Counter(
        kind for origin, place, kind in zip(origins, places, kinds, strict=True) if linked(copies, origin, place, kind)
    )
    asked = Counter(kinds)
    promised = [kind for kind in changes if kind not in _BEYOND]
    share = sum(hits[kind] for kind in promised) / sum(asked[kind] for kind in promised)
    return {"recall_pct": 100 * share, "kinds": {kind: f"{hits[kind]} of {asked[kind]}" for kind in changes}, **cost}


def linked(copies: Copies, origin: int, place: int, kind: str) -> bool:
    """Whether the planted image is linked with its origin as what it is; a mirrored picture may be symmetric, so near as well."""
    left, right = sorted((copies.picture[origin], copies.picture[place]))
    row = np.flatnonzero((copies.links.left == left) & (copies.links.right == right))
    return bool(left == right or (len(row) and (kind.startswith("mirrored") or not copies.links.mirrored[row[0]])))


def own(images: Pixels, names: list[str], train_count: int, montages: Path | None, title: str) -> dict[str, Any]:
    """What a data set has of itself, without the examples."""
    copies, cost = timed(images)
    labels, classes = labelled(names)
    report = describe(copies, labels, train_count, names, classes)
    if montages:
        montages.mkdir(parents=True, exist_ok=True)
        draw(images, copies, montages, title)
    for sentence in report.messages:
        print(f"{title}: {sentence}", flush=True)
    relations = ("test_in_train", "across_classes", "within_train", "within_test")
    counts = {name: getattr(report, name).model_dump(exclude={"examples"}) for name in relations}
    pairs = {"near": int((~copies.links.mirrored).sum()), "mirrored": int(copies.links.mirrored.sum())}
    whole = report.model_dump(include={"groups", "redundant_images", "group_sizes", "least_similarity"})
    return {"images": len(images), **counts, **whole, "pairs_of_pictures": pairs, **cost}


def labelled(names: list[str]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The folder of each image, as a number and a name."""
    folders = [Path(name).parent.name for name in names]
    classes = sorted(set(folders))
    return np.array([classes.index(folder) for folder in folders], np.int64), classes


def timed(images: Pixels) -> tuple[Copies, dict[str, float]]:
    """The copies, seconds of the processor, and the most memory allocated besides the memory map that the images are read from."""
    with tempfile.TemporaryDirectory(prefix="noisegate-duplicates-") as folder:
        file = Path(folder) / "images.npy"
        np.save(file, images)
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)  # noqa: TID251
        tracemalloc.start()
        started = time.process_time()
        copies = find_copies(mapped)
        seconds = time.process_time() - started
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return copies, {"core_seconds": round(seconds, 1), "peak_mib": round(peak / 2**20)}


def crowd(images: Pixels) -> Pixels:
    """Many pictures: these, upside down, and both with rows and columns exchanged."""
    turned = [images, images[:, ::-1], images.transpose(0, 2, 1, 3), images[:, ::-1].transpose(0, 2, 1, 3)]
    return np.concatenate(turned)[:_CROWD]


def draw(images: Pixels, copies: Copies, folder: Path, title: str) -> None:
    """Pairs side by side, the least alike first."""
    for mirrored in (False, True):
        links = copies.links.chosen(copies.links.mirrored == mirrored)
        order = np.argsort(links.similarity, kind="stable")[:_DRAWN]
        if not len(order):
            continue
        pairs = [
            np.concatenate([images[copies.first[side[place]]] for side in (links.left, links.right)], 1)
            for place in order
        ]
        pairs += [np.full_like(pairs[0], 255)] * (-len(pairs) % _A_LINE)
        lines = [np.concatenate(pairs[start : start + _A_LINE], 1) for start in range(0, len(pairs), _A_LINE)]
        kind = "mirrored" if mirrored else "near"
        Image.fromarray(np.concatenate(lines)).save(folder / f"{title}_{kind}.png")


def jpeg(quality: int) -> Change:
    def change(image: Pixels) -> Pixels:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return change


def resized(size: int) -> Change:
    def change(image: Pixels) -> Pixels:
        small = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(small.resize(image.shape[:2], Image.Resampling.BILINEAR))

    return change


def levels(factor: float, plus: float) -> Change:
    return lambda image: np.clip(image.astype(np.float32) * factor + plus, 0, 255).astype(np.uint8)


def cropped(pixels: int) -> Change:
    def change(image: Pixels) -> Pixels:
        size = len(image)
        cut = Image.fromarray(image).crop((pixels, 0, size, size - pixels))
        return np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR))

    return change


def mirrored(change: Change) -> Change:
    return lambda image: np.ascontiguousarray(change(image)[:, ::-1])


CHANGES: dict[str, Change] = {
    **{f"JPEG {quality}": jpeg(quality) for quality in (90, 75, 50, 30)},
    **{f"{size} pixels": resized(size) for size in (24, 20, 16)},
    "24 pixels, JPEG 50": lambda image: jpeg(50)(resized(24)(image)),
    "brighter": levels(1, 25),
    "more contrast": levels(1.25, -20),
    "darker": levels(0.7, 0),
    "cropped by 1 pixel": cropped(1),
    "mirrored": mirrored(lambda image: image),
    "mirrored, JPEG 50": mirrored(jpeg(50)),
    "mirrored, 20 pixels": mirrored(resized(20)),
    "cropped by 2 pixels": cropped(2),
    "cropped by 3 pixels": cropped(3),
    "JPEG 15": jpeg(15),
}
# Planted to see how far it goes; no part of the recall.
_BEYOND = ("cropped by 2 pixels", "cropped by 3 pixels", "JPEG 15")


if __name__ == "__main__":
    main()
