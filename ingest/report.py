"""What an ingest tells of what it wrote."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.network import Network


@dataclass(frozen=True)
class Report:
    """What an ingest wrote.

    Parameters
    ----------
    name
        The network's name.
    layers, neurons, links, wires
        Counts, which the store was found to hold: learned links, and fixed ones.
    opaque
        Layers that were not understood and are kept without links, with their operators.
    seconds
        From begin to complete, and until what it replaces is removed.
    resumed
        Whether some of it was there already, from an ingest that was interrupted.
    """

    name: str
    layers: int
    neurons: int
    links: int
    wires: int
    opaque: tuple[str, ...]
    seconds: float
    resumed: bool = False

    @classmethod
    def of(cls, network: Network, name: str, seconds: float, *, resumed: bool = False) -> Report:
        """Of a network that is complete."""
        return cls(
            name,
            len(network.layers),
            network.neuron_count,
            network.link_count,
            network.wire_count,
            tuple(
                f"{layer.name} ({layer.attributes['operator']})"
                for layer in network.layers
                if layer.kind == "opaque"
            ),
            seconds,
            resumed,
        )
