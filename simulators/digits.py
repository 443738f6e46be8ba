"""scikit-learn's bundled handwritten digits: 1,797 images of 8 × 8 pixels, no download.

Always the same 80 % to train on and 20 % to test on, in each class alike.
"""

from __future__ import annotations

import numpy as np

from si_stream.errors import DataError
from simulators.datasets import Dataset, stratified_test_rows


def load_digits() -> Dataset:
    """The digits: images ``[n, 8, 8]`` uint8.

    The bundled values 0 to 16 are spread over 0 to 255 (``round(value * 255 / 16)``), so that
    a model scales these images as it does any others.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(
            "the bundled digits come with scikit-learn, which is not installed: install it"
        ) from error
    bunch = datasets.load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    labels = np.asarray(bunch.target, dtype=np.int64)
    test = stratified_test_rows(labels, share=0.2, seed=0)
    return Dataset(
        name="scikit-learn's digits",
        train_images=images[~test],
        train_labels=labels[~test],
        test_images=images[test],
        test_labels=labels[test],
        class_names=tuple(str(digit) for digit in range(10)),
    )
