"""The random initial weights of the published networks, regenerated.

TensorFlow's stateless uniform initializer is Philox4x32-10 (Salmon et al., "Parallel random
numbers: as easy as 1, 2, 3", SC 2011). Written from the paper.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_ROUNDS = 10


def philox(counters: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Philox4x32-10 of an (n, 4) array of 32-bit counter words."""
    x0, x1, x2, x3 = (counters[:, word].astype(np.uint64) for word in range(4))
    for number in range(_ROUNDS):
        k0, k1 = (np.uint64((key[i] + number * _WEYL[i]) & 0xFFFFFFFF) for i in range(2))
        first, second = x0 * _MULTIPLIERS[0], x2 * _MULTIPLIERS[1]
        high0, low0 = first >> np.uint64(32), first & _LOW
        high1, low1 = second >> np.uint64(32), second & _LOW
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
    return np.stack([x0, x1, x2, x3], axis=1).astype(np.uint32)


def uniform_stream(network: int, count: int) -> NDArray[np.float32]:
    """The first `count` weights of network N's stream, uniform in [-0.9, 0.9)."""
    counters = np.zeros((-(-count // 4), 4), dtype=np.uint64)
    counters[:, 0] = np.arange(len(counters))
    counters[:, 2] = 999 * network
    words = philox(counters, (87654321, 0)).ravel()[:count]
    bits = (words & np.uint32(0x7FFFFF)) | np.uint32(0x3F800000)
    unit = bits.view(np.float32) - np.float32(1.0)
    return (unit * np.float32(1.8) + np.float32(-0.9)).astype(np.float32)


def initial_matrices(network: int) -> list[NDArray[np.float32]]:
    """Epoch-0 matrices (sources x targets) of the 784-200-100-10 network N."""
    stream = uniform_stream(network, 784 * 200)
    return [
        stream[: rows * columns].reshape(rows, columns)
        for rows, columns in ((784, 200), (200, 100), (100, 10))
    ]
