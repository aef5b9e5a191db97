"""Image files in forms and JSON documents, by the name of the field that holds them."""

import base64
import binascii

from starlette.datastructures import FormData, UploadFile

from noisegate.errors import InvalidImage, InvalidInput
from noisegate.image_kinds import IMAGE_KINDS


def not_empty(image: bytes, field: str) -> bytes:
    """`image`, if there is anything in it; raises InvalidImage otherwise."""
    if not image:
        raise empty(field)
    return image


def empty(field: str) -> InvalidImage:
    """The error for an image without a byte."""
    return InvalidImage(f"{field} is empty", field=field, remedy=f"Send the bytes of a {IMAGE_KINDS} file.")


def from_base64(text: str, field: str) -> bytes:
    """The file in a base64 text; raises InvalidImage if it is not base64 or empty."""
    try:
        image = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        remedy = "Send standard base64, without a data: prefix or line breaks."
        raise InvalidImage(f"{field} is not base64: {error}", field=field, remedy=remedy) from error
    return not_empty(image, field)


async def from_form(form: FormData, field: str) -> bytes:
    """The file in a field of a form; raises InvalidInput without one, and InvalidImage if it is empty."""
    sent = form.get(field)
    if not isinstance(sent, UploadFile):
        raise InvalidInput(
            f"the form has no file {field!r}", field=field, remedy=f"Send the file in the field `{field}`."
        )
    return not_empty(await sent.read(), field)
