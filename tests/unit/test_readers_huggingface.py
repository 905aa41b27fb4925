"""Hugging Face checkpoints -> operations: values against plain torch and against the library."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ingest.operations import OperationGraph
from ingest.readers.huggingface.checkpoint import read_pretrained
from tests import hf_checkpoints, hf_models
from tests.hf_checkpoints import TINY
from tests.interpreter import interpret

ROOT = Path(__file__).parents[2]

TOKENS = 7

Model = Callable[[Mapping[str, Any]], nn.Module]


def config_of(family: str, **changes: Any) -> dict[str, Any]:
    return {**TINY[family], **changes}


def sample(config: Mapping[str, Any]) -> Tensor:
    """Two samples; no token is RoBERTa's padding."""
    generator = torch.Generator().manual_seed(5)
    if config["model_type"] == "vit":
        shape = (2, config["num_channels"], *config["image_size"])
        return torch.randn(shape, generator=generator, dtype=torch.float64)
    return torch.randint(2, config["vocab_size"], (2, TOKENS), generator=generator)


def shape_of(config: Mapping[str, Any]) -> tuple[int, ...] | None:
    return None if config["model_type"] == "vit" else (TOKENS,)


def assert_computes(graph: OperationGraph, module: nn.Module, given: Tensor) -> None:
    """The graph gives the module's outputs, all of them and in their order."""
    with torch.no_grad():
        expected = module.double()(given)
    found = interpret(graph, given.numpy())
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-9, atol=1e-10)


PARTS: dict[str, tuple[str, Model, dict[str, Any]]] = {
    "bert": ("bert", hf_models.BertBase, {"architectures": ["BertModel"]}),
    "bert without pooler": ("bert", lambda c: hf_models.BertBase(c, pooler=False), {}),
    "bert, tanh gelu": ("bert", hf_models.BertBase, {"hidden_act": "gelu_new"}),
    "bert, relu": ("bert", hf_models.BertBase, {"hidden_act": "relu"}),
    "bert, leaky": ("bert", hf_models.BertBase, {"hidden_act": "leaky_relu"}),
    "bert for pretraining": (
        "bert",
        lambda c: hf_models.BertForMaskedLM(c, next_sentence=True),
        {"architectures": ["BertForPreTraining"]},
    ),
    "bert masked": (
        "bert", hf_models.BertForMaskedLM, {"architectures": ["BertForMaskedLM"]}
    ),
    "bert classifier": (
        "bert",
        hf_models.BertForClassification,
        {"architectures": ["BertForSequenceClassification"]},
    ),
    "bert token classifier": (
        "bert",
        lambda c: hf_models.BertForClassification(c, pooled=False),
        {"architectures": ["BertForTokenClassification"]},
    ),
    "bert questions": (
        "bert",
        lambda c: hf_models.BertForClassification(c, "qa_outputs", pooled=False),
        {"architectures": ["BertForQuestionAnswering"]},
    ),
    "roberta": ("roberta", hf_models.BertBase, {"architectures": ["RobertaModel"]}),
    "roberta masked": ("roberta", hf_models.RobertaForMaskedLM, {}),
    "roberta, padding 0": ("roberta", hf_models.RobertaForMaskedLM, {"pad_token_id": 0}),
    "roberta classifier": ("roberta", hf_models.RobertaForSequenceClassification, {}),
    "distilbert": ("distilbert", hf_models.DistilBertBase, {}),
    "distilbert masked": ("distilbert", hf_models.DistilBertForMaskedLM, {}),
    "distilbert classifier": ("distilbert", hf_models.DistilBertForSequenceClassification, {}),
    "gpt2": ("gpt2", hf_models.GPT2Base, {"architectures": ["GPT2Model"]}),
    "gpt2, tied": ("gpt2", hf_models.GPT2LMHeadModel, {"architectures": ["GPT2LMHeadModel"]}),
    "gpt2, not tied": (
        "gpt2",
        lambda c: hf_models.GPT2LMHeadModel(c, tied=False),
        {"tie_word_embeddings": False},
    ),
    "gpt2, inner size": ("gpt2", hf_models.GPT2Base, {"n_inner": 5}),
    "gpt2, not scaled": ("gpt2", hf_models.GPT2Base, {"scale_attn_weights": False}),
    "gpt2, scaled by layer": (
        "gpt2", hf_models.GPT2Base, {"scale_attn_by_inverse_layer_idx": True}
    ),
    "gpt2, silu": ("gpt2", hf_models.GPT2Base, {"activation_function": "silu"}),
    "vit": ("vit", hf_models.ViTBase, {"architectures": ["ViTModel"]}),
    "vit, wider pooler": ("vit", hf_models.ViTBase, {"pooler_output_size": 17}),
    "vit, no bias": ("vit", hf_models.ViTBase, {"qkv_bias": False}),
    "vit, patches that leave a rest": (
        "vit", hf_models.ViTBase, {"image_size": [9, 14], "patch_size": [4, 3]}
    ),
    "vit classifier": ("vit", hf_models.ViTForImageClassification, {}),
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_values(tmp_path: Path, part: str) -> None:
    family, make, changes = PARTS[part]
    config = config_of(family, **changes)
    module = hf_checkpoints.randomized(make(config))
    state = hf_checkpoints.stored(module)
    folder = hf_checkpoints.save(tmp_path / "model", config, state)
    graph = read_pretrained(folder, shape_of(config), None)
    assert_computes(graph, module, sample(config))
    assert len({operation.name for operation in graph.operations}) == len(graph.operations)
    # Every tensor is there and, but for no one's, used.
    assert {tensor.name for tensor in graph.parameters} == set(state)
    used = {p.name for operation in graph.operations for p in operation.parameters.values()}
    assert used == set(state)


@pytest.mark.parametrize("part", PARTS)
def test_layers_are_called_as_in_the_state_dict(tmp_path: Path, part: str) -> None:
    family, make, changes = PARTS[part]
    config = config_of(family, **changes)
    module = make(config)
    folder = hf_checkpoints.save(tmp_path / "model", config, hf_checkpoints.stored(module))
    paths = dict(module.named_modules())
    for operation in read_pretrained(folder, None, None).operations:
        if operation.kind in ("linear", "embedding", "layer_norm", "conv"):
            assert operation.name in paths


def renamed(state: Mapping[str, Tensor], *pairs: tuple[str, str]) -> dict[str, Tensor]:
    found = dict(state)
    for old, new in pairs:
        found = {key.replace(old, new): tensor for key, tensor in found.items()}
    return found


def test_names_of_the_first_releases(tmp_path: Path) -> None:
    config = config_of("bert")
    module = hf_checkpoints.randomized(hf_models.BertForMaskedLM(config))
    old = renamed(
        hf_checkpoints.stored(module),
        ("LayerNorm.weight", "LayerNorm.gamma"),
        ("LayerNorm.bias", "LayerNorm.beta"),
        ("decoder.bias", "bias"),
    )
    assert "cls.predictions.bias" in old
    folder = hf_checkpoints.save(tmp_path / "model", config, old)
    assert_computes(read_pretrained(folder, (TOKENS,), None), module, sample(config))


def test_tied_weights_are_one_parameter(tmp_path: Path) -> None:
    config = config_of("gpt2", architectures=["GPT2LMHeadModel"])
    module = hf_models.GPT2LMHeadModel(config)
    # The library's own gpt2 was saved from the base model, and its name still says head.
    base = renamed(hf_checkpoints.stored(module), ("transformer.", ""))
    graph = read_pretrained(hf_checkpoints.save(tmp_path / "model", config, base), (TOKENS,), None)
    weights = {operation.name: operation.parameters.get("weight") for operation in graph.operations}
    assert weights["lm_head"] is weights["wte"]
    assert graph.outputs == ("ln_f", "lm_head")
    assert_computes(graph, module, sample(config))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats(tmp_path: Path, dtype: torch.dtype) -> None:
    config = config_of("bert")
    module = hf_checkpoints.randomized(hf_models.BertBase(config)).to(dtype)
    graph = read_pretrained(
        hf_checkpoints.save(tmp_path / "model", config, hf_checkpoints.stored(module)),
        (TOKENS,),
        None,
    )
    assert {tensor.dtype for tensor in graph.parameters} == {str(dtype).removeprefix("torch.")}
    assert_computes(graph, module, sample(config))


def test_what_nobody_uses_is_kept(tmp_path: Path) -> None:
    config = config_of("gpt2")
    module = hf_checkpoints.randomized(hf_models.GPT2Base(config))
    more = {
        "h.0.attn.bias": torch.ones(1, 1, 20, 20, dtype=torch.uint8).tril(),
        "h.0.attn.masked_bias": torch.tensor(-1e4),
        "position_ids": torch.arange(20).unsqueeze(0),
        "mask": torch.tensor([True, False, True]),
        "other.weight": torch.randn(3, 4),
    }
    state = {**hf_checkpoints.stored(module), **more}
    graph = read_pretrained(hf_checkpoints.save(tmp_path / "model", config, state), (TOKENS,), None)
    found = {tensor.name: tensor for tensor in graph.parameters}
    assert set(found) == set(state)
    for key, tensor in more.items():
        array = found[key].array()
        assert found[key].dtype == str(tensor.dtype).removeprefix("torch.")
        assert array.dtype == {torch.float32: np.float32, torch.bool: np.bool_}.get(
            tensor.dtype, np.dtype(np.int64)
        )
        np.testing.assert_array_equal(array, tensor.numpy())
    np.testing.assert_array_equal(found["h.0.attn.bias"].read(0, 1), more["h.0.attn.bias"].numpy())
    assert_computes(graph, module, sample(config))


def test_the_number_of_tokens(tmp_path: Path) -> None:
    config = config_of("bert")
    state = hf_checkpoints.stored(hf_models.BertBase(config))
    folder = hf_checkpoints.save(tmp_path / "long", config, state)
    assert read_pretrained(folder, None, None).operations[0].shape == (16,)
    assert read_pretrained(folder, (20,), None).operations[0].shape == (20,)
    assert read_pretrained(folder, (1,), None).operations[0].attributes == {"integers": True}
    short = config_of("gpt2", n_positions=5)
    state = hf_checkpoints.stored(hf_models.GPT2Base(short))
    folder = hf_checkpoints.save(tmp_path / "short", short, state)
    assert read_pretrained(folder, None, None).operations[0].shape == (5,)


def test_all_positions(tmp_path: Path) -> None:
    config = config_of("roberta")
    module = hf_checkpoints.randomized(hf_models.BertBase(config))
    folder = hf_checkpoints.save(tmp_path / "model", config, hf_checkpoints.stored(module))
    graph = read_pretrained(folder, (18,), None)
    assert_computes(graph, module, torch.randint(2, 23, (2, 18)))


def test_no_torch_and_no_library_are_needed(tmp_path: Path) -> None:
    config = config_of("vit")
    folder = hf_checkpoints.save(
        tmp_path / "model", config, hf_checkpoints.stored(hf_models.ViTBase(config))
    )
    program = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from pathlib import Path\n"
        "from ingest.readers.huggingface.checkpoint import read_pretrained\n"
        "graph = read_pretrained(Path(sys.argv[1]), None, None)\n"
        "print(sum(float(tensor.array().sum()) != 0 for tensor in graph.parameters))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) > 20


LIBRARY = {
    "bert": [
        "BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForSequenceClassification",
        "BertForTokenClassification", "BertForQuestionAnswering",
    ],
    "roberta": [
        "RobertaModel", "RobertaForMaskedLM", "RobertaForSequenceClassification",
        "RobertaForTokenClassification", "RobertaForQuestionAnswering",
    ],
    "distilbert": [
        "DistilBertModel", "DistilBertForMaskedLM", "DistilBertForSequenceClassification",
        "DistilBertForTokenClassification", "DistilBertForQuestionAnswering",
    ],
    "gpt2": ["GPT2Model", "GPT2LMHeadModel"],
    "vit": ["ViTModel", "ViTForImageClassification"],
}  # fmt: skip


@pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="the library is not installed: pip install transformers",
)
@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family, names in LIBRARY.items() for name in names]
)
@pytest.mark.parametrize("shard", ["50GB", "3KB"])
def test_the_library_itself(tmp_path: Path, family: str, name: str, shard: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers: Any = importlib.import_module("transformers")
        config = config_of(family)
        options = {key: value for key, value in config.items() if key != "model_type"}
        made = transformers.AutoConfig.for_model(family, **options)
        module: Any = hf_checkpoints.randomized(getattr(transformers, name)(made))
        module.save_pretrained(tmp_path / "model", max_shard_size=shard)
        files = list((tmp_path / "model").glob("*.safetensors"))
        assert (len(files) > 1) == (shard == "3KB")
        graph = read_pretrained(tmp_path / "model", shape_of(config), None)
        with torch.no_grad():
            given = sample(config)
            whole = module.double()(given, output_hidden_states=True)
    found = interpret(graph, given.numpy())
    if hasattr(whole, "last_hidden_state"):
        hidden = whole.last_hidden_state
        logits = [] if whole.get("pooler_output") is None else [whole.pooler_output]
    elif name.endswith("QuestionAnswering"):
        hidden = whole.hidden_states[-1]
        logits = [torch.stack((whole.start_logits, whole.end_logits), -1)]
    elif name == "BertForPreTraining":
        hidden = whole.hidden_states[-1]
        logits = [whole.prediction_logits, whole.seq_relationship_logits]
    else:
        hidden, logits = whole.hidden_states[-1], [whole.logits]
    if name == "ViTForImageClassification":
        # These hidden states are those before the last norm.
        hidden = module.vit.layernorm(hidden)
    if name in ("BertForPreTraining", "BertForSequenceClassification"):
        # A model with a head keeps what its pooler gives to itself.
        del found[1]
    for ours, theirs in zip(found, [hidden, *logits], strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-10)
    keys = set().union(*(load_file(file) for file in files))
    assert {tensor.name for tensor in graph.parameters} == keys
