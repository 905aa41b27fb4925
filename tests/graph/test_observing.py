"""Neurons on data against torch, whose hooks see what each module receives and gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ingest
from ingest.removal import delete
from queries import observing
from queries.observations import layers_on_data, neurons_on_data, observations, selectivity
from queries.observing import forget, observe
from queries.observing_commands import mount
from store.commandline import application, run
from store.database import Database
from store.errors import Conflict, InvalidArgument, InvalidName, NotFound, StoreUnreachable
from store.query import Query
from tests.networks import dense_network, hand_checkable

PROPERTIES = Query(
    "observed_properties_for_the_test",
    "Names of neurons' properties that observations left.",
    """
MATCH (:Network {name: $network})-[:HAS_LAYER]->()-[:HAS_NEURON]->(neuron)
UNWIND [key IN keys(neuron) WHERE key CONTAINS '_on_'] AS key
RETURN DISTINCT key
""",
    ("key",),
)
NODES = Query(
    "observation_nodes_for_the_test",
    "Observations of the store.",
    "MATCH (observation:Observation) RETURN count(observation) AS count",
    ("count",),
)
SAMPLES = np.random.default_rng(3).normal(size=(11, 2, 6, 6))
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1])


class Cnn(torch.nn.Module):
    """A convolution with a ReLU, a pool, and a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3, padding=1)
        self.fc = torch.nn.Linear(3 * 3 * 3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.max_pool2d(torch.relu(self.conv(x)), 2)
        found: torch.Tensor = torch.tanh(self.fc(pooled.flatten(1)))
        return found


class Rnn(torch.nn.Module):
    """A plain recurrent layer, and a matrix for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.RNN(3, 4, batch_first=True)
        self.fc = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.fc(self.rnn(x)[0])
        return found


def _autoencoder() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(8, 3), torch.nn.ReLU(), torch.nn.Linear(3, 8), torch.nn.Sigmoid()
    )


def _expected(
    model: torch.nn.Module, samples: np.ndarray[Any, Any], module: str
) -> np.ndarray[Any, Any]:
    """What a module gives, before the activation behind it."""
    seen: list[torch.Tensor] = []

    def note(_: Any, __: Any, given: Any) -> None:
        seen.append(given[0] if isinstance(given, tuple) else given)

    hook = dict(model.named_modules())[module].register_forward_hook(note)
    with torch.no_grad():
        model.double()(torch.from_numpy(samples))
    hook.remove()
    model.float()
    return seen[0].numpy()


def _column(database: Database, name: str, layer: str, column: str, **options: Any) -> Any:
    table = neurons_on_data(database, name, "sample", **options)
    return np.array([row[column] for row in table.records() if row["layer"] == layer])


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("view", ["shared", "unrolled"])
def test_a_cnn(database: Database, stored: Callable[..., str], view: str, batch: int) -> None:
    torch.manual_seed(1)
    model = Cnn().eval()
    name = stored(ingest.read(model, input_shape=(2, 6, 6), view=view))
    table = observe(database, name, SAMPLES, name="sample", labels=LABELS, batch=batch)
    assert table.rows[0][:3] == ["sample", 11, [0, 1, 2]]
    received = _expected(model, SAMPLES, "conv")
    # Shared: a channel is one neuron at all its positions.
    values = received if view == "unrolled" else np.moveaxis(received, 1, -1).reshape(-1, 3)
    values = values.reshape(len(values), -1)
    active = np.maximum(values, 0)
    np.testing.assert_allclose(
        _column(database, name, "conv", "strength"), values.mean(axis=0), rtol=1e-6, atol=1e-7
    )
    for column, expected in (
        ("strength_std", values.std(axis=0)),
        ("activation", active.mean(axis=0)),
        ("activation_std", active.std(axis=0)),
        ("active", (values > 0).mean(axis=0)),
    ):
        found = _column(database, name, "conv", column)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7, err_msg=column)
    logits = _expected(model, SAMPLES, "fc")
    for label in (0, 1, 2):
        of_label = logits[label == LABELS]
        np.testing.assert_allclose(
            _column(database, name, "fc", "strength", label=str(label)),
            of_label.mean(axis=0), rtol=1e-6, atol=1e-7,
        )  # fmt: skip
        np.testing.assert_allclose(
            _column(database, name, "fc", "activation", label=str(label)),
            np.tanh(of_label).mean(axis=0), rtol=1e-6, atol=1e-7,
        )  # fmt: skip


def test_the_batch_does_not_matter(database: Database, stored: Callable[..., str]) -> None:
    torch.manual_seed(2)
    name = stored(ingest.read(Cnn().eval(), input_shape=(2, 6, 6)))
    found = []
    for batch in (1, 4, 11):
        observe(database, name, SAMPLES, name="sample", batch=batch, replace=True)
        found.append(np.array([row[3:] for row in neurons_on_data(database, name, "sample").rows],
                              dtype=float))  # fmt: skip
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("view", ["shared", "unrolled"])
def test_a_recurrent_network(database: Database, stored: Callable[..., str], view: str) -> None:
    torch.manual_seed(3)
    model = Rnn().eval()
    samples = np.random.default_rng(1).normal(size=(7, 5, 3))
    name = stored(ingest.read(model, input_shape=(5, 3), view=view))
    observe(database, name, samples, name="sample", batch=3)
    hidden = _expected(model, samples, "rnn")
    names = {row["layer"] for row in neurons_on_data(database, name, "sample").records()}
    layer = next(each for each in names if each.startswith("rnn"))
    over = (0, 1) if view == "shared" else 0
    np.testing.assert_allclose(
        _column(database, name, layer, "activation"), hidden.mean(axis=over).ravel(),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip
    # What it receives is what tanh was applied to.
    np.testing.assert_allclose(
        _column(database, name, layer, "strength"),
        np.arctanh(hidden).mean(axis=over).ravel(), rtol=1e-5, atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_gates_receive_what_torch_computes(
    database: Database, stored: Callable[..., str], kind: str
) -> None:
    torch.manual_seed(4)
    module = getattr(torch.nn, kind)(2, 3, batch_first=True)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layer(x)[0]
            return found

    samples = np.random.default_rng(2).normal(size=(4, 6, 2))
    name = stored(ingest.read(Model().eval(), input_shape=(6, 2)))
    observe(database, name, samples, name="sample")
    state = {key: value.detach().double().numpy() for key, value in module.named_parameters()}
    hidden = _expected(Model().eval(), samples, "layer")
    before = np.concatenate([np.zeros((4, 1, 3)), hidden[:, :-1]], axis=1)
    gates = (
        samples @ state["weight_ih_l0"].T + state["bias_ih_l0"]
        + before @ state["weight_hh_l0"].T + state["bias_hh_l0"]
    )  # fmt: skip
    table = neurons_on_data(database, name, "sample").records()
    (layer,) = {row["layer"] for row in table if row["layer"].endswith("gates")}
    np.testing.assert_allclose(
        _column(database, name, layer, "strength"), gates.mean(axis=(0, 1)), rtol=1e-5, atol=1e-6
    )
    assert {row["activation"] for row in table if row["layer"] == layer} == {None}


def test_an_autoencoder_from_a_loader(database: Database, stored: Callable[..., str]) -> None:
    torch.manual_seed(5)
    model = _autoencoder().eval()
    samples = np.random.default_rng(4).normal(size=(10, 8)).astype(np.float32)
    labels = np.arange(10) % 2
    name = stored(ingest.read(model, input_shape=(8,)))
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(samples), torch.from_numpy(labels))
    loader = torch.utils.data.DataLoader(dataset, batch_size=4)
    steps: list[int] = []
    observe(database, name, loader, name="sample", progress=steps.append)
    assert steps == [4, 8, 10]
    received = _expected(model, samples.astype(np.float64), "2")
    np.testing.assert_allclose(
        _column(database, name, "2", "strength"), received.mean(axis=0), rtol=1e-5, atol=1e-6
    )
    layers = {row["layer"]: row for row in layers_on_data(database, name, "sample").records()}
    assert layers["2"]["strength_fluctuation"] == pytest.approx(
        received.mean(axis=0).std(), rel=1e-5
    )
    assert layers["2"]["neurons"] == 8
    one = {
        row["layer"]: row for row in layers_on_data(database, name, "sample", label="1").records()
    }
    assert one["2"]["strength_mean"] == pytest.approx(received[1::2].mean(), rel=1e-5)
    assert one["2"]["inactive"] is None


def test_selectivity(database: Database, stored: Callable[..., str]) -> None:
    name = stored(dense_network([np.eye(3, dtype=np.float32)], activations=["relu"]))
    samples = np.array([[2, 0, -1], [0, 4, -1], [1, 0, -1]])
    observe(database, name, samples, name="sample", labels=["cat", "dog", "cat"])
    rows = [row for row in selectivity(database, name, "sample").rows if row[0] == "fc1"]
    assert [row[3:] for row in rows] == [
        ["cat", 1.5, 0.0, 1.0], ["dog", 4.0, 0.0, 1.0], ["cat", 0.0, 0.0, None],
    ]  # fmt: skip


def test_the_hand_checkable_network(database: Database, stored: Callable[..., str]) -> None:
    name = stored(hand_checkable())
    observe(database, name, np.array([[1.0, 1.0], [1.0, -1.0]]), name="sample")
    # W0^T x + b0 of both: (5.1, 3.2, -2.7) and (-2.9, -6.8, 9.3).
    assert _column(database, name, "fc1", "strength") == pytest.approx([1.1, -1.8, 3.3])
    assert _column(database, name, "fc1", "strength_std") == pytest.approx([4.0, 5.0, 6.0])


def test_observations_are_kept_replaced_and_forgotten(
    database: Database, stored: Callable[..., str]
) -> None:
    name = stored(hand_checkable())
    ones = np.ones((2, 2))
    observe(database, name, ones, name="sample")
    observe(database, name, ones * 2, name="other")
    assert observations(database, name).column("observation") == ["other", "sample"]
    with pytest.raises(Conflict, match="has an observation 'sample' already: choose another name"):
        observe(database, name, ones, name="sample")
    before = _column(database, name, "input", "strength").tolist()
    observe(database, name, ones * 3, name="sample", replace=True)
    assert before == [1.0, 1.0]
    assert _column(database, name, "input", "strength").tolist() == [3.0, 3.0]
    assert (
        len({key.rpartition("_on_")[2] for (key,) in database.read(PROPERTIES, network=name).rows})
        == 2
    )
    forget(database, name, "sample")
    assert observations(database, name).column("observation") == ["other"]
    assert (
        len({key.rpartition("_on_")[2] for (key,) in database.read(PROPERTIES, network=name).rows})
        == 1
    )
    with pytest.raises(NotFound, match="has no observation 'sample'"):
        forget(database, name, "sample")
    forget(database, name, "other")
    assert database.read(PROPERTIES, network=name).rows == []


def test_it_goes_with_its_network(database: Database, stored: Callable[..., str]) -> None:
    before = database.read(NODES).rows
    name = stored(hand_checkable())
    observe(database, name, np.ones((2, 2)), name="sample")
    delete(database, name)
    assert database.read(NODES).rows == before


def test_a_failure_leaves_nothing(
    database: Database, stored: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stored(hand_checkable())
    before = database.read(NODES).rows
    original = Database.write

    def fails(self: Database, query: Query, /, **parameters: Any) -> Any:
        if query is observing.COMPLETE_OBSERVATION:
            raise StoreUnreachable("Gone.")
        return original(self, query, **parameters)

    monkeypatch.setattr(Database, "write", fails)
    with pytest.raises(StoreUnreachable):
        observe(database, name, np.ones((2, 2)), name="sample")
    monkeypatch.undo()
    assert database.read(PROPERTIES, network=name).rows == []
    assert database.read(NODES).rows == before


def test_what_a_crash_left_is_cleaned_up(
    database: Database, stored: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stored(hand_checkable())
    original = Database.write

    def dies(self: Database, query: Query, /, **parameters: Any) -> Any:
        # After the results were written nothing more gets through.
        if query in (observing.COMPLETE_OBSERVATION, observing.REMOVE_OBSERVATION):
            raise StoreUnreachable("Gone.")
        return original(self, query, **parameters)

    monkeypatch.setattr(Database, "write", dies)
    with pytest.raises(StoreUnreachable):
        observe(database, name, np.ones((2, 2)), name="sample")
    monkeypatch.undo()
    assert observations(database, name).rows == []
    observe(database, name, np.ones((2, 2)), name="sample")
    assert observations(database, name).column("observation") == ["sample"]
    assert (
        len({key.rpartition("_on_")[2] for (key,) in database.read(PROPERTIES, network=name).rows})
        == 1
    )


@pytest.mark.parametrize(
    ("inputs", "options", "error", "sentence"),
    [
        (np.ones((2, 3)), {}, InvalidArgument, "A sample has 3 values, but the network takes 2."),
        (np.ones((0, 2)), {}, InvalidArgument, "There is no sample among the inputs."),
        ([], {}, InvalidArgument, "There is no sample among the inputs."),
        (np.ones((2, 2)), {"labels": [1]}, InvalidArgument, "There are 1 labels for 2 samples."),
        (np.ones((2, 2)), {"labels": [0.5, 1.5]}, InvalidArgument, "Labels are one whole number"),
        ([(np.ones((2, 2)), [1])], {}, InvalidArgument, "There are 1 labels for 2 samples."),
        ([np.ones((2, 2))], {"labels": [1, 2]}, InvalidArgument, "Batches bring their labels"),
        (np.full((1, 2), np.nan), {}, InvalidArgument, "The inputs hold NaN or infinite values."),
        (np.ones((2, 2)), {"batch": 0}, InvalidArgument, "batch cannot be 0"),
        (np.ones((2, 2)), {"name": ""}, InvalidName, "A observation needs a name"),
    ],
)  # fmt: skip
def test_bad_samples(
    database: Database,
    stored: Callable[..., str],
    inputs: Any,
    options: dict[str, Any],
    error: type[Exception],
    sentence: str,
) -> None:
    name = stored(hand_checkable())
    with pytest.raises(error, match=sentence):
        observe(database, name, inputs, **{"name": "sample", **options})
    assert database.read(PROPERTIES, network=name).rows == []


def test_unknown_observations_and_labels(database: Database, stored: Callable[..., str]) -> None:
    name = stored(hand_checkable())
    observe(database, name, np.ones((2, 2)), name="sample", labels=[1, 1])
    with pytest.raises(NotFound, match="has no observation 'nothing': `weightome observe` makes"):
        neurons_on_data(database, name, "nothing")
    with pytest.raises(NotFound, match="The observation 'sample' has no label '2'"):
        neurons_on_data(database, name, "sample", label="2")
    with pytest.raises(InvalidArgument, match="has not labels of two classes"):
        selectivity(database, name, "sample")


def test_on_the_command_line(
    database: Database,
    stored: Callable[..., str],
    store_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Any,
) -> None:
    for variable, value in store_environment.items():
        monkeypatch.setenv(variable, value)
    name = stored(hand_checkable())
    app = application("Observing.")
    mount(app)
    np.save(tmp_path / "x.npy", np.array([[1.0, 1.0], [1.0, -1.0]]))
    np.save(tmp_path / "y.npy", np.array(["cat", "dog"]))
    np.save(tmp_path / "bad.npy", np.array([{}]), allow_pickle=True)
    files = ["--input", f"{tmp_path}/x.npy", "--labels", f"{tmp_path}/y.npy"]
    arguments = ["observe", name, "--name", "sample", *files, "--format", "csv"]
    assert run(app, "weightome", arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1] == 'sample,2,"[""cat"", ""dog""]",7'
    assert _column(database, name, "fc1", "strength", label="dog")[2] == pytest.approx(9.3)
    assert run(app, "weightome", arguments) == 1
    assert "has an observation 'sample' already" in capsys.readouterr().err
    bad = ["observe", name, "--name", "b", "--input", f"{tmp_path}/bad.npy"]
    assert run(app, "weightome", bad) == 1
    assert "is not a .npy file of numbers" in capsys.readouterr().err
    assert run(app, "weightome", ["forget", name, "sample"]) == 0
    assert observations(database, name).rows == []
