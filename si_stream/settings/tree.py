"""The tree of settings: the option models that live beside each part, put together.

A `Settings` made in Python holds what it is given and nothing else; only `load_settings`
looks at files and the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from si_stream.boundaries.options import BoundaryOptions, DetectionOptions
from si_stream.brokers.options import KafkaOptions, StreamOptions
from si_stream.checkpoints.options import CheckpointOptions, SnapshotOptions
from si_stream.errors import SettingsError
from si_stream.evaluation.options import HoldoutOptions, PlasticityOptions
from si_stream.learning.options import (
    ComputeOptions,
    ConsolidatorOptions,
    ModelOptions,
    OptimiserOptions,
    Options,
)
from si_stream.learning.presets import PRESETS
from si_stream.settings.source import SourceOptions
from si_stream.settings.web import WebOptions


class LearnerOptions(WebOptions):
    """The process that learns."""

    shadow: Literal["off", "none"] = Field(
        "off",
        description="none: a second learner without consolidation, on the same samples, shows "
        "what would have been forgotten; it doubles the work, hence off",
    )
    exit_at_end: bool = Field(
        False, description="exit at the stream's end message; a service waits for more"
    )
    metrics_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="address of the learner's /metrics; this machine alone, until you open it",
    )
    metrics_port: int = Field(
        9101, ge=0, le=65535, description="of the learner's /metrics; 0 takes any free port"
    )
    token: SecretStr | None = Field(
        None,
        min_length=8,
        description="with which an operator may POST /boundaries at the metrics address; without "
        "one nobody may",
    )
    token_file: Path | None = Field(
        None,
        description="holds the token instead, or several, one a line, as orchestrators mount "
        "secrets; read anew when it has changed",
    )
    read_token: SecretStr | None = Field(
        None,
        min_length=8,
        description="without which nobody reads snapshots, journal and samples at the metrics "
        "address; token opens them too. None: whoever reaches the address reads them",
    )
    read_token_file: Path | None = Field(None, description="holds it instead, as token_file")
    accept_changes: bool = Field(
        False,
        description="go on from the checkpoint with other settings of the optimiser or of "
        "detection, or another strength, damping, decay or trunk_rate, than it was learned with; "
        "the change and its position are recorded",
    )
    niceness: int = Field(
        0,
        ge=0,
        le=19,
        description="added to the process's; above 0 where predictions share its cores",
    )


class PredictorOptions(WebOptions, SourceOptions):
    """The process that answers over HTTP."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="address to listen on; this machine alone, until you open it",
    )
    port: int = Field(8080, ge=0, le=65535, description="to listen on; 0 takes any free port")
    token: SecretStr | None = Field(
        None,
        min_length=8,
        description="without which nobody gets predictions or sees what the page shows; None: "
        "whoever reaches the address does",
    )
    token_file: Path | None = Field(
        None,
        description="holds the token instead, or several, one a line, as orchestrators mount "
        "secrets; read anew when it has changed",
    )
    max_body_bytes: int = Field(
        8 * 1024 * 1024,
        ge=1024,
        description="a larger request is refused (413) before it is read; 8 MiB are some 10,000 "
        "images of 28 × 28 bytes, or 300 as JSON floats",
    )
    max_inputs: int = Field(
        4096,
        ge=1,
        description="inputs of one request; bounds how long the others wait behind it",
    )
    poll_interval_seconds: float = Field(
        0.2,
        gt=0,
        allow_inf_nan=False,
        description="between looks for a newer snapshot; one listing of a directory each",
    )
    threads: int = Field(
        1, ge=1, description="of the arithmetic; replicas serve more requests than threads do"
    )
    max_waiting: int = Field(
        128,
        ge=1,
        description="requests for predictions that are in at a time, read, waiting or being "
        "answered; one more is refused at once (429). Bounds memory to as many bodies, and the "
        "wait to as many answers: 128 of one image each take some hundredths of a second",
    )
    deadline_seconds: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="a request that has waited for longer is not computed but refused (504), for "
        "nobody waits for its answer any more; a client may ask for less. Below what proxies and "
        "clients usually grant, 30 to 60",
    )
    batch_window_seconds: float = Field(
        0.0,
        ge=0,
        le=60,
        description="how long a small request waits for others of the same task, to be computed "
        "together; rounded to milliseconds, so that 0.0001 takes together what is there anyway, "
        "and answers 1.4 to 4 times as many under load. 0: each is computed by itself, since a "
        "batch may give other last bits",
    )

    @model_validator(mode="after")
    def _nobody_waits_for_others_past_the_deadline(self) -> Self:
        if self.batch_window_seconds >= self.deadline_seconds:
            raise ValueError(
                f"batch_window_seconds {self.batch_window_seconds:g} is no less than "
                f"deadline_seconds {self.deadline_seconds:g}, so a request that waits for others "
                "is refused; make it a few thousandths of a second"
            )
        return self


class LogOptions(Options):
    """What a learner and a predictor say on stderr."""

    format: Literal["text", "json"] = Field(
        "text",
        description="text: lines for a person; json: an object a line, for what collects the logs "
        "of many processes and searches them",
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="the least grave that is told; debug also tells of each checkpoint, snapshot "
        "and evaluation, some lines a minute",
    )


class Settings(BaseSettings):
    """Everything a person may choose. Made by `load_settings`, and never changed."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    preset: str | None = Field(
        None, description="one of the paper's benchmarks, the lowest layer of settings"
    )
    data: Path | None = Field(
        None, description="where data sets lie, as torchvision lays them out (SI_STREAM_DATA)"
    )
    directory: Path = Field(
        Path("si-stream-data"), description="of one model: its checkpoints, snapshots and events"
    )
    stream: StreamOptions = StreamOptions()
    kafka: KafkaOptions = KafkaOptions()
    model: ModelOptions = ModelOptions()
    optimiser: OptimiserOptions = OptimiserOptions()
    consolidator: ConsolidatorOptions = ConsolidatorOptions()
    compute: ComputeOptions = ComputeOptions()
    boundaries: BoundaryOptions = BoundaryOptions()
    detection: DetectionOptions = DetectionOptions()
    holdout: HoldoutOptions = HoldoutOptions()
    plasticity: PlasticityOptions = PlasticityOptions()
    checkpoints: CheckpointOptions = CheckpointOptions()
    snapshots: SnapshotOptions = SnapshotOptions()
    learner: LearnerOptions = LearnerOptions()
    predictor: PredictorOptions = PredictorOptions()
    log: LogOptions = LogOptions()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @field_validator("preset")
    @classmethod
    def _preset_is_known(cls, preset: str | None) -> str | None:
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"should be one of {', '.join(PRESETS)}")
        return preset

    @model_validator(mode="before")
    @classmethod
    def _embedded_broker_lies_in_the_directory(cls, given: dict[str, Any]) -> dict[str, Any]:
        stream, directory = given.get("stream", {}), given.get("directory")
        if isinstance(stream, dict) and isinstance(directory, str | Path):
            return {**given, "stream": {"broker": f"embedded:{directory}/broker.sqlite", **stream}}
        return given

    def require_model(self) -> None:
        """Check that it is said what the model takes and gives, as a learner must know.

        Raises:
            SettingsError: `model.input_shape` is not set, or `model.outputs` where labels are
                fixed.
        """
        missing = [
            key
            for key, value in (
                ("model.input_shape", self.model.input_shape),
                ("model.outputs", self.model.width),
            )
            if not value
        ]
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} not set: take a benchmark's with --preset "
                f"{'|'.join(PRESETS)}, or set your own as in "
                "--set model.input_shape=28,28 --set model.outputs=10; with --set "
                "model.labels=open a head gets its outputs as labels come"
            )
