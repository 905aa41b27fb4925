"""An ingest that was interrupted goes on where it stopped, and writes nothing twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import ingest
from ingest.link_writer import write_blocks
from ingest.network import Network
from ingest.plan import Block, Plan
from ingest.removal import delete
from ingest.writer import begun, write
from queries import catalogue
from store.database import Answer, Database
from store.errors import Conflict, MemoryLimitExceeded, NotFound, VerificationFailed
from store.query import Query
from tests.graph.test_crash import UNFINISHED
from tests.graph.test_writer import counts
from tests.networks import dense_network, mixed

ROOT = Path(__file__).parents[2]
KILLS = 20

EVERY_LINK = Query(
    "every_link",
    "Every link of a network, learned and fixed, by the numbers of its neurons.",
    """
MATCH (:Network {name: $name})-[:HAS_LAYER]->(layer)
WITH min(layer.first) AS origin
MATCH (:Network {name: $name})-[:HAS_LAYER]->()-[:HAS_NEURON]->(target)
MATCH (target)<-[link:LINK|WIRE]-(source)
RETURN source.id - origin AS source, target.id - origin AS target, type(link) AS type,
       link.param AS param, link.weight AS weight
""",
    ("source", "target", "type", "param", "weight"),
)
NEURONS = Query(
    "every_neuron",
    "How often each neuron of a network is there, and its bias.",
    """
MATCH (:Network {name: $name})-[:HAS_LAYER]->(layer)-[:HAS_NEURON]->(neuron)
RETURN layer.index AS layer, neuron.index AS neuron, count(*) AS times, neuron.bias AS bias
ORDER BY layer, neuron
""",
    ("layer", "neuron", "times", "bias"),
)
BLOCKS = Query("blocks_left", "", "MATCH (b:Block) RETURN count(b) AS blocks", ("blocks",))
LINKS_LEFT = Query(
    "links_left",
    "Links of the networks that are not complete.",
    """
MATCH (network:Network {status: 'writing'})-[:HAS_LAYER]->()-[:HAS_NEURON]->()-[link:LINK|WIRE]->()
RETURN count(link) AS links
""",
    ("links",),
)

# Writes the model, and kills itself while, or soon after, it sends a given statement.
WRITER = """
import os, signal, sys, threading
from ingest.writer import write
from store.connection import connect
from tests.networks import mixed

name, kill_at, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
sent = 0

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

with connect() as database:
    send = type(database).write
    def counted(self, query, /, **parameters):
        global sent
        sent += 1
        if sent == kill_at:
            threading.Timer(delay, kill).start()
        return send(self, query, **parameters)
    type(database).write = counted
    print(write(database, mixed(), name=name, block_links=500, resume=True).resumed)
"""


def expected_links(network: Network) -> list[list[Any]]:
    """What the store must hold, straight from the seam."""
    rows: list[list[Any]] = []
    for block in network.dense:
        weights = block.tile(range(block.sources), range(block.targets))
        for source, target in np.ndindex(weights.shape):
            rows.append(
                [
                    network.firsts[block.source] + source,
                    network.firsts[block.target] + target,
                    "LINK",
                    block.first + source * block.source_stride + target * block.target_stride,
                    float(weights[source, target]),
                ]
            )
    for links in network.links:
        if links in network.dense:
            continue
        for part in links.blocks():  # type: ignore[union-attr]
            params = [None] * part.count if part.params is None else part.params.tolist()
            rows += [
                [source, target, "LINK" if links.learned else "WIRE", param, weight]
                for source, target, param, weight in zip(
                    part.sources.tolist(), part.targets.tolist(), params, part.weights.tolist(),
                    strict=True,
                )
            ]  # fmt: skip
    return sorted(rows, key=_order)


def _order(row: list[Any]) -> tuple[Any, ...]:
    return (*row[:3], -1 if row[3] is None else row[3], row[4])


def check(database: Database, network: Network, name: str) -> None:
    """Exactly the right links and neurons, and nothing of how they came."""
    links = sorted(database.read(EVERY_LINK, name=name, row_cap=1_000_000).rows, key=_order)
    assert links == expected_links(network)
    rows = database.read(NEURONS, name=name, row_cap=1_000_000).rows
    assert [row[:3] for row in rows] == [
        [index, neuron, 1]
        for index, layer in enumerate(network.layers)
        for neuron in range(layer.size)
    ]
    biases = [
        value
        for layer in network.layers
        for value in ([None] * layer.size if layer.bias is None else layer.bias.tolist())
    ]
    assert [row[3] for row in rows] == biases
    assert database.read(BLOCKS).rows == [[0]]
    assert database.read(UNFINISHED).rows == []


def run_writer(
    environment: dict[str, str], name: str, kill_at: int, delay: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WRITER, name, str(kill_at), str(delay)],
        check=False,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_killed_at_twenty_random_points(
    database: Database, tiny: str, command_environment: dict[str, str]
) -> None:
    """One network, whose writers are killed one after the other until one comes to its end."""
    before = counts(database)
    network = mixed()
    chance = random.Random(6)
    for number in range(KILLS):
        kill_at = chance.randint(1, 4)
        ended = run_writer(command_environment, "killed often", kill_at, chance.uniform(0, 0.02))
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        with pytest.raises(NotFound):
            catalogue.layers(database, "killed often")
        assert number == 0 or counts(database) != before
    ended = run_writer(command_environment, "killed often", -1, 0)
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr
    check(database, network, "killed often")
    delete(database, "killed often")
    assert counts(database) == before


def interrupted(database: Database, network: Network, name: str, links: int = 3_000) -> None:
    """An ingest that is interrupted by Ctrl-C when so many links are written."""
    written = 0

    def stop(of_block: int) -> None:
        nonlocal written
        written += of_block
        if written >= links:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        write(database, network, name=name, block_links=500, progress=stop)
    assert "--resume" in "".join(raised.value.__notes__)


def test_interrupted_and_taken_up_again(database: Database, tiny: str) -> None:
    before = counts(database)
    network = mixed()
    interrupted(database, network, "interrupted")
    assert database.read(UNFINISHED).rows == [["interrupted"]]
    (stopped_at,) = database.read(LINKS_LEFT).rows[0]
    sent = Counting(database)
    # It was cut for blocks of 500 links, and goes on so.
    report = write(sent, network, name="interrupted", block_links=9_999, resume=True)
    assert report.resumed
    check(database, network, "interrupted")
    assert stopped_at >= 3_000
    assert sent.links == network.link_count + network.wire_count - stopped_at
    delete(database, "interrupted")
    assert counts(database) == before


class Counting(Database):
    """Counts the links that are written."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._connection)
        self.links = 0

    def write(self, query: Query, /, **parameters: Any) -> Answer:
        answer = super().write(query, **parameters)
        if query.name in ("write_rectangle", "write_links", "write_wires"):
            self.links += (answer.counters or {})["relationships_created"]
        return answer


def test_without_resume_it_begins_anew(database: Database, tiny: str) -> None:
    before = counts(database)
    network = mixed()
    interrupted(database, network, "anew")
    assert not write(database, network, name="anew").resumed
    check(database, network, "anew")
    delete(database, "anew")
    assert counts(database) == before


def test_nothing_to_go_on_with(database: Database, tiny: str) -> None:
    network = mixed()
    assert not write(database, network, name="nothing before", resume=True).resumed
    check(database, network, "nothing before")
    with pytest.raises(Conflict, match="There is a network 'nothing before' already"):
        write(database, network, name="nothing before", resume=True)
    delete(database, "nothing before")


def test_other_weights_are_no_continuation(database: Database, tiny: str) -> None:
    before = counts(database)
    network = mixed()
    interrupted(database, network, "changed")
    other = dense_network(
        [block.weights.array().T + np.float32(1) for block in network.dense],
        [layer.bias for layer in network.layers[1:] if layer.bias is not None],
    )
    with pytest.raises(Conflict, match="of another model, other weights or another view"):
        write(database, other, name="changed", resume=True)
    assert database.read(UNFINISHED).rows == [["changed"]], "nothing was lost by that"
    write(database, network, name="changed", resume=True)
    check(database, network, "changed")
    delete(database, "changed")
    assert counts(database) == before


def test_a_replacement_goes_on(database: Database, tiny: str, stored: Callable[..., str]) -> None:
    network = mixed()
    name = stored(dense_network([np.ones((2, 3))]))
    with pytest.raises(KeyboardInterrupt):
        write(database, network, name=name, replace=True, progress=_interrupt)
    assert len(catalogue.layers(database, name).rows) == 2, "the old one is still there"
    write(database, network, name=name, replace=True, resume=True)
    check(database, network, name)


def _interrupt(links: int) -> None:
    raise KeyboardInterrupt


def test_two_go_on_at_once(database: Database, tiny: str) -> None:
    network = mixed()
    interrupted(database, network, "two")

    def go_on(number: int) -> str:
        try:
            return str(write(database, network, name="two", block_links=500, resume=True).resumed)
        except Conflict:
            return "refused"

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(go_on, range(3))) == ["True", "refused", "refused"]
    check(database, network, "two")
    delete(database, "two")


# -- other executors ---------------------------------------------------------------------------


def test_an_executor_that_tries_twice(database: Database, tiny: str, tmp_path: Path) -> None:
    """Every block three times, in any order and at the same time, from a plan that was saved."""
    network = mixed()
    file = tmp_path / "plan.jsonl"
    Plan.of(network, block_links=500, workers=3).save(file)
    plan = Plan.load(file)
    chance = random.Random(1)
    with begun(database, network, name="elsewhere", block_links=500, workers=3) as work:
        assert work.plan == plan
        of_round = [
            [block for block in plan.blocks if block.round == number]
            for number in range(plan.blocks[-1].round + 1)
        ]
        assert sum(map(len, of_round)) == len(plan.blocks)

        def part(blocks: list[Block]) -> int:
            return write_blocks(database, network, plan, work.claim, blocks)

        with ThreadPoolExecutor(4) as pool:
            for blocks in of_round:
                tries = [[block] for block in blocks] * 3
                chance.shuffle(tries)
                assert sum(pool.map(part, tries)) == 3 * sum(block.count for block in blocks)
    check(database, network, "elsewhere")
    delete(database, "elsewhere")


class Small(Database):
    """A server that has no memory for more than so many links in a transaction, at first."""

    def __init__(self, database: Database, most: int) -> None:
        super().__init__(database._connection)
        self.most = most

    def write(self, query: Query, /, **parameters: Any) -> Answer:
        if len(parameters.get("weights", ())) > self.most:
            raise MemoryLimitExceeded("no memory")
        return super().write(query, **parameters)


def test_halves_are_not_written_again_as_a_whole(database: Database, tiny: str) -> None:
    network = mixed()
    with begun(database, network, name="halves", block_links=2_000) as work:
        for most in (300, 10_000, 70):
            written = write_blocks(
                Small(database, most), network, work.plan, work.claim, work.plan.blocks
            )
            assert written == network.link_count + network.wire_count
    check(database, network, "halves")
    delete(database, "halves")


def test_blocks_of_another_network(database: Database, tiny: str) -> None:
    before = counts(database)
    network, other = mixed(), dense_network([np.ones((100, 120)), np.ones((120, 90))])
    with (
        pytest.raises(Conflict, match="the model's file changed since it was made"),
        begun(database, network, name="mixed") as work,
    ):
        write_blocks(database, other, work.plan, work.claim, work.plan.blocks)
    with (
        pytest.raises(Conflict, match="The plan is of another network"),
        begun(database, other, name="mixed") as work,
    ):
        write_blocks(database, other, Plan.of(network), work.claim, Plan.of(network).blocks[-1:])
    assert counts(database) == before


def test_a_plan_that_leaves_a_block_out_is_not_complete(database: Database, tiny: str) -> None:
    before = counts(database)
    network = mixed()
    with (
        pytest.raises(VerificationFailed, match="links into layer 'fc1' were written"),
        begun(database, network, name="left out", block_links=500) as work,
    ):
        write_blocks(database, network, work.plan, work.claim, work.plan.blocks[1:])
    assert counts(database) == before


# -- the command line --------------------------------------------------------------------------


def test_ctrl_c_and_resume_on_the_command_line(
    database: Database, tiny: str, tmp_path: Path, command_environment: dict[str, str]
) -> None:
    random_numbers = torch.Generator().manual_seed(0)
    weights = torch.randn(200, 300, generator=random_numbers)
    save_file({"weight": weights}, tmp_path / "large.safetensors")
    environment = {**command_environment, "WEIGHTOME_BLOCK_LINKS": "200"}
    arguments = [
        sys.executable, "-c", COMMAND, "ingest", str(tmp_path / "large.safetensors"),
        "--name", "by command",
    ]  # fmt: skip
    process = subprocess.Popen(
        arguments, env=environment, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    while database.read(BLOCKS).rows[0][0] < 10:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaint.decode().endswith(
        "weightome: Interrupted. What was written stays, hidden: the same ingest with --resume "
        "(resume=True) goes on with it; the next ingest or delete without it removes it.\n"
    )
    resumed = subprocess.run(
        [*arguments, "--resume"],
        check=False,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert resumed.returncode == 0, resumed.stderr
    check(database, ingest.read(tmp_path / "large.safetensors"), "by command")
    delete(database, "by command")


COMMAND = """
import signal, sys
# Whoever runs the tests in the background has children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from weightome import main
sys.exit(main())
"""
