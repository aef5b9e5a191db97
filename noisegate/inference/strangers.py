"""The refusal of files that are no images of the kinds that are read: people who are told what they sent know what to do."""

from noisegate.errors import InvalidImage
from noisegate.file_kinds import HEAD_BYTES
from noisegate.file_kinds import stranger as known_stranger
from noisegate.image_kinds import IMAGE_KINDS
from noisegate.inference.parts import refuse

_CONVERT = f"Convert it to {IMAGE_KINDS}; renaming it is not enough."
_LOOK = "Look at it in an editor: it may be the message of a download that failed. Send the image itself."
_EMPTY = "Send it again; a download or copy that broke off leaves empty files."


def stranger(data: bytes) -> InvalidImage:
    """The refusal of a file that is no image: what it is instead, as far as its first bytes say."""
    if not data:
        return refuse("is empty: the file has no bytes", _EMPTY)
    head = data[:HEAD_BYTES]
    if found := known_stranger(head):
        return refuse(f"is {found.what}", found.remedy)
    return refuse("is text", _LOOK) if _is_text(head) else refuse("is no image of a kind that is read", _CONVERT)


def _is_text(head: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # A letter that is cut in two at the end of the head is still one.
        return len(head) - error.start < 4 and error.reason == "unexpected end of data"
    return True
