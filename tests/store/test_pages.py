import base64

import pytest

from noisegate.errors import InvalidInput
from noisegate.store import datasets, executions, experiments, models
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
from tests import factories


@pytest.fixture
def ids(sessions: Sessions) -> list[str]:
    """Five experiments that wait, the newest first."""
    with sessions.begin() as session:
        factories.ready_dataset(session)
        return [factories.queued_experiment(session).id for _ in range(5)][::-1]


def test_a_cursor_goes_on_where_its_page_ended(sessions: Sessions, ids: list[str]) -> None:
    with sessions.reading() as session:
        first = experiments.page(session, state=State.QUEUED, cursor=None, limit=3)
        second = experiments.page(session, state=State.QUEUED, cursor=first.next_cursor, limit=3)
    assert [row.id for row in [*first.items, *second.items]] == ids
    assert second.next_cursor is None


def test_a_cursor_serves_for_its_filters_only(sessions: Sessions, ids: list[str]) -> None:
    with sessions.reading() as session:
        cursor = experiments.page(session, state=None, cursor=None, limit=1).next_cursor
        of_one = executions.page(session, ids[0], state=None, cursor=None, limit=1).next_cursor
        with pytest.raises(InvalidInput, match="other filters"):
            experiments.page(session, state=State.QUEUED, cursor=cursor, limit=1)
        with pytest.raises(InvalidInput, match="another collection"):
            models.page(session, experiment_id=None, cursor=cursor, limit=1)
        with pytest.raises(InvalidInput, match="another collection"):
            datasets.page(session, cursor=cursor, limit=1)
        with pytest.raises(InvalidInput, match="other filters"):
            executions.page(session, ids[1], state=None, cursor=of_one, limit=1)
        with pytest.raises(InvalidInput, match="other filters"):
            executions.page(session, ids[0], state=State.QUEUED, cursor=of_one, limit=1)
        assert executions.page(session, ids[0], state=None, cursor=of_one, limit=1).items


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor", ["", "x", "%%%", "\x00", "ü", "\ud800", _encoded("1:exp_1"), _encoded("2"), _encoded("2::"), "A" * 10_000]
)
def test_garbage_is_no_cursor(sessions: Sessions, cursor: str) -> None:
    with sessions.reading() as session, pytest.raises(InvalidInput, match="no cursor of this server") as caught:
        experiments.page(session, state=None, cursor=cursor, limit=1)
    assert caught.value.field == "cursor"
    assert len(caught.value.detail) < 500
