"""Keras' layers and their calls -> operations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ingest.operations import OperationGraph
from ingest.readers.keras.attention import FAMILIES as ATTENTION
from ingest.readers.keras.calls import Call, Ref
from ingest.readers.keras.config import Layer, Model, Shape
from ingest.readers.keras.convolutions import FAMILIES as CONVOLUTIONS
from ingest.readers.keras.hdf5 import Contents
from ingest.readers.keras.layers import FAMILIES as PLAIN
from ingest.readers.keras.layers import Family
from ingest.readers.keras.operators import FAMILIES as OPERATORS
from ingest.readers.keras.recurrent import FAMILIES as RECURRENT
from ingest.readers.keras.shapes import FAMILIES as SHAPES
from ingest.readers.keras.values import Operations, Step, Value
from ingest.readers.keras.weights import Place, Roles, assign
from ingest.readers.wording import Names, damaged, reason
from store.errors import InvalidArgument, ShapeMismatch, UnsupportedOperation

FAMILIES: Mapping[str, Family] = {
    **PLAIN, **CONVOLUTIONS, **SHAPES, **RECURRENT, **ATTENTION, **OPERATORS,
}  # fmt: skip

# Layers of Keras that we do not know, but whose function no opaque operation may hide: code, what
# changes the masks that other layers read, and transposed kernels, which operations cannot hold.
_REFUSED = frozenset({
    "Lambda", "Masking", "TFOpLambda", "SlicingOpLambda", "RNN", "StackedRNNCells", "Wrapper",
    "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
})  # fmt: skip


def graph(
    model: Model,
    contents: Contents,
    input_shape: Shape | None,
    path: Path,
    *,
    keras_2: bool,
) -> OperationGraph:
    """The operations of a model.

    Parameters
    ----------
    model
        Its layers.
    contents
        Their tensors.
    input_shape
        As for :func:`ingest.readers.read`.
    path
        The file, for errors.
    keras_2
        Whether Keras 2 wrote it.

    Raises
    ------
    UnsupportedOperation
        Names the first layer that cannot be ingested.
    UnreadableModel, ShapeMismatch, InvalidArgument, InvalidWeights
    """
    opaque = set(_opaque(model, ()))
    weights = assign(model, contents, opaque, path)
    operations = Operations(path, keras_2=keras_2)
    given = _inputs(model, input_shape, weights, operations)
    walk = _Walk(operations, weights, opaque)
    results = walk.model(model, given, ())
    outputs = tuple(operations.in_order(value, "output") for value in results)
    done = tuple(
        replace(operation, attributes={**operation.attributes, "integers": True})
        if operation.name in operations.of_integers
        else operation
        for operation in operations.done
    )
    return OperationGraph(done, contents.parameters, "keras", outputs)


def _opaque(model: Model, outer: Place) -> Iterator[Place]:
    """Places of layers that Keras knows and we do not, if the one shape that they give is told."""
    told = {(ref.layer, ref.call) for ref in _all_refs(model) if _closed(ref.shape)}
    told -= {(ref.layer, ref.call) for ref in _all_refs(model) if ref.tensor}
    for layer in model.layers:
        if layer.model is not None:
            yield from _opaque(layer.model, (*outer, layer.name))
        elif layer.class_name not in FAMILIES and layer.class_name != "InputLayer":
            numbers = range(len(layer.calls))
            if (
                not layer.core
                or layer.class_name in _REFUSED
                or any((layer.name, number) not in told for number in numbers)
            ):
                raise layer.refused()
            yield (*outer, layer.name)


def _closed(shape: tuple[int | None, ...] | None) -> bool:
    """Whether a shape leaves nothing open but the batch."""
    return shape is not None and len(shape) > 0 and None not in shape[1:]


def _all_refs(model: Model) -> Iterator[Ref]:
    yield from model.outputs
    for layer in model.layers:
        for call in layer.calls:
            yield from call.refs


def _inputs(
    model: Model, asked: Shape | None, weights: Mapping[Place, Roles], operations: Operations
) -> list[Value]:
    layers = {layer.name: layer for layer in model.layers}
    path = operations.path
    if not model.inputs:
        raise UnsupportedOperation(
            f"The model in {path.name!r} has no input, so there is nothing to ingest."
        )
    if asked is not None and len(model.inputs) > 1:
        raise InvalidArgument(
            f"The model in {path.name!r} has {len(model.inputs)} inputs: pass no input_shape."
        )
    given = []
    for ref in model.inputs:
        layer = layers.get(ref.layer)
        if layer is None or layer.class_name != "InputLayer":
            raise damaged(path, f"its input {ref.layer[:80]!r} is no input layer")
        shape = _input_shape(layer, asked, model, weights, path)
        name = Names.INPUT if len(model.inputs) == 1 else layer.name
        made = operations.add(name, "input", (), shape)
        given.append(Value(shape, made, integers=frozenset({made})))
    return given


def _input_shape(
    layer: Layer, asked: Shape | None, model: Model, weights: Mapping[Place, Roles], path: Path
) -> Shape:
    """Shape of one sample: as the model tells it, else as asked, else as the first matrix takes."""
    whole = layer.config.get("batch_input_shape") or layer.config.get("batch_shape")
    if whole is None and asked is None:
        first = next((one for one in model.layers if weights.get((one.name,))), None)
        kernel = None if first is None else weights[(first.name,)].get("kernel")
        if first is None or first.class_name != "Dense" or kernel is None or not kernel.shape:
            raise InvalidArgument(
                f"The model in {path.name!r} does not tell the shape of its input: pass "
                "input_shape, without the batch axis."
            )
        return (kernel.shape[0],)
    if whole is None:
        return asked or ()
    sizes = whole[1:] if isinstance(whole, list) else ["?"]
    if any(size is not None and (type(size) is not int or size < 1) for size in sizes):
        raise damaged(path, "its input shape is not one")
    if asked is None and None in sizes:
        raise InvalidArgument(
            f"The input of the model in {path.name!r} has the shape {tuple(sizes)}: pass "
            "input_shape, without the batch axis."
        )
    shape = tuple(sizes) if asked is None else asked
    if len(shape) != len(sizes) or any(
        size not in (None, length) for size, length in zip(sizes, shape, strict=True)
    ):
        raise ShapeMismatch(
            f"The model in {path.name!r} takes the shape {tuple(sizes)}, not {shape}."
        )
    return shape


class _Walk:
    """Follows the calls of a model and of the models in it."""

    def __init__(
        self, operations: Operations, weights: Mapping[Place, Roles], opaque: set[Place]
    ) -> None:
        self._operations = operations
        self._weights = weights
        self._opaque = opaque

    def model(self, model: Model, given: Sequence[Value], outer: Place) -> list[Value]:
        """What a model gives for what it is given."""
        path = self._operations.path
        values = {(ref.layer, 0): [value] for ref, value in zip(model.inputs, given, strict=True)}
        told = {
            (ref.layer, ref.call): ref.shape[1:]
            for ref in _all_refs(model)
            if ref.shape and ref.tensor == 0
        }
        calls = [
            (layer, number, call)
            for layer in model.layers
            for number, call in enumerate(layer.calls)
        ]
        # Whatever order the file has, a call is made when all that it takes is there.
        missing = {}
        waiting: dict[tuple[str, int], list[int]] = defaultdict(list)
        ready = []
        for index, (_, _, call) in enumerate(calls):
            wanted = {(ref.layer, ref.call) for ref in call.refs} - values.keys()
            missing[index] = len(wanted)
            for key in wanted:
                waiting[key].append(index)
            if not wanted:
                ready.append(index)
        ready.reverse()
        count = 0
        while ready:
            layer, number, call = calls[ready.pop()]
            key = (layer.name, number)
            values[key] = self._called(layer, call, values, outer, told.get(key))
            count += 1
            for index in reversed(waiting.pop(key, [])):
                missing[index] -= 1
                if not missing[index]:
                    ready.append(index)
        if count != len(calls):
            raise damaged(path, "some layers are not reached from the model's input")
        return [self._found(ref, values) for ref in model.outputs]

    def _found(self, ref: Ref, values: Mapping[tuple[str, int], Sequence[Value]]) -> Value:
        given = values.get((ref.layer, ref.call), ())
        if not 0 <= ref.tensor < len(given):
            raise damaged(
                self._operations.path, f"layer {ref.layer[:80]!r} does not give what is taken of it"
            )
        return given[ref.tensor]

    def _called(
        self,
        layer: Layer,
        call: Call,
        values: Mapping[tuple[str, int], Sequence[Value]],
        outer: Place,
        told: tuple[int | None, ...] | None,
    ) -> list[Value]:
        place = (*outer, layer.name)
        step = Step(
            "/".join(place),
            layer,
            call,
            tuple(self._found(ref, values) for ref in call.inputs),
            {name: tuple(self._found(ref, values) for ref in refs)
             for name, refs in call.named.items()},
            self._weights.get(place, {}),
            told,
            self._operations,
        )  # fmt: skip
        if not call.refs or layer.class_name == "InputLayer":
            raise damaged(self._operations.path, f"layer {step.name[:80]!r} is called wrongly")
        self._check(step)
        if layer.model is not None:
            if len(step.inputs) != len(layer.model.inputs) or step.named:
                raise step.refused(f" of {len(step.inputs)} inputs")
            return self.model(layer.model, step.inputs, place)
        if place in self._opaque:
            return [_hidden(step)]
        found = FAMILIES[layer.class_name](step)
        result = found if isinstance(found, list) else [found]
        if told is not None and not _agree(told, result[0].shape):
            raise step.misfit(f"gives the shape {result[0].shape}, but the file says {told}")
        return result

    @staticmethod
    def _check(step: Step) -> None:
        """Refuses arguments and number formats that change what a layer computes."""
        class_name = step.layer.class_name
        for name, value in step.call.options.items():
            known = name == "use_causal_mask" and class_name == "MultiHeadAttention"
            if value is not False and not known and class_name not in OPERATORS:
                raise step.refused(f" with the argument {name} {reason(value)!r}")
        dtype = step.config.get("dtype")
        policy = dtype.get("class_name") if isinstance(dtype, dict) else dtype
        if step.config.get("quantization_config") or (
            isinstance(policy, str)
            and (policy.startswith(("int", "float8")) or "Quantized" in policy)
            and step.weights
        ):
            raise step.refused(" with quantized weights")


def _agree(told: Sequence[int | None], shape: Shape) -> bool:
    return len(told) == len(shape) and all(
        size in (None, length) for size, length in zip(told, shape, strict=True)
    )


def _hidden(step: Step) -> Value:
    """A layer of Keras that we do not know, of which the file tells what shape it gives."""
    values = (*step.inputs, *(value for values in step.named.values() for value in values))
    for value in values:
        step.unmasked(value)
    shape = tuple(size for size in step.told or () if size is not None)
    made = step.operations.add(
        step.name,
        "opaque",
        [step.operations.in_order(value, step.name) for value in values],
        shape,
        step.weights,
        operator=step.layer.class_name,
        module=step.name,
    )
    return Value(shape, made)
