"""Reads plain arrays from an `.npz` file; a pickle in it is refused, never loaded."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from si_stream.errors import DataError


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Those of the named arrays that the file has.

    Raises:
        DataError: the file cannot be read as an archive of plain arrays.
    """
    try:
        # Opened here, as numpy leaves a file open that turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names if name in arrays}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: name an .npz file") from None
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as an .npz file of plain arrays ({error}): write it again with "
            f"numpy.savez"
        ) from error
