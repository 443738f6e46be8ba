"""What a person may choose about the model and how it learns; plain values, no tensors.

Every default is the paper's (Zenke et al. 2017, §5) or its authors' code's; `presets`
holds the three benchmarks' complete settings.
"""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

MAX_INPUT_NUMBERS = 2**26

Initialisation = Literal["glorot-uniform", "zero"]
Keeping = Literal["synaptic-intelligence", "ewc", "online-ewc", "lwf", "slow-trunk", "none"]


class Options(BaseModel):
    """A group of settings: unknown keys are refused, and nothing changes after it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkOptions(Options):
    """The trunk, which all tasks share, and the linear heads on it."""

    kind: Literal["mlp", "cifar-cnn", "module"] = Field(
        "mlp", description="mlp, cifar-cnn (the paper's), or module: a trunk of one's own"
    )
    hidden: tuple[PositiveInt, ...] = Field(
        (256, 256),
        max_length=1000,
        description="mlp: units of each hidden ReLU layer (paper: split MNIST)",
    )
    hidden_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="mlp: share of each hidden layer's units that a training step leaves out; the "
        "paper compares with 0.5",
    )
    module: str | None = Field(
        None,
        description="module: 'package.module:function' that returns a torch.nn.Module trunk "
        "taking [batch, *input_shape] to [batch, features]",
    )
    dropout: bool = Field(True, description="cifar-cnn: the paper's dropout of 0.25, 0.25, 0.5")
    head_initialisation: Initialisation = Field(
        "zero", description="weights of a new head; biases are always zero"
    )


class ModelOptions(Options):
    """What a model is. Fixed at its birth, but for its name: a checkpoint remembers it."""

    name: str = Field("si-stream", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    input_shape: tuple[PositiveInt, ...] = Field(
        (), description="one input, such as [28, 28]; required"
    )
    dtype: Literal["uint8", "float32"] = Field(
        "uint8", description="of the inputs; uint8 is divided by 255, float32 taken as it is"
    )
    outputs: int = Field(
        0,
        ge=0,
        description="labels of one head: 0 … outputs-1; required where labels are fixed, and where "
        "they are open those that a new head has from the start",
    )
    labels: Literal["fixed", "open"] = Field(
        "fixed",
        description="fixed: a label that is not below outputs is rejected. open: a head gets an "
        "output for each label when it first comes",
    )
    max_classes: int = Field(
        100,
        ge=1,
        description="open labels: the most outputs that a head may ever have; labels are below it. "
        "The head's weights are as many from the start",
    )
    heads: Literal["per-task", "shared"] = Field(
        "per-task", description="one head for each task, or a single one for all"
    )
    batch_size: int = Field(64, ge=1, description="samples; a boundary cuts a batch short")
    seed: int = Field(0, ge=0, description="of the initial weights and of dropout")
    network: NetworkOptions = NetworkOptions()

    @property
    def width(self) -> int:
        """Outputs that a head is made with, open or not; every label is below it."""
        return self.outputs if self.labels == "fixed" else self.max_classes

    @field_validator("input_shape")
    @classmethod
    def _fits_a_message(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if math.prod(shape) > MAX_INPUT_NUMBERS:
            raise ValueError(
                f"one input has more than {MAX_INPUT_NUMBERS:,} numbers, as an image of 4,730 × "
                "4,730 in three colours has; make it smaller"
            )
        return shape

    @model_validator(mode="after")
    def _open_ones_have_room(self) -> Self:
        if self.outputs > self.width:
            raise ValueError(
                f"outputs is {self.outputs} and max_classes {self.max_classes}: a head cannot have "
                "more outputs open than it has; raise max_classes"
            )
        return self


class OptimiserOptions(Options):
    """Adam (Kingma & Ba 2014) or plain gradient descent."""

    kind: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0, allow_inf_nan=False)
    epsilon_placement: Literal["before-correction", "after-correction"] = Field(
        "before-correction",
        description="added to the root of the raw second moment (Keras, the authors) or of the "
        "bias-corrected one (PyTorch)",
    )
    keep_over_boundary: Literal["all", "nothing", "step-count"] = Field(
        "step-count",
        description="what Adam keeps when a task ends; step-count zeroes the moments alone, as "
        "the authors' code does where the paper says 'reset'",
    )


class ConsolidatorOptions(Options):
    """How old tasks are kept."""

    kind: Keeping = Field(
        "synaptic-intelligence",
        description="synaptic-intelligence; ewc and online-ewc, by the Fisher information; lwf, "
        "which keeps what old heads answer to new inputs; slow-trunk, which learns less or nothing "
        "in the trunk after the first task; or none",
    )
    strength: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="c of Eq. 4; of ewc half of its authors' λ, of lwf their λ",
    )
    damping: float = Field(
        1e-3, gt=0, allow_inf_nan=False, description="synaptic-intelligence: ξ of Eq. 5"
    )
    decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the importance Ω that is lost at each consolidation, lest a network "
        "grow stiff over hundreds of tasks; 0: none, as in the paper. Of online-ewc 1 - γ",
    )
    fisher_samples: int = Field(
        256,
        ge=1,
        description="ewc, online-ewc: samples of a task, drawn evenly, that are kept to its end "
        "to measure the Fisher information on; each costs a backward pass for each output. Stays "
        "as it is in a model's life",
    )
    trunk_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="slow-trunk: what the trunk's learning rate is multiplied by after the first "
        "task; 0 freezes it",
    )


class ComputeOptions(Options):
    """Where and how the arithmetic is done; recorded in the checkpoint, not part of the model."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(
        1,
        ge=1,
        description="of the arithmetic; 1 leaves the other cores to predictions, and small "
        "networks gain nothing from more. Other counts give other bits",
    )
    kernel: Literal["auto", "numba", "plain", "compiled"] = Field(
        "auto", description="of the update; auto is numba on a CPU, compiled on a GPU"
    )
