"""Every fault there is, in the order in which they are done."""

from noisegate.spec import ExperimentSpec
from tests.faults import on_clocks, on_messages, on_storage, on_workers, storm
from tests.faults.base import Fault, Form


def _small(form: Form) -> list[ExperimentSpec]:
    return [form.small()]


def _many_small(form: Form) -> list[ExperimentSpec]:
    return [form.small(form.small_executions)]


def _hundred_small(form: Form) -> list[ExperimentSpec]:
    return [form.small(100)]


def _nothing(form: Form) -> list[ExperimentSpec]:
    return []


def _for_broker(form: Form) -> list[ExperimentSpec]:
    return [form.small(on_messages.BROKER_EXECUTIONS)]


FAULTS = [
    Fault("kill-training", on_workers.kill_training, "postgresql", times=10),
    Fault("freeze-worker", on_workers.freeze_worker, "sqlite"),
    Fault(
        "freeze-in-transaction", on_workers.freeze_in_transaction, None, databases=("postgresql",), specs=_hundred_small
    ),
    Fault("kill-workers", on_workers.kill_workers, "sqlite"),
    Fault("broker-restart", on_messages.restart_broker(with_data=True), "sqlite", specs=_for_broker),
    Fault("broker-without-data", on_messages.restart_broker(with_data=False), "sqlite", specs=_for_broker),
    Fault("thrice-woken", on_messages.send_everything_thrice, "sqlite", specs=_small),
    Fault("never-woken", on_messages.send_nothing, "sqlite", specs=_small),
    Fault("post-without-broker", on_messages.post_without_broker, None, specs=_small),
    Fault("kill-service", on_messages.kill_service, "postgresql", specs=_small),
]
_POSTGRES = {
    "postgres-immediate": on_storage.restart_postgres("immediate"),
    "postgres-fast": on_storage.restart_postgres("fast"),
    "postgres-unanswered": on_storage.restart_postgres_unanswered,
}
FAULTS += [
    Fault(
        name,
        inject,
        "postgresql" if name != "postgres-fast" else None,
        databases=("postgresql",),
        specs=_small,
    )
    for name, inject in _POSTGRES.items()
]
FAULTS += [
    Fault("disk-full", on_storage.fill_disk, "sqlite", missing=on_storage.no_small_disk),
]
for _seconds in (300, -300):
    for _kill in (False, True):
        FAULTS.append(
            Fault(
                f"clock{_seconds:+d}s{'-kill' if _kill else ''}",
                on_clocks.step_database(_seconds, kill=_kill),
                # A clock put back is the harder one after a kill, as the lease seems to last for minutes.
                "postgresql" if _kill == (_seconds < 0) else None,
                missing=on_clocks.no_shim_for_sqlite,
            )
        )
FAULTS += [
    Fault(
        "clock-300s-never-woken",
        on_clocks.step_database_unwoken,
        "postgresql",
        specs=_small,
        missing=on_clocks.no_shim_for_sqlite,
    )
]
FAULTS += [
    Fault(
        f"worker-clock{seconds:+d}s",
        on_clocks.step_worker(seconds),
        "postgresql" if seconds > 0 else None,
        databases=("postgresql",),
        missing=on_clocks.no_shim,
    )
    for seconds in (300, -300)
]
FAULTS += [
    # What it does at random, others do in order.
    Fault("random-restarts", on_workers.restart_at_random, "sqlite", nightly=True, specs=_many_small),
    Fault("claim-storm", storm.claim_storm, "postgresql", workers=0, specs=_nothing),
]
