"""Tables that say the classes of the images beside them."""

import json
import time

import pytest

from noisegate.data.layouts import Layout

from .reading import Texts, classes, of_classes, parts, read, refused

FOUR = ["1.png", "2.png", "3.png", "4.png"]
CATS_AND_DOGS = {"1.png": "cat", "2.png": "dog", "3.png": "cat", "4.png": "dog"}
CSV = "filename,label\n1.png,cat\n2.png,dog\n3.png,cat\n4.png,dog\n"
IDS = "id,label\n1,cat\n2,dog\n3,cat\n4,dog\n"
JSON_LINES = "\n".join(f'{{"file_name": "{file}", "label": "{name}"}}' for file, name in CATS_AND_DOGS.items())


def below(folder: str, images: list[str] = FOUR) -> list[str]:
    return [f"{folder}/{path}" for path in images]


def by_file(layout: Layout, images: list[str]) -> dict[str, str]:
    return {path.rpartition("/")[2]: name for path, name in classes(layout, images).items()}


@pytest.mark.parametrize(
    ("images", "texts"),
    [
        (FOUR, {"labels.csv": CSV}),
        (FOUR, {"labels.csv": "label,filename\ncat,1.png\ndog,2.png\ncat,3.png\ndog,4.png"}),
        (FOUR, {"labels.csv": CSV.replace(",", ";")}),
        (FOUR, {"labels.tsv": CSV.replace(",", "\t")}),
        (FOUR, {"labels.csv": CSV.replace(",", "\t")}),
        (FOUR, {"labels.csv": CSV.replace(",", ", ")}),
        (FOUR, {"labels.csv": CSV.replace("\n", "\r\n").encode("utf-8-sig")}),
        (FOUR, {"labels.csv": CSV.replace("\n", "\r")}),
        (FOUR, {"labels.csv": CSV.encode("utf-16")}),
        (FOUR, {"labels.csv": CSV.replace(",", "\t").encode("utf-16-be").replace(b"", b"\xfe\xff", 1)}),
        (FOUR, {"labels.json": f"[{JSON_LINES.replace(chr(10), ',')}]".encode("utf-16")}),
        (FOUR, {"labels.csv": f"sep=;\r\n{CSV.replace(',', ';')}"}),
        (FOUR, {"labels.csv": f'"sep=,"\nimage;x,label\n{CSV.split(chr(10), 1)[1]}'}),
        (FOUR, {"labels.csv": f"\n{CSV}\n,\n\n"}),
        (FOUR, {"labels.csv": CSV.replace("1.png", '"1.png"').replace("dog", '"dog"')}),
        (FOUR, {"labels.csv": ",id,label,width\n0,1,cat,9\n1,2,dog,9\n2,3,cat,9\n3,4,dog,9"}),
        (FOUR, {"labels.csv": "id,image,label\n7,1.png,cat\n8,2.png,dog\n9,3.png,cat\n10,4.png,dog"}),
        (FOUR, {"labels.csv": "photo_ref,breed\n1.png,cat\n2.png,dog\n3.png,cat\n4.png,dog"}),
        (FOUR, {"labels.csv": CSV + "9.png,cat\n1.png,cat\n"}),
        (FOUR, {"labels.jsonl": JSON_LINES}),
        (FOUR, {"labels.json": f"[{JSON_LINES.replace(chr(10), ',')}]"}),
        (FOUR, {"labels.txt": "1.png cat\n2.png\tdog\n3.png  cat\n\n4.png dog\n"}),
        (below("images"), {"labels.csv": CSV}),
        (below("images"), {"labels.csv": CSV.replace(".png,", ".png,").replace("\n", "\nimages/").rstrip("images/")}),
        (below("mine/images"), {"mine/labels.csv": CSV}),
        (below("mine/images"), {"mine/meta/labels.csv": IDS}),
        (below("images"), {"meta/labels.csv": CSV.replace("1.png", "../images/1.png")}),
        (below("images"), {"labels.csv": CSV.replace("1.png", r"images\1.png")}),
        (below("pets/images"), {"labels.csv": CSV.replace("1.png", "/home/me/pets/images/1.png")}),
        (below("pets/images"), {"labels.csv": CSV.replace("1.png", r"C:\Users\me\1.png")}),
        (FOUR, {"labels.csv": CSV, "README.txt": "Zwölf".encode("latin-1"), "names.json": '["cat", "dog"]'}),
        (FOUR, {"labels.csv": CSV, "boxes.csv": "image,x,y\n1.png,3,4\n"}),
        (FOUR, {"labels.csv": CSV, "breeds.csv": "image,breed\n1.png,persian\n"}),
        (FOUR, {"labels.csv": CSV, "more/labels.csv": "file,label\n2.png,dog\n"}),
        (FOUR, {"labels.csv": "file,cat,dog\n1.png,1,0\n2.png,0,1\n3.png,1.0,0.0\n4.png,0,1\n"}),
        (below("train"), {"train.csv": IDS}),
        (below("train"), {"trainLabels.csv": IDS.replace("id", "image")}),
        (below("train_images"), {"train.csv": IDS.replace("id", "image_id")}),
    ],
)
def test_tables_that_are_read(images: list[str], texts: Texts) -> None:
    layout = read(images, texts)
    assert by_file(layout, images) == CATS_AND_DOGS
    assert layout.layout.startswith("labels in ")


@pytest.mark.parametrize(
    "label", ["01", "NA", "null", "true", "None", "1e3", "nan", "1.0", "Straße", "a,b", 'say "hi"', "犬"]
)
def test_labels_stay_text(label: str) -> None:
    other = label + "!"
    quoted = label.replace('"', '""')
    rows = "\n".join(f'{file},"{quoted}{"!" if at % 2 else ""}"' for at, file in enumerate(FOUR))
    layout = read(FOUR, {"labels.csv": f"file,label\n{rows}"})
    assert classes(layout, FOUR) == {"1.png": label, "2.png": other, "3.png": label, "4.png": other}


@pytest.mark.parametrize(
    ("written", "label"), [("1", "1"), ("1.0", "1.0"), ("true", "true"), ('"01"', "01"), ("-0", "-0")]
)
def test_json_values_stay_as_written(written: str, label: str) -> None:
    lines = [f'{{"file_name": "{file}", "label": {written if at % 2 else 7}}}' for at, file in enumerate(FOUR)]
    layout = read(FOUR, {"metadata.jsonl": "\n".join(lines)})
    assert classes(layout, FOUR) == {"1.png": "7", "2.png": label, "3.png": "7", "4.png": label}


def test_kaggle() -> None:
    images = [*below("data/train"), "data/test/1.png", "data/test/5.png"]
    texts = {
        "data/train.csv": IDS,
        "data/test.csv": "id\n1\n5\n",
        "data/sample_submission.csv": "id,label\n1,cat\n5,cat\n",
    }
    layout = read(images, texts)
    assert classes(layout, images) == {f"data/train/{file}": name for file, name in CATS_AND_DOGS.items()}
    left_out = {file.name: file.why for file in layout.left_out}
    assert left_out["data/test/1.png"] == "has no label in 'data/train.csv'"
    assert {"data/test.csv", "data/sample_submission.csv"} < set(left_out)
    assert "2 images had no label in 'data/train.csv' and were left out" in layout.notes
    assert any("sample_submission.csv' was passed over, as an example of answers" in note for note in layout.notes)


def test_a_row_about_training_images_never_means_a_test_image() -> None:
    images = [*below("train", FOUR[:3]), *below("test")]
    layout = read([*images, "train/5.png"], {"train.csv": IDS + "5,dog\n"})
    assert set(classes(layout, [*images, "train/5.png"])) == {
        "train/1.png",
        "train/2.png",
        "train/3.png",
        "train/5.png",
    }
    assert any("1 of 5 rows of 'train.csv' names no image that is here: '4' in line 5" in note for note in layout.notes)


def test_hugging_face_with_a_table_for_each_part() -> None:
    images = [*below("train"), *below("test", FOUR[:2])]
    texts = {
        "train/metadata.csv": CSV.replace("filename", "file_name"),
        "test/metadata.jsonl": '{"file_name": "1.png", "label": "dog"}\n{"file_name": "2.png", "label": "cat"}',
    }
    layout = read(images, texts)
    expected = {f"train/{file}": name for file, name in CATS_AND_DOGS.items()}
    assert classes(layout, images) == {**expected, "test/1.png": "dog", "test/2.png": "cat"}
    assert parts(layout, images) == {path: path.split("/")[0] for path in images}


def test_a_column_of_parts() -> None:
    rows = ["1.png,cat,train", "2.png,dog,train", "3.png,cat,test", "4.png,dog,valid"]
    layout = read(FOUR, {"labels.csv": "\n".join(["file,label,split", *rows])})
    assert parts(layout, FOUR) == {"1.png": "train", "2.png": "train", "3.png": "test", "4.png": "train"}


def test_class_folders_and_a_table_that_agree() -> None:
    images = of_classes(3)
    same = "file,label\n" + "".join(f"{path},{path.split('/')[0]}\n" for path in images)
    numbers = same.replace(",cat", ",0").replace(",dog", ",1")
    captions = "file_name,text\n" + "".join(f"{path},a photo\n" for path in images)
    plain = read(images)
    for table in (
        same,
        numbers,
        captions,
        "file,label,class\ncat/0.png,a,b\n",
        "x;y,z\n1;2;3\n",
        "file,label\n9.png,x\n",
    ):
        layout = read(images, {"labels.csv": table})
        # The data set is what it was before tables were read, to its names: the hash is the same.
        assert layout.images == plain.images
        assert len(layout.notes) == 1


@pytest.mark.parametrize(
    ("images", "texts", "words"),
    [
        (
            FOUR,
            {"labels.csv": CSV.split("\n", 1)[1]},
            "'labels.csv' has no header: its first line names an image, '1.png'",
        ),
        (FOUR, {"labels.csv": IDS.split("\n", 1)[1]}, "'labels.csv' has no header: its first line names an image, '1'"),
        (FOUR, {"labels.csv": "file,label,class\n1.png,a,b\n"}, "its classes may stand in 'class' or 'label'"),
        (FOUR, {"labels.csv": "file,age,sex\n1.png,3,f\n"}, "its classes may stand in 'age' or 'sex'"),
        (FOUR, {"labels.csv": "image,path,label\n1.png,2.png,cat\n"}, "may name the images in 'image' or 'path'"),
        (FOUR, {"labels.csv": "file,label,label\n1.png,a,b\n"}, "has two columns called 'label'"),
        (
            FOUR,
            {"labels.csv": CSV + "1.png,dog\n"},
            "'1.png' has two labels: 'cat' in line 2 of .*, and 'dog' in line 6 of",
        ),
        (FOUR, {"a.csv": CSV, "b.csv": "file,label\n1.png,dog\n"}, "two labels: 'cat' in line 2 of 'a.csv', and 'dog'"),
        (FOUR, {"labels.csv": CSV + "1.png,cat,x\n"}, "has 3 cells in line 6, where the header has 2"),
        (FOUR, {"labels.csv": CSV + '"1.png,cat\n'}, "is no CSV in line 6"),
        (FOUR, {"labels.csv": "file;label,x\n1.png;cat,y\n"}, "can be read with commas or semicolons"),
        (FOUR, {"labels.csv": CSV.replace("cat", "Bär").encode("latin-1")}, r"is not UTF-8 \(line 2\)"),
        (FOUR, {"labels.csv": CSV.encode("utf-16") + b"1"}, "begins as UTF-16 and is none"),
        (FOUR, {"labels.csv": CSV.encode("utf-32")}, "holds zero bytes"),
        (FOUR, {"labels.csv": f"sep=|\n{CSV}"}, "2 cells in line 2, where the header has 1"),
        (FOUR, {"labels.csv": b""}, "'labels.csv' is empty"),
        (
            FOUR,
            {"labels.csv": CSV.replace(".png", ".gif")},
            "names no image of the archive in its column 'filename': '1.gif' in line 2, for one, where '1.png' is here",
        ),
        (
            ["Cat one.JPG", "dog.jpg"],
            {"labels.csv": "file,label\ncat%20one.jpg,cat\n"},
            "'cat%20one.jpg' in line 2, for one, where 'Cat one.JPG' is here: names count to the letter",
        ),
        (FOUR, {"labels.csv": "file,cat,dog\n1.png,1,1\n2.png,0,1\n"}, "has 'cat' and 'dog' in line 2"),
        (FOUR, {"labels.csv": "file,label\n1.png,\n2.png,\n"}, "no row of 'labels.csv' has a label"),
        (FOUR, {"labels.jsonl": JSON_LINES + '\n{"file_name": "1.png"'}, "'labels.jsonl' is not JSON"),
        (FOUR, {"labels.jsonl": '{"file_name": "1.png", "label": "a", "label": "b"}'}, "'label' is there twice"),
        (FOUR, {"labels.jsonl": "[" * 100_000}, "nested too deeply|not JSON"),
        (
            FOUR,
            {"labels.jsonl": '{"file_name": "1.png", "label": ["a", "b"]}'},
            'no single label in line 1, but .*"a", "b"',
        ),
        (FOUR, {"labels.txt": "1.png cat\n2.png\n"}, "has no image and class in line 2"),
        (FOUR, {"notes.txt": "made in May"}, r"no table says a class \(beside the images stands 'notes.txt'\)"),
        (FOUR, {"sample_submission.csv": CSV}, "no table says a class"),
        (
            ["a/1.png", "b/1.png", "c/d/2.png"],
            {"labels.csv": "file,label\n1.png,cat\n2.png,dog\n"},
            "'1.png' in line 2 of 'labels.csv' may be 'a/1.png' or 'b/1.png'",
        ),
        (
            ["1.png", "1.jpg"],
            {"labels.csv": "id,label\n1,cat\n"},
            "'1' in line 2 of 'labels.csv' may be '1.png' or '1.jpg'",
        ),
        (
            of_classes(3),
            {"labels.csv": "file,label\ncat/0.png,cat\ndog/1.png,cat\n"},
            "'dog/1.png' is 'cat' by line 3 of 'labels.csv', and lies in the folder 'dog'",
        ),
        (
            of_classes(3),
            {"labels.csv": "file,label\ncat/0.png,cat\ncat/0.png,dog\n"},
            "'cat/0.png' is 'dog' by line 3 of 'labels.csv', and lies in the folder 'cat'",
        ),
        (
            of_classes(3),
            {"labels.csv": "file,label\n" + "".join(f"{p},{'dog' if 'cat' in p else 'cat'}\n" for p in of_classes(3))},
            "'cat/0.png' is 'dog' by line 2",
        ),
        (of_classes(3), {"labels.csv": "file,label\ncat/0.png,a\ncat/1.png,b\n"}, "'cat/1.png' is 'b' by line 3"),
        (
            [*below("train"), *below("test")],
            {"labels.csv": "file,label,split\ntrain/1.png,cat,train\ntest/1.png,cat,train\n"},
            "'test/1.png' is a train image by line 3 of 'labels.csv', and lies in a folder of the test part",
        ),
        (
            FOUR,
            {"train.csv": CSV, "test.csv": CSV},
            "'1.png' is in two parts: test by line 2 of 'test.csv', and train by",
        ),
        (FOUR, {"test.csv": CSV}, "a test part and nothing to train from"),
        (FOUR, {"labels.csv": CSV.replace("dog", "noise")}, "'noise' is reserved"),
        (FOUR, {"labels.csv": CSV.replace("dog", "cat")}, "one class only, 'cat'"),
        (FOUR, {"labels.csv": CSV.replace("dog", "d\u200bog")}, "is no class name"),
    ],
)
def test_tables_that_are_refused(images: list[str], texts: Texts, words: str) -> None:
    refused(words, images, texts)


def test_a_class_of_a_table_of_which_no_file_is_read_fails() -> None:
    table = CSV + "f1.gif,frog\nf2.gif,frog\n"
    words = "'frog' is a class of 'labels.csv' of which no image can be read: 'f1.gif' is not"
    refused(words, FOUR, {"labels.csv": table}, ["f1.gif"])
    layout = read(FOUR, {"labels.csv": table})
    assert "no image is here of 'frog', of which 'labels.csv' has rows" in layout.notes
    assert any(note.startswith("2 of 6 rows of 'labels.csv' name no image") for note in layout.notes)


def test_rows_without_a_label_are_counted() -> None:
    layout = read([*FOUR, "5.png"], {"labels.csv": CSV + "5.png,\n"})
    assert classes(layout, FOUR) == CATS_AND_DOGS
    assert "1 row of 'labels.csv' has no label" in layout.notes
    assert [file.name for file in layout.left_out] == ["5.png"]


@pytest.mark.parametrize("labels", ["cat", "0"])
def test_test_images_by_a_table_beside_training_folders(labels: str) -> None:
    names = {"cat": ("cat", "dog"), "0": ("0", "1")}[labels]
    images = [*of_classes(3, names, "Train/"), "Test/7.png", "Test/8.png", "Test/9.png"]
    table = f"Width,Path,ClassId\n3,Test/7.png,{names[1]}\n3,Test/8.png,{names[0]}\n"
    layout = read(images, {"Test.csv": table})
    expected = {path: path.split("/")[1] for path in images[:6]}
    assert classes(layout, images) == {**expected, "Test/7.png": names[1], "Test/8.png": names[0]}
    assert parts(layout, images) == {path: path.split("/")[0].lower() for path in images[:-1]}
    assert [file.name for file in layout.left_out] == ["Test/9.png"]
    refused("'test/owl' has no counterpart", images, {"Test.csv": table + "3,Test/9.png,owl\n"})
    refused("'Test/7.png' has two labels", images, {"Test.csv": table + f"3,Test/7.png,{names[0]}\n"})


@pytest.mark.parametrize("written", ["../b/1.png", "./../b/1.png"])
def test_a_path_that_climbs_is_followed(written: str) -> None:
    images = ["a/b/1.png", "b/1.png", "a/b/2.png", "a/b/3.png", "a/c/d/4.png"]
    rows = f"file,label\n{written},cat\nb/2.png,cat\nb/3.png,dog\nc/d/4.png,dog\n"
    layout = read(images, {"a/labels.csv": rows})
    assert classes(layout, images)["b/1.png"] == "cat"
    assert [file.name for file in layout.left_out] == ["a/b/1.png"]


def test_a_list_of_files_says_no_class() -> None:
    refused("no table says a class", FOUR, {"index.csv": "id,path\n7,1.png\n8,2.png\n"})


# As skin lesions come: two folders of images, and a table whose classes stand in a column called `dx`.
_LESIONS = [*of_classes(3, ("images_part_1",)), *(f"images_part_2/{index}.png" for index in range(3, 6))]
_DIAGNOSES = "image_id,dx,age\n0,nv,40\n1,mel,50\n2,nv,60\n3,mel,40\n4,nv,50\n5,mel,60\n"


def test_numbered_folders_beside_a_table_that_may_say_the_classes() -> None:
    refused(
        "'metadata.csv' stands beside 'images_part_1' and 'images_part_2', which a number alone tells apart",
        _LESIONS,
        {"metadata.csv": _DIAGNOSES},
    )
    flat = [path.rpartition("/")[2] for path in _LESIONS]
    layout = read(flat, {"metadata.csv": _DIAGNOSES.replace("dx", "label")})
    assert {path: name for path, name in classes(layout, flat).items() if path in ("0.png", "1.png")} == {
        "0.png": "nv",
        "1.png": "mel",
    }


def test_named_folders_beside_such_a_table_are_classes() -> None:
    images = of_classes(3)
    layout = read(images, {"people.csv": "file,photographer,place\ncat/0.png,Ann,Bonn\ndog/1.png,Bob,Rome\n"})
    assert set(layout.classes) == {"cat", "dog"}
    assert any("'people.csv' was passed over" in note for note in layout.notes)


@pytest.mark.parametrize(
    ("folders", "table", "words"),
    [
        (("images_001", "images_002"), {"train.csv": "id,breed\n0,cat\n1,dog\n"}, "a number alone"),
        (("p_1", "p_2"), {"labels.json": '{"0.png": "cat"}'}, "a number alone"),
        (("a", "b"), {"t.csv": "id,breed\n" + "".join(f"{i},{'cd'[i % 2]}\n" for i in range(6))}, "lies in the folder"),
    ],
)
def test_folders_that_a_table_contradicts_are_no_classes(
    folders: tuple[str, str], table: dict[str, str], words: str
) -> None:
    refused(
        words, [*(f"{folders[0]}/{i}.png" for i in range(3)), *(f"{folders[1]}/{i}.png" for i in range(3, 6))], table
    )


def test_digits_are_classes_whatever_stands_beside_them() -> None:
    assert set(read(of_classes(3, ("0", "1")), {"dataset.json": "{}"}).classes) == {"0", "1"}


@pytest.mark.parametrize("column", ["split", "phase", "usage"])
def test_parts_of_a_table_beside_class_folders(column: str) -> None:
    images = of_classes(4)
    rows = "".join(f"{path},{path[:3]},{'test' if path[4] == '0' else 'train'}\n" for path in images)
    layout = read(images, {"t.csv": f"file,label,{column}\n{rows}"})
    assert {path for path, part in parts(layout, images).items() if part == "test"} == {"cat/0.png", "dog/0.png"}
    assert any("the parts are those that 't.csv' names" in note for note in layout.notes)
    layout = read(
        images, {"t.csv": f"file,label,{column}\n" + rows.splitlines()[0] + "\n" + rows.splitlines()[1] + "\n"}
    )
    assert any("were not used, as it names none for 6 images" in note for note in layout.notes)


def test_half_a_character_in_json_is_refused() -> None:
    texts = {"0.json": '{"label": "\\ud83d"}', "1.json": '{"label": "cat"}'}
    refused("half of a character", ["0.png", "1.png"], texts)


@pytest.mark.parametrize("odd", ['"annotations": true', '"annotations": [{"result": true}]'])
def test_an_export_whose_annotations_are_no_list(odd: str) -> None:
    refused(
        "something else than a list", ["1.png", "2.png"], {"l.json": f'[{{"data": {{"image": "/x/1.png"}}, {odd}}}]'}
    )


def test_columns_of_one_and_zero_are_classes_whatever_they_are_called() -> None:
    columns = ("photo", "no_class", "sketch")
    images = [f"{i}.png" for i in range(6)]
    rows = "".join(f"{path},{','.join(str(int(i % 3 == k)) for k in range(3))}\n" for i, path in enumerate(images))
    layout = read(images, {"t.csv": f"file,{','.join(columns)}\n{rows}"})
    assert classes(layout, images) == {path: columns[i % 3] for i, path in enumerate(images)}


def test_a_list_is_one_although_its_first_line_names_a_missing_image() -> None:
    images = [*of_classes(2, before="train/"), "val/1.png", "val/2.png"]
    layout = read(images, {"val.txt": "val/99.png cat\nval/1.png cat\nval/2.png dog\n"})
    assert classes(layout, images)["val/2.png"] == "dog"


def test_the_same_file_name_in_every_folder_takes_no_longer() -> None:
    images = [f"data/{number // 2}/{number % 2}/image.png" for number in range(20_000)]
    images.append("data/more.png")  # so that folders are no classes
    for prefix in ("/home/a/data/", "data/", ""):
        rows = "".join(f"{prefix}{n // 2}/{n % 2}/image.png,{'ab'[n // 2 % 2]}\n" for n in range(20_000))
        started = time.process_time()
        layout = read(images, {"labels.csv": f"file,label\n{rows}"})
        assert time.process_time() - started < 10
        assert len(layout.images) == 20_000
        assert all(image.class_name == "ab"[int(images[image.index].split("/")[1]) % 2] for image in layout.images)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"l.txt": "1.png 0 1\n2.png 1\n3.png 0\n4.png 1\n"}, "more than a class in line 1: '0 1'"),
        ({"l.txt": "1.png cat 0.9\n2.png dog 0.8\n3.png cat 0.7\n4.png dog 0.9\n"}, "more than a class in line 1"),
        ({"t.csv": "file,label\n1.png,['cat']\n2.png,['dog']\n"}, "no single label in line 2"),
        (
            {"t.csv": "filename,age,label\nIMG_1.png,1,cat\nIMG_2.png,2,dog\n"},
            "no image of the archive in its column 'filename', and could in 'age'",
        ),
    ],
)
def test_tables_that_would_be_misread(texts: dict[str, str], words: str) -> None:
    refused(words, FOUR, texts)


def test_an_image_from_another_folder_is_told() -> None:
    images = [*(f"{i:03}.png" for i in range(9) if i != 7), "masks/007.png"]
    table = "file,label\n" + "".join(f"{i:03}.png,{'ab'[i % 2]}\n" for i in range(9))
    layout = read(images, {"labels.csv": table})
    assert any("1 image outside '.'" in note and "'masks/007.png'" in note for note in layout.notes)


def test_what_json_has_no_number_for_is_no_class() -> None:
    rows = [{"file_name": f"{i}.png", "label": "ab"[i % 2]} for i in range(4)]
    text = "\n".join([*map(json.dumps, rows), '{"file_name": "4.png", "label": NaN}'])
    layout = read([f"{i}.png" for i in range(5)], {"metadata.jsonl": text})
    assert set(layout.classes) == {"a", "b"}
