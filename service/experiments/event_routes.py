"""GET /experiments/{id}/events: what happened so far, and what happens from now on."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse

from noisegate.store.events import EventType
from service.accepting import preferred
from service.bodies import JSON
from service.deps import ResourcesDep
from service.errors import problems
from service.experiments.event_schemas import EventPage, EventRead
from service.experiments.streams import EventStream, news

# What the column of numbers can hold.
_LARGEST = 2**31 - 1

_STREAM: dict[str, Any] = {
    "itemSchema": {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "Its number."},
            "event": {"type": "string", "enum": [type.value for type in EventType]},
            "data": {
                "type": "string",
                "contentMediaType": JSON,
                "contentSchema": {"$ref": "#/components/schemas/EventRead"},
            },
            "retry": {"type": "integer"},
        },
        "required": ["data"],
    },
    "example": "event: cell_finished\n"
    'data: {"number":9,"type":"cell_finished","at":"2026-11-22T10:00:00Z","data":{"cell":0}}\n'
    "id: 9\n\n",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": EventPage,
        "description": "A stream of events, each with its number as `id`; it ends after the event `finished`. "
        "Or a page of them as JSON.",
        "content": {EventSourceResponse.media_type: _STREAM},
    },
    204: {
        "description": "The experiment has ended, and nothing happened after that event: there is no need to come again"
    },
    **problems(404, 422, 429),
}

router = APIRouter(prefix="/experiments", tags=["experiments"])

Number = Annotated[int, Query(ge=0, le=_LARGEST, description="The number of the last event seen.")]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=r"^[0-9]{1,9}$",
        description="As `after`, and wins over it: browsers send it when they come again.",
    ),
]


@router.get("/{experiment_id}/events", response_class=Response, responses=_RESPONSES)
def get_events(
    experiment_id: str,
    request: Request,
    resources: ResourcesDep,
    after: Number = 0,
    last_event_id: LastEventId = None,
) -> Response:
    """Everything that happened to an experiment after an event, then what happens as it does, until it ends.

    A stream lasts a quarter of an hour at most: come again with `Last-Event-ID` and nothing is missed. With
    `Accept: application/json`, a page of what happened so far.
    """
    seen = after if last_event_id is None else int(last_event_id)
    found = news(resources.sessions, experiment_id, seen)
    vary = {"Vary": "Accept"}
    if _wants_json(request):
        page = EventPage(items=[EventRead.of(event) for event in found.events], last=found.last, ended=found.over)
        return Response(page.model_dump_json(), headers=vary, media_type=JSON)
    if found.over and not found.events:
        return Response(status_code=204, headers=vary)
    return EventStream(resources.streams, resources.sessions, experiment_id, seen)


def _wants_json(request: Request) -> bool:
    return preferred(request, [EventSourceResponse.media_type, JSON]) == JSON
