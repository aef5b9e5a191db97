"""The installation that `NOISEGATE_…` names, opened for a command: what goes wrong within becomes one message."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from noisegate.client.errors import ClientError
from noisegate.errors import NoisegateError
from noisegate.store.settings import Settings, load_settings


@contextmanager
def installation() -> Iterator[Settings]:
    """The settings.

    Raises:
        ClientError: in place of whatever of ours, of the database or of the files is raised within the block.
    """
    try:
        yield load_settings()
    except NoisegateError as error:
        raise ClientError(" ".join(part for part in (f"{error.detail}.", error.remedy) if part)) from error
    except SQLAlchemyError as error:
        raise ClientError(
            f"The database does not answer, or has not been migrated ({type(error).__name__}). "
            "NOISEGATE_DATABASE_URL or NOISEGATE_DATA_DIR names it; `python -m migrations.run` migrates it."
        ) from error
    except BrokenPipeError:
        raise  # the reader has gone, which `cli.run` knows
    except OSError as error:
        raise ClientError(f"{error.filename or 'A file'}: {error.strerror}.") from error
