"""Small Hugging Face checkpoints: configurations, random weights, and the files as saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.hf_models import Options

TINY: Mapping[str, Options] = {
    "bert": {
        "model_type": "bert", "vocab_size": 23, "hidden_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 10, "max_position_embeddings": 20,
        "type_vocab_size": 2, "layer_norm_eps": 1e-6, "hidden_act": "gelu",
    },
    "roberta": {
        "model_type": "roberta", "vocab_size": 23, "hidden_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 10, "max_position_embeddings": 20,
        "type_vocab_size": 1, "layer_norm_eps": 1e-5, "hidden_act": "gelu", "pad_token_id": 1,
    },
    "distilbert": {
        "model_type": "distilbert", "vocab_size": 23, "dim": 12, "n_layers": 2, "n_heads": 3,
        "hidden_dim": 10, "max_position_embeddings": 20, "activation": "gelu",
    },
    "gpt2": {
        "model_type": "gpt2", "vocab_size": 23, "n_embd": 12, "n_layer": 2, "n_head": 3,
        "n_positions": 20, "n_inner": None, "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
    },
    "vit": {
        "model_type": "vit", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 10, "image_size": [8, 12], "patch_size": [4, 3], "num_channels": 2,
        "layer_norm_eps": 1e-6, "hidden_act": "gelu", "qkv_bias": True,
    },
}  # fmt: skip


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight normal, those of norms around 1: a default of 1 or 0 hides what is forgotten."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            centre = 1.0 if tensor.ndim == 1 and name.endswith("weight") else 0.0
            tensor.copy_(centre + noise * (0.3 if tensor.ndim == 1 else 0.5))
    return module.eval()


def stored(module: nn.Module) -> dict[str, Tensor]:
    """The state dict as the library saves it: of tied tensors one, under its first key."""
    found: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    for key, tensor in state.items():
        found.setdefault(id(tensor), key)
    return {key: state[key].detach().contiguous() for key in found.values()}


def save(folder: Path, config: Options, state: Mapping[str, Tensor], shards: int = 1) -> Path:
    """Writes a checkpoint's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    if shards == 1:
        save_file(dict(state), folder / "model.safetensors")
        return folder
    weight_map, keys = {}, list(state)
    for number in range(shards):
        name = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = {key: state[key] for key in keys[number::shards]}
        save_file(part, folder / name)
        weight_map.update(dict.fromkeys(part, name))
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
