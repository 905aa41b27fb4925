"""The example notebook, run from its first cell to its last, and what its cells then show."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from ingest.removal import delete
from queries.catalogue import networks
from queries.strength import layer_strength, strength
from store.database import Database

NOTEBOOK = Path(__file__).parents[2] / "examples/weightome.ipynb"
# Each cell waits for a machine that may be busy with other tests.
PATIENCE = 600


class _ThisPython(KernelSpecManager):
    """The one kernel is the interpreter of the tests, whatever is registered on this machine."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name=kernel_name, language="python")


@pytest.fixture(scope="module")
def shown(
    command_environment: dict[str, str],
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, str]]:
    """What each code cell shows as text, by how it begins."""
    folder = tmp_path_factory.mktemp("jupyter")
    own = {name: str(folder) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")}
    notebook = _read()
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_spec_manager=_ThisPython()),
        timeout=PATIENCE,
        startup_timeout=PATIENCE,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    try:
        client.execute(env={**command_environment, **own}, cleanup_kc=True)
        yield {cell.source: _text(cell.outputs) for cell in notebook.cells if "outputs" in cell}
    finally:
        for name in networks(database).column("network"):
            if re.fullmatch(r"digits-\d+", name):
                delete(database, name)


def _read() -> NotebookNode:
    read: NotebookNode = nbformat.reads(NOTEBOOK.read_text("utf-8"), as_version=4)
    return read


def _text(outputs: list[Any]) -> str:
    found = []
    for output in outputs:
        data = output.get("data", {})
        found.append(output.get("text") or data.get("text/plain", ""))
        found += [f"<{kind}>" for kind in data if kind.startswith("image/")]
    return "\n".join(found)


def of(shown: dict[str, str], part: str) -> str:
    """What the one cell shows whose source holds that part."""
    (text,) = [text for source, text in shown.items() if part in source]
    return text


def test_it_says_what_the_store_says(shown: dict[str, str], database: Database) -> None:
    assert "digits-060: 122 neurons, 2720 links, accuracy 0.97" in of(shown, "in train()")
    strongest = max(strength(database, "digits-060").records(), key=lambda row: row["total"])
    assert f"{strongest['total']:.6f}" in of(shown, "nlargest")
    for row in layer_strength(database, "digits-060").records():
        assert f"{row['fluctuation']:.3f}" in of(shown, "fluctuation.plot")
        assert f"{row['fluctuation']:.6f}"[:7] in of(shown, "to_polars")
    assert "the same values: True" in of(shown, "Client(address)")
    assert re.search(r"hidden1 +2048 ", of(shown, "MATCH (neuron)<-[link:LINK]-()"))
    assert of(shown, "to_networkx").startswith("400 links tie ")
    assert "MATCH " in of(shown, "print(best.cypher)")
    assert of(shown, '"rank", "path", "product"').count("output/3") == 5


def test_it_draws(shown: dict[str, str]) -> None:
    for part in ("imshow", "fluctuation.plot"):
        assert "<image/png>" in of(shown, part)


def test_it_lies_here_without_outputs() -> None:
    notebook = _read()
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert cell.metadata == {}
