"""The command line as a user types it: a real process, a real server."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def weightome(command_environment: dict[str, str], tiny: str) -> Run:
    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "weightome", *arguments],
            env=command_environment,
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def _json(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert (done.returncode, done.stderr) == (0, "")
    answer: dict[str, object] = json.loads(done.stdout)
    assert list(answer)[:6] == ["columns", "rows", "truncated", "took_ms", "cypher", "parameters"]
    return answer


def test_strength_as_json(weightome: Run) -> None:
    answer = _json(weightome("strength", "tiny", "--convention", "cnt", "--format", "json"))
    assert answer["columns"] == ["layer", "layer_index", "neuron", "in", "out", "total"]
    totals = [row[5] for row in answer["rows"]]  # type: ignore[attr-defined]
    assert totals == pytest.approx([3, 4, 8.1, 4.2, -3.7, 4.5, 0.5], abs=1e-12)
    assert answer["truncated"] is False
    assert answer["parameters"] == {"network": "tiny", "unit": True, "bias": True}
    assert "MATCH (network:Network {name: $network})" in str(answer["cypher"])


@pytest.mark.parametrize(
    ("arguments", "columns", "rows"),
    [
        (("runs",), "run,snapshots,first_step,last_step", None),
        (("networks", "--run", "tiny-run"), "network,run,step,view,source,layers,neurons,links,"
         "wires,parameters,metrics,created", 1),
        (("layers", "tiny"), "layer,layer_index,kind,activation,size,shape,biased,links_in,"
         "wires_in,fed_by", 3),
        (("neurons", "tiny", "fc1"), "neuron,id,bias,role,head,place,in_degree,out_degree", 3),
        (("neuron", "tiny", "fc1/2", "-k", "1"), "direction,layer,neuron,weight", 2),
        (("links", "tiny"), "layer,layer_index,links,mean,std,min,q05,q25,median,q75,q95,max,"
         "near_zero", 2),
        (("histogram", "tiny", "--bins", "3"), "layer,layer_index,bin,low,high,count",
         6),
        (("layer-strength", "tiny"), "layer,layer_index,neurons,mean,fluctuation,min,max,"
         "in_mean,out_mean", 3),
        (("paths", "tiny", "input/1", "fc2", "-k", "4"),
         "rank,cost,product,hops,path,weights", 4),
        (("architecture", "tiny"), "paths,effective_depth,effective_width", 1),
        (("dynamics", "tiny-run", "--statistic", "link_mean"), "step,network,layer,layer_index,"
         "value", 2),
        (("cypher", "MATCH (n:Network {name: $n}) RETURN n.links AS links", "-p", "n=tiny"),
         "links", 1),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_every_command_in_every_format(
    weightome: Run, arguments: tuple[str, ...], columns: str, rows: int | None
) -> None:
    answer = _json(weightome(*arguments, "--format", "json"))
    assert ",".join(answer["columns"]) == columns  # type: ignore[arg-type]
    assert rows is None or len(answer["rows"]) == rows  # type: ignore[arg-type]

    lines = list(csv.reader(io.StringIO(weightome(*arguments, "--format", "csv").stdout)))
    assert lines[0] == columns.split(",")
    assert len(lines) - 1 == len(answer["rows"])  # type: ignore[arg-type]

    shown = weightome(*arguments).stdout
    assert shown.split()[: len(lines[0])] == lines[0]
    assert len(shown.splitlines()) >= len(lines)


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("strength", "nothing"), 1, "weightome: There is no network 'nothing'."),
        (("strength", "tiny", "--convention", "x"), 1,
         "weightome: convention cannot be 'x': choose from plain, cnt."),
        (("paths", "tiny", "input", "fc9"), 1,
         "weightome: There is no layer 'fc9' in this network; it has input, fc1, fc2."),
        (("neuron", "tiny", "fc1"), 1,
         "weightome: 'fc1' names no neuron: write LAYER/INDEX, such as fc1/12."),
        (("dynamics", "nothing"), 1, "weightome: There is no run 'nothing'."),
        (("cypher", "MATCH (n) DETACH DELETE n"), 1, None),
        (("cypher", "MATCH (n RETURN n"), 1, None),
        (("ingest", "/nowhere/model.pt", "--name", "x"), 1, None),
        (("ingest", "README.md", "--name", "x", "--metric", "accuracy"), 1,
         "weightome: --metric wants NAME=NUMBER, such as accuracy=0.97, not 'accuracy'."),
        (("delete", "nothing"), 1, "weightome: There is no network 'nothing'."),
        (("strength",), 2,
         "weightome: Missing argument 'network'; see 'weightome strength --help'."),
        (("strength", "tiny", "--nonsense"), 2,
         "weightome: No such option: --nonsense; see 'weightome strength --help'."),
        (("nonsense",), 2, "weightome: No such command 'nonsense'; see 'weightome --help'."),
    ],
    ids=lambda value: "-".join(value[:1]) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_errors_are_one_sentence_on_stderr(
    weightome: Run, arguments: tuple[str, ...], status: int, sentence: str | None
) -> None:
    done = weightome(*arguments)
    assert done.returncode == status
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("weightome: ")
    assert sentence is None or lines[0] == sentence


def test_row_limit_is_told(weightome: Run) -> None:
    done = weightome("neurons", "tiny", "fc1", "--limit", "2")
    assert "Only the first 2 rows are shown; ask for more with --limit." in done.stderr
    answer = json.loads(
        weightome("neurons", "tiny", "fc1", "--limit", "2", "--format", "json").stdout
    )
    assert (len(answer["rows"]), answer["truncated"]) == (2, True)


def test_cypher_from_stdin(weightome: Run) -> None:
    answer = _json(
        weightome("cypher", "-", "-p", "k=2", "--format", "json", stdin="RETURN $k + 1 AS three")
    )
    assert answer["rows"] == [[3]]


def test_ingest_and_delete(weightome: Run, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    weights = {
        "a.weight": random.normal(size=(4, 6)).astype(np.float32),
        "a.bias": random.normal(size=4).astype(np.float32),
        "b.weight": random.normal(size=(2, 4)).astype(np.float32),
    }
    file = tmp_path / "model.safetensors"
    save_file(weights, file)
    arguments = ("ingest", str(file), "--name", "from a file", "--run", "files", "--step", "3")

    answer = weightome(*arguments, "--metric", "accuracy=0.97", "--format", "json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["rows"][0][:4] == ["from a file", 3, 12, 32]
    try:
        networks = _json(weightome("networks", "--run", "files", "--format", "json"))
        assert networks["rows"][0][10] == {"accuracy": 0.97}  # type: ignore[index]
        strength = _json(weightome("strength", "from a file", "--format", "json"))
        received = [row[3] for row in strength["rows"][6:10]]  # type: ignore[index]
        expected = weights["a.weight"].astype(float).sum(axis=1).tolist()
        assert received == pytest.approx(expected, abs=1e-12)

        again = weightome(*arguments)
        assert again.returncode == 1
        assert "There is a network 'from a file' already" in again.stderr
        assert weightome(*arguments, "--replace").returncode == 0
    finally:
        deleted = weightome("delete", "from a file")
    assert deleted.returncode == 0
    assert [line.rstrip() for line in deleted.stdout.splitlines()] == ["deleted", "from a file"]
    assert weightome("networks", "--run", "files").returncode == 1, "the run went with it"


@pytest.mark.parametrize("room", ["ingest", "queries", "service"])
def test_each_room_has_its_own_command_line(command_environment: dict[str, str], room: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", room, "--help"],
        env=command_environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"Usage: python -m {room}")


def test_without_arguments_it_shows_its_help(weightome: Run) -> None:
    done = weightome()
    assert done.returncode == 2
    assert "strength" in done.stdout
    assert "Write every neuron and every weighted link" in done.stdout


def test_version(weightome: Run) -> None:
    done = weightome("--version")
    assert (done.returncode, done.stdout) == (0, "weightome 0.1.0\n")
