"""``/v1/networks``: what is in a network, and what is measured on it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from queries import catalogue
from service.asking import Bounded, Timed
from service.description import described
from service.parameters import (
    LayerName,
    LinkCount,
    NetworkName,
    NeuronIndex,
    OfRun,
)

router = APIRouter(tags=["networks"])


@router.get("/v1/networks", **described("networks", 404))
async def networks_(ask: Bounded, run: OfRun = None) -> Response:
    """Every network, with its counts and metrics, or those of one run."""
    return await ask(lambda database: catalogue.networks(database, run))


@router.get("/v1/networks/{name}/layers", **described("layers", 404))
async def layers_(ask: Bounded, name: NetworkName) -> Response:
    """The layers of a network, in order."""
    return await ask(lambda database: catalogue.layers(database, name))


@router.get("/v1/networks/{name}/layers/{layer}/neurons", **described("neurons", 404))
async def neurons_(ask: Bounded, name: NetworkName, layer: LayerName) -> Response:
    """The neurons of a layer, with their biases and numbers of links. Ids are text, for they may
    be greater than JavaScript's safe integers.
    """
    return await ask(lambda database: catalogue.neurons(database, name, layer))


@router.get(
    "/v1/networks/{name}/layers/{layer}/neurons/{neuron}",
    **described("neuron", 404),
)
async def neuron_(
    ask: Timed, name: NetworkName, layer: LayerName, neuron: NeuronIndex, k: LinkCount = 10
) -> Response:
    """One neuron's strongest links, in and out."""
    return await ask(lambda database: catalogue.neuron(database, name, layer, neuron, k=k))
