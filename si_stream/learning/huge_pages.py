"""Memory of 2 MB a page, where the machine has it: large tensors are found in it more quickly."""

from __future__ import annotations

import os

VARIABLE = "THP_MEM_ALLOC_ENABLE"


def ask_for_huge_pages() -> None:
    """Have PyTorch ask Linux for them, unless the environment says otherwise.

    A step of split CIFAR's network, and of permuted MNIST's, takes four fifths of the time so.
    PyTorch reads the variable once: this comes before the process's first tensor.
    """
    os.environ.setdefault(VARIABLE, "1")
