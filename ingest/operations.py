"""The neutral operation graph: what every reader yields and every layer family takes.

A reader knows one file format and no graph; a layer family knows one kind of operation and no
file format. Between them stands this: operations with shapes, attributes, parameter tensors and
edges, in NumPy terms only.

Shapes are of one sample, without the batch axis, channels first (``C, *spatial``) where there are
channels and spatial axes, time first (``T, features``) in sequences. Every axis in an attribute is
negative, counted from the last, so that a batch axis before them changes nothing. Shapes of inputs
broadcast as in NumPy.

Kinds, with their parameters (``?``: may be absent) and attributes:

===================== ======================= ====================================================
kind                  parameters              attributes
===================== ======================= ====================================================
``input``                                     ``integers`` (True where it takes indices)
``parameter``         value                   a tensor that is itself an operand; its shape is the
                                              operation's, a leading batch axis of 1 taken away
``linear``            weight, bias?           along the last axis; ``layout``: ``target_source``
                                              (torch), ``source_target`` (Keras, ONNX MatMul)
``conv``              weight, bias?           ``stride``, ``dilation`` (a number per spatial axis),
                                              ``padding`` (a pair before/after per spatial axis),
                                              ``groups``, ``layout``: ``target_source`` (targets,
                                              sources/groups, *kernel), ``source_target``
                                              (*kernel, sources/groups, targets) or ``depthwise``
                                              (*kernel, sources, multiplier)
``conv_transposed``   weight, bias?           the same and ``output_padding``; ``layout``:
                                              ``source_target`` (sources, targets/groups, *kernel)
``embedding``         weight                  (vocabulary, features), of an integer input
``batch_norm``        mean, variance,         ``epsilon``, ``axis`` (of the channels)
                      weight?, bias?
``layer_norm``        weight?, bias?          ``epsilon``, ``axes``
``rms_norm``          weight?                 ``epsilon``, ``axes``
``group_norm``        weight?, bias?          ``epsilon``, ``groups`` (of the first axis)
``instance_norm``     weight?, bias?          ``epsilon`` (each channel of the first axis by itself)
``prelu``             weight                  ``axis`` along which the slopes lie
``max_pool``                                  ``kernel``, ``stride``, ``dilation``, ``padding``, as
                                              in conv, over the last axes
``average_pool``                              ``kernel``, ``stride``, ``padding``, ``count_padding``
``reduce``                                    ``function`` (mean, sum, max, min, product, l1, l2),
                                              ``axes``, ``keep`` (the axes, with length 1)
``add`` ``product``                           two or more inputs
``subtract`` ``divide``
``maximum`` ``minimum``                       two inputs
``power``
``matmul``                                    two inputs, (..., m, k) and (..., k, n)
``attention``                                 inputs query (heads, T, d), key and value (key heads,
                                              S, d) and perhaps an additive mask; ``scale``,
                                              ``causal``; heads share the key heads evenly
``rnn`` ``lstm``      weight_ih, weight_hh,   inputs the sequence (T, features) and perhaps initial
``gru``               bias_ih?, bias_hh?      h (H,) (and c): gives all T hidden states; one
                                              operation per stack and direction; ``reverse``,
                                              ``layout`` as in linear, ``gates``: their order along
                                              the weights, of ``i f g o`` or ``r z n``;
                                              ``reset_after`` (gru: after the product with
                                              weight_hh, as torch does); ``activation`` (rnn);
                                              ``direction_index``: where the first axis of all
                                              its tensors counts directions (ONNX), which is its;
                                              ``biases_joined``: bias_ih holds both biases, that
                                              of weight_ih first
``lstm_cell``                                 input: an ``lstm``; its T cell states
``identity``                                  also ``dropout``
``reshape``                                   to the operation's shape; also ``flatten``
``expand``                                    broadcast to the operation's shape
``permute``                                   ``axes``: where each axis comes from
``concat``                                    ``axis``
``slice``                                     ``axis``, ``start``, ``stop``, ``step`` (start and
                                              stop within the axis, step positive)
``take``                                      ``axis``, ``indices`` (flip, nearest upsampling)
``pad``                                       ``padding`` (a pair per axis of the sample), ``mode``:
                                              ``zeros``, ``reflect``, ``replicate``, ``circular``
``opaque``            any                     ``operator``, ``module``: what is not understood;
                                              any inputs
elementwise functions                         :data:`ingest.layers.activation.PLAIN` and
                                              ``WITH_ARGUMENTS``, those over an axis with ``axis``
===================== ======================= ====================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Parameter:
    """One learned tensor, read in slices so that it need not lie in memory.

    Parameters
    ----------
    name
        Its key in the state dict.
    aliases
        Further keys of the same tensor, where the model ties weights.
    shape, dtype
        As stored in the file; dtype in NumPy's or torch's word, such as ``float32``.
    read
        ``read(start, stop)`` gives entries start..stop of the first axis as an array. Floats
        come as float32 or float64 with the value that the file holds.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[int, int], NDArray[Any]] = field(repr=False, compare=False)
    aliases: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of scalars."""
        return int(np.prod(self.shape, dtype=np.int64))

    def array(self) -> NDArray[Any]:
        """The whole tensor, in its shape."""
        return self.read(0, self.shape[0]) if self.shape else self.read(0, 1).reshape(())

    @classmethod
    def of(cls, name: str, array: NDArray[Any]) -> Parameter:
        """A parameter over an array that is already in memory."""
        flat = array.reshape(1) if array.ndim == 0 else array
        return cls(name, array.shape, str(array.dtype), lambda start, stop: flat[start:stop])


@dataclass(frozen=True)
class Operation:
    """One step of the network.

    Parameters
    ----------
    name
        Unique in the graph: the ``named_modules()`` path, the ONNX node name, ...
    kind
        In lower case: ``input``, ``linear``, ``relu``, ``dropout``, ``flatten``, ...
    inputs
        Names of the operations whose outputs it takes, in argument order.
    shape
        Shape of its output, without the batch axis.
    parameters
        Its tensors by role.
    attributes
        As the table above says; numbers, texts, truth values, and tuples of them.
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OperationGraph:
    """A model: its operations in topological order, and its tensors in the file's order.

    Parameters
    ----------
    operations
        Every operation stands after those it takes from.
    parameters
        All tensors of the state dict, in its order; those that no operation uses are kept too.
    source
        Where it came from, such as ``safetensors`` or ``torch.nn.Module``.
    outputs
        Names of the operations whose values are the model's outputs, in their order. Empty: those
        that no other operation takes.
    """

    operations: tuple[Operation, ...]
    parameters: tuple[Parameter, ...]
    source: str
    outputs: tuple[str, ...] = ()
