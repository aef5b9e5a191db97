"""What the maker of a derived artefact is given: its row, a folder, and a place for finished pieces."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from noisegate.store import derivations, files
from noisegate.store.derived import StoredFile
from noisegate.store.leases import Lease, LeaseLost
from noisegate.store.quotas import check_room_for
from noisegate.store.tables import Derived
from worker.lease import Heartbeat
from worker.resources import Resources


@dataclass
class Making:
    """One artefact that this process holds.

    Attributes:
        row: with its `dataset`, and its `parent` if it has one.
        folder: a scratch folder, removed afterwards.
        pieces: finished pieces by name, kept by this or an earlier attempt.
        done, total: the progress that heartbeats note; the maker sets them, in units of its kind.
    """

    resources: Resources
    row: Derived
    lease: Lease
    folder: Path
    heartbeat: Heartbeat
    pieces: dict[str, StoredFile]
    done: int = 0
    total: int | None = None

    def check(self) -> None:
        """To be called between steps; whatever it raises must pass through."""
        self.heartbeat.check()

    def check_room(self, needed: int, what: str) -> None:
        """Before anything is written.

        Args:
            needed: bytes of the disk that are taken while the artefact is made.
            what: what takes them, in words.

        Raises:
            StorageFull: they are not free, besides what the server leaves.
        """
        left = self.resources.settings.min_free_bytes
        check_room_for(self.resources.artefacts, what, needed, min_free_bytes=left)

    def keep(self, name: str, file: Path) -> None:
        """Keep a finished piece: `file`, which lies in the folder, moves among the artefacts.

        Raises:
            LeaseLost: another worker has taken over, or the artefact was deleted.
            StorageFull: no room.
        """
        artefacts = self.resources.artefacts
        stored = StoredFile(artefacts.seal(file), file.stat().st_size)
        self.heartbeat.persist(partial(self._enter, name, file, stored))
        self.pieces[name] = stored

    def piece(self, name: str) -> Path:
        """Where a finished piece lies; to be opened at once."""
        return self.resources.artefacts.fetch(self.pieces[name].digest)

    def _enter(self, name: str, file: Path, stored: StoredFile) -> None:
        try:
            with self.resources.sessions.begin() as session:
                files.lock(session)
                if file.exists():  # not so when the database went away after an earlier try
                    self.resources.artefacts.place(file, stored.digest)
                derivations.keep_piece(session, self.lease, name, stored)
        except LeaseLost:
            files.discard(self.resources.sessions, self.resources.artefacts, [stored.digest])
            raise
