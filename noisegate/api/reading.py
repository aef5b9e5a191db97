"""How an upload is to be read, where it leaves a choice."""

from typing import Literal

from pydantic import Field

from noisegate.documents import Strict

NameEncoding = Literal[
    "utf-8", "cp437", "cp850", "cp1252", "latin-1", "shift_jis", "gbk", "big5", "euc_kr", "cp866", "cp1251"
]
BadImages = Literal["refuse", "skip"]
Validation = Literal["auto", "train", "test", "leave_out"]


class Reading(Strict):
    """What the one who sends an archive may say of it."""

    names: NameEncoding | None = Field(
        None,
        description="The encoding of names in a zip that does not say it. Without it, what is not UTF-8 is refused.",
    )
    bad_images: BadImages = Field("refuse", description="Whether files that do not decode are left out, and counted.")
    validation: Validation = Field(
        "auto",
        description="What a validation part becomes. auto: the test images if there are no others, else training images.",
    )


AS_IT_IS = Reading()
