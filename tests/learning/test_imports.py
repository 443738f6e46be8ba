"""What a learner's process loads: no compiler, no data sets, and machine code that is there."""

from __future__ import annotations

import json
import subprocess
import sys

from si_stream.learning.kernels import fused
from tests.learning.building import Batches, Build

HEAVY = ("torch", "numba", "pyarrow")
COMPILERS = ("torch._inductor", "torch._dynamo", "triton", "sympy", "torchvision")

LEARN = f"""
import json, sys, torch
from si_stream.learning.learner import Learner
from si_stream.learning.options import *
learner = Learner(
    ModelOptions(input_shape=(4,), outputs=2),
    OptimiserOptions(), ConsolidatorOptions(), ComputeOptions(device="cpu"),
)
learner.learn(torch.zeros(2, 4, dtype=torch.uint8), torch.tensor([0, 1]), head=0)
learner.consolidate(head=0)
from si_stream.learning.kernels import fused
found = [name for name in {COMPILERS} if name in sys.modules]
stats = fused._adam.dispatcher.stats
print(json.dumps([found, sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]))
"""


def output_of(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def test_a_learner_loads_no_compiler_and_finds_its_machine_code(
    build: Build, batches: Batches
) -> None:
    build().learn(*batches(1)[0], head=0)  # compiled here, where it was not before
    assert fused._adam.dispatcher.signatures
    assert json.loads(output_of(LEARN)) == [[], 1, 0]


def test_options_presets_and_the_package_itself_load_nothing_heavy() -> None:
    modules = "si_stream, si_stream.learning.options, si_stream.learning.presets"
    code = f"import sys, {modules}; print([m for m in {HEAVY} if m in sys.modules])"
    assert output_of(code).strip() == "[]"


def test_the_package_offers_the_optimizer_and_loads_it_when_asked() -> None:
    code = "import si_stream; print(si_stream.SynapticIntelligenceOptimizer.__name__)"
    assert output_of(code).strip() == "SynapticIntelligenceOptimizer"
