"""`client.datasets`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TypeVar
from urllib.parse import unquote

from noisegate.api.base import Answer
from noisegate.api.dataset_answers import DatasetAnswer, ReportAnswer
from noisegate.api.reading import BadImages, NameEncoding, Validation
from noisegate.client.answers import DatasetImage
from noisegate.client.errors import ServiceUnreachable, UploadInterrupted
from noisegate.client.files import CountedUpload, Uploadable, disposition, written_file
from noisegate.client.flows import Flow, Listing, Query, Request, get, once, path_of
from noisegate.client.fronts import Mode, Resource, listing, operation

# By name: it loads what other calls do without.
_PACK = "noisegate.client.packing:pack"
# Seconds in which a service has read whatever it takes.
_WHILE_IT_READS = 3600.0

Model = TypeVar("Model", bound=Answer)


class Datasets(Resource[Mode]):
    """Labelled images on the service."""

    @listing
    def list(self) -> Listing[DatasetAnswer]:
        """All datasets, newest first."""
        return Listing("/datasets", DatasetAnswer)

    @operation
    def get(self, reference: str) -> Flow[DatasetAnswer]:
        """One dataset, by id or name."""
        return self._front.read(get("datasets", reference), DatasetAnswer)

    @operation
    def upload(
        self,
        images: str | Path | Uploadable,
        *,
        name: str | None = None,
        image_size: int | None = None,
        base: str | None = None,
        names: NameEncoding | None = None,
        bad_images: BadImages | None = None,
        validation: Validation | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Flow[DatasetAnswer]:
        """Send a folder, an archive, or a file that holds many images; it is read as it is sent, and never whole in memory.

        A worker then reads it: see `wait`. If the connection breaks, the whole is sent again, as often as requests are; the same
        files are the same dataset, so nothing is stored twice.

        Args:
            images: a folder of CLASS/IMAGE, or of train/CLASS/IMAGE and test/CLASS/IMAGE; or a file (docs/data.md).
            image_size: pixels a side; None for the base's, without a base 32.
            base: id or name of a dataset: the new one holds its images and those sent.
            names: the encoding of names in a zip that does not say it.
            bad_images: `skip` leaves out what does not decode.
            validation: what images of a validation part become.
            progress: hears bytes sent and bytes in all.

        Raises:
            UnusableFile: a file, or the folder as a whole, cannot be read as what it should be.
            UploadInterrupted: the connection broke too often.
        """
        query: Query = {
            "name": name,
            "image_size": image_size,
            "base": base,
            "names": names,
            "bad_images": bad_images,
            "validation": validation,
        }
        return self._sent(images, query, once(), progress, DatasetAnswer, None)

    @operation
    def inspect(
        self,
        images: str | Path | Uploadable,
        *,
        image_size: int | None = None,
        base: str | None = None,
        names: NameEncoding | None = None,
        bad_images: BadImages | None = None,
        validation: Validation | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Flow[ReportAnswer]:
        """What the service finds in an upload, of which it keeps nothing; as `upload` otherwise. It answers once all is read."""
        query: Query = {
            "image_size": image_size,
            "base": base,
            "names": names,
            "bad_images": bad_images,
            "validation": validation,
            "dry_run": "true",
        }
        return self._sent(images, query, {}, progress, ReportAnswer, _WHILE_IT_READS)

    @operation
    def fetch(self, source: str, *, name: str | None = None, image_size: int | None = None) -> Flow[DatasetAnswer]:
        """Have the service get a dataset that it knows by itself: `digits` or `cifar10`."""
        asked = {"source": source, "name": name, "image_size": image_size}
        body = {key: value for key, value in asked.items() if value is not None}
        request = Request(method="POST", path="/datasets", json=body, headers=once())
        return self._front.read(request, DatasetAnswer)

    @operation
    def wait(
        self,
        reference: str,
        *,
        timeout: float | None = None,
        progress: Callable[[DatasetAnswer], object] | None = None,
    ) -> Flow[DatasetAnswer]:
        """Wait until a dataset is `ready` or `failed`, and give it back.

        Args:
            timeout: seconds; None waits for as long as it takes.
            progress: hears how it stands each time that it is asked for.

        Raises:
            WaitedTooLong: it was still being read after `timeout` seconds.
        """
        request = Request(method="GET", path=path_of("datasets", reference), patient=True, even_at_first=True)
        return self._front.poll(request, DatasetAnswer, lambda found: found.state != "ingesting", progress, timeout)

    @operation
    def report(self, reference: str) -> Flow[ReportAnswer]:
        """How a dataset's upload was read."""
        return self._front.read(get("datasets", reference, "report"), ReportAnswer)

    @operation
    def image(self, reference: str, split: str, index: int) -> Flow[DatasetImage]:
        """One image of a dataset and its class, as it was packed; `image()` of it is a Pillow image."""
        response = yield from self._front.send(get("datasets", reference, "images", split, f"{index}.png"))
        # A header holds ASCII only, a class name anything.
        return DatasetImage(png=response.content, label=unquote(response.headers["X-Label"]))

    @operation
    def export(
        self,
        reference: str,
        into: str | Path,
        *,
        exclude: str | None = None,
        reasons: Sequence[str] = (),
        ids: Sequence[int] = (),
        budget: float | None = None,
        cell: int | None = None,
    ) -> Flow[Path]:
        """Write a dataset to a zip of class folders, from the files that it came as; its path.

        Args:
            exclude: an experiment with `record: samples`, by whose table training images are left out.
            reasons: those that have one of these.
            ids: those with these ids; also without `exclude`.
            budget: the share of the training images with the lowest value.
            cell: of the experiment, in place of all.

        Raises:
            UnusableFile: the file cannot be written.
        """
        params: Query = {
            "exclude": exclude,
            "reasons": ",".join(reasons) or None,
            "ids": ",".join(map(str, ids)) or None,
            "budget": budget,
            "cell": cell,
        }
        with written_file(Path(into)) as file:
            path = path_of("datasets", reference, "export.zip")
            yield from self._front.send(Request(method="GET", path=path, params=params, into=file, patient=True))
        return Path(into)

    @operation
    def delete(self, reference: str, *, dry_run: bool = False) -> Flow[None]:
        """Delete a dataset that no experiment uses; or only see whether that can be done."""
        path = path_of("datasets", reference)
        yield from self._front.send(
            Request(method="DELETE", path=path, params={"dry_run": dry_run}, repeatable=dry_run)
        )

    def _sent(
        self,
        images: str | Path | Uploadable,
        query: Query,
        headers: dict[str, str],
        progress: Callable[[int, int], object] | None,
        model: type[Model],
        timeout: float | None,
    ) -> Flow[Model]:
        upload = _packed(Path(images), query) if isinstance(images, str | Path) else images
        if not hasattr(upload, "chunks"):
            kind = type(images).__name__
            raise TypeError(
                f"an upload is the path of a folder or of a file, and not {kind}; numpy.savez writes arrays to one"
            )
        sent = CountedUpload(upload, progress)
        described = {
            "Content-Type": upload.content_type,
            "Content-Length": str(upload.total),
            **disposition(upload),
            **headers,
        }
        request = Request(
            method="POST", path="/datasets", params=query, headers=described, content=sent.chunks, timeout=timeout
        )
        try:
            return (yield from self._front.read(request, model))
        except ServiceUnreachable as error:
            if not sent.sent:
                raise
            raise UploadInterrupted(self._front.base_url, error.reason, sent.sent, upload.total) from error


def _packed(images: Path, query: Query) -> Uploadable:
    packed: Uploadable
    packed, _ = resolve_name(_PACK)(images, query["validation"] or "auto", has_base=query["base"] is not None)
    return packed
