"""A plan holds every link once, in rounds whose blocks share no neuron, and can be saved."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingest
from ingest.content import contents
from ingest.network import DenseLinks, LinkBlock, Network, SparseLinks
from ingest.operations import Parameter
from ingest.plan import Block, Plan
from store.errors import InputError, UnreadableModel, VerificationFailed
from tests.networks import dense_network, mixed

Pair = tuple[int, int]


def links_of(network: Network, plan: Plan, block: Block) -> list[Pair]:
    content = list(contents(network, block.of, plan.block_links, plan.workers))[block.part]
    query, parameters = content.statement(0)
    if query.name == "write_rectangle":
        return [
            (source, target)
            for source in range(parameters["source_first"], parameters["source_end"])
            for target in range(parameters["target_first"], parameters["target_end"])
        ]
    return [
        (parameters["source_ids"][source], parameters["target_ids"][target])
        for source, target in zip(parameters["sources"], parameters["targets"], strict=True)
    ]


def every_link(network: Network) -> Counter[Pair]:
    found: Counter[Pair] = Counter()
    for links in network.links:
        if isinstance(links, DenseLinks):
            first, then = network.firsts[links.source], network.firsts[links.target]
            found.update(
                (first + source, then + target)
                for source in range(links.sources)
                for target in range(links.targets)
            )
        else:
            for part in links.blocks():
                found.update(zip(part.sources.tolist(), part.targets.tolist(), strict=True))
    return found


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=4),
    block_links=st.integers(1, 300),
    workers=st.integers(1, 4),
)
def test_every_link_once_and_rounds_apart(sizes: list[int], block_links: int, workers: int) -> None:
    network = dense_network([np.ones(shape) for shape in pairwise(sizes)])
    check(network, Plan.of(network, block_links=block_links, workers=workers))


@pytest.mark.parametrize("block_links", [37, 500, 10**6])
def test_links_that_name_their_own_ends(block_links: int) -> None:
    network = mixed()
    check(network, Plan.of(network, block_links=block_links, workers=3))


def test_a_layer_that_feeds_itself() -> None:
    network = dense_network([np.ones((12, 12))])
    recurrent = DenseLinks(1, 1, network.parameters[0], 0, True)
    network = replace(network, links=(recurrent,))
    plan = Plan.of(network, block_links=10, workers=2)
    check(network, plan)
    assert plan.blocks[-1].round > 0


def check(network: Network, plan: Plan) -> None:
    found: Counter[Pair] = Counter()
    in_round: dict[int, set[int]] = {}
    for number, block in enumerate(plan.blocks):
        assert block.number == number
        pairs = links_of(network, plan, block)
        assert 0 < len(pairs) == block.count <= plan.block_links
        found.update(pairs)
        ends = {end for pair in pairs for end in pair}
        assert {source for source, _ in pairs} <= set(block.sources)
        assert {target for _, target in pairs} <= set(block.targets)
        taken = in_round.setdefault(block.round, set())
        assert not taken & ends, "a neuron twice in a round"
        taken |= ends
    assert found == every_link(network)
    assert list(in_round) == list(range(len(in_round)))
    assert plan.link_count == network.link_count + network.wire_count
    for (target, learned), sums in plan.sums(network).items():
        assert sums.links == sum(
            links.count
            for links in network.links
            if (links.target, links.learned) == (target, learned)
        )


def test_the_slice_of_the_tensor() -> None:
    matrices = [np.arange(35.0).reshape(5, 7), np.arange(21.0).reshape(7, 3)]
    network = dense_network(matrices)
    plan = Plan.of(network, block_links=6)
    tensors = {parameter.name: parameter.array() for parameter in network.parameters}
    for block in plan.blocks:
        cut = tensors[block.tensor][
            block.rows.start : block.rows.stop, block.columns.start : block.columns.stop
        ]
        assert cut.size == block.count
        assert block.sums.weights == pytest.approx(cut.sum())
    assert {(block.source, block.target) for block in plan.blocks} == {
        ("input", "fc1"),
        ("fc1", "fc2"),
    }


def test_sources_of_several_layers_have_no_one_name() -> None:
    network = dense_network([np.ones((3, 3)), np.ones((3, 3))])
    ends = np.array([0, 4])
    block = LinkBlock(ends, np.array([6, 7]), np.ones(2), np.arange(2))
    network = replace(network, links=(SparseLinks(2, 2, True, lambda: iter([block])),))
    assert [block.source for block in Plan.of(network).blocks] == [""]


# -- equality -----------------------------------------------------------------------------------


def test_saved_and_loaded(tmp_path: Path) -> None:
    plan = Plan.of(mixed(), block_links=700)
    plan.save(tmp_path / "plan")
    assert Plan.load(tmp_path / "plan") == plan
    assert len((tmp_path / "plan").read_text().splitlines()) == len(plan.blocks) + 1


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "no plan", '{"weightome_plan": 99}', '{"weightome_plan": 1}\n{}']
)
def test_no_plan(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan").write_text(text)
    with pytest.raises(UnreadableModel, match="is no plan that this Weightome wrote"):
        Plan.load(tmp_path / "plan")


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel, match="cannot be read: No such file"):
        Plan.load(tmp_path / "missing")
    with pytest.raises(InputError, match="cannot be written"):
        Plan.of(mixed()).save(tmp_path / "no folder" / "plan")


def changed(network: Network) -> dict[str, Network]:
    """The network with one thing changed each."""
    first, second, *others = network.links
    assert isinstance(first, DenseLinks)
    weights = first.weights.array().copy()
    weights[3, 5] = np.nextafter(weights[3, 5], 1)
    weight = replace(Parameter.of(first.weights.name, weights))
    layer = network.layers[1]
    bias = layer.scalars["bias"]
    values = bias.values.copy()
    values[7] += 1e-9
    return {
        "weight": replace(network, links=(replace(first, weights=weight), second, *others)),
        "bias": replace(
            network,
            layers=(
                network.layers[0],
                replace(layer, scalars={"bias": replace(bias, values=values)}),
                *network.layers[2:],
            ),
        ),
        "name": replace(
            network,
            layers=(*network.layers[:2], replace(network.layers[2], name="other")),
        ),
        "activation": replace(
            network,
            layers=(*network.layers[:2], replace(network.layers[2], activation="relu")),
        ),
        "order": replace(network, links=(second, first, *others)),
        "view": replace(network, view="unrolled"),
    }


@pytest.mark.parametrize("what", list(changed(mixed())))
def test_the_fingerprint_tells_networks_apart(what: str) -> None:
    network = mixed()
    assert Plan.of(mixed()).fingerprint == Plan.of(network).fingerprint
    assert Plan.of(changed(network)[what]).fingerprint != Plan.of(network).fingerprint


def test_the_fingerprint_tells_cuts_apart() -> None:
    plans = [Plan.of(mixed(), block_links=most, workers=2) for most in (500, 300)]
    assert plans[0].fingerprint != plans[1].fingerprint


def test_links_that_were_promised() -> None:
    network = dense_network([np.ones((2, 2))])
    block = LinkBlock(np.array([0]), np.array([2]), np.ones(1), np.array([0]))
    lying = SparseLinks(1, 3, True, lambda: iter([block]))
    with pytest.raises(VerificationFailed, match="1 links were made where 3 were promised"):
        Plan.of(replace(network, links=(lying,)))


def test_a_model_file(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(4, 6)}, tmp_path / "m.safetensors")
    plan = ingest.plan(tmp_path / "m.safetensors")
    table = plan.table()
    assert json.loads(json.dumps(table.records())) == [
        {
            "block": 0,
            "round": 0,
            "source": "input",
            "target": table.rows[0][3],
            "sources": "0-5",
            "targets": "6-9",
            "tensor": "weight",
            "rows": "0-3",
            "columns": "0-5",
            "links": 24,
            "checksum": plan.blocks[0].checksum,
        }
    ]


def test_the_command(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from typer.testing import CliRunner

    from ingest.commands import mount
    from store.commandline import application

    save_file({"weight": torch.ones(4, 6)}, tmp_path / "m.safetensors")
    app = application("")
    mount(app)
    arguments = ["plan", str(tmp_path / "m.safetensors"), "--output", str(tmp_path / "plan")]
    done = CliRunner().invoke(app, [*arguments, "--format", "json"])
    assert json.loads(done.stdout)["rows"] == ingest.plan(tmp_path / "m.safetensors").table().rows
    assert Plan.load(tmp_path / "plan") == ingest.plan(tmp_path / "m.safetensors")
