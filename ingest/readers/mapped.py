"""Rows of a tensor from the bytes of a file that is mapped into memory."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

# NumPy's word for the bytes of a tensor; NumPy has no bfloat16, so it gets a word of its own.
BFLOAT16 = "bfloat16"


def itemsize(stored: str) -> int:
    """Bytes of one entry."""
    return 2 if stored == BFLOAT16 else np.dtype(stored).itemsize


def rows(
    content: NDArray[np.uint8], stored: str, shape: tuple[int, ...]
) -> Callable[[int, int], NDArray[Any]]:
    """A reader of a tensor's entries along its first axis; it touches no other bytes.

    Parameters
    ----------
    content
        The tensor's bytes.
    stored
        ``<f2``, ``>f4``, ... or :data:`BFLOAT16`.
    shape
        Of the tensor.

    Returns
    -------
    callable
        As :attr:`ingest.operations.Parameter.read`: float64 where the file has it, else float32,
        each with the value in the file.

    Example
    -------
    >>> content = np.array([1.5, -2.0, 0.25, 8.0], "<f2").view(np.uint8)
    >>> rows(content, "<f2", (2, 2))(1, 2)
    array([[0.25, 8.  ]], dtype=float32)
    """
    row = shape[1:]
    width = prod(row) * itemsize(stored)

    def read(start: int, stop: int) -> NDArray[Any]:
        block = np.array(content[start * width : stop * width], subok=False)
        if stored == BFLOAT16:
            # It is the upper half of a float32.
            halves = block.view("<u2").astype(np.uint32)
            exact: NDArray[Any] = (halves << np.uint32(16)).view(np.float32)
        else:
            floats = block.view(stored)
            exact = floats.astype(np.float64 if floats.itemsize == 8 else np.float32, copy=False)
        return exact.reshape(stop - start, *row)

    return read
