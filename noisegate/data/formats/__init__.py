"""Files that hold many images with their labels: Parquet, arrays of NumPy's, MNIST's idx, CIFAR's binary version.

`READERS` are asked in their order; each takes the files that are its own, and says None to the others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from noisegate.data.members import ArchiveLimits, Collected, LeftOut, Member

# Given all files that were unpacked and the text files beside them; yields the images of those that it reads. A file that no
# reader takes is left out.
Reader = Callable[[Sequence[Collected], Mapping[str, bytes], ArchiveLimits], Iterator[Member | LeftOut] | None]

READERS: tuple[Reader, ...] = ()


def read_collected(
    files: Sequence[Collected], attachments: Mapping[str, bytes], limits: ArchiveLimits
) -> Iterator[Member | LeftOut]:
    """The images of all files, one in memory at a time; files that no reader knows come as `LeftOut`.

    Raises:
        InvalidArchive: a file is damaged, or says nothing of its images' labels.
        TooLarge: over one of the limits.
    """
    for reader in READERS:
        found = reader(files, attachments, limits)
        if found is not None:
            yield from found
            return
    for file in files:
        yield LeftOut(file.name, "holds images in no form that is read")
