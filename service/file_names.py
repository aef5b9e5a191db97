"""What senders call their files: words for sentences about them, and never a path of this machine."""

import unicodedata
from email.message import Message

_MOST_CHARACTERS = 200


def name_in_disposition(header: str | None) -> str | None:
    """The file's name in a header Content-Disposition, in the forms of RFC 6266; None if it gives none that can be shown."""
    if header is None:
        return None
    message = Message()
    # Starlette decodes headers as Latin-1; names that are not ASCII and not marked come in UTF-8.
    message["Content-Disposition"] = header.encode("latin-1", "replace").decode("utf-8", "replace")
    return shown_name(message.get_filename())


def shown_name(name: str | None) -> str | None:
    """The name without folders, of whichever system; None if it is empty, cannot be shown, or has more than 200 characters."""
    last = unicodedata.normalize("NFC", (name or "").replace("\\", "/").rpartition("/")[2]).strip()
    return last if last.isprintable() and 0 < len(last) <= _MOST_CHARACTERS else None
