"""Hugging Face models written once more in plain torch, with the library's state dict keys.

They are the oracle where the library is not installed. Written from its model code, and kept equal
to it by ``test_readers_huggingface.test_the_library_itself``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Options = Mapping[str, Any]

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
    "silu": functional.silu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
    "linear": lambda x: x,
}


def attention(
    query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float, causal: bool = False
) -> Tensor:
    """Each (batch, tokens, features)."""
    split = [x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value)]
    out = functional.scaled_dot_product_attention(
        split[0], split[1], split[2], scale=scale, is_causal=causal
    )
    return out.transpose(1, 2).flatten(2)


def normed(size: int, epsilon: float, **others: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict({**others, "LayerNorm": nn.LayerNorm(size, epsilon)})


class BertLayer(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        size, inner, epsilon = c["hidden_size"], c["intermediate_size"], c["layer_norm_eps"]
        self.heads, self.act = c["num_attention_heads"], ACTIVATIONS[c["hidden_act"]]
        projections = {name: nn.Linear(size, size) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict(projections),
                "output": normed(size, epsilon, dense=nn.Linear(size, size)),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(size, inner)})
        self.output = normed(size, epsilon, dense=nn.Linear(inner, size))

    def forward(self, x: Tensor) -> Tensor:
        own: Any = self.attention["self"]
        out: Any = self.attention["output"]
        scale = (x.shape[-1] // self.heads) ** -0.5
        mixed = attention(own["query"](x), own["key"](x), own["value"](x), self.heads, scale)
        x = out["LayerNorm"](out["dense"](mixed) + x)
        inner = self.act(self.intermediate["dense"](x))
        return self.output["LayerNorm"](self.output["dense"](inner) + x)  # type: ignore[no-any-return]


class BertBase(nn.Module):
    """BertModel and RobertaModel: their positions begin at different rows."""

    def __init__(self, c: Options, pooler: bool = True) -> None:
        super().__init__()
        size = c["hidden_size"]
        self.first = c["pad_token_id"] + 1 if c["model_type"] == "roberta" else 0
        self.embeddings = normed(
            size,
            c["layer_norm_eps"],
            word_embeddings=nn.Embedding(c["vocab_size"], size),
            position_embeddings=nn.Embedding(c["max_position_embeddings"], size),
            token_type_embeddings=nn.Embedding(c["type_vocab_size"], size),
        )
        layers = [BertLayer(c) for _ in range(c["num_hidden_layers"])]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(size, size)}) if pooler else None

    def forward(self, ids: Tensor) -> list[Tensor]:
        e, places = self.embeddings, torch.arange(ids.shape[1]) + self.first
        x = e["word_embeddings"](ids) + e["position_embeddings"](places)
        x = e["LayerNorm"](x + e["token_type_embeddings"](torch.zeros_like(ids)))
        layers: Any = self.encoder["layer"]
        for layer in layers:
            x = layer(x)
        return [x] if self.pooler is None else [x, torch.tanh(self.pooler["dense"](x[:, 0]))]


class BertForMaskedLM(nn.Module):
    """With the head of next sentence too, where asked for: then it is BertForPreTraining."""

    def __init__(self, c: Options, next_sentence: bool = False) -> None:
        super().__init__()
        size = c["hidden_size"]
        self.act = ACTIVATIONS[c["hidden_act"]]
        self.bert = BertBase(c, pooler=next_sentence)
        transform = normed(size, c["layer_norm_eps"], dense=nn.Linear(size, size))
        decoder = nn.Linear(size, c["vocab_size"])
        decoder.weight = self.bert.embeddings["word_embeddings"].weight  # type: ignore[assignment]
        self.cls = nn.ModuleDict(
            {"predictions": nn.ModuleDict({"transform": transform, "decoder": decoder})}
        )
        if next_sentence:
            self.cls["seq_relationship"] = nn.Linear(size, 2)

    def forward(self, ids: Tensor) -> list[Tensor]:
        out, head = self.bert(ids), self.cls["predictions"]
        transform, decoder = head["transform"], head["decoder"]  # type: ignore[index]
        logits = decoder(transform["LayerNorm"](self.act(transform["dense"](out[0]))))
        more = [self.cls["seq_relationship"](out[1])] if len(out) > 1 else []
        return [*out, logits, *more]


class BertForClassification(nn.Module):
    """BertForSequenceClassification, or of tokens, or of questions: qa_outputs."""

    def __init__(self, c: Options, head: str = "classifier", pooled: bool = True) -> None:
        super().__init__()
        self.bert = BertBase(c, pooler=pooled)
        self.pooled, self.head = pooled, head
        self.add_module(head, nn.Linear(c["hidden_size"], 3))

    def forward(self, ids: Tensor) -> list[Tensor]:
        out = self.bert(ids)
        return [*out, self.get_submodule(self.head)(out[-1])]


class RobertaForMaskedLM(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        size = c["hidden_size"]
        self.roberta = BertBase(c, pooler=False)
        decoder = nn.Linear(size, c["vocab_size"])
        decoder.weight = self.roberta.embeddings["word_embeddings"].weight  # type: ignore[assignment]
        self.lm_head = nn.ModuleDict(
            {
                "dense": nn.Linear(size, size),
                "layer_norm": nn.LayerNorm(size, c["layer_norm_eps"]),
                "decoder": decoder,
            }
        )

    def forward(self, ids: Tensor) -> list[Tensor]:
        (x,) = self.roberta(ids)
        h = self.lm_head
        return [x, h["decoder"](h["layer_norm"](functional.gelu(h["dense"](x))))]


class RobertaForSequenceClassification(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        size = c["hidden_size"]
        self.roberta = BertBase(c, pooler=False)
        self.classifier = nn.ModuleDict(
            {"dense": nn.Linear(size, size), "out_proj": nn.Linear(size, 4)}
        )

    def forward(self, ids: Tensor) -> list[Tensor]:
        (x,) = self.roberta(ids)
        return [x, self.classifier["out_proj"](torch.tanh(self.classifier["dense"](x[:, 0])))]


class DistilBertLayer(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        size, self.heads = c["dim"], c["n_heads"]
        self.act = ACTIVATIONS[c["activation"]]
        self.attention = nn.ModuleDict(
            {name: nn.Linear(size, size) for name in ("q_lin", "k_lin", "v_lin", "out_lin")}
        )
        self.sa_layer_norm = nn.LayerNorm(size, 1e-12)
        self.ffn = nn.ModuleDict(
            {"lin1": nn.Linear(size, c["hidden_dim"]), "lin2": nn.Linear(c["hidden_dim"], size)}
        )
        self.output_layer_norm = nn.LayerNorm(size, 1e-12)

    def forward(self, x: Tensor) -> Tensor:
        a, scale = self.attention, (x.shape[-1] // self.heads) ** -0.5
        mixed = attention(a["q_lin"](x), a["k_lin"](x), a["v_lin"](x), self.heads, scale)
        x = self.sa_layer_norm(a["out_lin"](mixed) + x)
        return self.output_layer_norm(  # type: ignore[no-any-return]
            self.ffn["lin2"](self.act(self.ffn["lin1"](x))) + x
        )


class DistilBertBase(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        self.embeddings = normed(
            c["dim"],
            1e-12,
            word_embeddings=nn.Embedding(c["vocab_size"], c["dim"]),
            position_embeddings=nn.Embedding(c["max_position_embeddings"], c["dim"]),
        )
        layers = [DistilBertLayer(c) for _ in range(c["n_layers"])]
        self.transformer = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    def forward(self, ids: Tensor) -> list[Tensor]:
        e = self.embeddings
        x = e["LayerNorm"](
            e["word_embeddings"](ids) + e["position_embeddings"](torch.arange(ids.shape[1]))
        )
        layers: Any = self.transformer["layer"]
        for layer in layers:
            x = layer(x)
        return [x]


class DistilBertForMaskedLM(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        self.act = ACTIVATIONS[c["activation"]]
        self.distilbert = DistilBertBase(c)
        self.vocab_transform = nn.Linear(c["dim"], c["dim"])
        self.vocab_layer_norm = nn.LayerNorm(c["dim"], 1e-12)
        self.vocab_projector = nn.Linear(c["dim"], c["vocab_size"])
        words: Any = self.distilbert.embeddings["word_embeddings"]
        self.vocab_projector.weight = words.weight

    def forward(self, ids: Tensor) -> list[Tensor]:
        (x,) = self.distilbert(ids)
        return [
            x,
            self.vocab_projector(self.vocab_layer_norm(self.act(self.vocab_transform(x)))),
        ]


class DistilBertForSequenceClassification(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        self.distilbert = DistilBertBase(c)
        self.pre_classifier = nn.Linear(c["dim"], c["dim"])
        self.classifier = nn.Linear(c["dim"], 3)

    def forward(self, ids: Tensor) -> list[Tensor]:
        (x,) = self.distilbert(ids)
        return [x, self.classifier(functional.relu(self.pre_classifier(x[:, 0])))]


class Conv1D(nn.Module):
    """A linear layer whose weight is (sources, targets)."""

    def __init__(self, targets: int, sources: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(sources, targets) / sources**0.5)
        self.bias = nn.Parameter(torch.randn(targets) / 10)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class GPT2Block(nn.Module):
    def __init__(self, c: Options, number: int) -> None:
        super().__init__()
        size, epsilon = c["n_embd"], c["layer_norm_epsilon"]
        inner = c["n_inner"] or 4 * size
        self.heads, self.act = c["n_head"], ACTIVATIONS[c["activation_function"]]
        self.scale = (size // self.heads) ** -0.5 if c["scale_attn_weights"] else 1.0
        if c["scale_attn_by_inverse_layer_idx"]:
            self.scale /= number + 1
        self.ln_1, self.ln_2 = nn.LayerNorm(size, epsilon), nn.LayerNorm(size, epsilon)
        self.attn = nn.ModuleDict({"c_attn": Conv1D(3 * size, size), "c_proj": Conv1D(size, size)})
        self.mlp = nn.ModuleDict({"c_fc": Conv1D(inner, size), "c_proj": Conv1D(size, inner)})

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.attn["c_attn"](self.ln_1(x)).chunk(3, -1)
        x = x + self.attn["c_proj"](attention(query, key, value, self.heads, self.scale, True))
        return x + self.mlp["c_proj"](self.act(self.mlp["c_fc"](self.ln_2(x))))  # type: ignore[no-any-return]


class GPT2Base(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        self.wte = nn.Embedding(c["vocab_size"], c["n_embd"])
        self.wpe = nn.Embedding(c["n_positions"], c["n_embd"])
        self.h = nn.ModuleList(GPT2Block(c, number) for number in range(c["n_layer"]))
        self.ln_f = nn.LayerNorm(c["n_embd"], c["layer_norm_epsilon"])

    def forward(self, ids: Tensor) -> list[Tensor]:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        return [self.ln_f(x)]


class GPT2LMHeadModel(nn.Module):
    def __init__(self, c: Options, tied: bool = True) -> None:
        super().__init__()
        self.transformer = GPT2Base(c)
        self.lm_head = nn.Linear(c["n_embd"], c["vocab_size"], bias=False)
        if tied:
            self.lm_head.weight = self.transformer.wte.weight

    def forward(self, ids: Tensor) -> list[Tensor]:
        (x,) = self.transformer(ids)
        return [x, self.lm_head(x)]


class ViTLayer(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        size, inner, epsilon = c["hidden_size"], c["intermediate_size"], c["layer_norm_eps"]
        self.heads, self.act = c["num_attention_heads"], ACTIVATIONS[c["hidden_act"]]
        projections = {
            name: nn.Linear(size, size, bias=c["qkv_bias"]) for name in ("query", "key", "value")
        }
        self.attention = nn.ModuleDict(
            {
                "attention": nn.ModuleDict(projections),
                "output": nn.ModuleDict({"dense": nn.Linear(size, size)}),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(size, inner)})
        self.output = nn.ModuleDict({"dense": nn.Linear(inner, size)})
        self.layernorm_before = nn.LayerNorm(size, epsilon)
        self.layernorm_after = nn.LayerNorm(size, epsilon)

    def forward(self, x: Tensor) -> Tensor:
        own: Any = self.attention["attention"]
        out: Any = self.attention["output"]
        n, scale = self.layernorm_before(x), (x.shape[-1] // self.heads) ** -0.5
        mixed = attention(own["query"](n), own["key"](n), own["value"](n), self.heads, scale)
        x = out["dense"](mixed) + x
        inner = self.act(self.intermediate["dense"](self.layernorm_after(x)))
        return self.output["dense"](inner) + x  # type: ignore[no-any-return]


class ViTEmbeddings(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        size, patch = c["hidden_size"], c["patch_size"]
        count = (c["image_size"][0] // patch[0]) * (c["image_size"][1] // patch[1])
        self.cls_token = nn.Parameter(torch.randn(1, 1, size))
        self.position_embeddings = nn.Parameter(torch.randn(1, 1 + count, size))
        self.patch_embeddings = nn.ModuleDict(
            {"projection": nn.Conv2d(c["num_channels"], size, tuple(patch), tuple(patch))}
        )

    def forward(self, image: Tensor) -> Tensor:
        patches = self.patch_embeddings["projection"](image).flatten(2).transpose(1, 2)
        token = self.cls_token.expand(len(image), -1, -1)
        return torch.cat((token, patches), 1) + self.position_embeddings


class ViTBase(nn.Module):
    def __init__(self, c: Options, pooler: bool = True) -> None:
        super().__init__()
        size = c["hidden_size"]
        self.embeddings = ViTEmbeddings(c)
        layers = [ViTLayer(c) for _ in range(c["num_hidden_layers"])]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        self.layernorm = nn.LayerNorm(size, c["layer_norm_eps"])
        targets = c.get("pooler_output_size") or size
        self.pooler = nn.ModuleDict({"dense": nn.Linear(size, targets)}) if pooler else None

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.embeddings(image)
        layers: Any = self.encoder["layer"]
        for layer in layers:
            x = layer(x)
        x = self.layernorm(x)
        return [x] if self.pooler is None else [x, torch.tanh(self.pooler["dense"](x[:, 0]))]


class ViTForImageClassification(nn.Module):
    def __init__(self, c: Options) -> None:
        super().__init__()
        self.vit = ViTBase(c, pooler=False)
        self.classifier = nn.Linear(c["hidden_size"], 5)

    def forward(self, image: Tensor) -> list[Tensor]:
        (x,) = self.vit(image)
        return [x, self.classifier(x[:, 0])]
