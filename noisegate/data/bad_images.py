"""Images of an upload that cannot be read: named together, or left out on request."""

from collections.abc import Sequence

from noisegate.api.reading import BadImages as Asked
from noisegate.data.members import Label, LeftOut
from noisegate.errors import InvalidImage, TooLarge

# The others are counted.
_MOST_NAMED = 100
_MOST_REMEDIES = 3


class BadImages:
    """What was found, in the order of the upload."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._found: list[tuple[str, InvalidImage | TooLarge]] = []
        self._labels: list[Label | None] = []

    def add(self, name: str, error: InvalidImage | TooLarge, label: Label | None) -> None:
        """One more, what is wrong with it, and what its format says of it."""
        self._found.append((name, error))
        self._labels.append(label)

    def left_out(self, read: int) -> Sequence[LeftOut]:
        """Those found, if they are to be left out; `read` counts the images that are good.

        Raises:
            InvalidImage, TooLarge: there are some and they are not to be left out; TooLarge if all are over a limit.
        """
        if self._asked == "skip":
            return [
                LeftOut(name, f"cannot be read: {error.detail}", label=label)
                for (name, error), label in zip(self._found, self._labels, strict=True)
            ]
        if self._found:
            raise self._refusal(read)
        return []

    def _refusal(self, read: int) -> InvalidImage | TooLarge:
        (name, first), *more = self._found
        remedy = "Or leave it out of the archive. Or send it again with bad_images=skip, which leaves it out."
        if not more:
            return type(first)(f"{name!r}: {first.detail}", field="archive", remedy=f"{first.remedy} {remedy}")
        named = "; ".join(f"{name!r}: {error.detail}" for name, error in self._found[:_MOST_NAMED])
        beyond = f"; and {len(self._found) - _MOST_NAMED:,} more" if len(self._found) > _MOST_NAMED else ""
        kind = TooLarge if all(isinstance(error, TooLarge) for _, error in self._found) else InvalidImage
        detail = f"{len(self._found):,} of {read + len(self._found):,} images cannot be read: {named}{beyond}"
        remedies = list(dict.fromkeys(error.remedy for _, error in self._found if error.remedy))[:_MOST_REMEDIES]
        skip = "Or leave them out of the archive. Or send it again with bad_images=skip, which leaves them out."
        return kind(detail, field="archive", remedy=" ".join([*remedies, skip]))
