"""The calls of a graph that torch traced, free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ingest.readers.aten.calls import GETITEM, Call, Ref, renamed

if TYPE_CHECKING:
    import torch

# The target of a program's inputs.
PLACEHOLDER = "placeholder"

# Parts of a program that torch keeps as graphs of their own, and which argument the graph is.
WRAPPED = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}
AUTOCAST_ENABLED = 2


def traced_calls(graph_module: torch.fx.GraphModule, module: torch.nn.Module) -> list[Call]:
    """The inputs and calls in their order; a part of its own is taken into its place.

    Parameters
    ----------
    graph_module
        Of an exported program.
    module
        That was exported.
    """
    found: list[Call] = []
    parts: dict[str, list[object]] = {}
    for node in graph_module.graph.nodes:
        if node.op not in ("placeholder", "call_function"):
            continue
        call = _call(node, module)
        if call.target in WRAPPED and not _casts(call):
            calls, parts[call.name] = _part(node, graph_module, module)
            found += calls
        elif call.target == GETITEM and call.arguments["source"].name in parts:
            result = parts[call.arguments["source"].name][call.arguments["index"]]
            found.append(replace(call, target="aten.alias.default", arguments={"self": result}))
        else:
            found.append(call)
    return found


def _casts(call: Call) -> bool:
    """Whether a part computes in other types than it shows."""
    return call.target == "wrap_with_autocast" and bool(call.arguments[str(AUTOCAST_ENABLED)])


def _part(
    node: torch.fx.Node, graph_module: torch.fx.GraphModule, module: torch.nn.Module
) -> tuple[list[Call], list[object]]:
    """The calls of a part, under names of their own, and its results."""
    at = WRAPPED[_target(node)]
    graph: Any = getattr(graph_module, str(getattr(node.args[at], "target", "")))
    calls = traced_calls(graph, module)
    inner = [call for call in calls if call.target != PLACEHOLDER]
    given = [call.name for call in calls if call.target == PLACEHOLDER]
    names = dict(zip(given, map(_neutral, node.args[at + 1 :]), strict=True))
    names |= {call.name: Ref(f"{node.name}.{call.name}") for call in inner}
    (output,) = (each for each in graph.graph.nodes if each.op == "output")
    results = [renamed(_neutral(result), names) for result in output.args[0]]
    return [call.within(node.name, names) for call in inner], results


def _call(node: torch.fx.Node, module: torch.nn.Module) -> Call:
    import torch

    value = node.meta.get("val")
    tensor = value if isinstance(value, torch.Tensor) else None
    path = [entry[0] for entry in (node.meta.get("nn_module_stack") or {}).values()][-1:]
    innermost = path[0] if path else ""
    return Call(
        node.name,
        PLACEHOLDER if node.op == "placeholder" else _target(node),
        _arguments(node),
        innermost,
        is_leaf(module.get_submodule(innermost)),
        () if tensor is None else tuple(tensor.shape),
        "" if tensor is None else str(tensor.dtype).removeprefix("torch."),
    )


def is_leaf(module: torch.nn.Module) -> bool:
    """Whether it is a module of torch's own without children."""
    return type(module).__module__.startswith("torch.nn.") and not any(module.children())


def _target(node: torch.fx.Node) -> str:
    import torch

    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target)
    return str(getattr(node.target, "__name__", node.target))


def _arguments(node: torch.fx.Node) -> Mapping[str, Any]:
    """Arguments by their names in the operator's schema, with defaults."""
    import torch

    if _target(node) == GETITEM:
        return dict(zip(("source", "index"), map(_neutral, node.args), strict=True))
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
