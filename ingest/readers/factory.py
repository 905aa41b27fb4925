"""A state dict and the user's own function that gives the module which it belongs to.

This is the only place where code is run that is not ours, and it is the user who names it; from
the file weights are taken and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.operations import Operation, OperationGraph, Parameter
from ingest.readers import state_dict
from ingest.readers.module import read_module
from ingest.readers.paths import check_regular
from ingest.readers.torch_tensors import parameters, trusted_torch
from ingest.readers.wording import damaged, reason
from store.errors import InvalidArgument, InvalidWeights, ShapeMismatch, UnreadableModel

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

# Keys that an error lists; a wrong factory may miss all of them.
LISTED = 3


def read_with_factory(
    path: Path, factory: str, input_shape: tuple[int, ...] | None
) -> OperationGraph:
    """Reads a state dict as the weights of the module that a function gives.

    Parameters
    ----------
    path
        ``.pt``, ``.pth`` or ``.safetensors``; its tensors are used as they are, whatever numbers
        and precision the function's module comes with.
    factory
        ``package.module:function``; called without arguments, so a module's class will do. It is
        imported as ``python -m`` would, from the current folder too.
    input_shape
        As for :func:`ingest.readers.module.read_module`.

    Returns
    -------
    OperationGraph
        Its parameters have the file's keys and their order.

    Raises
    ------
    InvalidArgument
        If there is no such function, or it raises, or it gives no module.
    UnreadableModel
        If the file is damaged or no state dict, or has other keys than the module.
    ShapeMismatch
        If a tensor has another shape than the module's.
    InvalidWeights
        If a tensor holds integers where the module has floats, or the other way round.
    UnsupportedOperation
        If the module holds an operation that cannot be ingested.

    Example
    -------
    >>> read_with_factory(Path("digits.pth"), "models.digits:Net", (1, 28, 28))  # doctest: +SKIP
    """
    trusted_torch()
    source, tensors = _load(path)
    with _current_folder_importable():
        module = _made(factory)
        _put(tensors, module, path, factory)
        graph = read_module(module, input_shape)
    return replace(_as_in_file(graph, list(tensors)), source=source)


@contextlib.contextmanager
def _current_folder_importable() -> Iterator[None]:
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        # The user's code may have changed the list itself.
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _made(factory: str) -> torch.nn.Module:
    """The module that the user's function gives."""
    import torch

    function = _function(factory)
    try:
        module = function()
    except (Exception, SystemExit) as error:
        raise InvalidArgument(
            f"The factory {factory!r}, called without arguments, raises {_told(error)}."
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise InvalidArgument(
            f"The factory {factory!r} gives an object of {type(module).__name__}, not a "
            "torch.nn.Module."
        )
    return module


def _function(factory: str) -> Callable[[], Any]:
    name, colon, attribute = factory.partition(":")
    parts = name.split(".")
    if not colon or not all(part.isidentifier() for part in (*parts, attribute)):
        raise InvalidArgument(
            f"A factory is written package.module:function, such as models.digits:Net, not "
            f"{factory!r}."
        )
    try:
        found = getattr(import_module(name), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _broken(name, error) from error
        raise InvalidArgument(
            f"There is no module {error.name!r} for the factory {factory!r}: run Weightome from "
            "the folder that holds it, or install it."
        ) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error
    if not callable(found):
        raise InvalidArgument(f"The module {name!r} has no function {attribute!r}.")
    function: Callable[[], Any] = found
    return function


def _broken(name: str, error: BaseException) -> InvalidArgument:
    return InvalidArgument(f"The module {name!r}, when imported, raises {_told(error)}.")


def _told(error: BaseException) -> str:
    text = reason(error)
    kind = type(error).__name__
    return kind if text == kind else f"{kind}: {text}"


def _load(path: Path) -> tuple[str, Tensors]:
    """The file's format and its tensors, checked."""
    check_regular(path)
    with path.open("rb") as file:
        head = file.read(9)
    loaded: Mapping[Any, Any]
    if head[8:9] == b"{":
        source, loaded = "safetensors", _load_safetensors(path)
    elif head.startswith((b"PK", b"\x80")):
        source, loaded = "state dict", _load_torch(path, archive=head.startswith(b"PK"))
    else:
        raise UnreadableModel(
            f"The file {path.name!r} is no state dict: a factory is for .pt, .pth and .safetensors."
        )
    parameters(loaded)
    return source, dict(loaded)


def _load_torch(path: Path, *, archive: bool) -> Mapping[Any, Any]:
    if archive:
        state_dict.check_archive(path)
    return state_dict.tensors_of(state_dict.load(path, mapped=archive), path)


def _load_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.offset_keys()}
    except SafetensorError as error:
        raise damaged(path, error) from error


def _put(tensors: Tensors, module: torch.nn.Module, path: Path, factory: str) -> None:
    """Gives the module the file's own tensors; those that it ties may stand in the file once."""
    expected = module.state_dict(keep_vars=True)
    filled = _tied(tensors, expected, path, factory)
    _check_keys(filled, expected, path, factory)
    for key, tensor in filled.items():
        _check_fit(key, tensor, expected[key], factory)
    try:
        # Assigned, not copied: a copy would have the precision of the module.
        module.load_state_dict(filled, assign=True)
    except Exception as error:
        # A module may load its weights in a way of its own.
        raise UnreadableModel(
            f"The module of {factory!r} does not take the tensors of {path.name!r}: "
            f"{reason(error)}."
        ) from error


def _tied(
    tensors: Tensors, expected: Mapping[str, torch.Tensor], path: Path, factory: str
) -> Tensors:
    """The file's tensors under every key of the module that means the same tensor."""
    groups: dict[int, list[str]] = {}
    for key, tensor in expected.items():
        groups.setdefault(id(tensor), []).append(key)
    filled = dict(tensors)
    for keys in groups.values():
        present = [key for key in keys if key in tensors]
        for key in present[1:]:
            if not tensors[key].equal(tensors[present[0]]):
                raise UnreadableModel(
                    f"The module of {factory!r} has one tensor for {present[0]!r} and {key!r}, but "
                    f"in {path.name!r} they differ."
                )
        if present:
            filled.update(dict.fromkeys(keys, tensors[present[0]]))
    return filled


def _check_keys(tensors: Tensors, expected: Mapping[str, object], path: Path, factory: str) -> None:
    missing = [key for key in expected if key not in tensors]
    unexpected = [key for key in tensors if key not in expected]
    told = [
        f"{path.name!r} lacks {_listed(missing)}" if missing else "",
        f"{path.name!r} also holds {_listed(unexpected)}" if unexpected else "",
    ]
    if missing or unexpected:
        raise UnreadableModel(
            f"The module of {factory!r} has other tensors than the file: "
            f"{' and '.join(filter(None, told))}."
        )


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(repr(key[:80]) for key in keys[:LISTED]) + more


def _check_fit(key: str, tensor: torch.Tensor, expected: torch.Tensor, factory: str) -> None:
    from torch.nn.parameter import is_lazy

    # A lazy module learns its shapes from the file.
    if not is_lazy(expected) and tensor.shape != expected.shape:
        raise ShapeMismatch(
            f"The tensor {key!r} has the shape {tuple(tensor.shape)}, but in the module of "
            f"{factory!r} it is {tuple(expected.shape)}."
        )
    if tensor.is_floating_point() != expected.is_floating_point():
        words = [str(each.dtype).removeprefix("torch.") for each in (tensor, expected)]
        raise InvalidWeights(
            f"The tensor {key!r} holds {words[0]}, but in the module of {factory!r} {words[1]}."
        )


def _as_in_file(graph: OperationGraph, keys: Sequence[str]) -> OperationGraph:
    """The graph with the parameters in the file's order and under the file's keys.

    Constants of the module's code, which no file holds, stand after them.
    """
    places = {key: place for place, key in enumerate(keys)}
    found: dict[str, Parameter] = {}
    for tensor in graph.parameters:
        ours = [key for key in (tensor.name, *tensor.aliases) if key in places]
        name, *aliases = sorted(ours, key=places.__getitem__) or (tensor.name,)
        found[tensor.name] = replace(tensor, name=name, aliases=tuple(aliases))
    return replace(
        graph,
        operations=tuple(_renamed(operation, found) for operation in graph.operations),
        parameters=tuple(
            sorted(found.values(), key=lambda tensor: places.get(tensor.name, len(places)))
        ),
    )


def _renamed(operation: Operation, found: Mapping[str, Parameter]) -> Operation:
    if not operation.parameters:
        return operation
    return replace(
        operation,
        parameters={role: found[tensor.name] for role, tensor in operation.parameters.items()},
    )
