"""What the tests of the learning core share: small learners and batches for them."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from si_stream.learning.learner import Learner
from si_stream.learning.options import (
    ComputeOptions,
    ConsolidatorOptions,
    ModelOptions,
    OptimiserOptions,
)
from tests.learning.building import Batches, Build, Given

SMALL: Given = {
    "input_shape": (6,),
    "outputs": 3,
    "dtype": "float32",
    "network": {"hidden": (8, 7), "head_initialisation": "glorot-uniform"},
}
FAST: Given = {"learning_rate": 0.01}
ON_CPU: Given = {"device": "cpu"}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here"),
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def build() -> Build:
    """A learner; what is not given is small, on the CPU and with the default kernel."""

    def build(
        model: Given | None = None,
        optimiser: Given | None = None,
        consolidator: Given | None = None,
        compute: Given | None = None,
    ) -> Learner:
        return Learner(
            ModelOptions(**SMALL | (model or {})),
            OptimiserOptions(**FAST | (optimiser or {})),
            ConsolidatorOptions(**consolidator or {}),
            ComputeOptions(**ON_CPU | (compute or {})),
        )

    return build


@pytest.fixture
def batches() -> Batches:
    """Batches of one task, the same for the same numbers: labels by a random linear map."""

    def batches(
        count: int, task: int = 0, shape: tuple[int, ...] = (6,), size: int = 16, outputs: int = 3
    ) -> list[tuple[Tensor, Tensor]]:
        source = torch.Generator().manual_seed(task)
        flat = torch.Size(shape).numel()
        teacher = torch.randn(flat, outputs, generator=source)
        inputs = [torch.randn(size, *shape, generator=source) for _ in range(count)]
        return [(x, (x.reshape(size, flat) @ teacher).argmax(1)) for x in inputs]

    return batches


@pytest.fixture
def own_trunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module `own_trunks` that a person might bring."""
    source = """
        import torch
        from torch import nn

        def dropping():
            return nn.Sequential(
                nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 7)
            )

        def plain():
            return nn.Sequential(nn.Linear(6, 7), nn.ReLU())

        def half_frozen():
            return nn.Sequential(nn.Linear(6, 8).requires_grad_(False), nn.ReLU(), nn.Linear(8, 7))

        def no_parameters():
            return nn.Flatten()

        def no_module():
            return [1, 2]

        def no_features():
            return nn.Unflatten(1, (2, 3))

        def not_this_shape():
            return nn.Linear(5, 7)

        def broken():
            raise RuntimeError("out of cheese")
        """
    (tmp_path / "own_trunks.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_trunks", None)
