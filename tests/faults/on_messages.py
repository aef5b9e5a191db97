"""Faults of the broker and of the service that sends through it: messages lost, repeated, never sent."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import httpx2
import redis
import sqlalchemy as sa

from noisegate.store.tables import Experiment
from noisegate.store.wakeups import QUEUES, TRAIN
from tests.faults.base import Form, Inject, Injected, until_claimed
from tests.faults.processes import until
from tests.faults.system import System

_AGAIN = "sent-again"

# Of work before the broker ends, and of its absence; and enough executions for some to wait all the while.
_MOST_SECONDS = 2
BROKER_EXECUTIONS = 40


def restart_broker(*, with_data: bool) -> Inject:
    """kill -9 of the broker while executions run and wait; it comes back with its messages or without."""

    def inject(system: System, random: Random, form: Form) -> Injected:
        id = system.post(form.small(executions=BROKER_EXECUTIONS))
        system.wait_until_running(id)
        time.sleep(random.uniform(0, _MOST_SECONDS))
        system.broker.kill()
        if not with_data:
            system.broker.forget()
        time.sleep(random.uniform(0, _MOST_SECONDS))  # an outage has a length
        system.broker.start()
        found = Injected([id])
        found.went_on(until_claimed(system, id, time.monotonic()))
        return found

    return inject


def send_everything_thrice(system: System, random: Random, form: Form) -> Injected:
    """Every wake-up, whoever sends it, is in the queue three times."""
    with _repeating(system, times=3):
        id = system.post(form.small())
        system.wait_for_the_end([id])
    found = Injected([id])
    found.broken += [f"{row.id} took {row.attempt} attempts" for row in system.rows(id) if row.attempt != 1]
    return found


@contextlib.contextmanager
def _repeating(system: System, times: int) -> Iterator[None]:
    """Watches the broker's commands, and answers each message that enters the queue with copies of it."""
    watching = redis.Redis(unix_socket_path=str(system.broker.socket), socket_timeout=0.5)
    ended = threading.Event()
    repeated: list[str] = []

    def repeat() -> None:
        with watching.monitor() as commands:  # type: ignore[no-untyped-call]
            ready.set()
            while not ended.is_set():
                with contextlib.suppress(redis.TimeoutError):
                    said = commands.next_command()["command"]
                    if said.startswith(f"LPUSH {QUEUES[TRAIN]} ") and _AGAIN not in said:
                        system.wakeups.train(_AGAIN, count=times - 1)
                        repeated.append(said)

    ready = threading.Event()
    thread = threading.Thread(target=repeat, name="repeater")
    thread.start()
    assert ready.wait(20)
    try:
        yield
    finally:
        ended.set()
        thread.join()
        watching.close()
    assert repeated, "a message was seen and repeated"


def send_nothing(system: System, random: Random, form: Form) -> Injected:
    """Rows without any wake-up, as after a crash between commit and sending."""
    found = Injected()
    while True:
        posted, id = time.monotonic(), system.post(form.small(), wake=False)
        found.experiments.append(id)
        seconds = until_claimed(system, id, posted)
        system.wait_for_the_end([id])
        if seconds > system.settings.wakeup_seconds / 2:
            found.went_on(seconds)
            return found
        # So soon only a message can have been: one too many, left over from what was done before.


def post_without_broker(system: System, random: Random, form: Form) -> Injected:
    """Posted over HTTP while the broker is away: accepted, and found when it is back."""
    _start_service(system)
    system.broker.kill()
    id = _post(system, form)
    system.broker.start()
    found = Injected([id])
    found.went_on(until_claimed(system, id, time.monotonic()))
    return found


def kill_service(system: System, random: Random, form: Form) -> Injected:
    """kill -9 of the service after its commit and before its wake-up: the broker takes no commands in between."""
    _start_service(system)
    known = _ids(system)
    with ThreadPoolExecutor(1) as poster:
        system.broker.signal_all(signal.SIGSTOP)
        posting = poster.submit(_post, system, form)
        until(lambda: len(_ids(system)) > len(known), "the row is committed")
        killed = time.monotonic()
        system.service.kill()
        with contextlib.suppress(httpx2.TransportError):
            posting.result()
    system.broker.signal_all(signal.SIGCONT)
    (id,) = _ids(system) - known
    found = Injected([id])
    found.went_on(until_claimed(system, id, killed))
    system.service.start()
    if (status := httpx2.get(f"{system.service.url}/experiments/{id}", timeout=30).status_code) != 200:
        found.broken.append(f"the service that came back answers {status} for {id}")
    return found


def _start_service(system: System) -> None:
    """A service that has not sent anything yet, so that it holds no connection to the broker."""
    if system.service.running:
        system.service.kill()
    system.service.start()


def _post(system: System, form: Form) -> str:
    document = form.small().model_dump(mode="json")
    answer = httpx2.post(f"{system.service.url}/experiments", json=document, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def _ids(system: System) -> set[str]:
    with system.sessions.reading() as session:
        return set(session.scalars(sa.select(Experiment.id)))
