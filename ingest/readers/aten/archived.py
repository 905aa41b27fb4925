"""The program of a ``.pt2`` archive, as its JSON tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ingest.operations import Parameter
from ingest.readers.aten.calls import GETITEM, Call, Ref
from ingest.readers.aten.defaults import DEFAULTS
from ingest.readers.aten.table import Program
from ingest.readers.wording import reason
from store.errors import UnsupportedOperation

# torch's schema numbers its types.
TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
    8: "float64", 12: "bool", 13: "bfloat16",
}  # fmt: skip

# Parts of a program that are graphs of their own, and which argument the graph is.
_WRAPPED = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}
_AUTOCAST_ENABLED = 2


def archived_program(
    module: Mapping[str, Any],
    stored: Mapping[str, Parameter],
    constants: Mapping[str, Parameter],
) -> Program:
    """The program.

    Parameters
    ----------
    module
        The JSON's ``graph_module``.
    stored
        The tensors of the state dict by their keys.
    constants
        Further ones that the archive holds, by theirs.

    Raises
    ------
    UnsupportedOperation
        If it takes something else than tensors, or has dynamic shapes.
    """
    graph = module["graph"]
    tensors: dict[str, Parameter] = {}
    learned: set[str] = set()
    inputs: list[Call] = []
    for spec in module["signature"]["input_specs"]:
        ((kind, entry),) = spec.items()
        if kind == "user_input":
            if "as_tensor" in entry["arg"]:
                name = entry["arg"]["as_tensor"]["name"]
                inputs.append(Call(name, "input", **_value(graph["tensor_values"], name)))
        elif kind in ("parameter", "buffer", "tensor_constant"):
            name, key = entry["arg"]["name"], entry[f"{kind}_name"]
            tensors[name] = stored[key] if key in stored else constants[key]
            if kind == "parameter":
                learned.add(name)
        elif kind != "constant_input":
            raise UnsupportedOperation(
                f"The model takes a {reason(kind)}, which Weightome cannot ingest."
            )
    if not inputs or not inputs[0].shape:
        raise UnsupportedOperation("The model takes no tensor, so there is nothing to ingest.")
    calls = _Reading(stored).calls(graph)
    outputs = [output["as_tensor"]["name"] for output in graph["outputs"] if "as_tensor" in output]
    return Program(calls, inputs, tensors, learned, outputs)


def whole(sizes: Iterable[Mapping[str, Any]]) -> tuple[int, ...]:
    """Sizes that are numbers.

    Raises
    ------
    UnsupportedOperation
        If one is not, as of a program for inputs of many shapes.
    """
    found = list(sizes)
    if any(list(size) != ["as_int"] or type(size["as_int"]) is not int for size in found):
        raise _dynamic()
    return tuple(size["as_int"] for size in found)


def _dynamic() -> UnsupportedOperation:
    return UnsupportedOperation(
        "The model was exported with dynamic shapes, which Weightome cannot ingest: export it with "
        "fixed ones."
    )


def _value(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    meta = values[name]
    dtype = TYPES.get(meta["dtype"], f"type {meta['dtype']}")
    return {"shape": whole(meta["sizes"]), "dtype": dtype}


class _Reading:
    """Reads the nodes of graphs."""

    def __init__(self, keys: Iterable[str]) -> None:
        # Modules that hold others: their calls are not modules themselves.
        self._parents = {key.rsplit(".", 2)[0] for key in keys if key.count(".") > 1}

    def calls(self, graph: Mapping[str, Any]) -> list[Call]:
        """The calls of a graph in their order; a part of its own is taken into its place."""
        found: list[Call] = []
        for number, node in enumerate(graph["nodes"]):
            kind = str(node["target"]).rpartition(".")[2]
            if kind in _WRAPPED:
                found += self._part(node, kind, graph["tensor_values"])
            else:
                found += self._node(node, number, graph["tensor_values"])
        return found

    def _node(
        self, node: Mapping[str, Any], number: int, values: Mapping[str, Any]
    ) -> Sequence[Call]:
        """A node as a call; where it gives several tensors, further calls take them."""
        arguments = {entry["name"]: _argument(entry["arg"]) for entry in node["inputs"]}
        results = _results(node)
        named = str(node.get("name") or (results[0] if results else f"node_{number}"))
        several = len(results) > 1 or any("as_tensors" in output for output in node["outputs"])
        if len(results) == 1 and not several:
            named = results[0]
        path, kind = _module(node.get("metadata", {}).get("nn_module_stack", ""))
        call = Call(
            named,
            str(node["target"]).removeprefix("torch.ops."),
            arguments,
            path,
            self._is_leaf(path, kind),
            **(_value(values, named) if results == [named] else {}),
        )
        # The file leaves out what is as it would be anyway; the order of what is there counts.
        missing = {
            name: value
            for name, value in DEFAULTS.get(call.key, {}).items()
            if name not in arguments
        }
        call = replace(call, arguments={**arguments, **missing})
        if not several:
            return [call]
        return [call, *self._taken(call, results, values)]

    @staticmethod
    def _taken(call: Call, results: Sequence[str], values: Mapping[str, Any]) -> Iterable[Call]:
        for index, name in enumerate(results):
            yield Call(
                name,
                GETITEM,
                {"source": Ref(call.name), "index": index},
                call.module,
                call.leaf,
                **_value(values, name),
            )

    def _is_leaf(self, path: str, kind: str) -> bool:
        return (
            kind.startswith("torch.nn.modules.")
            and ".container." not in kind
            and path not in self._parents
        )

    def _part(
        self, node: Mapping[str, Any], kind: str, values: Mapping[str, Any]
    ) -> Sequence[Call]:
        """The calls of a part, under names of their own, and its results under theirs."""
        arguments = [entry["arg"] for entry in node["inputs"]]
        at = _WRAPPED[kind]
        if kind == "wrap_with_autocast" and arguments[_AUTOCAST_ENABLED]["as_bool"]:
            return self._node({**node, "inputs": []}, 0, values)
        graph = arguments[at]["as_graph"]["graph"]
        inner = self.calls(graph)
        given = [entry["as_tensor"]["name"] for entry in graph["inputs"]]
        names: dict[str, object] = dict(
            zip(given, map(_argument, arguments[at + 1 :]), strict=True)
        )
        name = str(node.get("name") or "part")
        names |= {call.name: Ref(f"{name}.{call.name}") for call in inner}
        calls = [call.within(name, names) for call in inner]
        outputs = [entry["as_tensor"]["name"] for entry in graph["outputs"]]
        for result, output in zip(_results(node), outputs, strict=True):
            taken = {"self": names[output]}
            alias = Call(result, "aten.alias.default", taken, **_value(values, result))
            calls.append(alias)
        return calls


def _results(node: Mapping[str, Any]) -> list[str]:
    """The names of the tensors that a node gives."""
    found: list[str] = []
    for output in node["outputs"]:
        if "as_tensor" in output:
            found.append(output["as_tensor"]["name"])
        elif "as_tensors" in output:
            found += [part["name"] for part in output["as_tensors"]]
    return found


def _module(stack: str) -> tuple[str, str]:
    """Path and class of the innermost module, from ``key,path,class;key,path,class``."""
    if not stack:
        return "", ""
    _, path, kind = stack.rpartition(";")[2].split(",", 2)
    return path, kind


def _argument(argument: Mapping[str, Any]) -> object:
    ((kind, value),) = argument.items()
    if kind == "as_tensor":
        return Ref(value["name"])
    if kind == "as_tensors":
        return [Ref(part["name"]) for part in value]
    if kind == "as_optional_tensors":
        return [_argument(part) for part in value]
    if kind.startswith("as_sym_"):
        raise _dynamic()
    if kind == "as_float":
        # JSON has no infinite numbers, so they are texts.
        return float(value)
    if kind == "as_floats":
        return [float(part) for part in value]
    return None if kind == "as_none" else value
