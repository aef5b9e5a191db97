"""Tars within an archive, such as WebDataset's shards, and archives of which several were joined in one file."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from .pets import FOUR_ONE, PETS
from .photos import UNLABELLED, photo
from .rows import Files, Row, Write, refused, taken
from .writers import folders, parts, tarred, zipped

PAIR = ("cat", "dog")
JOINED = "as where archives were joined"
NO_LABEL = "is a tar and no class folder, and no table or sample says its class"


def _content(write: Write) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "archive"
        write(path)
        return path.read_bytes()


def _tar(files: Files) -> bytes:
    return _content(tarred(files))


def _shards(*shown: str, suffix: str = ".tar", numbers: int = 0) -> dict[str, bytes]:
    """Two shards of WebDataset for each part, five samples in each; their keys go on from one to the next, or begin anew."""
    found = {}
    for part in shown or (None,):
        for shard in range(2):
            samples: dict[str, bytes] = {}
            for n in range(5):
                key, name = f"{n + numbers * shard:06d}", PAIR[(n + shard) % 2]
                samples |= {f"{key}.png": photo(name, part, n + 5 * shard), f"{key}.cls": name.encode()}  # type: ignore[arg-type]
            found[f"pets-{part or 'all'}-{shard:06d}{suffix}"] = _tar(samples)
    return found


def _behind(first: Write, second: Write) -> Write:
    return lambda path: path.write_bytes(_content(first) + _content(second))


def _inner(files: Mapping[str, bytes], levels: int) -> bytes:
    content = _tar(files)
    for level in range(levels):
        content = _tar({f"{level}.tar": content})
    return content


INNER: list[Row] = [
    taken("WebDataset: shards in a tar", tarred(_shards(numbers=5)), FOUR_ONE),
    taken("WebDataset: shards in a zip, keys anew in each", zipped(_shards()), FOUR_ONE),
    taken(
        "WebDataset: shards of two parts in a tar.gz",
        tarred({f"data/{name}": content for name, content in _shards("train", "test").items()}, "tar.gz"),
        {"cat": (5, 5), "dog": (5, 5)},
    ),
    taken(
        "WebDataset: shards within a .tar of 1979, a text beside them",
        tarred({**_shards(), "README.txt": b"shards"}, "tar of 1979"),
        FOUR_ONE,
        left_out={"README.txt": "was not used"},
    ),
    taken("a tar of class folders in a zip", zipped({"pets.tar": _tar(PETS)}), FOUR_ONE),
    taken(
        "train.tar and test.tar of class folders",
        zipped({"train.tar": _tar(folders("cat dog", 4, "train")), "test.tar": _tar(folders("cat dog", 2, "test"))}),
        {"cat": (4, 2), "dog": (4, 2)},
    ),
    taken(
        "a tar of the test part",
        tarred({**folders("cat dog", 4, "train", "train/"), "test.tar": _tar(folders("cat dog", 2, "test"))}),
        {"cat": (4, 2), "dog": (4, 2)},
    ),
    refused(
        "tars of images, one a class or a piece",
        tarred({f"{name}.tar": _tar(folders(name)) for name in PAIR}),
        NO_LABEL,
        remedy="Unpack the tars",
    ),
    refused(
        "tars of images in no folder",
        zipped({f"{n}.tar": _tar({f"{n}.png": photo("cat")}) for n in range(2)}),
        NO_LABEL,
    ),
    refused("a tar beside class folders", zipped({**PETS, "more.tar": _tar({"1.png": photo(UNLABELLED)})}), NO_LABEL),
    refused(
        "a tar in a tar in a tar",
        tarred({"a.tar": _inner(PETS, 1)}),
        "holds no images that can be read: .*'a.tar/0.tar' is a tar archive",
    ),
    refused(
        "a shard cut short",
        zipped({name: content[: len(content) // (1 + at)] for at, (name, content) in enumerate(_shards().items())}),
        "'pets-all-000001.tar' cannot be unpacked: the archive is damaged or cut short: it ends before its end marker",
    ),
    refused(
        "a shard that climbs",
        tarred({"a.tar": _tar({"../1.png": photo("cat")})}),
        r"'a.tar' cannot be unpacked: '../1.png' points outside",
        remedy="relative paths",
    ),
    refused(
        "shards joined in one",
        zipped({"a.tar": b"".join(_shards().values())}),
        f"'a.tar' cannot be unpacked: .*{JOINED}",
    ),
]

FILES: list[Row] = [
    refused(
        "a tar behind a zip",
        _behind(zipped(PETS), tarred({"frog/1.png": photo("frog")})),
        f"something stands behind its end, {JOINED}",
    ),
    refused("a zip behind a tar", _behind(tarred(PETS), zipped(parts(train=2))), JOINED),
    refused("a long tar behind a zip", _behind(zipped(PETS), tarred(folders("frog", 90))), "is damaged or cut short"),
    taken("a zip with a comment, and zeros behind", lambda path: path.write_bytes(_commented() + bytes(100)), FOUR_ONE),
]


def _commented() -> bytes:
    content = _content(zipped(PETS))
    return content[:-2] + len(b"by hand").to_bytes(2, "little") + b"by hand"


ROWS: list[Row] = [*INNER, *FILES]
