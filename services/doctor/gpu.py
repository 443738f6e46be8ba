"""The GPU: whether PyTorch can use the one that is asked for, tried with a small sum."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from services.doctor.finding import Finding, fail, ok, warn
from services.doctor.network import LEARNED_BYTES, full_size
from services.quantities import megabytes
from si_stream.settings import Settings

DRIVER = Path("/proc/driver/nvidia/version")
ABOUT = "gpu"


def look(settings: Settings) -> Iterator[Finding]:
    import torch

    wanted, driver = settings.compute.device, driver_version(DRIVER)
    if wanted == "cpu":
        yield ok(ABOUT, "none is asked for: compute.device is cpu")
        return
    with warnings.catch_warnings(record=True) as told:  # PyTorch says there why it sees none
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if usable:
        yield of_use(settings)
        return
    reasons = [str(one.message).splitlines()[0] for one in told]
    if torch.version.cuda is None:
        reasons.append("this PyTorch was built without CUDA")
    elif driver is None:
        reasons.append("there is no NVIDIA driver")
    seen = f"PyTorch sees none: {'; '.join(reasons) or 'it does not say why'}"
    advice = "install the driver and PyTorch's CUDA build, or set compute.device to cpu"
    if wanted == "cuda":
        yield fail(ABOUT, f"{seen}, and compute.device is cuda", advice)
    elif driver is not None:
        yield warn(ABOUT, f"{seen}, yet there is a driver, {driver}", advice)
    else:
        yield ok(ABOUT, f"{seen}; the CPU learns")


def of_use(settings: Settings) -> Finding:
    """Of a GPU that is there: its name, its memory, and whether it adds up."""
    import torch

    try:
        name = torch.cuda.get_device_name()
        total = int(torch.ones(1024, device="cuda").sum())
        free_bytes, all_bytes = torch.cuda.mem_get_info()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        return fail(
            ABOUT,
            f"it cannot be used: {reason}",
            "another process may hold it (nvidia-smi), or this PyTorch may be too old for it",
        )
    if total != 1024:
        return fail(ABOUT, f"{name} adds 1,024 ones up to {total}", "take it out of use")
    seen = (
        f"{name}, driver {driver_version(DRIVER) or 'unknown'}, CUDA {torch.version.cuda}, "
        f"{megabytes(free_bytes)} of {megabytes(all_bytes)} free"
    )
    tracks = 1 if settings.learner.shadow == "off" else 2
    needed = LEARNED_BYTES * tracks * (full_size(settings) or 0)
    if free_bytes < needed:
        return warn(
            ABOUT,
            f"{seen}, and the state of all tasks alone takes {megabytes(needed)}",
            "free some memory (nvidia-smi shows who has it), or learn a smaller network",
        )
    return ok(ABOUT, seen)


def driver_version(file: Path) -> str | None:
    """The version of NVIDIA's kernel driver; None where it is not loaded."""
    try:
        found = re.search(r"\d+\.\d+(\.\d+)?", file.read_text("utf-8"))
    except OSError:
        return None
    return found.group() if found else "unknown"
