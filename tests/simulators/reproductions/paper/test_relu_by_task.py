from __future__ import annotations

import torch

from si_stream.learning.learner import Learner
from si_stream.learning.parameters import IMPORTANCE, PATH_INTEGRAL, REFERENCE, WEIGHTS
from si_stream.learning.synaptic_intelligence import SynapticIntelligence
from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import SI
from simulators.reproductions.paper.relu_by_task import with_relu_by_task
from simulators.reproductions.paper.settings import learner
from tests.simulators.reproductions.paper.making import DIGITS


def test_what_a_task_made_important_is_not_taken_back_by_the_next() -> None:
    settings = learner(DIGITS, Arm(SI, 1.0, 1, 3), 0, "cpu")
    model = Learner(settings.model, settings.optimiser, settings.consolidator, settings.compute)
    with_relu_by_task(model)
    own = model.consolidator
    assert isinstance(own, SynapticIntelligence)
    trunk = model.trunk
    expected = torch.zeros_like(trunk[WEIGHTS])
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        trunk[WEIGHTS].add_(torch.randn(trunk[WEIGHTS].shape, generator=generator))
        trunk[PATH_INTEGRAL].copy_(torch.randn(trunk[WEIGHTS].shape, generator=generator))
        delta = trunk[WEIGHTS] - trunk[REFERENCE]
        expected += (trunk[PATH_INTEGRAL] / (delta**2 + own.damping)).clamp(min=0)
        own.consolidate(trunk)
        torch.testing.assert_close(trunk[IMPORTANCE], expected)
        assert torch.equal(trunk[REFERENCE], trunk[WEIGHTS])
        assert not trunk[PATH_INTEGRAL].any()
