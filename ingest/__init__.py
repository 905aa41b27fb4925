"""A trained model -> the graph.

>>> import ingest                                                       # doctest: +SKIP
>>> ingest.ingest(model, name="mnist", run="training", step=100,
...               metrics={"accuracy": 0.97})                           # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console

from ingest import readers, writer
from ingest.check import check_finite
from ingest.estimate import Estimate, estimate, refuse_large
from ingest.layers.build import build as network_of
from ingest.network import Network
from ingest.plan import Plan
from ingest.progress import links_written
from ingest.removal import delete
from ingest.report import Report
from store.connection import connect
from store.database import Database
from store.errors import InvalidArgument
from store.settings import Settings, load

if TYPE_CHECKING:
    import torch

    Model: TypeAlias = str | os.PathLike[str] | torch.nn.Module

__all__ = [
    "Estimate",
    "Plan",
    "Report",
    "build",
    "delete",
    "ingest",
    "measure",
    "plan",
    "read",
    "ready",
]


def read(
    model: Model,
    *,
    input_shape: tuple[int, ...] | None = None,
    view: str = "shared",
    allow_opaque: bool = False,
    factory: str | None = None,
) -> Network:
    """Reads a model as layers of neurons and blocks of links; needs no database.

    Parameters
    ----------
    model
        A live ``torch.nn.Module``, or the path of an ONNX file, a ``.pt``/``.pth`` state dict, a
        ``.pt2`` of ``torch.export``, a ``.safetensors``, a Keras ``.h5`` or ``.keras`` file, or a
        folder with a Hugging Face ``config.json``. No code in it is ever run.
    input_shape
        Of one sample, without the batch axis; needed where the model does not tell it.
    view
        ``shared``: a channel or feature is one neuron at all its positions, with one link per
        weight; ``unrolled``: a neuron for every value, a link for every use of a weight.
    allow_opaque
        Keeps an operation that is not understood as a layer without links, instead of refusing
        the model.
    factory
        ``package.module:function`` of yours that gives the ``torch.nn.Module`` which a file of
        weights belongs to.

    Returns
    -------
    Network

    Raises
    ------
    UnreadableModel, UnsupportedOperation, ShapeMismatch, InvalidWeights

    Example
    -------
    >>> read("mnist.safetensors").link_count                            # doctest: +SKIP
    199210
    """
    network = _built(model, input_shape, view, allow_opaque, factory)
    check_finite(network)
    return network


def ready(
    model: Model,
    *,
    input_shape: tuple[int, ...] | None = None,
    view: str = "shared",
    allow_opaque: bool = False,
    factory: str | None = None,
    yes: bool = False,
) -> Network:
    """Reads a model as :func:`read` does, if it may be written: a large one is refused before its
    weights are read.

    Parameters
    ----------
    model, input_shape, view, allow_opaque, factory, yes
        As for :func:`ingest`.

    Raises
    ------
    InputError
        If it cannot be read, or has more links than are written without a `yes`.

    Example
    -------
    >>> ready("mnist.safetensors").link_count                           # doctest: +SKIP
    199210
    """
    network = _built(model, input_shape, view, allow_opaque, factory)
    if not yes:
        refuse_large(network)
    check_finite(network)
    return network


def measure(
    model: Model,
    *,
    input_shape: tuple[int, ...] | None = None,
    view: str = "shared",
    allow_opaque: bool = False,
    factory: str | None = None,
) -> Estimate:
    """What writing a model would take; reads no weight and needs no database.

    Parameters
    ----------
    model, input_shape, view, allow_opaque, factory
        As for :func:`read`.

    Returns
    -------
    Estimate
        Neurons, links, parameters, bytes on disk and seconds.

    Raises
    ------
    UnreadableModel, UnsupportedOperation, ShapeMismatch

    Example
    -------
    >>> measure("mnist.safetensors").links                              # doctest: +SKIP
    199210
    """
    return estimate(_built(model, input_shape, view, allow_opaque, factory))


def ingest(
    model: Model,
    *,
    name: str,
    run: str | None = None,
    step: int | None = None,
    metrics: Mapping[str, float] | None = None,
    replace: bool = False,
    input_shape: tuple[int, ...] | None = None,
    view: str = "shared",
    allow_opaque: bool = False,
    factory: str | None = None,
    yes: bool = False,
    resume: bool = False,
    database: Database | None = None,
    progress: bool = False,
) -> Report:
    """Writes every neuron and every weighted link of a model into the store.

    Parameters
    ----------
    model, input_shape, view, allow_opaque, factory
        As for :func:`read`.
    name
        What the network shall be called.
    run, step
        The run that it is a snapshot of, and the training step.
    metrics
        Values to keep with it, such as ``{"accuracy": 0.97}``.
    replace
        Takes the place of a network of that name.
    yes
        Writes a network of more than 100 million links without asking back.
    resume
        Goes on where an interrupted ingest of the same model under that name stopped.
    database
        Where to; default: what the settings name, opened and closed here.
    progress
        Shows a bar with links per second on stderr.

    Returns
    -------
    Report
        ``name``, ``layers``, ``neurons``, ``links``, ``wires``, ``opaque``, ``seconds``,
        ``resumed``.

    Raises
    ------
    InputError
        The model or an argument cannot be used; nothing is written.
    Conflict
        The name is taken, or another process is writing it.
    StoreError
        The database failed; nothing of the network is visible. What stays hidden after a lost
        connection, as after Ctrl-C, is there for `resume`; else the next ingest or delete removes
        it.

    References
    ----------
    "Deep Neural Networks as Complex Networks", arXiv 2209.05488.

    Example
    -------
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 10))            # doctest: +SKIP
    >>> ingest(model, name="tiny").links                                # doctest: +SKIP
    640
    """
    network = ready(
        model,
        input_shape=input_shape,
        view=view,
        allow_opaque=allow_opaque,
        factory=factory,
        yes=yes,
    )
    chosen = load()
    total = network.link_count + network.wire_count
    opened = connect(chosen) if database is None else nullcontext(database)
    with opened as store, links_written(total, name, shown=progress) as advance:
        return writer.write(
            store,
            network,
            name=name,
            run=run,
            step=step,
            metrics=metrics,
            replace=replace,
            workers=chosen.workers,
            block_links=chosen.block_links,
            resume=resume,
            progress=advance,
        )


def build(
    models: Mapping[str, Model],
    *,
    run: str | None = None,
    steps: Sequence[int] | None = None,
    input_shape: tuple[int, ...] | None = None,
    view: str = "shared",
    allow_opaque: bool = False,
    factory: str | None = None,
    yes: bool = False,
    settings: Settings | None = None,
    progress: bool = False,
) -> list[Report]:
    """Writes models into the local store, which must hold none, through Neo4j's import tool.

    Much faster than :func:`ingest` for millions of links. The server is stopped meanwhile and runs
    afterwards.

    Parameters
    ----------
    models
        By the names that they shall have.
    run, steps
        The run that they are snapshots of, and the training step of each, in their order.
    input_shape, view, allow_opaque, factory, yes
        As for :func:`ingest`, for all of them.
    settings
        Of the local store; default: from the environment.
    progress
        Shows a bar and what goes on on stderr.

    Returns
    -------
    list of Report
        In the order of the models; `seconds` are those of the whole build.

    Raises
    ------
    InputError
        A model or an argument cannot be used, or the settings name a server elsewhere; nothing
        is written.
    Conflict
        The store holds a network.
    DiskUnusable, ServerFailed, StoreError
        The store is as it was, or what stays hidden is removed by the next ingest or delete.

    Example
    -------
    >>> build({"start": first, "end": last}, run="training", steps=[0, 100])  # doctest: +SKIP
    """
    from ingest import bulk

    chosen = settings or load()
    if steps is not None and len(steps) != len(models):
        raise InvalidArgument(f"{len(steps)} steps were given for {len(models)} models.")
    networks = []
    of_models: Sequence[int | None] = [None] * len(models) if steps is None else steps
    for (name, model), step in zip(models.items(), of_models, strict=True):
        network = ready(
            model,
            input_shape=input_shape,
            view=view,
            allow_opaque=allow_opaque,
            factory=factory,
            yes=yes,
        )
        networks.append(bulk.Named(network, name, run, step))
    total = sum(each.network.link_count + each.network.wire_count for each in networks)
    with links_written(total, "files", shown=progress) as advance:
        return bulk.build(
            chosen,
            networks,
            workers=chosen.workers,
            progress=advance,
            console=Console(stderr=True, quiet=not progress),
        )


def plan(
    model: Model,
    *,
    input_shape: tuple[int, ...] | None = None,
    view: str = "shared",
    allow_opaque: bool = False,
    factory: str | None = None,
) -> Plan:
    """The blocks that a model's links are written in; reads all weights and needs no database.

    Parameters
    ----------
    model, input_shape, view, allow_opaque, factory
        As for :func:`read`.

    Returns
    -------
    Plan
        To be listed, saved, and written by any executor (:func:`ingest.writer.begun`).

    Raises
    ------
    UnreadableModel, UnsupportedOperation, ShapeMismatch, InvalidWeights

    Example
    -------
    >>> len(plan("mnist.safetensors").blocks)                           # doctest: +SKIP
    17
    """
    network = read(
        model, input_shape=input_shape, view=view, allow_opaque=allow_opaque, factory=factory
    )
    chosen = load()
    return Plan.of(network, block_links=chosen.block_links, workers=chosen.workers)


def _built(
    model: Model,
    input_shape: tuple[int, ...] | None,
    view: str,
    allow_opaque: bool,
    factory: str | None,
) -> Network:
    graph = readers.read(model, input_shape=input_shape, factory=factory)
    return network_of(graph, view, allow_opaque=allow_opaque)
