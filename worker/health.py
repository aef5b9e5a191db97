"""`python -m worker.health`: whether a worker runs on this host, by its heartbeat in the database; for a container's health check.

A container has a host name of its own, so its worker is the one that it finds.
"""

import socket
import sys

from sqlalchemy.exc import SQLAlchemyError

from noisegate.store import workers
from noisegate.store.sessions import Sessions, open_sessions
from noisegate.store.settings import Settings, load_settings


def main() -> int:
    """Exit status: 0 with a heartbeat younger than a lease, 1 without; a sentence says which."""
    healthy, sentence = look(load_settings(), socket.gethostname())
    sys.stdout.write(f"{sentence}\n")
    return 0 if healthy else 1


def look(settings: Settings, host: str) -> tuple[bool, str]:
    """Whether a worker of `host` lives, and why that is thought."""
    sessions = open_sessions(settings)
    try:
        age = heartbeat_age(sessions, host)
    except SQLAlchemyError as error:
        return False, f"The database does not answer ({type(error).__name__}), so no heartbeat is known."
    finally:
        sessions.close()
    if age is None:
        return False, f"No worker of {host} has said that it runs."
    allowed = settings.lease_seconds
    return age <= allowed, f"The last heartbeat is {age:.0f} s old; {allowed:.0f} s are allowed."


def heartbeat_age(sessions: Sessions, host: str) -> float | None:
    """Seconds since the youngest heartbeat of the workers on `host`; None without any.

    Raises:
        SQLAlchemyError: the database is away.
    """
    with sessions.reading() as session:
        return min((one.heartbeat_age for one in workers.seen(session) if one.worker.host == host[:100]), default=None)


if __name__ == "__main__":
    sys.exit(main())
