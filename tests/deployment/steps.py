"""What docker-compose.yml promises, one function a promise: each says what it saw, or raises Broken."""

import hashlib
import io
import json
import tarfile
import time
from http import HTTPStatus
from typing import Any

from noisegate.api.answers import ExperimentAnswer
from noisegate.client import Noisegate
from noisegate.client.errors import ProblemError
from tests.deployment.engine import Broken, Lab

DIGITS: dict[str, Any] = {
    "name": "digits with and without noise",
    "dataset": "digits",
    "executions": 2,
    "holdout": 0.1,
    "training": {"epochs": 4, "batch_size": 16, "first_layer_std": 0.1},
    "noise": {"family": "uniform"},
    "sweep": {"noise.quantity": [0, 1]},
}
# Long enough for three containers to be killed, one after the other, while it runs.
LONG: dict[str, Any] = {**DIGITS, "name": "killed", "executions": 6, "training": {**DIGITS["training"], "epochs": 8}}
TABLE_3: dict[str, Any] = {"preset": "table-3", "scale": "smoke"}


def built(lab: Lab) -> str:
    """What `up` would do as well, if it were not there; here it may take longer. Nothing is left of an earlier run."""
    gone(lab)
    lab.run("build", seconds=3600)
    return "built, with whatever the engine had in its cache"


def slim(lab: Lab) -> str:
    """What serves has no PyTorch. Its size is told, and not judged: a stand-in for the base image has another one."""
    lab.up()
    listed = {image["Repository"]: image["Size"] for image in json.loads(lab.run("images", "--format", "json"))}
    found = lab.run("run", "--rm", "--no-deps", "migrate", "python", "-c", _TORCH).strip()
    if found != "None":
        raise Broken(f"the service's image has PyTorch: {found}")
    sizes = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in sorted(listed.items()) if "noisegate" in name)
    return f"{sizes}, base images included; no PyTorch in that of the service"


_TORCH = "import importlib.util as found; print(found.find_spec('torch'))"


def refused(lab: Lab) -> str:
    """Nothing serves a network while no key exists."""
    lab.run("up", "--detach", "--wait", "database", "broker")
    lab.run("run", "--rm", "migrate")
    try:
        lab.run("run", "--rm", "--no-deps", "service", seconds=60)
    except Broken as error:
        if "ended with 78" in str(error):
            return "database, broker and schema come up; the service does not start, as it should"
        raise
    raise Broken("the service started for a network, without any key")


def key_made(lab: Lab) -> str:
    """As deploy/README.md makes one."""
    made = lab.run(
        "run", "--rm", "migrate", "noisegate", "keys", "create", "--owner", "lab", "--scopes", "read,classify,train"
    )
    lab.key = made.strip().splitlines()[-1]
    return "printed once"


def came_up(lab: Lab) -> str:
    """All that the health checks watch is healthy, and a worker has been seen."""
    lab.up()
    with lab.client() as client:
        _wait_for_workers(client, 1)
        missing = [name for name, found in client.readiness()["checks"].items() if found != "ok"]
    return f"all healthy; ready, missing {', '.join(missing) or 'nothing'}"


def digits(lab: Lab) -> str:
    """An experiment by HTTP, and an image for the model that it made."""
    with lab.client() as client:
        client.datasets.wait("digits")
        ended = client.experiments.wait(client.experiments.create(DIGITS)["id"])
        _expect_success(ended)
        digit = client.datasets.image("digits", "test", 0)
        decision = client.models.classify(digit.png)
    if decision.label != digit.label:
        raise Broken(f"a {digit.label} was taken for a {decision.label}")
    return f"4 executions succeeded; a {digit.label} is recognised"


def closed(lab: Lab) -> str:
    """Without a key, nothing but what says that the service lives."""
    with Noisegate(lab.url, api_key="") as client:
        try:
            client.workers.list()
        except ProblemError as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                return f"401: {error.title}"
            raise
    raise Broken("GET /workers was answered without a key")


def killed(lab: Lab) -> str:
    """Three containers killed while an experiment runs: every execution succeeds, once."""
    with lab.client() as client:
        id = client.experiments.create(LONG)["id"]
        seen: list[str] = []
        for count, container in enumerate(("worker", "broker", "database"), start=1):
            done = _wait_until_training(client, id, succeeded=count)
            lab.run("kill", "--signal", "KILL", container)
            lab.up()
            seen.append(f"{container} at {done} of 12")
        ended = client.experiments.wait(id)
        _expect_success(ended)
        _expect_rows(client, id, 12)
    return f"killed {', '.join(seen)}; all 12 succeeded, each once"


def crashed(lab: Lab) -> str:
    """What restarts by itself, without anybody's `up`."""
    with lab.client() as client:
        before = {worker["name"] for worker in client.workers.list()}
        id = client.experiments.create(DIGITS)["id"]
        _wait_until_training(client, id)
        # The child of tini, which is process 1.
        lab.run("exec", "-T", "worker", "sh", "-c", "kill -KILL $(cat /proc/1/task/1/children)")
        started = time.monotonic()
        while not ({worker["name"] for worker in client.workers.list()} - before):
            if time.monotonic() - started > 120:
                raise Broken("no new worker within two minutes")
            time.sleep(0.5)
        back = time.monotonic() - started
        _expect_success(client.experiments.wait(id))
        _expect_rows(client, id, 4)
    return f"back after {back:.0f} s, all 4 succeeded"


def down_and_up(lab: Lab) -> str:
    """The volumes hold everything."""
    with lab.client() as client:
        before = _content(client)
    lab.run("down", "--timeout", "90")
    lab.up()
    with lab.client() as client:
        after = _content(client)
        client.models.classify(client.datasets.image("digits", "test", 0).png)
    if before != after:
        raise Broken(f"before {before}, after {after}")
    return (
        f"the same {len(before[0])} experiments and {len(before[1])} models; the key still opens; a digit is classified"
    )


def copied(lab: Lab) -> str:
    """The half of a backup that is files, as docs/operations.md makes it: each has the SHA-256 that it is named by."""
    tar = lab.read("run", "--rm", "--no-deps", "-T", "migrate", "tar", "-C", "/data/artefacts", "-c", "sha256")
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        files = [(member.name, opened.extractfile(member)) for member in opened if member.isfile()]
        whole = [name for name, file in files if file and name.endswith(hashlib.sha256(file.read()).hexdigest())]
    with lab.client() as client:
        models = len(list(client.models.list()))
    if len(whole) < len(files) or len(files) < 3 * models:
        raise Broken(f"{len(whole)} of {len(files)} files are whole; there are {models} models")
    return f"{len(files)} files, {len(tar) / 1e6:.0f} MB, all whole"


def begun(lab: Lab) -> str:
    """All of the beginning in one, as an upgrade begins, too."""
    built(lab)
    lab.run("run", "--rm", "migrate")
    key_made(lab)
    came_up(lab)
    return digits(lab)


def scaled(lab: Lab) -> str:
    """The same experiment by one worker and by two, each with one training process of one thread."""
    seconds = {}
    for workers in (1, 2):
        lab.up("--scale", f"worker={workers}")
        with lab.client() as client:
            _wait_for_workers(client, workers)
            # A process that has just started loads PyTorch at its first execution.
            _expect_success(client.experiments.wait(client.experiments.create(DIGITS)["id"]))
            started = time.monotonic()
            _expect_success(client.experiments.wait(client.experiments.create(TABLE_3)["id"]))
            seconds[workers] = time.monotonic() - started
    return f"{seconds[1]:.0f} s and {seconds[2]:.0f} s: {seconds[1] / seconds[2]:.2f} × by the second worker, n = 1"


def upgraded(old: Lab, new: Lab) -> str:
    """An earlier version with rows, and an experiment that runs, becomes this one by `up` alone."""
    begun(old)
    new.key = old.key
    with old.client() as client:
        models = _content(client)[1]
        id = client.experiments.create(LONG)["id"]
        done = _wait_until_training(client, id)
    before = _schema(old)
    new.up()
    with new.client() as client:
        _expect_success(client.experiments.wait(id))
        _expect_rows(client, id, 12)
        experiments, now = _content(client)
        if len(experiments) != 2 or not set(models) < set(now):
            raise Broken(f"two experiments, and the models {models}, were expected: {experiments}, {now}")
        for model in models:
            client.models.classify(client.datasets.image("digits", "test", 0).png, model=model)
    return (
        f"schema {before} became {_schema(new)}, with an experiment at {done} of 12: all succeeded; old models classify"
    )


def rolled_back(old: Lab, new: Lab) -> str:
    """As docs/operations.md says: stop, take the tables back with the new version, start the old one."""
    with new.client() as client:
        before = _content(client)
    revision = old.run("run", "--rm", "--no-deps", "migrate", "python", "-c", _NEWEST).strip()
    new.run("stop", "service", "worker")
    new.run("run", "--rm", "migrate", "python", "-m", "migrations.run", "--downgrade", revision)
    old.up("--no-build")
    with old.client() as client:
        if _content(client) != before:
            raise Broken(f"before {before}, after {_content(client)}")
        for model in before[1]:
            client.models.classify(client.datasets.image("digits", "test", 0).png, model=model)
        _expect_success(client.experiments.wait(client.experiments.create(DIGITS)["id"]))
    return f"schema {_schema(old)}; all {len(before[0])} experiments are there, all {len(before[1])} models classify, and it trains"


_NEWEST = (
    "from alembic.script import ScriptDirectory as S; from migrations.run import config; "
    "print(S.from_config(config()).get_current_head())"
)


def gone(lab: Lab) -> str:
    """The end of the project, with all that it held."""
    lab.run("down", "--volumes", "--timeout", "30")
    return "nothing is left"


def _schema(lab: Lab) -> str:
    query = "SELECT version_num FROM alembic_version"
    psql = ["psql", "--username=noisegate", "--dbname=noisegate", "--tuples-only", "--no-align", f"--command={query}"]
    return lab.run("exec", "-T", "database", *psql).strip()


def _wait_for_workers(client: Noisegate, count: int) -> None:
    deadline = time.monotonic() + 120
    while sum(worker["alive"] for worker in client.workers.list()) < count:
        if time.monotonic() > deadline:
            raise Broken(f"not {count} workers within two minutes")
        time.sleep(0.5)


def _wait_until_training(client: Noisegate, id: str, *, succeeded: int = 0) -> int:
    """How many executions have succeeded, once it is so many and one is running."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        states = [one["state"] for one in client.experiments.executions(id)]
        if "running" in states and states.count("succeeded") >= succeeded:
            return states.count("succeeded")
        time.sleep(0.3)
    raise Broken(f"after three minutes not {succeeded} have succeeded with another running: {states}")


def _content(client: Noisegate) -> tuple[list[tuple[str, str]], list[str]]:
    experiments = sorted((one["id"], str(one["state"])) for one in client.experiments.list())
    return experiments, sorted(model["id"] for model in client.models.list())


def _expect_success(experiment: ExperimentAnswer) -> None:
    if experiment["state"] != "succeeded":
        raise Broken(f"experiment {experiment['id']} ended as {experiment['state']}")


def _expect_rows(client: Noisegate, id: str, count: int) -> None:
    states = [one["state"] for one in client.experiments.executions(id)]
    if states != ["succeeded"] * count:
        raise Broken(f"{count} executions that succeeded were expected: {states}")
