"""The rows. Enumerations are strings with a named CHECK; times are UTC; leases are seconds by the database's clock."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from noisegate.api.card import Card
from noisegate.api.dataset_report import DatasetReport
from noisegate.api.problems import Failure
from noisegate.api.reading import AS_IT_IS, Reading
from noisegate.decision_rule import DecisionRule
from noisegate.details import Details
from noisegate.manifest import Metrics, ModelManifest
from noisegate.presets.choices import Choice
from noisegate.selection import Selection
from noisegate.spec import ExperimentSpec
from noisegate.spec.derived import AnyDerived, DerivedSpec
from noisegate.store.clock import seconds_now
from noisegate.store.ids import new_id
from noisegate.store.json_columns import Json, Typed
from noisegate.store.states import DatasetState, DerivedState, State


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware UTC datetime, on SQLite too, which forgets time zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        assert value is None or value.tzinfo is not None, "naive datetimes have no place here"
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC) if value else None


def utc_now() -> datetime:
    """The time for a person to read; leases never use it."""
    return datetime.now(UTC)


def _named(states: type[State] | type[DatasetState] | type[DerivedState]) -> sa.Enum:
    """A string column with a CHECK, so that a state can be added by a migration on every database."""
    return sa.Enum(
        states,
        native_enum=False,
        create_constraint=True,
        name="state",
        length=20,
        values_callable=lambda enum: [state.value for state in enum],
    )


class Base(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# The owner of shared resources: the bundled digits, and all that was made without a key.
NOBODY = ""


class Owned:
    """A row that belongs to somebody; sessions of other owners do not see it (noisegate.store.sessions)."""

    owned_by: Mapped[str] = mapped_column(sa.String(40), server_default=NOBODY, doc="Owner of the key that made it.")


class Leased:
    """A row that a worker claims. Unclaimed: `lease_until` is null. (owner, attempt) is the fence: writes must name both."""

    owner: Mapped[str | None] = mapped_column(sa.String(200))
    attempt: Mapped[int] = mapped_column(default=0, doc="Claims so far; it only ever rises.")
    losses: Mapped[int] = mapped_column(default=0, doc="Leases that ran out; a lease given back is not one.")
    lease_until: Mapped[float | None] = mapped_column(sa.Double)
    woken_at: Mapped[float] = mapped_column(
        sa.Double, default=seconds_now(), doc="When a wake-up was last sent for this row."
    )


class Dataset(Leased, Owned, Base):
    """Labelled images. `same_as` names the dataset that an upload turned out to repeat."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True, default=lambda: new_id("ds"))
    name: Mapped[str] = mapped_column(sa.String(200))
    source: Mapped[str] = mapped_column(sa.String(20), doc="upload, labels, digits or cifar10")
    state: Mapped[DatasetState] = mapped_column(_named(DatasetState), default=DatasetState.INGESTING)
    image_size: Mapped[int]
    upload_digest: Mapped[str | None] = mapped_column(sa.String(64), index=True, doc="SHA-256 of the archive as sent.")
    file_name: Mapped[str | None] = mapped_column(
        sa.String(200), doc="What its sender called the upload's file: words to refuse it in, never a path."
    )
    images_done: Mapped[int] = mapped_column(default=0)
    classes: Mapped[list[str] | None] = mapped_column(Json)
    counts: Mapped[dict[str, dict[str, int]] | None] = mapped_column(Json, doc="Split to class to number of images.")
    train_count: Mapped[int | None]
    test_count: Mapped[int | None]
    skipped: Mapped[int | None] = mapped_column(doc="Members of the archive that are no images.")
    content_hash: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    images_digest: Mapped[str | None] = mapped_column(sa.String(64))
    labels_digest: Mapped[str | None] = mapped_column(sa.String(64))
    originals_digest: Mapped[str | None] = mapped_column(
        sa.String(64), doc="The files that it came as (noisegate.data.originals); null in datasets older than that."
    )
    originals_index_digest: Mapped[str | None] = mapped_column(sa.String(64))
    originals_bytes: Mapped[int | None] = mapped_column(sa.BigInteger)
    shared_originals: Mapped[list[str] | None] = mapped_column(
        Json,
        doc="Digests of the originals that a version shares with its base, in the order of its index; null without a base.",
    )
    base_id: Mapped[str | None] = mapped_column(
        sa.String(40),
        index=True,
        doc="The dataset that it is a version of, which may be gone by now; null without a base.",
    )
    base_name: Mapped[str | None] = mapped_column(sa.String(200), doc="As it was called then.")
    longer_side: Mapped[int | None] = mapped_column(
        doc="Median over its originals, in pixels; null in datasets older than that."
    )
    licence: Mapped[str | None] = mapped_column(sa.Text)
    format: Mapped[int] = mapped_column(
        default=1,
        server_default="1",
        doc="Workers whose FORMAT is less leave its ingestion alone (noisegate.spec.formats).",
    )
    reading: Mapped[Reading] = mapped_column(
        Typed(Reading), default=AS_IT_IS, server_default="{}", doc="What the one who sent it said of it."
    )
    report: Mapped[DatasetReport | None] = mapped_column(
        Typed(DatasetReport), deferred=True, doc="Null until it is ready, and in datasets older than reports."
    )
    copies_until: Mapped[float | None] = mapped_column(
        sa.Double,
        doc="Until when it is certain that a worker looks for copies among the images, by the database's clock; null if none does.",
    )
    error: Mapped[Failure | None] = mapped_column(Typed(Failure))
    same_as: Mapped[str | None] = mapped_column(sa.ForeignKey("datasets.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        # A failed ingestion does not keep its name.
        sa.Index(
            "uq_datasets_name",
            "owned_by",
            "name",
            unique=True,
            sqlite_where=sa.text("state != 'failed'"),
            postgresql_where=sa.text("state != 'failed'"),
        ),
    )

    @property
    def digests(self) -> list[str]:
        """The digests of its files, those that it shares with its base among them."""
        digests = (self.images_digest, self.labels_digest, self.originals_digest, self.originals_index_digest)
        return [digest for digest in (*digests, *(self.shared_originals or ())) if digest]


class Derived(Leased, Base):
    """An artefact that is made of a dataset by a job, and can be made again. It belongs to the dataset's owner."""

    __tablename__ = "derived"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True, default=lambda: new_id("der"))
    dataset_id: Mapped[str] = mapped_column(sa.ForeignKey("datasets.id"))
    parent_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("derived.id"), index=True, doc="What it is made of; null for what is made of the dataset itself."
    )
    kind: Mapped[str] = mapped_column(sa.String(20))
    key: Mapped[str] = mapped_column(sa.String(64), doc="SHA-256 of all that it follows from (spec.derived.Needed).")
    parameters: Mapped[DerivedSpec] = mapped_column(Typed(AnyDerived))
    format: Mapped[int] = mapped_column(
        default=1, server_default="1", doc="Workers whose FORMAT is less do not make it (noisegate.spec.formats)."
    )
    state: Mapped[DerivedState] = mapped_column(_named(DerivedState), default=DerivedState.WAITING)
    asked: Mapped[bool] = mapped_column(
        default=False,
        server_default=sa.false(),
        doc="Whether a person asked for it: it is made although no execution waits for it.",
    )
    done: Mapped[int] = mapped_column(default=0, doc="How much of `total` is made, in units of its kind: images.")
    total: Mapped[int | None]
    size_bytes: Mapped[int | None] = mapped_column(sa.BigInteger, doc="Of its files, once it is ready.")
    error: Mapped[Failure | None] = mapped_column(Typed(Failure))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, doc="When it was last asked for or read.")

    dataset: Mapped[Dataset] = relationship()
    parent: Mapped["Derived | None"] = relationship(remote_side=[id])

    __table_args__ = (sa.UniqueConstraint("dataset_id", "key"), sa.Index("ix_derived_state", "state"))


class DerivedFile(Base):
    """A file of a derived artefact; while it is being made, a finished piece of one."""

    __tablename__ = "derived_files"

    derived_id: Mapped[str] = mapped_column(sa.ForeignKey("derived.id"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    file_digest: Mapped[str] = mapped_column(sa.String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)


class Experiment(Owned, Base):
    """What a person posted. `spec` is an ExperimentSpec, with its sweep."""

    __tablename__ = "experiments"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True, default=lambda: new_id("exp"))
    name: Mapped[str] = mapped_column(sa.String(200))
    spec: Mapped[ExperimentSpec] = mapped_column(Typed(ExperimentSpec))
    format: Mapped[int] = mapped_column(
        default=1, server_default="1", doc="Workers of an older spec format leave it alone (noisegate.spec.formats)."
    )
    preset: Mapped[str | None] = mapped_column(sa.String(100), doc="Name of the preset it was posted from.")
    scale: Mapped[str | None] = mapped_column(sa.String(20), doc="The preset's scale.")
    choice: Mapped[Choice | None] = mapped_column(
        Typed(Choice), doc="What the preset chose for the dataset, and why; null of presets that leave no choice."
    )
    dataset_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("datasets.id"), index=True, doc="Null for kinds that make their own data."
    )
    state: Mapped[State] = mapped_column(_named(State), default=State.QUEUED, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    time_limit: Mapped[float | None] = mapped_column(
        sa.Double,
        doc="Seconds from its first execution's start; null without a limit, and in rows from before this column.",
    )
    deadline: Mapped[float | None] = mapped_column(
        sa.Double,
        doc="When it is cancelled if it has not ended; seconds by the database's clock, like a lease. Null until it starts.",
    )
    error: Mapped[Failure | None] = mapped_column(Typed(Failure), doc="Why it was cancelled, if not by a person.")
    last_event: Mapped[int] = mapped_column(default=0, server_default="0", doc="The number of its newest event.")
    updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When its newest event was entered.")
    traceparent: Mapped[str | None] = mapped_column(
        sa.String(55), doc="The span that it was posted in, if one was recorded; W3C's form."
    )

    dataset: Mapped[Dataset | None] = relationship()
    cells: Mapped[list["Cell"]] = relationship(back_populates="experiment", order_by="Cell.position")


class Cell(Base):
    """One point of the sweep. `spec` is the ExperimentSpec that the point gives, without a sweep.

    A base cell is no point: it trains the execution whose answers decide over the subgroups of the others.
    """

    __tablename__ = "cells"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True, default=lambda: new_id("cell"))
    experiment_id: Mapped[str] = mapped_column(sa.ForeignKey("experiments.id"))
    position: Mapped[int]
    point: Mapped[dict[str, Any]] = mapped_column(Json)
    spec: Mapped[ExperimentSpec] = mapped_column(Typed(ExperimentSpec))
    is_base: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    needs: Mapped[str | None] = mapped_column(
        sa.ForeignKey("derived.id"), index=True, doc="The derived artefact that its executions read."
    )
    # As many numbers as images are left out: read where they are needed.
    selection: Mapped[Selection | None] = mapped_column(
        Typed(Selection), deferred=True, doc="The training images that it leaves out, settled when it was planned."
    )
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When its last execution ended.")

    experiment: Mapped[Experiment] = relationship(back_populates="cells")
    executions: Mapped[list["Execution"]] = relationship(back_populates="cell", order_by="Execution.position")
    others: Mapped[list["CellDataset"]] = relationship(order_by="CellDataset.field")

    __table_args__ = (sa.UniqueConstraint("experiment_id", "position"),)


class CellDataset(Base):
    """A dataset that the executions of a cell read besides the one they are trained on."""

    __tablename__ = "cell_datasets"

    cell_id: Mapped[str] = mapped_column(sa.ForeignKey("cells.id"), primary_key=True)
    field: Mapped[str] = mapped_column(sa.String(200), primary_key=True, doc="The path of the field that names it.")
    dataset_id: Mapped[str] = mapped_column(sa.ForeignKey("datasets.id"), index=True)
    needs: Mapped[str | None] = mapped_column(
        sa.ForeignKey("derived.id"), index=True, doc="The derived artefact that is read instead of it."
    )

    dataset: Mapped[Dataset] = relationship()


class Execution(Leased, Base):
    """One training run: the unit of work. Everything it yields follows from its seed."""

    __tablename__ = "executions"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True, default=lambda: new_id("exe"))
    experiment_id: Mapped[str] = mapped_column(sa.ForeignKey("experiments.id"))
    cell_id: Mapped[str] = mapped_column(sa.ForeignKey("cells.id"))
    position: Mapped[int] = mapped_column(doc="Its number within the cell.")
    place: Mapped[int] = mapped_column(doc="Its place in the order in which the experiment's executions are claimed.")
    seed: Mapped[int] = mapped_column(sa.BigInteger)
    depends_on: Mapped[str | None] = mapped_column(
        sa.ForeignKey("executions.id"), index=True, doc="The execution that must have succeeded before this one starts."
    )
    waits_for: Mapped[str | None] = mapped_column(
        sa.ForeignKey("derived.id"),
        doc="What its cell needs, as long as that is not ready: until then it is not claimed.",
    )
    held: Mapped[bool] = mapped_column(
        default=False,
        server_default=sa.false(),
        doc="Whether it waits for something: what waits_for says, as an index can have it before the order of claims.",
    )
    state: Mapped[State] = mapped_column(_named(State), default=State.QUEUED)
    epochs: Mapped[int] = mapped_column(doc="Epochs to train.")
    epochs_done: Mapped[int] = mapped_column(default=0)
    checkpoint_epochs: Mapped[int] = mapped_column(
        default=0, server_default="0", doc="Epochs that another worker need not repeat."
    )
    checkpoint_digest: Mapped[str | None] = mapped_column(
        sa.String(64), index=True, doc="What it goes on from; gone once it has ended."
    )
    images_per_second: Mapped[float | None] = mapped_column(sa.Double)
    metrics: Mapped[Metrics | None] = mapped_column(Typed(Metrics), doc="Of kinds that have a test set.")
    details: Mapped[Details | None] = mapped_column(Typed(Details))
    scores_digest: Mapped[str | None] = mapped_column(sa.String(64), index=True, doc="The scored training set.")
    samples_digest: Mapped[str | None] = mapped_column(
        sa.String(64), index=True, doc="Its scores of each test image, where its kind keeps them."
    )
    dynamics_digest: Mapped[str | None] = mapped_column(
        sa.String(64),
        index=True,
        doc="What it said of each training image while it was trained, where that is recorded.",
    )
    holdout_accuracy: Mapped[float | None] = mapped_column(sa.Double)
    losses_by_epoch: Mapped[list[float] | None] = mapped_column(Json)
    train_seconds: Mapped[float | None] = mapped_column(sa.Double)
    precision: Mapped[str | None] = mapped_column(sa.String(20))
    device: Mapped[str | None] = mapped_column(sa.String(200))
    versions: Mapped[dict[str, str] | None] = mapped_column(Json)
    error: Mapped[Failure | None] = mapped_column(Typed(Failure))
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    cell: Mapped[Cell] = relationship(back_populates="executions")

    __table_args__ = (
        sa.UniqueConstraint("cell_id", "position"),
        # What waits, in the order it is claimed; and whether an experiment has any execution in a state.
        # Those that wait for an artefact lie apart from those that can be claimed, however many they are.
        sa.Index("ix_executions_waiting", "state", "experiment_id", "held", "place"),
        sa.Index(
            "ix_executions_waits_for",
            "waits_for",
            sqlite_where=sa.text("waits_for IS NOT NULL"),
            postgresql_where=sa.text("waits_for IS NOT NULL"),
        ),
        # Pages of an experiment's executions. No index holds lease_until, so that a heartbeat touches none.
        sa.Index("ix_executions_experiment_id", "experiment_id", "id"),
    )


class Model(Owned, Base):
    """A trained artefact that can be served: its files, found by their digests, and its card."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True, default=lambda: new_id("mod"))
    experiment_id: Mapped[str] = mapped_column(sa.ForeignKey("experiments.id"), index=True)
    cell_id: Mapped[str] = mapped_column(sa.ForeignKey("cells.id"), index=True)
    execution_id: Mapped[str] = mapped_column(sa.ForeignKey("executions.id"), unique=True)
    manifest: Mapped[ModelManifest] = mapped_column(Typed(ModelManifest), doc="As in model.json.")
    holdout_accuracy: Mapped[float | None] = mapped_column(sa.Double)
    rule: Mapped[DecisionRule | None] = mapped_column(
        Typed(DecisionRule), doc="Which scores decide; null for the reject score alone."
    )
    weights_digest: Mapped[str] = mapped_column(sa.String(64))
    manifest_digest: Mapped[str] = mapped_column(sa.String(64))
    onnx_digest: Mapped[str] = mapped_column(sa.String(64))
    reference_digest: Mapped[str | None] = mapped_column(sa.String(64), doc="Null without a holdout to make one of.")
    # Far larger than all else of the row, and rarely asked for.
    card: Mapped[Card | None] = mapped_column(Typed(Card), deferred=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    execution: Mapped[Execution] = relationship()
    cell: Mapped[Cell] = relationship()

    @property
    def digests(self) -> list[str]:
        """The digests of its files."""
        digests = (self.weights_digest, self.manifest_digest, self.onnx_digest, self.reference_digest)
        return [digest for digest in digests if digest]


class Alias(Owned, Base):
    """A movable name for a model; `default` is what /classify uses."""

    __tablename__ = "aliases"

    name: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    model_id: Mapped[str] = mapped_column(sa.ForeignKey("models.id"), index=True)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)

    model: Mapped[Model] = relationship()


class Event(Base):
    """Something that happened to an experiment, in the order of `number`: 1, 2, 3 … without a gap. Never changed."""

    __tablename__ = "events"

    experiment_id: Mapped[str] = mapped_column(sa.ForeignKey("experiments.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(sa.String(30), doc="events.EventType")
    data: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Worker(Base):
    """A worker that runs, or did until its heartbeat ended. Its processes own executions as `name/process id`."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(sa.String(150), primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(100))
    device: Mapped[str] = mapped_column(sa.String(200))
    processes: Mapped[int]
    version: Mapped[str] = mapped_column(sa.String(50))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    beat_at: Mapped[float] = mapped_column(sa.Double, doc="Its newest heartbeat, by the database's clock.")


class ApiKey(Base):
    """What a caller shows to be let in. Of its secret only the digest is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True, doc="The part of a key that is no secret.")
    owner: Mapped[str] = mapped_column(sa.String(40), doc="Whose rows it sees, and who owns what it makes.")
    scopes: Mapped[list[str]] = mapped_column(Json, doc="keys.Scope")
    secret_digest: Mapped[str] = mapped_column(sa.String(64), doc="SHA-256 of the secret, which is 256 random bits.")
    note: Mapped[str] = mapped_column(sa.String(200), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class BrowserSession(Base):
    """A browser that signed in with a key. Of its token only the digest is kept, as of a key's secret."""

    __tablename__ = "browser_sessions"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True, default=lambda: new_id("ses"))
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True, doc="SHA-256 of the token in the cookie.")
    previous_digest: Mapped[str | None] = mapped_column(
        sa.String(64), index=True, doc="Of the token before: good for a moment after `rotated_at`."
    )
    key_id: Mapped[str] = mapped_column(sa.ForeignKey("api_keys.id"), index=True)
    csrf: Mapped[str] = mapped_column(sa.String(64), doc="What changes have to show; worth nothing without the cookie.")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    rotated_at: Mapped[datetime] = mapped_column(UtcDateTime, doc="When the token was made.")
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class IdempotencyKey(Base):
    """A caller's name for a request that must not be carried out twice, and the answer that it got.

    `lease_until` is set while the first request with the key is being carried out; `holder` is that request's own.
    """

    __tablename__ = "idempotency_keys"

    scope: Mapped[str] = mapped_column(sa.String(100), primary_key=True, doc="Method and path.")
    key: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(sa.String(64), doc="SHA-256 of everything that the request asks for.")
    holder: Mapped[str] = mapped_column(sa.String(40))
    lease_until: Mapped[float | None] = mapped_column(sa.Double)
    status: Mapped[int | None]
    headers: Mapped[dict[str, str] | None] = mapped_column(Json)
    body: Mapped[str | None] = mapped_column(sa.Text)
    expires: Mapped[float] = mapped_column(sa.Double, index=True, doc="Seconds by the database's clock.")
