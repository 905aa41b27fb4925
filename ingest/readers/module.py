"""A live ``torch.nn.Module``: traced by ``torch.export``, its weights left where they lie."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ingest.operations import OperationGraph
from ingest.readers.aten import operations
from ingest.readers.calls import Call, Ref
from ingest.readers.torch_tensors import check_floats, parameters
from ingest.readers.wording import reason
from store.errors import InvalidArgument, UnsupportedOperation

if TYPE_CHECKING:
    import torch

# Samples of the example input: with one alone, a model could mix samples unseen.
BATCH = 2


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
        Of one sample, without the batch axis. Default: the ``in_features`` of the first Linear.

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
        If the state dict holds something else than float tensors with values.

    Example
    -------
    >>> from torch import nn                                            # doctest: +SKIP
    >>> [operation.kind for operation in read_module(nn.Linear(3, 2)).operations]
    ...                                                                 # doctest: +SKIP
    ['input', 'linear']
    """
    inner, prefix = _unwrapped(module)
    found = parameters(inner.state_dict(keep_vars=True))
    by_key = {key: tensor for tensor in found for key in (tensor.name, *tensor.aliases)}
    program = _exported(inner, _example(inner, input_shape), given=input_shape is not None)
    signature = program.graph_signature
    held = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    calls, inputs = [], []
    for node in program.graph.nodes:
        if node.op == "call_function":
            calls.append(_call(node, inner))
        elif node.op == "placeholder" and node.name in signature.user_inputs:
            inputs.append(_call(node, inner))
    made = operations(
        calls,
        inputs=inputs,
        parameters={name: by_key[key] for name, key in held.items() if key in by_key},
        outputs=[name for name in signature.user_outputs if isinstance(name, str)],
        batch=BATCH,
    )
    # Last, since what we refuse by its operation often keeps integers too.
    check_floats(found)
    return _prefixed(OperationGraph(made, tuple(found), "torch.nn.Module"), prefix)


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


def _example(module: torch.nn.Module, input_shape: tuple[int, ...] | None) -> torch.Tensor:
    """An input that the module takes, of the type and on the device of its weights."""
    import torch

    tensors = [*module.parameters(), *module.buffers()]
    model = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
    if model is None:
        raise UnsupportedOperation("The model has no weights, so there is nothing to ingest.")
    if input_shape is None:
        first = next((m for m in module.modules() if isinstance(m, torch.nn.Linear)), None)
        if first is None:
            _refuse_module(module)
            raise InvalidArgument(
                "The model has no Linear layer that tells the shape of its input: pass "
                "input_shape, without the batch axis."
            )
        input_shape = (first.in_features,)
    return torch.zeros((BATCH, *input_shape), dtype=model.dtype, device=model.device)


def _exported(
    module: torch.nn.Module, example: torch.Tensor, *, given: bool
) -> torch.export.ExportedProgram:
    import torch

    try:
        with _evaluated(module), _silent(), torch.no_grad():
            return torch.export.export(module, (example,))
    except Exception as error:
        # The tracer runs the module's own forward, which may raise anything.
        if not given:
            _refuse_module(module)
        hint = "" if given else "; if its input has another shape, pass input_shape"
        raise UnsupportedOperation(
            f"torch.export cannot trace the model with an input of shape "
            f"{tuple(example.shape)}: {reason(error)}{hint}."
        ) from error


def _refuse_module(module: torch.nn.Module) -> None:
    """Names the first of torch's own modules that no dense network has, if there is one.

    The shape that we guess suits dense networks only, so the others may fail to be traced before
    their operations are seen.
    """
    from torch import nn

    dense = (nn.Linear, nn.Flatten, nn.Unflatten, nn.Identity, nn.modules.dropout._DropoutNd)
    for path, child in module.named_modules():
        if (
            _is_leaf(child)
            and not isinstance(child, dense)
            and not type(child).__module__.endswith(".activation")
        ):
            raise UnsupportedOperation(
                f"The model holds {type(child).__name__} (layer {path!r}), which Weightome cannot "
                "ingest."
            )


def _is_leaf(module: torch.nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.") and not any(module.children())


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


def _call(node: torch.fx.Node, module: torch.nn.Module) -> Call:
    """A node of the traced graph, free of torch."""
    import torch

    value = node.meta.get("val")
    tensor = value if isinstance(value, torch.Tensor) else None
    path = [entry[0] for entry in (node.meta.get("nn_module_stack") or {}).values()][-1:]
    innermost = path[0] if path else ""
    return Call(
        node.name,
        str(node.target) if isinstance(node.target, torch._ops.OpOverload) else _name(node.target),
        _arguments(node),
        innermost,
        _is_leaf(module.get_submodule(innermost)),
        () if tensor is None else tuple(tensor.shape),
        "" if tensor is None else str(tensor.dtype).removeprefix("torch."),
    )


def _name(target: object) -> str:
    return str(getattr(target, "__name__", target))


def _arguments(node: torch.fx.Node) -> dict[str, Any]:
    """Arguments by their names in the operator's schema, with defaults."""
    import torch

    if not isinstance(node.target, torch._ops.OpOverload):
        return {str(number): _neutral(value) for number, value in enumerate(node.args)}
    named = {}
    for number, argument in enumerate(node.target._schema.arguments):
        if number < len(node.args):
            named[argument.name] = _neutral(node.args[number])
        elif argument.name in node.kwargs:
            named[argument.name] = _neutral(node.kwargs[argument.name])
        elif argument.has_default_value():
            named[argument.name] = argument.default_value
    return named


def _neutral(value: object) -> object:
    import torch

    if isinstance(value, torch.fx.Node):
        return Ref(value.name)
    if isinstance(value, list | tuple):
        return [_neutral(entry) for entry in value]
    return value
