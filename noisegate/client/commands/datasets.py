"""`noisegate datasets`, `upload` and `report`."""

from pathlib import Path

from noisegate.client import Noisegate
from noisegate.client.errors import ProblemError
from noisegate.client.flows import DEFAULT_URL
from noisegate.client.listings import datasets_table
from noisegate.client.options import READ_AS_IT_IS, ReadingOptions, Url
from noisegate.client.output import Json, console_beside, print_json
from noisegate.client.packing import pack
from noisegate.client.progress import ProgressDisplay
from noisegate.client.reports import report_block, told_of_upload
from noisegate.client.show import console_for
from noisegate.client.summary import found_block
from noisegate.client.waiting import dataset_shown


def datasets(*, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List the datasets."""
    with Noisegate(url) as client:
        found = client.datasets.list()
        print_json(found) if json else console_for().print(datasets_table(found), crop=False)


def upload(
    archive: Path,
    *,
    name: str | None = None,
    image_size: int | None = None,
    reading: ReadingOptions = READ_AS_IT_IS,
    dry_run: bool = False,
    json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Upload images, and wait until they are a dataset.

    Args:
        archive: A folder of train/CLASS/…, test/CLASS/…, or CLASS/…; or an archive of one, or a file that holds many images.
        image_size: Pixels a side that every image is scaled to. Without it 32, or the base's.
        dry_run: Only say what would be read.
    """
    console = console_beside(json)
    packed, found = pack(archive, reading.validation or "auto", has_base=reading.base is not None)
    if found:
        console.print(found_block(archive, found, packed.total))
    with Noisegate(url) as client:
        if dry_run:
            with ProgressDisplay(console, "upload") as progress:
                report = client.datasets.inspect(
                    packed, image_size=image_size, progress=progress.show_bytes, **reading.given()
                )
            print_json(report) if json else console.print(report_block(report))
            return
        with ProgressDisplay(console, "upload") as progress:
            sent = client.datasets.upload(
                packed, name=name, image_size=image_size, progress=progress.show_bytes, **reading.given()
            )
        with ProgressDisplay(console, "reading") as progress:
            dataset = client.datasets.wait(sent.id, progress=dataset_shown(client, progress))
        if dataset.error:
            raise ProblemError.from_document(dataset.error.document())
        print_json(dataset) if json else console.print(datasets_table([dataset]), crop=False)
        is_counted = found is not None and found.counts is not None
        for part in told_of_upload(client, dataset, name, sent.id, with_classes=not is_counted):
            console.print(part, soft_wrap=True)


def report(dataset: str, *, json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Show how a dataset's upload was read: layout, classes with samples, what was left out and why.

    Args:
        dataset: Id or name.
    """
    with Noisegate(url) as client:
        found = client.datasets.report(dataset)
    print_json(found) if json else console_for().print(report_block(found))
