"""BERT, RoBERTa and DistilBERT: encoders that normalize after each residual."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.operations import Operation
from ingest.readers.huggingface.building import Builder, head_size
from ingest.readers.huggingface.config import Config

EPSILON = 1e-12


@dataclass(frozen=True)
class _Family:
    """Where the parts of a model lie in its state dict, and what its configuration calls them."""

    prefix: str
    activation_option: str
    layer: str
    projections: tuple[str, str, str]
    attention: str
    attended: str
    attended_norm: str
    inner: str
    activation: str
    outer: str
    outer_norm: str
    token_types: bool = True


@dataclass(frozen=True)
class _Sizes:
    vocabulary: int
    positions: int
    hidden: int
    inner: int
    layers: int
    heads: int
    epsilon: float


_BERT = _Family(
    "bert.", "hidden_act", "encoder.layer.",
    ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.self", "attention.output.dense", "attention.output.LayerNorm",
    "intermediate.dense", "intermediate.intermediate_act_fn", "output.dense", "output.LayerNorm",
)  # fmt: skip

_DISTILBERT = _Family(
    "distilbert.", "activation", "transformer.layer.",
    ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    "attention", "attention.out_lin", "sa_layer_norm",
    "ffn.lin1", "ffn.activation", "ffn.lin2", "output_layer_norm", token_types=False,
)  # fmt: skip


def bert(builder: Builder, input_shape: tuple[int, ...] | None) -> list[Operation]:
    """``BertModel``, its pooler and the heads that the checkpoint holds.

    All tokens are of the first type. Heads: of language modelling, next sentence and question
    answering, of ``BertForSequenceClassification`` and of ``BertForTokenClassification``.

    Returns
    -------
    list of operations
        The last hidden state, what the pooler gives, and logits.
    """
    sizes = _sizes(builder.config)
    base = builder.prefix(_BERT.prefix, "embeddings.word_embeddings.weight")
    hidden = _encoder(builder, _BERT, base, input_shape, sizes)
    outputs = [hidden]
    pooled = _pooler(builder, f"{base}pooler.", hidden)
    outputs += pooled
    if builder.has("cls.predictions.transform.dense.weight"):
        head = "cls.predictions."
        dense = builder.linear(f"{head}transform.dense", hidden, sizes.hidden)
        acted = builder.activation(f"{head}transform.transform_act_fn", dense, "hidden_act", "gelu")
        normed = builder.layer_norm(f"{head}transform.LayerNorm", acted, sizes.epsilon)
        outputs.append(_decoder(builder, base, f"{head}decoder", f"{head}bias", normed, sizes))
    named = builder.config.architectures
    for source in pooled:
        outputs += builder.labels("cls.seq_relationship", source)
        if "BertForSequenceClassification" in named:
            outputs += builder.labels("classifier", source)
    if "BertForTokenClassification" in named:
        outputs += builder.labels("classifier", hidden)
    return outputs + builder.labels("qa_outputs", hidden)


def roberta(builder: Builder, input_shape: tuple[int, ...] | None) -> list[Operation]:
    """``RobertaModel``, its pooler and the heads that the checkpoint holds.

    As :func:`bert`, but positions count from one past the padding token's number, and a padding
    token would take none: the input must hold no padding.
    """
    sizes = _sizes(builder.config)
    base = builder.prefix("roberta.", "embeddings.word_embeddings.weight")
    skipped = builder.config.size("pad_token_id", default=1, least=0) + 1
    hidden = _encoder(builder, _BERT, base, input_shape, sizes, skipped)
    outputs = [hidden, *_pooler(builder, f"{base}pooler.", hidden)]
    if builder.has("lm_head.dense.weight"):
        dense = builder.linear("lm_head.dense", hidden, sizes.hidden)
        acted = builder.add("lm_head.gelu", "gelu", [dense], dense.shape)
        normed = builder.layer_norm("lm_head.layer_norm", acted, sizes.epsilon)
        outputs.append(_decoder(builder, base, "lm_head.decoder", "lm_head.bias", normed, sizes))
    if builder.has("classifier.out_proj.weight"):
        for source in _pooler(builder, "classifier.", hidden):
            outputs += builder.labels("classifier.out_proj", source)
    if "RobertaForTokenClassification" in builder.config.architectures:
        outputs += builder.labels("classifier", hidden)
    return outputs + builder.labels("qa_outputs", hidden)


def distilbert(builder: Builder, input_shape: tuple[int, ...] | None) -> list[Operation]:
    """``DistilBertModel`` and the heads that the checkpoint holds.

    Heads: of language modelling and question answering, of ``DistilBertForSequenceClassification``
    and of ``DistilBertForTokenClassification``.
    """
    config = builder.config
    sizes = _Sizes(
        config.size("vocab_size", default=30522),
        config.size("max_position_embeddings", default=512),
        config.size("dim", "hidden_size", default=768),
        config.size("hidden_dim", default=3072),
        config.size("n_layers", "num_hidden_layers", default=6),
        config.size("n_heads", "num_attention_heads", default=12),
        EPSILON,
    )
    base = builder.prefix(_DISTILBERT.prefix, "embeddings.word_embeddings.weight")
    hidden = _encoder(builder, _DISTILBERT, base, input_shape, sizes)
    outputs = [hidden]
    if builder.has("vocab_transform.weight"):
        dense = builder.linear("vocab_transform", hidden, sizes.hidden)
        acted = builder.activation("vocab_activation", dense, "activation", "gelu")
        normed = builder.layer_norm("vocab_layer_norm", acted, sizes.epsilon)
        outputs.append(
            _decoder(builder, base, "vocab_projector", "vocab_projector.bias", normed, sizes)
        )
    if builder.has("pre_classifier.weight"):
        token = builder.first("pre_classifier.first", hidden)
        dense = builder.linear("pre_classifier", token, sizes.hidden)
        acted = builder.add("pre_classifier.relu", "relu", [dense], dense.shape)
        outputs += builder.labels("classifier", acted)
    elif "DistilBertForTokenClassification" in config.architectures:
        outputs += builder.labels("classifier", hidden)
    return outputs + builder.labels("qa_outputs", hidden)


def _sizes(config: Config) -> _Sizes:
    config.refuse("is_decoder", "add_cross_attention", "pruned_heads")
    if config.text("position_embedding_type", "absolute") != "absolute":
        raise config.unsupported("position_embedding_type")
    return _Sizes(
        config.size("vocab_size", default=30522),
        config.size("max_position_embeddings", default=512),
        config.size("hidden_size", default=768),
        config.size("intermediate_size", default=3072),
        config.size("num_hidden_layers", default=12),
        config.size("num_attention_heads", default=12),
        config.number("layer_norm_eps", EPSILON),
    )


def _encoder(
    builder: Builder,
    family: _Family,
    base: str,
    input_shape: tuple[int, ...] | None,
    sizes: _Sizes,
    skipped: int = 0,
) -> Operation:
    """Embeddings and all layers; the first rows of the positions' table may be nobody's."""
    tokens = builder.tokens(input_shape, sizes.positions - skipped)
    stem = f"{base}embeddings."
    terms = [
        builder.embedding(f"{stem}word_embeddings", tokens, (sizes.vocabulary, sizes.hidden)),
        builder.rows(
            f"{stem}position_embeddings", (sizes.positions, sizes.hidden),
            skipped, skipped + tokens.shape[0],
        ),
    ]  # fmt: skip
    if family.token_types:
        types = builder.config.size("type_vocab_size", default=2)
        terms.append(builder.rows(f"{stem}token_type_embeddings", (types, sizes.hidden), 0, 1))
    hidden = builder.layer_norm(
        f"{stem}LayerNorm", builder.sum(f"{stem}add", *terms), sizes.epsilon
    )
    for number in range(sizes.layers):
        hidden = _layer(builder, family, f"{base}{family.layer}{number}.", hidden, sizes)
    return hidden


def _layer(
    builder: Builder, family: _Family, stem: str, hidden: Operation, sizes: _Sizes
) -> Operation:
    query, key, value = (
        builder.linear(stem + name, hidden, sizes.hidden) for name in family.projections
    )
    context = builder.attention(
        stem + family.attention,
        (query, key, value),
        sizes.heads,
        scale=head_size(builder.config, sizes.hidden, sizes.heads) ** -0.5,
    )
    attended = builder.linear(stem + family.attended, context, sizes.hidden)
    residual = builder.sum(f"{stem}{family.attended_norm}.add", attended, hidden)
    middle = builder.layer_norm(stem + family.attended_norm, residual, sizes.epsilon)
    inner = builder.linear(stem + family.inner, middle, sizes.inner)
    acted = builder.activation(
        stem + family.activation, inner, family.activation_option, default="gelu"
    )
    outer = builder.linear(stem + family.outer, acted, sizes.hidden)
    residual = builder.sum(f"{stem}{family.outer_norm}.add", outer, middle)
    return builder.layer_norm(stem + family.outer_norm, residual, sizes.epsilon)


def _pooler(builder: Builder, stem: str, hidden: Operation) -> list[Operation]:
    """tanh of a linear layer over the first token, where the checkpoint holds it."""
    if not builder.has(f"{stem}dense.weight"):
        return []
    token = builder.first(f"{stem}first", hidden)
    projected = builder.linear(f"{stem}dense", token, hidden.shape[-1])
    return [builder.add(f"{stem}activation", "tanh", [projected], projected.shape)]


def _decoder(
    builder: Builder, base: str, stem: str, bias: str, source: Operation, sizes: _Sizes
) -> Operation:
    """Logits over the vocabulary; without a weight of their own they have the embedding's."""
    own = f"{stem}.weight"
    if not builder.has(own):
        builder.check_tied(own)
        own = f"{base}embeddings.word_embeddings.weight"
    shape = (sizes.vocabulary, sizes.hidden)
    of_head = f"{stem}.bias" if builder.has(f"{stem}.bias") else bias
    tensors = {
        "weight": builder.tensor(own, shape),
        "bias": builder.tensor(of_head, (sizes.vocabulary,)),
    }
    return builder.projection(stem, source, tensors, sizes.vocabulary)
