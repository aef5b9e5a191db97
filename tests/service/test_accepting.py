"""Which form of an answer is preferred."""

import pytest
from starlette.requests import Request

from service.accepting import preferred

JSON, CSV = "application/json", "text/csv"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ([], JSON),
        ([""], JSON),
        (["*/*"], JSON),
        (["text/csv"], CSV),
        (["TEXT/CSV"], CSV),
        (["text/*"], CSV),
        (["application/json, text/csv;q=0.1"], JSON),
        (["application/json;q=0.1, text/csv;q=0.2"], CSV),
        (["text/csv;q=0"], JSON),
        (["text/csv;q=0, */*"], JSON),
        (["application/json;q=0, */*"], CSV),
        (["text/csv; header=present; q=0.9, application/json;q=0.8"], CSV),
        (["*/*, text/csv"], CSV),
        (["text/csv, application/json"], JSON),
        (["text/*;q=0.3, text/csv;q=0.9, application/json;q=0.5"], CSV),
        (["text/csv;q=x, */*;q=0.1"], JSON),
        (["image/png"], JSON),
        (["application/json;q=0.2", "text/csv"], CSV),
        ([",,;,"], JSON),
    ],
)
def test_weights_and_wildcards(accept: list[str], wanted: str) -> None:
    headers = [(b"accept", one.encode()) for one in accept]
    assert preferred(Request({"type": "http", "headers": headers}), [JSON, CSV]) == wanted
