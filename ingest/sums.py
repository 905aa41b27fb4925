"""Sums over links that change when a link is lost, doubled or misplaced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.network import LinkBlock

# Small factors by place: links that changed places would leave the plain sum as it is.
SOURCE_FACTORS, TARGET_FACTORS = 97, 89


@dataclass
class LinkSums:
    """Sums over links, neurons numbered through the network.

    Parameters
    ----------
    links, params, positions, weights
        Count, and plain sums.
    placed
        Sum of the weights, each times factors that tell its two neurons.
    magnitude
        The same of absolute weights: what rounding errors are measured by.
    """

    links: int = 0
    params: int = 0
    positions: int = 0
    weights: float = 0.0
    placed: float = 0.0
    magnitude: float = 0.0

    @classmethod
    def of_rectangle(
        cls, sources: range, targets: range, weights: NDArray[np.float64], params: int
    ) -> LinkSums:
        """Sums over links of all these sources with all these targets.

        Parameters
        ----------
        weights
            Sources x targets.
        params
            Sum of the places in the parameter vector.
        """
        by_source = 1 + np.arange(sources.start, sources.stop) % SOURCE_FACTORS
        by_target = 1 + np.arange(targets.start, targets.stop) % TARGET_FACTORS
        placed = weights * np.outer(by_source, by_target)
        return cls(
            weights.size,
            params,
            0,
            float(weights.sum()),
            float(placed.sum()),
            float(np.abs(placed).sum()),
        )

    @classmethod
    def of_links(cls, links: LinkBlock) -> LinkSums:
        """Sums over links in coordinate form."""
        placed = (
            links.weights
            * (1 + links.sources % SOURCE_FACTORS)
            * (1 + links.targets % TARGET_FACTORS)
        )
        return cls(
            links.count,
            0 if links.params is None else int(links.params.sum()),
            0 if links.positions is None else int(links.positions.sum()),
            float(links.weights.sum()),
            float(placed.sum()),
            float(np.abs(placed).sum()),
        )

    def add(self, other: LinkSums) -> None:
        """Adds the sums of further links."""
        self.links += other.links
        self.params += other.params
        self.positions += other.positions
        self.weights += other.weights
        self.placed += other.placed
        self.magnitude += other.magnitude
