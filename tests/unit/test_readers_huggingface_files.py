"""Hugging Face checkpoints: which files are read, and what is refused by name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from ingest.readers.huggingface.checkpoint import has_config, read_pretrained
from ingest.readers.safetensors_tensors import safetensors
from store.errors import (
    InputError,
    InvalidArgument,
    InvalidWeights,
    ShapeMismatch,
    UnreadableModel,
    UnsupportedOperation,
    WeightomeError,
)
from tests import hf_checkpoints, hf_models
from tests.hf_checkpoints import TINY

INDEX = "model.safetensors.index.json"

MODELS = {
    "bert": hf_models.BertForMaskedLM,
    "distilbert": hf_models.DistilBertBase,
    "gpt2": hf_models.GPT2Base,
    "roberta": hf_models.BertBase,
    "vit": hf_models.ViTBase,
}


def state_of(family: str) -> dict[str, Tensor]:
    return hf_checkpoints.stored(hf_checkpoints.randomized(MODELS[family](TINY[family])))


def checkpoint(folder: Path, family: str = "bert", shards: int = 1, **changes: Any) -> Path:
    config = {**TINY[family], **changes}
    return hf_checkpoints.save(folder / "model", config, state_of(family), shards)


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_shards_hold_the_same_model(tmp_path: Path, shards: int) -> None:
    folder = checkpoint(tmp_path, shards=shards)
    graph = read_pretrained(folder, None, None)
    expected = state_of("bert")
    assert {tensor.name for tensor in graph.parameters} == set(expected)
    for tensor in graph.parameters:
        np.testing.assert_array_equal(tensor.array(), expected[tensor.name].numpy())


def test_every_way_to_name_a_checkpoint(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    whole = read_pretrained(folder, None, None)
    for path in (folder / "config.json", folder / "model.safetensors"):
        assert has_config(path)
        assert read_pretrained(path, None, None) == whole
    os.rename(folder / "model.safetensors", folder / "other.safetensors")
    assert read_pretrained(folder / "other.safetensors", None, None) == whole
    with pytest.raises(UnreadableModel, match=r"holds neither 'model.safetensors' nor"):
        read_pretrained(folder, None, None)


def test_a_link_is_followed(tmp_path: Path) -> None:
    """As in the library's cache, where all files are links to blobs."""
    folder = checkpoint(tmp_path)
    (tmp_path / "blobs").mkdir()
    os.rename(folder / "model.safetensors", tmp_path / "blobs" / "5f3a")
    os.symlink(tmp_path / "blobs" / "5f3a", folder / "model.safetensors")
    assert read_pretrained(folder, None, None).outputs


def test_what_has_a_config(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    assert has_config(folder)
    assert not has_config(tmp_path)
    assert not has_config(tmp_path / "config.json")
    assert not has_config(folder / "model.bin")
    assert not has_config(Path("a\0b.safetensors"))
    # Beside a configuration of something else, a file of weights is itself.
    for text in ('{"model_type": "mamba"}', "[]", "{", '{"model_type": ["bert"]}'):
        (folder / "config.json").write_text(text)
        assert not has_config(folder / "model.safetensors")
        assert has_config(folder)


def rewritten(folder: Path, **changes: Any) -> None:
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"].update(changes)
    (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a\\b", "..", "", "a\0b"])
def test_a_shard_lies_in_the_folder(tmp_path: Path, name: str) -> None:
    folder = checkpoint(tmp_path, shards=2)
    save_file({"x": torch.zeros(2)}, tmp_path / "model.safetensors")
    rewritten(folder, x=name)
    with pytest.raises(UnreadableModel, match=r"does not lie in its folder\.$"):
        read_pretrained(folder, None, None)


def test_an_index_and_its_files_agree(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, shards=2)
    rewritten(folder, **{"no.such": "model-00001-of-00002.safetensors"})
    with pytest.raises(UnreadableModel, match=r"holds 'no.such', which it does not\.$"):
        read_pretrained(folder, None, None)
    rewritten(folder, **{"no.such": "model-00003-of-00002.safetensors"})
    with pytest.raises(UnreadableModel, match=r"no file .*model-00003"):
        read_pretrained(folder, None, None)
    twice = {"cls.predictions.decoder.bias": torch.zeros(23), "x": torch.zeros(2)}
    save_file(twice, folder / "model-00003-of-00002.safetensors")
    with pytest.raises(UnreadableModel, match=r"both hold 'cls.predictions.decoder.bias'"):
        read_pretrained(folder, None, None)
    for text in ("{}", '{"weight_map": {}}', '{"weight_map": 3}', "[1]", "{"):
        (folder / INDEX).write_text(text)
        with pytest.raises(UnreadableModel, match="damaged"):
            read_pretrained(folder, None, None)


def test_what_is_no_file(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    os.remove(folder / "model.safetensors")
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(UnreadableModel, match="is not a regular file"):
        read_pretrained(folder, None, None)
    os.remove(folder / "config.json")
    with pytest.raises(UnreadableModel, match=r"There is no file .*config.json"):
        read_pretrained(folder, None, None)
    os.mkfifo(folder / "config.json")
    with pytest.raises(UnreadableModel, match="is not a regular file"):
        read_pretrained(folder, None, None)


def test_a_config_without_end(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    with (folder / "config.json").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(UnreadableModel, match="longer than"):
        read_pretrained(folder, None, None)


CALLS_FOR = {
    "bert": "bert.encoder.layer.1.attention.self.key.weight",
    "distilbert": "transformer.layer.1.ffn.lin1.bias",
    "gpt2": "h.1.mlp.c_proj.weight",
    "roberta": "embeddings.token_type_embeddings.weight",
    "vit": "embeddings.patch_embeddings.projection.weight",
}


@pytest.mark.parametrize("family", MODELS)
def test_a_tensor_that_is_missing_or_not_fit(tmp_path: Path, family: str) -> None:
    folder, key = checkpoint(tmp_path, family), CALLS_FOR[family]
    state = state_of(family)
    tensor = state.pop(key)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(UnreadableModel, match=f"has no tensor '{key}'"):
        read_pretrained(folder, None, None)
    save_file({**state, key: tensor.unsqueeze(0).contiguous()}, folder / "model.safetensors")
    with pytest.raises(ShapeMismatch, match=f"'{key}' has the shape"):
        read_pretrained(folder, None, None)
    save_file({**state, key: tensor.long()}, folder / "model.safetensors")
    with pytest.raises(InvalidWeights, match=f"'{key}' holds int64"):
        read_pretrained(folder, None, None)


def test_a_head_that_is_not_tied_needs_its_weight(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, tie_word_embeddings=False)
    with pytest.raises(UnreadableModel, match=r"no tensor 'cls\.predictions\.decoder\.weight'"):
        read_pretrained(folder, None, None)
    folder = checkpoint(
        tmp_path, "gpt2", tie_word_embeddings=False, architectures=["GPT2LMHeadModel"]
    )
    with pytest.raises(UnreadableModel, match=r"no tensor 'lm_head\.weight'"):
        read_pretrained(folder, None, None)


REFUSED: list[tuple[str, dict[str, Any], type[WeightomeError], str]] = [
    ("bert", {"model_type": "mamba"}, UnsupportedOperation, "'mamba', which"),
    ("bert", {"model_type": None}, UnsupportedOperation, "model type ''"),
    ("bert", {"model_type": 3}, UnreadableModel, "'model_type' as '3', which is not a text"),
    ("bert", {"is_decoder": True}, UnsupportedOperation, "holds is_decoder='True'"),
    ("bert", {"add_cross_attention": True}, UnsupportedOperation, "add_cross_attention"),
    ("roberta", {"pad_token_id": 19}, UnreadableModel, "leaves no position for a token"),
    ("roberta", {"is_decoder": True}, UnsupportedOperation, "is_decoder"),
    ("gpt2", {"add_cross_attention": True}, UnsupportedOperation, "add_cross_attention"),
    ("vit", {"pruned_heads": {"0": [1]}}, UnsupportedOperation, "pruned_heads"),
    ("bert", {"quantization_config": {"bits": 4}}, UnsupportedOperation, "quantization_config"),
    (
        "bert", {"position_embedding_type": "relative_key"}, UnsupportedOperation,
        "position_embedding_type='relative_key'",
    ),
    ("bert", {"hidden_act": "gelu_10"}, UnsupportedOperation, "hidden_act='gelu_10'"),
    ("gpt2", {"activation_function": "x"}, UnsupportedOperation, "activation_function='x'"),
    ("distilbert", {"activation": "x"}, UnsupportedOperation, "activation='x'"),
    ("vit", {"pooler_act": "prelu"}, UnsupportedOperation, "pooler_act='prelu'"),
    ("bert", {"num_attention_heads": 5}, UnreadableModel, "5 attention heads to 12 features"),
    ("bert", {"hidden_size": -1}, UnreadableModel, "'hidden_size' as '-1'"),
    ("bert", {"hidden_size": 12.0}, UnreadableModel, "a whole number of at least 1"),
    ("bert", {"hidden_size": True}, UnreadableModel, "a whole number of at least 1"),
    ("bert", {"layer_norm_eps": "1e-5"}, UnreadableModel, "'layer_norm_eps'"),
    ("bert", {"layer_norm_eps": float("nan")}, UnreadableModel, "'layer_norm_eps'"),
    ("bert", {"num_hidden_layers": 10**9}, UnreadableModel, "no tensor 'bert.encoder.layer.2"),
    ("bert", {"vocab_size": 10**12}, ShapeMismatch, "calls for (1000000000000, 12)"),
    ("bert", {"architectures": "BertModel"}, UnreadableModel, "a list of names"),
    ("gpt2", {"n_head": 2, "num_attention_heads": 3}, UnreadableModel, "contradicts itself"),
    ("gpt2", {"scale_attn_weights": "no"}, UnreadableModel, "true or false"),
    ("vit", {"image_size": [8, 12, 3]}, UnreadableModel, "one or two positive whole numbers"),
    ("vit", {"patch_size": [4, 0]}, UnreadableModel, "one or two positive whole numbers"),
    ("vit", {"patch_size": 9}, UnreadableModel, "patches of (9, 9)"),
    ("vit", {"qkv_bias": False, "num_channels": 3}, ShapeMismatch, "projection.weight"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "changes", "error", "told"), REFUSED)
def test_a_config_that_is_refused(
    tmp_path: Path,
    family: str,
    changes: dict[str, Any],
    error: type[WeightomeError],
    told: str,
) -> None:
    folder = checkpoint(tmp_path, family, **changes)
    with pytest.raises(error) as raised:
        read_pretrained(folder, None, None)
    assert told in str(raised.value)


def test_sizes_by_their_other_names(tmp_path: Path) -> None:
    usual = read_pretrained(checkpoint(tmp_path, "gpt2"), None, None)
    names = {
        "n_head": "num_attention_heads",
        "n_embd": "hidden_size",
        "n_layer": "num_hidden_layers",
    }
    config = {names.get(key, key): value for key, value in TINY["gpt2"].items()}
    folder = hf_checkpoints.save(tmp_path / "other", config, state_of("gpt2"))
    assert read_pretrained(folder, None, None) == usual


@pytest.mark.parametrize(
    ("family", "shape", "told"),
    [
        ("bert", (21,), "from (1,) to (20,), not (21,)"),
        ("bert", (4, 12), "not (4, 12)"),
        ("roberta", (19,), "from (1,) to (18,), not (19,)"),
        ("vit", (2, 12, 8), "images of shape (2, 8, 12)"),
    ],
)
def test_an_input_shape_that_does_not_fit(
    tmp_path: Path, family: str, shape: tuple[int, ...], told: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        read_pretrained(checkpoint(tmp_path, family), shape, None)
    assert told in str(raised.value)


def test_an_activation_is_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="pass none"):
        read_pretrained(checkpoint(tmp_path), None, "relu")


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), family=st.sampled_from(sorted(MODELS)))
def test_any_config_is_read_or_refused(tmp_path: Path, data: st.DataObject, family: str) -> None:
    folder = tmp_path / family
    if not folder.exists():
        hf_checkpoints.save(folder, TINY[family], state_of(family))
    option = data.draw(st.sampled_from(sorted(TINY[family])))
    config = {**TINY[family], option: data.draw(anything)}
    (folder / "config.json").write_text(json.dumps(config))
    try:
        graph = read_pretrained(folder, None, None)
    except InputError as error:
        assert str(error).endswith(".")
    else:
        assert all(min(operation.shape) > 0 for operation in graph.operations)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 200), byte=st.integers(0, 255), cut=st.integers(0, 40) | st.none())
def test_any_file_of_weights_is_read_or_refused(
    tmp_path: Path, place: int, byte: int, cut: int | None
) -> None:
    path = tmp_path / "x.safetensors"
    save_file(
        {"a": torch.arange(6).reshape(2, 3), "b": torch.randn(2), "c": torch.ones(1) > 0}, path
    )
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content[: None if cut is None else len(content) - cut])
    try:
        found = safetensors(path)
    except InputError as error:
        assert str(error).endswith(".")
    else:
        for tensor in found:
            assert tensor.array().shape == tensor.shape
