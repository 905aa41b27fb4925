"""A live ``torch.nn.Module``: traced by ``torch.export``, its weights left where they lie."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ingest.operations import OperationGraph, Parameter
from ingest.readers.aten.calls import Call
from ingest.readers.aten.table import Program, graph_of
from ingest.readers.aten.traced import PLACEHOLDER, traced_calls
from ingest.readers.torch_tensors import check_floats, parameters
from ingest.readers.wording import reason
from store.errors import InvalidArgument, UnsupportedOperation

if TYPE_CHECKING:
    import torch

# Samples of the example input: with one alone, a model could mix samples unseen.
BATCH = 2

# Operators, or what their names begin with, whose tensors are all of one type.
_OF_ONE_TYPE = (
    "addmm", "baddbmm", "batch_norm", "bmm", "conv", "einsum", "gru", "layer_norm", "linear",
    "lstm", "matmul", "mm", "rms_norm", "rnn",
)  # fmt: skip


def read_module(
    module: torch.nn.Module, input_shape: tuple[int, ...] | None = None
) -> OperationGraph:
    """Reads a module as it computes in eval mode.

    Parameters
    ----------
    module
        On any device; it is left as it was, each submodule's training flag included. Weights are
        read from it later: do not train it before they were.
    input_shape
        Of one sample, without the batch axis. Default: the ``in_features`` of a Linear that is
        the first layer with weights.

    Returns
    -------
    OperationGraph
        Layers are called by their ``named_modules()`` path, without the wrapper's of a compiled
        or data-parallel module; parameters by their keys in ``module.state_dict()``.

    Raises
    ------
    UnsupportedOperation
        Names the operation that cannot be ingested, or says why the module cannot be traced.
    InvalidArgument
        If `input_shape` is needed.
    InvalidWeights, UnreadableModel
        If the state dict holds something else than tensors with values, or neither floats nor
        integers.

    Example
    -------
    >>> from torch import nn                                            # doctest: +SKIP
    >>> [operation.kind for operation in read_module(nn.Linear(3, 2)).operations]
    ...                                                                 # doctest: +SKIP
    ['input', 'linear']
    """
    inner, prefix = _unwrapped(module)
    found = parameters(inner.state_dict(keep_vars=True))
    program = _program(_exported(inner, input_shape), inner, found)
    graph = graph_of(program, found, "torch.nn.Module")
    # Last, since what we refuse by its operation often keeps other types too.
    check_floats(graph.parameters)
    return _prefixed(graph, prefix)


def _program(
    exported: torch.export.ExportedProgram, module: torch.nn.Module, found: Sequence[Parameter]
) -> Program:
    """The traced program, free of torch."""
    signature = exported.graph_signature
    tensors = {key: tensor for tensor in found for key in (tensor.name, *tensor.aliases)}
    buffers = signature.inputs_to_buffers
    constants = signature.inputs_to_lifted_tensor_constants
    # Buffers that are not persistent are in no state dict.
    others = {key: module.get_buffer(key) for key in buffers.values() if key not in tensors}
    others |= {key: exported.constants[key] for key in constants.values()}
    tensors |= {tensor.name: tensor for tensor in parameters(others)}
    held = {**signature.inputs_to_parameters, **buffers, **constants}
    traced = traced_calls(exported.graph_module, module)
    inputs = set(signature.user_inputs)
    return Program(
        calls=[call for call in traced if call.target != PLACEHOLDER],
        inputs=[call for call in traced if call.target == PLACEHOLDER and call.name in inputs],
        tensors={name: tensors[key] for name, key in held.items() if key in tensors},
        learned=set(signature.inputs_to_parameters),
        outputs=[name for name in signature.user_outputs if isinstance(name, str)],
    )


def _prefixed(graph: OperationGraph, prefix: str) -> OperationGraph:
    """The graph with the keys that the wrapped module's state dict has."""
    renamed = {
        tensor.name: replace(
            tensor,
            name=prefix + tensor.name,
            aliases=tuple(prefix + alias for alias in tensor.aliases),
        )
        for tensor in graph.parameters
    }
    made = tuple(
        replace(
            operation,
            parameters={
                role: renamed[tensor.name] for role, tensor in operation.parameters.items()
            },
        )
        for operation in graph.operations
    )
    return replace(graph, operations=made, parameters=tuple(renamed.values()))


def _unwrapped(module: torch.nn.Module) -> tuple[torch.nn.Module, str]:
    """The module that torch.compile or data parallelism wraps, and what they put before keys."""
    import torch

    prefix = ""
    while True:
        if isinstance(module, torch._dynamo.OptimizedModule):
            module, prefix = module._orig_mod, prefix + "_orig_mod."
        elif isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
            module, prefix = module.module, prefix + "module."
        else:
            return module, prefix


def _exported(
    module: torch.nn.Module, input_shape: tuple[int, ...] | None
) -> torch.export.ExportedProgram:
    """The module as torch traces it, with floats or with integers as its input."""
    import torch
    from torch import nn

    tensors = [*module.parameters(), *module.buffers()]
    model = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
    if model is None:
        raise UnsupportedOperation("The model has no weights, so there is nothing to ingest.")
    weighted = [child for child in module.modules() if list(child.parameters(recurse=False))]
    shape = _guessed(module) if input_shape is None else input_shape
    types = [model.dtype]
    if any(isinstance(child, nn.Embedding | nn.EmbeddingBag) for child in weighted):
        tokens = isinstance(weighted[0], nn.Embedding | nn.EmbeddingBag)
        types.insert(0 if tokens else 1, torch.int64)
    errors = []
    for dtype in types:
        example = torch.zeros((BATCH, *shape), dtype=dtype, device=model.device)
        try:
            with _evaluated(module), _silent(), torch.no_grad():
                exported = torch.export.export(module, (example,))
            _check_types(traced_calls(exported.graph_module, module))
            return exported
        except Exception as error:
            # The tracer runs the module's own forward, which may raise anything.
            errors.append(error)
    hint = "" if input_shape is not None else "; if its input has another shape, pass input_shape"
    raise UnsupportedOperation(
        f"torch.export cannot trace the model with an input of shape {(BATCH, *shape)}: "
        f"{reason(errors[0])}{hint}."
    ) from errors[0]


def _check_types(calls: Sequence[Call]) -> None:
    """Refuses what the tracer lets pass: layers of floats that take integers."""
    types = {call.name: call.dtype for call in calls}
    for call in calls:
        of_one_type = call.operator.startswith(_OF_ONE_TYPE)
        given = {"int" in types.get(reference.name, "") for reference in call.refs}
        if of_one_type and len(given) > 1:
            raise TypeError(f"{call.operator} of integers and floats")


def _guessed(module: torch.nn.Module) -> tuple[int, ...]:
    """The shape of one sample, which only a Linear tells."""
    from torch import nn

    shapeless = (
        nn.modules.conv._ConvNd,
        nn.Embedding,
        nn.EmbeddingBag,
        nn.RNNBase,
        nn.RNNCellBase,
        nn.MultiheadAttention,
    )
    for path, child in module.named_modules():
        if isinstance(child, nn.Linear):
            return (child.in_features,)
        if isinstance(child, shapeless):
            raise InvalidArgument(
                f"The model's first layer with weights is {type(child).__name__} (layer {path!r}), "
                "which does not tell the shape of its input: pass input_shape, without the batch "
                "axis."
            )
    raise InvalidArgument(
        "The model has no Linear layer that tells the shape of its input: pass input_shape, "
        "without the batch axis."
    )


@contextlib.contextmanager
def _evaluated(module: torch.nn.Module) -> Iterator[None]:
    """Eval mode, and afterwards every submodule's own mode again.

    Flags are set one by one: ``train()`` may be overridden, and would level what a user has set
    apart.
    """
    flags = [(child, child.training) for child in module.modules()]
    try:
        for child, _ in flags:
            child.training = False
        yield
    finally:
        for child, training in flags:
            child.training = training


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps torch's warnings, log and printed traces to itself: what matters is in its error."""
    log = logging.getLogger("torch")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
