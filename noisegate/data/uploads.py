"""Everything that an upload holds, whichever way it was packed."""

from collections.abc import Iterator
from pathlib import Path

from noisegate.api.reading import NameEncoding
from noisegate.data.archives import read_archive
from noisegate.data.formats import read_collected
from noisegate.data.members import ArchiveLimits, Arriving, Attachment, Collected


def read_upload(
    path: Path, limits: ArchiveLimits, folder: Path, names: NameEncoding | None = None
) -> Iterator[Arriving]:
    """The images of an archive, or of a file that holds many, and the text files beside them; one in memory at a time.

    Args:
        folder: where files that hold many images are unpacked to; they stay there.
        names: see `Reading.names`.

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
    yield from read_collected(collected, attachments, limits, folder)
