"""Backbones: what is at hand, and what the catalogue has. No weights are opened here."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from noisegate.errors import NotFound
from noisegate.networks.backbones import EMBEDDED, Backbone, backbone_of, catalogue, full_names
from noisegate.networks.backbones.files import SUFFIX, files_of
from noisegate.store.pages import named_page
from service.backbones.schemas import BackboneList, BackboneRead
from service.deps import PagingDep, SettingsDep
from service.errors import problems

router = APIRouter(prefix="/backbones", tags=["backbones"])

Asked = Annotated[
    str | None,
    Query(
        alias="q",
        min_length=1,
        max_length=100,
        description="A part of the name, in either case: searches the whole catalogue. Left out: what is at hand, and no more.",
    ),
]


@router.get("", responses=problems(422))
def list_backbones(settings: SettingsDep, paging: PagingDep, asked: Asked = None) -> BackboneList:
    """Networks that others have trained: those whose weights are at hand, or with `q` those of that name in the catalogue."""
    files = files_of(settings.weights_dir)
    found = _found(asked, files)
    page = named_page(found, "backbones", filters={"q": asked}, cursor=paging.cursor, limit=paging.limit)
    items = [BackboneRead.of(catalogue()[name], files) for name in page.items]
    return BackboneList(items=items, total=len(found), next_cursor=page.next_cursor)


@router.get("/{name}", responses=problems(404, 422))
def get_backbone(name: str, settings: SettingsDep) -> BackboneRead:
    """One backbone, by its name with the tag or without, which means timm's default."""
    return BackboneRead.of(_known(name), files_of(settings.weights_dir))


def _found(asked: str | None, files: Mapping[str, Path]) -> Sequence[str]:
    """Names, those at hand first."""
    at_hand = [EMBEDDED, *(name for name in catalogue() if name + SUFFIX in files and name != EMBEDDED)]
    if asked is None:
        return at_hand
    others = [name for name in catalogue() if name not in at_hand]
    return [name for name in [*at_hand, *others] if asked.lower() in name.lower()]


def _known(name: str) -> Backbone:
    if name in full_names():
        return backbone_of(name)
    near = get_close_matches(name, full_names(), n=5)
    guessed = f"Did you mean {' or '.join(near)}? " if near else ""
    remedy = f"{guessed}GET /backbones?q= searches the {len(catalogue()):,} there are."
    raise NotFound(f"there is no backbone {name[:100]!r}", field="backbone", remedy=remedy)
