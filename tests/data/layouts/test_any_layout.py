"""Whatever classes are called and wherever they lie: what was written comes out, or it is refused. Never another label."""

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.data.layouts import Contents, resolve_layout
from noisegate.errors import InvalidArchive
from tests.conftest import examples

Written = tuple[dict[str, str], dict[str, bytes]]  # the class of every image by path; texts


@dataclass(frozen=True)
class Style:
    """How a table is written."""

    delimiter: str
    quoting: int
    line_end: str
    encoding: str
    label_first: bool
    with_suffix: bool

    def table(self, rows: Sequence[Sequence[str]]) -> bytes:
        file = io.StringIO()
        writer = csv.writer(file, delimiter=self.delimiter, quoting=self.quoting, lineterminator=self.line_end)  # type: ignore[arg-type]
        writer.writerows(row[::-1] if self.label_first else row for row in rows)
        return file.getvalue().encode(self.encoding)


styles = st.builds(
    Style,
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
    st.booleans(),
    st.booleans(),
)
troublesome = [
    "train",
    "test",
    "val",
    "1",
    "01",
    "0",
    "NA",
    "null",
    "true",
    "images",
    "a,b",
    "a;b",
    'a"b',
    "Cat",
    "cat",
    "x.png",
    "ﬁ",
]
names = st.one_of(
    st.sampled_from(troublesome),
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], exclude_characters="/\\"), min_size=1, max_size=8),
).map(lambda name: unicodedata.normalize("NFC", name).strip())
class_names = st.lists(
    names.filter(lambda name: bool(name) and not name.startswith(".")), min_size=2, max_size=4, unique=True
)
leading = st.lists(st.sampled_from(["content", "my pets", "train", "test", "images", "data", "v1.0"]), max_size=3).map(
    lambda folders: "".join(f"{folder}/" for folder in folders)
)


def labelled(classes: Sequence[str], folder: str, per_class: int = 3) -> dict[str, str]:
    """Images in one folder, under numbers, classes taking turns."""
    return {f"{folder}{number}.png": classes[number % len(classes)] for number in range(per_class * len(classes))}


def flat(classes: Sequence[str], before: str, _: Style) -> Written:
    return {f"{before}{name}/{number}.png": name for name in classes for number in range(3)}, {}


def in_parts(classes: Sequence[str], before: str, _: Style) -> Written:
    of = {f"{before}{p}/{name}/{n}.png": name for p in ("train", "val", "test") for name in classes for n in range(2)}
    return of, {}


def below_classes(classes: Sequence[str], before: str, _: Style) -> Written:
    return {f"{before}{name}/images/{number}.png": name for name in classes for number in range(3)}, {}


def table(classes: Sequence[str], before: str, style: Style) -> Written:
    images = labelled(classes, before)
    rows = [(_written(path, style), name) for path, name in images.items()]
    return images, {f"{before}labels.csv": style.table([("image", "label"), *rows])}


def table_without_header(classes: Sequence[str], before: str, style: Style) -> Written:
    images = labelled(classes, before)
    rows = [(_written(path, style), name) for path, name in images.items()]
    return images, {f"{before}labels.csv": style.table(rows)}


def kaggle(classes: Sequence[str], before: str, style: Style) -> Written:
    images = labelled(classes, f"{before}train/")
    rows = [(_written(path, style), name) for path, name in images.items()]
    texts = {f"{before}train.csv": style.table([("id", "breed"), *rows])}
    return {**images, f"{before}test/0.png": "", f"{before}test/x.png": ""}, texts


def json_lines(classes: Sequence[str], before: str, _: Style) -> Written:
    images = labelled(classes, f"{before}train/")
    lines = [json.dumps({"file_name": path.rpartition("/")[2], "label": name}) for path, name in images.items()]
    return images, {f"{before}train/metadata.jsonl": "\n".join(lines).encode()}


def one_hot(classes: Sequence[str], before: str, style: Style) -> Written:
    images = labelled(classes, f"{before}train/")
    rows = [
        (path.rpartition("/")[2], *("1" if name == each else "0" for each in classes)) for path, name in images.items()
    ]
    header = ("filename", *classes)
    same_order = Style(style.delimiter, style.quoting, style.line_end, style.encoding, False, True)
    return images, {f"{before}train/_classes.csv": same_order.table([header, *rows])}


def fiftyone(classes: Sequence[str], before: str, _: Style) -> Written:
    images = labelled(classes, f"{before}data/")
    labels = {path.rpartition("/")[2][:-4]: classes.index(name) for path, name in images.items()}
    return images, {f"{before}labels.json": json.dumps({"classes": list(classes), "labels": labels}).encode()}


def webdataset(classes: Sequence[str], before: str, _: Style) -> Written:
    images = labelled(classes, before)
    texts = {path.replace(".png", ".cls"): str(classes.index(name)).encode() for path, name in images.items()}
    return images, {**texts, f"{before}classes.txt": "\n".join(classes).encode()}


def webdataset_in_words(classes: Sequence[str], before: str, _: Style) -> Written:
    images = labelled(classes, before)
    return images, {path.replace(".png", ".cls"): name.encode() for path, name in images.items()}


def label_studio(classes: Sequence[str], before: str, _: Style) -> Written:
    images = labelled(classes, f"{before}images/")
    entries = [
        {"image": f"/data/upload/1/ab12cd3{at % 9}-{path.rpartition('/')[2]}", "id": at, "choice": name, **_KEPT}
        for at, (path, name) in enumerate(images.items())
    ]
    return images, {f"{before}export.json": json.dumps(entries).encode()}


_KEPT = {"annotator": 1, "annotation_id": 1, "lead_time": 1.5}


def _written(path: str, style: Style) -> str:
    file = path.rpartition("/")[2]
    return file if style.with_suffix else file.removesuffix(".png")


WRITERS: dict[str, Callable[[Sequence[str], str, Style], Written]] = {
    writer.__name__: writer
    for writer in (
        flat,
        in_parts,
        below_classes,
        table,
        table_without_header,
        kaggle,
        json_lines,
        one_hot,
        fiftyone,
        webdataset,
        webdataset_in_words,
        label_studio,
    )
}


@pytest.mark.parametrize("writer", WRITERS)
@settings(deadline=None, max_examples=examples(400))
@given(classes=class_names, before=leading, style=styles, data=st.data())
def test_what_was_written_comes_out_or_is_refused(
    writer: str, classes: list[str], before: str, style: Style, data: st.DataObject
) -> None:
    truth, texts = WRITERS[writer](classes, before, style)
    paths = data.draw(st.permutations(sorted(truth)))
    try:
        layout = resolve_layout(Contents(paths, [None] * len(paths), texts))
    except InvalidArchive:
        # What a refusal says is tested by example.
        return
    assert writer != "table_without_header"
    found = {paths[image.index]: image.class_name for image in layout.images}
    assert found == {path: name for path, name in truth.items() if path in found}
    left_out = {file.name for file in layout.left_out}
    assert set(found) | left_out >= set(truth)
    assert left_out & set(truth) == {path for path, name in truth.items() if not name}


@pytest.mark.parametrize("writer", sorted(WRITERS.keys() - {"table_without_header"}))
@settings(deadline=None, max_examples=examples(40))
@given(before=st.sampled_from(["", "content/my pets/", "v1.0/"]), style=styles)
def test_ordinary_classes_are_never_refused(writer: str, before: str, style: Style) -> None:
    truth, texts = WRITERS[writer](["cat", "hot dog", "Äpfel"], before, style)
    layout = resolve_layout(Contents(list(truth), [None] * len(truth), texts))
    assert layout.classes == ("cat", "hot dog", "Äpfel")
    assert len(layout.images) == sum(map(bool, truth.values()))
