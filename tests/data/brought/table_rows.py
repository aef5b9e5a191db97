"""Tables beside images, written in many ways, and tables that contradict or could mean two things."""

from .photos import UNLABELLED, photo
from .rows import Files, Row, refused, taken
from .writers import backslashed, flat, folders, table, zipped

PETS = folders("cat dog")
FOUR_ONE = {"cat": (4, 1), "dog": (4, 1)}
FLAT = flat("images/")
LABELS = table(FLAT)
TRAIN, TEST = flat("train/", part="train"), flat("test/", count=2, part="test")
AGREES = "agrees with the class folders"


def _lines(files: Files, names: str = "cat dog", separator: str = " ") -> bytes:
    each = names.split()
    return "".join(f"{path}{separator}{each[n % len(each)]}\n" for n, path in enumerate(files)).encode()


def _renamed(files: Files, start: str) -> dict[str, bytes]:
    return {f"{start}{path.rpartition('/')[2]}": content for path, content in files.items()}


def _split_table() -> bytes:
    rows = [(f"a{n}.png", n, "train") for n in range(10)] + [(f"b{n}.png", n, "test") for n in range(4)]
    return "".join(
        ["path,label,split\n", *(f"{file},{('cat', 'dog')[n % 2]},{part}\n" for file, n, part in rows)]
    ).encode()


ROWS: list[Row] = [
    taken("labels.csv", zipped({**FLAT, "labels.csv": LABELS}), FOUR_ONE),
    taken(
        "semicolons, CRLF, byte order mark",
        zipped({**FLAT, "labels.csv": b"\xef\xbb\xbf" + table(FLAT, mark=";", end="\r\n")}),
        FOUR_ONE,
    ),
    taken("tabs", zipped({**FLAT, "labels.tsv": table(FLAT, mark="\t")}), FOUR_ONE),
    taken(
        "labels that look like numbers",
        zipped({**flat("i/", "01 NA"), "labels.csv": table(flat("i/", "01 NA"), "01 NA")}),
        {"01": (4, 1), "NA": (4, 1)},
    ),
    taken(
        "a label with a comma",
        zipped(
            {f"i/{n}.png": photo(("a, b", "dog")[n % 2], None, n) for n in range(10)}
            | {
                "labels.csv": (
                    "file,label\n"
                    + "".join(f"{n}.png,{(chr(34) + 'a, b' + chr(34), 'dog')[n % 2]}\n" for n in range(10))
                ).encode()
            }
        ),
        {"a, b": (4, 1), "dog": (4, 1)},
        notes=["'a, b' may join several names, and was kept as one class"],
    ),
    taken("UTF-16 table", zipped({**FLAT, "labels.csv": LABELS.decode().encode("utf-16")}), FOUR_ONE),
    taken(
        "Excel's line with the delimiter",
        zipped({**FLAT, "labels.csv": b"sep=;\r\n" + table(FLAT, mark=";", end="\r\n")}),
        FOUR_ONE,
    ),
    refused(
        "Latin-1 table",
        zipped({**FLAT, "labels.csv": LABELS.replace(b"cat", b"K\xe4tzchen")}),
        "'labels.csv' is not UTF-8",
    ),
    refused("no header", zipped({**FLAT, "labels.csv": LABELS.partition(b"\n")[2]}), "'labels.csv' has no header"),
    refused(
        "a row cut short", zipped({**FLAT, "labels.csv": LABELS + b"9.png\n"}), "'labels.csv' has 1 cells in line 12"
    ),
    refused(
        "two columns of labels",
        zipped(
            {**FLAT, "labels.csv": LABELS.replace(b"image,label", b"image,label,class").replace(b".png,", b".png,x,")}
        ),
        "'labels.csv' names images, but its classes may stand in 'class' or 'label'",
    ),
    refused(
        "an image with two labels",
        zipped({**FLAT, "labels.csv": LABELS + b"0.png,dog\n"}),
        "'images/0.png' has two labels: 'cat' in line 2 of 'labels.csv', and 'dog' in line 12",
    ),
    taken(
        "a row twice, rows too many, an image too many",
        zipped({**FLAT, "images/extra.png": photo(UNLABELLED), "labels.csv": LABELS + b"0.png,cat\ngone.png,cat\n"}),
        FOUR_ONE,
        notes=[
            "1 of 12 rows of 'labels.csv' names no image",
            "1 image was named by several rows",
            "1 image had no label",
        ],
        left_out={"images/extra.png": "has no label in 'labels.csv'"},
    ),
    taken(
        "a table that agrees with folders",
        zipped({**PETS, "labels.csv": b"image,label\ncat/0.png,cat\ndog/0.png,dog\n"}),
        FOUR_ONE,
        notes=[AGREES],
    ),
    refused(
        "a table that contradicts folders",
        zipped({**PETS, "labels.csv": b"image,label\ncat/0.png,dog\ndog/0.png,dog\n"}),
        "'cat/0.png' is 'dog' by line 2 of 'labels.csv', and lies in the folder 'cat'",
    ),
    taken(
        "numbers for the folders",
        zipped({**PETS, "labels.csv": b"image,label\ncat/0.png,0\ndog/0.png,1\ncat/1.png,0\n"}),
        FOUR_ONE,
        notes=[AGREES],
    ),
    taken("a list of lines", zipped({**FLAT, "list.txt": _lines(FLAT)}), FOUR_ONE),
    *(
        taken(
            f"a column for the part that says none, {column}",
            zipped(
                {
                    **FLAT,
                    "labels.csv": table(FLAT, header=f"image,label,{column}")
                    .replace(b"\n", b",1\n")
                    .replace(b",1", b"", 1),
                }
            ),
            FOUR_ONE,
            notes=[f"'{column}' of 'labels.csv' may name parts"],
        )
        for column in ("fold", "is_train")
    ),
    taken(
        "a column for the part",
        zipped({**_renamed(TRAIN, "i/a"), **_renamed(TEST, "i/b"), "labels.csv": _split_table()}),
        {"cat": (5, 2), "dog": (5, 2)},
    ),
    taken("a table in a zip with backslashes", backslashed({**FLAT, "labels.csv": table(FLAT)}), FOUR_ONE),
    taken(
        "a table with backslashes",
        zipped(
            {
                **FLAT,
                "labels.csv": b"path,label\n"
                + b"".join(f"C:\\data\\images\\{n}.png,{('cat', 'dog')[n % 2]}\n".encode() for n in range(10)),
            }
        ),
        FOUR_ONE,
    ),
    taken(
        "val and a table",
        zipped(
            {
                **flat("train/", part="train"),
                **flat("val/", count=1, part="val"),
                "train.csv": table(TRAIN),
                "val.csv": table(flat(count=1)),
            }
        ),
        {"cat": (5, 1), "dog": (5, 1)},
        val="test",
        notes=["became test images"],
    ),
    refused(
        "one name in two folders",
        zipped({**flat("a/"), **flat("b/"), "labels.csv": table(FLAT)}),
        "'0.png' in line 2 of 'labels.csv' may be 'a/0.png' or 'b/0.png'",
    ),
    taken(
        "a table by names that several folders have",
        zipped({**PETS, "labels.csv": b"image,label\n0.png,cat\n0.png,dog\n"}),
        FOUR_ONE,
        notes=[AGREES],
    ),
]
