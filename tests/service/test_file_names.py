"""What senders call their files: shown in refusals, and nothing else."""

import pytest
from starlette.testclient import TestClient

from service.file_names import name_in_disposition, shown_name

CUT = b"\x93NUMPY\x01\x00v\x00"
OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="pets.npy"', "pets.npy"),
        ("attachment; filename=pets.npy", "pets.npy"),
        ("attachment; filename*=UTF-8''K%C3%A4tzchen%20%F0%9F%90%88.npy", "Kätzchen 🐈.npy"),
        ('attachment; filename="K\u00c3\u00a4tzchen.npy"', "Kätzchen.npy"),  # UTF-8, decoded as Latin-1
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\data\\\\pets.npy"', "pets.npy"),
        ("attachment; filename*=UTF-8''a%0Ab", None),
        ("attachment; filename*=UTF-8''a%E2%80%AEb", None),
        ("attachment", None),
        ("", None),
        (f"attachment; filename={'x' * 201}", None),
        (None, None),
    ],
)
def test_names_in_headers(header: str | None, name: str | None) -> None:
    assert name_in_disposition(header) == name


@pytest.mark.parametrize("name", [None, "", "/", "..\\", "  "])
def test_no_name(name: str | None) -> None:
    assert shown_name(name) is None


def test_a_lone_file_is_refused_by_its_name(shared_client: TestClient) -> None:
    query = "/datasets?dry_run=true"
    raw = shared_client.post(
        query, content=CUT, headers={**OCTETS, "Content-Disposition": 'attachment; filename="a/pets.npy"'}
    )
    form = shared_client.post(query, files={"archive": ("more.npy", CUT)})
    nameless = shared_client.post(query, content=CUT, headers=OCTETS)
    said = [answer.json()["errors"][0]["message"].partition(" is damaged")[0] for answer in (raw, form, nameless)]
    assert said == ["'pets.npy'", "'more.npy'", "'upload'"]
