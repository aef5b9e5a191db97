"""Every setting, read from `NOISEGATE_…` in the environment; the same names in `noisegate up` and in docker compose."""

from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

import sqlalchemy as sa
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from noisegate.logs import LogFormat
from noisegate.spec.caps import Caps

MIB = 2**20
GIB = 2**30


@lru_cache(maxsize=256)
def is_loopback(name: str) -> bool:
    """Whether this is the name or an address of the loopback interface."""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _with_password(url: str, file: Path | None) -> str:
    """The URL with the content of the file as its password, if there is a file; read when a URL is made, and never logged.

    Raises:
        ValueError: the file is empty, or the URL has a password or no host to give one to.
        OSError: the file cannot be read.
    """
    if file is None:
        return url
    if not (password := file.read_text().strip()):
        raise ValueError(f"{file} is empty: a password is missing")
    parts = urlsplit(url)
    user, _, address = parts.netloc.rpartition("@")
    if not address or ":" in user:
        raise ValueError(f"{file} holds a password, but its URL has one already, or no host")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{address}"))


class Settings(BaseSettings):
    """Where things are kept, and how much of anything is allowed. Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="NOISEGATE_", env_nested_delimiter="__", extra="ignore", frozen=True)

    data_dir: Path = Field(
        Path("noisegate-data"), description="Artefacts, and the SQLite file when no database is named."
    )
    database_url: str = Field("", description="SQLAlchemy URL; empty means an SQLite file in data_dir.")
    artefact_url: str = Field(
        "", description="Where machines share artefacts, as s3://bucket/prefix; empty: they lie in data_dir alone."
    )
    artefact_cache_bytes: int = Field(
        20 * GIB,
        ge=0,
        description="With artefact_url: what data_dir keeps of them; the least recently used goes first.",
    )
    database_password_file: Path | None = Field(
        None, description="File whose content is the password put into database_url: it stands in no environment."
    )
    broker_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey; redis+socket:///path also works.")
    broker_password_file: Path | None = Field(
        None, description="File whose content is the password put into broker_url."
    )

    host: str = Field("127.0.0.1", description="What `python -m service.main` binds to.")
    port: int = Field(8000, ge=0, le=65_535)
    service_processes: int = Field(1, ge=1, description="More share the port.")
    authentication: Literal["auto", "required", "off"] = Field(
        "auto",
        description="Whether callers need an API key; auto: unless the service is bound to the loopback interface, and no proxy "
        "says that it sends a request on. Behind a proxy on the same machine say `required`: not every proxy says so.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="JSON list of names that requests may be sent to; none: where no key is needed those of this machine.",
    )
    allowed_origins: tuple[str, ...] = Field(
        (),
        description="JSON list of websites whose pages may ask from a browser (CORS), as https://example.org; none: no page may.",
    )
    requests_per_minute: int = Field(
        120_000, ge=0, description="Of one key, in one service process; more are refused. 0: no limit."
    )
    failures_per_minute: int = Field(60, ge=1, description="Wrong keys from one address; more are 429.")
    key_refresh_seconds: float = Field(1, gt=0, description="How often new and revoked keys are looked for.")
    body_seconds: float = Field(30, gt=0, description="A request whose body stands still for this long is given up.")
    keep_alive_seconds: int = Field(
        5,
        ge=1,
        description="How long a connection without a request stays open. Behind a reverse proxy longer than the proxy keeps "
        "its own (nginx: 60): else it sends requests into connections that have just been closed.",
    )
    url_prefix: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Path below which a reverse proxy serves this, as /noisegate; whether it strips the path or not.",
    )

    guide_dir: Path | None = Field(
        None,
        description="Folder of a guide that `make docs` has built, for /docs/guide; none: what this package brings.",
    )

    log_format: LogFormat | None = Field(
        None, description="json or console; none: console on a terminal, else one JSON object a line."
    )

    caps: Caps = Caps()
    max_json_bytes: int = Field(256 * 1024, description="A request body that is JSON, images aside.")
    max_image_bytes: int = Field(10 * MIB, description="One image, encoded.")
    max_image_pixels: int = Field(50_000_000, description="One image, decoded; checked before decoding.")
    max_upload_bytes: int = Field(4 * GIB, description="One uploaded archive.")
    max_archive_files: int = Field(2_000_000, description="Members of one archive.")
    max_archive_bytes: int = Field(64 * GIB, description="One archive, unpacked.")
    max_archive_ratio: float = Field(100, description="One archive: unpacked size over packed size.")
    min_free_bytes: int = Field(256 * MIB, description="Disk space that uploads and ingestion leave free.")

    max_queued_executions: int = Field(
        200_000, ge=1, description="Executions of all experiments that wait or run; posting more is refused."
    )
    idempotency_seconds: float = Field(86_400, gt=0, description="How long the answer to an Idempotency-Key is kept.")
    max_event_streams: int = Field(200, ge=1, description="Streams of events that one service process keeps open.")

    lease_seconds: float = Field(20, gt=0, description="A claim not renewed for this long is taken from its worker.")
    heartbeat_seconds: float = Field(
        3, gt=0, description="How often a worker renews, reports progress, looks for cancellation."
    )
    reaper_seconds: float = Field(2, gt=0, description="How often a worker looks for lost leases and lost wake-ups.")
    wakeup_seconds: float = Field(
        15, gt=0, description="A row waiting this long is woken again, if the queue is empty."
    )
    max_losses: int = Field(3, ge=1, description="After this many lost leases an execution or ingestion fails.")

    checkpoint_seconds: float = Field(
        120, gt=0, description="How often a training writes down its state, for another process to go on from."
    )
    scratch_seconds: float = Field(
        86_400, gt=0, description="Half-written files of a killed process go after this long."
    )
    view_seconds: float = Field(
        604_800,
        gt=0,
        description="Views, and what else was made of datasets, go after this long without use: by `noisegate gc`.",
    )
    orphan_seconds: float = Field(
        3_600, gt=0, description="Whole files that a killed process had put but not entered go after this long."
    )

    weights_dir: Path | None = Field(
        None,
        description="Where workers look for weights of backbones, as NAME.safetensors; none but the embedded ones otherwise.",
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    worker_processes: int = Field(
        0, ge=0, description="Training processes; 0: one a core, as far as the memory of a container goes around."
    )
    data_processes: int = Field(
        2,
        ge=0,
        le=64,
        description="Besides them: of a worker, for uploads, views and features; of several the first takes uploads alone. 0: "
        "training processes do that too, and uploads wait behind training.",
    )
    idle_seconds: float = Field(
        120,
        ge=0,
        description="A process of a worker that has waited this long after work is replaced by a fresh one, which holds no memory "
        "for it; the next work loads PyTorch anew, which takes seconds. 0: never.",
    )
    worker_metrics_host: str = Field("127.0.0.1", description="What a worker's metrics are bound to.")
    worker_metrics_port: int = Field(
        0, ge=0, le=65_535, description="Where a worker answers Prometheus; 0: nowhere. One worker a port."
    )
    card_images: int = Field(
        500,
        ge=1,
        description="Images of each unknown family that a model's card is computed from; above 64 pixels a side fewer.",
    )
    claim_capacity: int = Field(
        0,
        ge=0,
        description="Executions of one cell that one process claims; 0: one on a CPU, on a GPU as many as train well at once; "
        "of the recipe linear ten, one after another, as preparing its cells takes longer than an execution.",
    )
    engine: Literal["auto", "separate", "grouped", "multiplied", "vmapped"] = Field(
        "auto",
        description="How executions that train together take a step; auto: on a GPU what a short trial finds fastest.",
    )
    gpu_memory_bytes: int = Field(0, ge=0, description="Of each GPU, what its process may use; 0: all that is free.")
    runtime: Literal["onnxruntime", "openvino"] = Field("onnxruntime", description="What runs models in the service.")
    model_cache: int = Field(32, ge=1, description="Models that one service process keeps loaded.")
    model_cache_bytes: int = Field(512 * MIB, ge=1, description="Memory for all of them; the least used goes first.")
    model_retry_seconds: float = Field(
        30,
        ge=0,
        description="How long a model that did not load is left alone before a name tries to move to it again.",
    )
    max_batch: int = Field(
        32, ge=1, description="Images that run through a model together, up to 79 pixels a side; of larger ones fewer."
    )
    max_waiting_images: int = Field(256, ge=1, description="Images that may wait for one model; more are refused.")
    max_batch_images: int = Field(1_000, ge=1, description="Images of one POST /classify/batch.")
    max_batches: int = Field(8, ge=1, description="POST /classify/batch that are answered at once; more are refused.")
    max_batch_bytes: int = Field(64 * MIB, ge=1, description="The body of one POST /classify/batch.")
    max_tensor_bytes: int = Field(8 * MIB, ge=1, description="The body of one Open Inference Protocol request.")
    max_tensor_values: int = Field(
        500_000, ge=1, description="Numbers in the answer to one Open Inference Protocol request."
    )
    alias_refresh_seconds: float = Field(1, gt=0, description="How often names of models are looked up again.")

    @model_validator(mode="after")
    def _lease_outlives_heartbeat(self) -> "Settings":
        if self.lease_seconds < 3 * self.heartbeat_seconds:
            raise ValueError("lease_seconds must be at least three times heartbeat_seconds")
        return self

    @property
    def keys_required(self) -> bool:
        """Whether every caller needs an API key."""
        return self.authentication == "required" or (self.authentication == "auto" and not is_loopback(self.host))

    @property
    def sqlalchemy_url(self) -> sa.URL:
        if not self.database_url and self.database_password_file is None:
            # Not as text: what a directory is called may mean something else in a URL.
            return sa.URL.create("sqlite", database=str(self.data_dir.absolute() / "noisegate.db"))
        return sa.make_url(_with_password(self.database_url, self.database_password_file))

    @property
    def celery_broker_url(self) -> str:
        return _with_password(self.broker_url, self.broker_password_file)

    @property
    def artefact_root(self) -> Path:
        return self.data_dir.absolute() / "artefacts"


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The settings of this process, read from the environment once."""
    return Settings()
