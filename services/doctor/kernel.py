"""The update's kernel: compiled, and where its compiled form is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.doctor.finding import Finding, fail, ok, refused, warn
from si_stream.errors import SettingsError
from si_stream.settings import Settings

ABOUT = "kernel"


def look(settings: Settings) -> Iterator[Finding]:
    from si_stream.learning.kernels import choose_kernel
    from si_stream.learning.learner import choose_device

    compute = settings.compute
    try:
        device = choose_device(compute.device).type
    except SettingsError:
        return  # which is told of with the GPU
    try:
        kernel = choose_kernel(compute.kernel, device, compute.threads)
    except SettingsError as error:
        yield refused(ABOUT, error)
        return
    if kernel.name == "numba":
        from si_stream.learning.kernels import fused

        yield of_cache(cache_directory(fused._adam))
    elif kernel.name == "compiled" and device == "cpu" and not shutil.which("g++"):
        yield fail(
            ABOUT,
            "compiled on a CPU needs a C++ compiler, and there is no g++",
            "install g++, or set compute.kernel to auto",
        )
    else:
        yield ok(ABOUT, f"{kernel.name} on {device}")


def cache_directory(function: Any) -> Path | None:
    """Where Numba keeps what it has compiled of a function; None where it found no such place."""
    path = function.dispatcher.stats.cache_path
    return Path(path) if path else None


def of_cache(directory: Path | None) -> Finding:
    advice = "set NUMBA_CACHE_DIR to a directory that can be written"
    if directory is None:
        return warn(
            ABOUT, "numba finds no directory to keep it in: each start compiles it anew", advice
        )
    if any(directory.glob("fused._adam-*.nbi")):
        return ok(ABOUT, f"numba, compiled, in {directory}")
    above = directory
    while not above.exists():
        above = above.parent
    if not os.access(above, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return warn(ABOUT, f"{directory} cannot be written: each start compiles it anew", advice)
    return ok(ABOUT, f"numba; the first start compiles it into {directory}, in some seconds")
