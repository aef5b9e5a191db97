"""Everything that an upload holds, whichever way it was packed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from noisegate.api.reading import NameEncoding
from noisegate.data.archives import read_archive
from noisegate.data.formats import read_collected
from noisegate.data.members import UPLOAD, ArchiveLimits, Arriving, Attachment, Collected, LeftOut, Told
from noisegate.errors import InvalidArchive, TooLarge


def read_upload(
    path: Path,
    limits: ArchiveLimits,
    folder: Path,
    names: NameEncoding | None = None,
    file_name: str | None = None,
) -> Iterator[Arriving]:
    """The images of an archive, or of a file that holds many, and the text files beside them; one in memory at a time.

    Args:
        folder: where files that hold many images are unpacked to; they stay there.
        names: see `Reading.names`.
        file_name: what a lone file is called in sentences about it. It says nothing of what is in it.

    Raises:
        as `read_archive` and `read_collected`.
    """
    attachments: dict[str, bytes] = {}
    collected: list[Collected] = []
    for found in read_archive(path, limits, folder, names):
        if isinstance(found, Collected):
            collected.append(found)
            continue
        if isinstance(found, Attachment):
            attachments[found.name] = found.content
        yield found
    members = read_collected(collected, attachments, limits, folder)
    is_lone = any(file.is_upload for file in collected)
    yield from _called(members, file_name) if is_lone and file_name is not None else members


def _called(members: Iterator[Arriving], file_name: str) -> Iterator[Arriving]:
    """The same members of a lone file, in whose sentences it has the name that its sender gave it."""
    try:
        for member in members:
            if isinstance(member, LeftOut) and member.name.partition("/")[0] == UPLOAD:
                yield replace(member, name=file_name + member.name.removeprefix(UPLOAD))
            elif isinstance(member, Told):
                yield Told(_renamed(member.sentence, file_name))
            else:
                yield member
    except (InvalidArchive, TooLarge) as error:
        kind = TooLarge if isinstance(error, TooLarge) else InvalidArchive
        raise kind(_renamed(error.detail, file_name), field=error.field, remedy=error.remedy) from error


def _renamed(sentence: str, file_name: str) -> str:
    """A sentence that names the lone file, or an array within it (`'upload/images.npy'`)."""
    shown = repr(file_name)
    return sentence.replace(f"'{UPLOAD}'", shown).replace(f"'{UPLOAD}/", f"{shown[:-1]}/")
