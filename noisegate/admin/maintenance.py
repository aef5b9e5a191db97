"""Commands to operate an installation: on the database and the files that `NOISEGATE_…` names, not through the service.

`cli` names this module and imports it when one of its commands runs: a client of a service elsewhere has no database.
"""

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from noisegate.admin import backups, cleaning
from noisegate.admin.installation import installation
from noisegate.client.output import Json, print_object
from noisegate.store.remote import open_artefacts
from noisegate.store.sessions import open_sessions

_DAY_SECONDS = 86_400.0

# A file or an upload that is being written changes more often than once a minute.
_Seconds = Annotated[float | None, Parameter(validator=validators.Number(gte=60))]
_Days = Annotated[float | None, Parameter(validator=validators.Number(gt=0))]


def gc(
    *, older_than: _Seconds = None, datasets_older_than: _Days = None, dry_run: bool = False, json: Json = False
) -> None:
    """Remove what is no longer needed: files without a row, half-written files, expired keys, failed datasets, unused views.

    Args:
        older_than: Seconds. By default NOISEGATE_ORPHAN_SECONDS for files, NOISEGATE_SCRATCH_SECONDS for half-written ones,
            NOISEGATE_VIEW_SECONDS for views and what else was made of datasets, and a week for failed datasets.
        datasets_older_than: Days; also remove ready datasets of at least this age that no experiment uses.
        dry_run: Only say what would go.
    """
    verb = "would go" if dry_run else "went"
    with installation() as settings:
        backups.database_file(settings)  # opening a mistyped one would make it
        bounds = cleaning.Bounds(
            files=settings.orphan_seconds if older_than is None else older_than,
            scratch=settings.scratch_seconds if older_than is None else older_than,
            failed_datasets=7 * _DAY_SECONDS if older_than is None else older_than,
            derived=settings.view_seconds if older_than is None else older_than,
            unused_datasets=None if datasets_older_than is None else datasets_older_than * _DAY_SECONDS,
        )
        with closing(open_sessions(settings)) as sessions:
            for removed in cleaning.clean(sessions, open_artefacts(settings), bounds, dry_run=dry_run):
                if json:
                    print_object({**asdict(removed), "dry_run": dry_run})
                else:
                    print(f"{removed.count} {removed.kind} {verb}, {removed.size_bytes:,} bytes", flush=True)


def backup(file: Path, *, json: Json = False) -> None:
    """Write the database and all files that it names to one tar, also while everything runs. SQLite only.

    Args:
        file: To be made; nothing is overwritten.
    """
    with installation() as settings:
        summary = backups.back_up(settings, file)
    if json:
        print_object({"file": str(file), **asdict(summary)})
    else:
        print(f"{file} holds {_in_words(summary)}.")


def restore(file: Path, *, json: Json = False) -> None:
    """Unpack a backup into the data directory, which must be empty or not there.

    Args:
        file: What `noisegate backup` wrote.
    """
    with installation() as settings:
        summary = backups.restore(settings, file)
    if json:
        print_object({"folder": str(settings.data_dir), **asdict(summary)})
    else:
        print(f"{settings.data_dir} holds {_in_words(summary)}. It is what there was at {summary.created_at}.")


def _in_words(summary: backups.Summary) -> str:
    return (
        f"the database and {summary.files} files of Noisegate {summary.version}, {summary.size_bytes:,} bytes as a tar"
    )
