"""A program as a list of operator calls, wherever it was traced or read; torch is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ingest.readers.wording import reason
from store.errors import UnsupportedOperation

# Characters of a name or a reason in an error.
_LONGEST = 200

# Takes one of several results: arguments ``source`` and ``index``.
GETITEM = "getitem"


@dataclass(frozen=True)
class Ref:
    """An argument that is another value of the program: an input, a parameter or a result."""

    name: str


@dataclass(frozen=True)
class Call:
    """One operator call of a program.

    Parameters
    ----------
    name
        Of its result; unique in the program.
    target
        The operator and its overload, such as ``aten.linear.default``.
    arguments
        By the names of the operator's schema, defaults included.
    module
        ``named_modules()`` path of the innermost module that calls it.
    leaf
        Whether that is a module of torch's own without children, so that the call is the module.
    shape, dtype
        Of its result, with the batch axis. Results of an operator that gives several are calls of
        :data:`GETITEM`.
    """

    name: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    module: str = ""
    leaf: bool = False
    shape: tuple[int, ...] = ()
    dtype: str = ""

    @property
    def operator(self) -> str:
        """What a person calls it: ``relu`` for ``aten.relu_.default``."""
        if not self.target.startswith("aten."):
            return self.target
        return self.target.split(".")[1].strip("_")

    @property
    def key(self) -> str:
        """Operator and overload: ``add.Tensor``, also for the one that works in place."""
        return ".".join([self.operator, *self.target.split(".")[2:]])

    @property
    def in_place(self) -> bool:
        """Whether it writes its result over its first argument."""
        return self.target.startswith("aten.") and self.target.split(".")[1].endswith("_")

    @property
    def pure(self) -> bool:
        """Whether it may be left out when nobody takes its result."""
        if self.target == GETITEM:
            return True
        return self.target.startswith("aten.") and not self.in_place and ".out" not in self.target

    @property
    def source(self) -> object:
        """Its first argument, which is the one that it transforms."""
        return next(iter(self.arguments.values()), None)

    @property
    def refs(self) -> list[Ref]:
        """The values that it takes."""
        flat: list[object] = []
        for argument in self.arguments.values():
            flat += argument if isinstance(argument, list | tuple) else [argument]
        return [argument for argument in flat if isinstance(argument, Ref)]

    def within(self, part: str, names: Mapping[str, object]) -> Call:
        """The call as one of a part of another program, whose tensors have other names there."""
        arguments = {name: renamed(value, names) for name, value in self.arguments.items()}
        return replace(self, name=f"{part}.{self.name}", arguments=arguments)

    def refused(self, why: str = "") -> UnsupportedOperation:
        """The error that names this call."""
        where = f"layer {self.module[:_LONGEST]!r}" if self.module else "outside any layer"
        says = "".join(character for character in why[:_LONGEST] if character.isprintable())
        return UnsupportedOperation(
            f"The model holds {reason(self.operator)} ({where}){says}, which Weightome cannot "
            "ingest."
        )


def renamed(argument: object, names: Mapping[str, object]) -> object:
    """An argument with other references."""
    if isinstance(argument, Ref):
        return names.get(argument.name, argument)
    if isinstance(argument, list | tuple):
        return [renamed(part, names) for part in argument]
    return argument
