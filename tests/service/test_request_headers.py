from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from service.classify.decoding import groups_of
from service.request_headers import headers_of

NAMES = st.sampled_from([b"host", b"origin", b"cookie", b"x-request-id"])


@given(st.lists(st.tuples(NAMES, st.binary(max_size=5)), max_size=8))
def test_headers_are_those_that_starlette_finds(raw: list[tuple[bytes, bytes]]) -> None:
    expected = Headers(raw=raw)
    found = headers_of({"headers": raw})
    assert dict(found) == {name: expected[name] for name in expected}


def test_headers_that_were_replaced_are_read_again() -> None:
    scope = {"headers": [(b"host", b"a")]}
    assert headers_of(scope)["host"] == "a"
    assert headers_of({**scope, "headers": [(b"host", b"b")]})["host"] == "b"


@given(st.lists(st.integers(0, 100_000), max_size=200))
def test_groups_have_each_image_once_and_are_small_or_single(sizes: list[int]) -> None:
    groups = list(groups_of(sizes))
    assert [place for group in groups for place in group] == list(range(len(sizes)))
    for group in groups:
        assert len(group) == 1 or (len(group) <= 64 and sum(sizes[place] for place in group) <= 64 * 1024)
