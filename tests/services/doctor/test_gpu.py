"""The GPU of this machine, or that it has none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from services.doctor.gpu import ABOUT, DRIVER, driver_version, look
from tests.services.doctor.models import state_of
from tests.streams import settings

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


def test_where_none_is_asked_for_none_is_looked_for() -> None:
    kind, text = state_of(look(settings(compute={"device": "cpu"})), ABOUT)
    assert (kind, text) == ("ok", "none is asked for: compute.device is cpu → ")


@NO_GPU
def test_one_that_is_asked_for_and_not_there_is_told_of() -> None:
    kind, text = state_of(look(settings(compute={"device": "cuda"})), ABOUT)
    assert kind == "fail"
    assert "PyTorch sees none: " in text
    assert "and compute.device is cuda → install the driver" in text


@NO_GPU
def test_without_one_the_cpu_learns() -> None:
    kind, text = state_of(look(settings(compute={"device": "auto"})), ABOUT)
    assert kind == ("warn" if DRIVER.exists() else "ok")
    assert "PyTorch sees none" in text


@GPU
def test_one_that_is_there_is_used_and_named() -> None:
    for device in ("auto", "cuda"):
        kind, text = state_of(look(settings(compute={"device": device})), ABOUT)
        assert kind == "ok"
        assert torch.cuda.get_device_name() in text
        assert " GB free" in text


@GPU
def test_one_with_too_little_memory_is_told_of() -> None:
    many = settings(compute={"device": "cuda"}, boundaries={"max_tasks": 10**12})
    kind, text = state_of(look(many), ABOUT)
    assert kind == "warn"
    assert "the state of all tasks alone takes" in text


def test_the_driver_is_asked_for_its_version(tmp_path: Path) -> None:
    file = tmp_path / "version"
    assert driver_version(file) is None
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\n")
    assert driver_version(file) == "535.183.01"
    file.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82\n")
    assert driver_version(file) == "580.82"
