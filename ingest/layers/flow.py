"""Which operation takes whose values: what a function may become a part of."""

from __future__ import annotations

from ingest.operations import Operation, OperationGraph


class Flow:
    """Who takes an operation's values, and which operations only pass on what they take.

    Parameters
    ----------
    graph
        The operations that are being turned into a network.
    """

    def __init__(self, graph: OperationGraph) -> None:
        self._takers: dict[str, list[Operation]] = {}
        for operation in graph.operations:
            for name in operation.inputs:
                self._takers.setdefault(name, []).append(operation)
        self._through: dict[str, str] = {}
        self.outputs = graph.outputs or tuple(
            operation.name for operation in graph.operations if operation.name not in self._takers
        )

    def pass_on(self, operation: Operation) -> None:
        """Notes that an operation gives what it takes, each value once, in whatever order."""
        self._through[operation.name] = operation.inputs[0]

    def alone(self, operation: Operation) -> bool:
        """Whether the values that an operation takes, and those before them, go to it only.

        Where a model calls the same function on the same values twice, both calls are one.
        """
        name = operation.inputs[0]
        if any(
            (each.kind, dict(each.attributes)) != (operation.kind, dict(operation.attributes))
            for each in self._takers[name]
        ):
            return False
        while name not in self.outputs:
            if name not in self._through:
                return True
            name = self._through[name]
            if len(self._takers[name]) > 1:
                return False
        return False

    def repeats(self, operation: Operation) -> bool:
        """Whether the same function of the same values was passed on before."""
        return any(
            each.name in self._through
            for each in self._takers[operation.inputs[0]]
            if each is not operation
        )
