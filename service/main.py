"""`python -m service.main`: the service behind uvicorn, on the host and port of the settings."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import structlog
import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from noisegate import tracing
from noisegate.logs import configure_logs
from noisegate.store import keys
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings, load_settings
from service.upgrades import IgnoresUpgrades

log = structlog.get_logger(__name__)

# Requests that are being answered get so long when the process is asked to end.
_GRACE_SECONDS = 20
# Where processes that share a port count together; prometheus_client looks for it when it is imported, in each of them.
_SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def main() -> int:
    """Serve until a signal comes. Without a key that opens, a service that needs keys does not start."""
    settings = load_settings()
    configure_logs(settings.log_format)
    if reason := tracing.unavailable():
        log.error("not_started", reason=reason)
        return os.EX_CONFIG
    if settings.keys_required and (reason := _closed_to_all(settings)):
        log.error("not_started", host=settings.host, reason=reason)
        return os.EX_CONFIG
    with _shared_metrics(settings.service_processes):
        uvicorn.run(
            "service.process:serve",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.service_processes,
            http=IgnoresUpgrades,
            timeout_keep_alive=settings.keep_alive_seconds,
            # A waiting client asks once a second: an access log would hold little else. /metrics counts.
            access_log=False,
            # Its lines come out as ours do.
            log_config=None,
            log_level="info",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    return os.EX_OK


@contextmanager
def _shared_metrics(processes: int) -> Iterator[None]:
    """A folder for the time of the service, unless there is one process, or a folder already."""
    if processes == 1 or _SHARED_METRICS in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="noisegate-metrics-") as folder:
        os.environ[_SHARED_METRICS] = folder
        yield


def _closed_to_all(settings: Settings) -> str | None:
    """Why no request could be authenticated, if so."""
    sessions = open_sessions(settings)
    try:
        with sessions.reading() as session:
            if keys.open_keys(session):
                return None
    except SQLAlchemyError as error:
        return f"the database does not answer, or has not been migrated ({type(error).__name__})"
    finally:
        sessions.close()
    return (
        f"every caller who reaches {settings.host} would need a key, and there is none: make one with `noisegate keys create`, "
        "bind to 127.0.0.1, or say NOISEGATE_AUTHENTICATION=off"
    )


if __name__ == "__main__":
    sys.exit(main())
