"""GPT-2: a decoder that normalizes before each residual, its weights (sources, targets)."""

from __future__ import annotations

from ingest.operations import Operation
from ingest.readers.huggingface.building import Builder, head_size

_CONV1D = "source_target"


def gpt2(builder: Builder, input_shape: tuple[int, ...] | None) -> list[Operation]:
    """``GPT2Model`` and, of ``GPT2LMHeadModel``, the logits over the vocabulary.

    Returns
    -------
    list of operations
        The last hidden state, and logits.
    """
    config = builder.config
    config.refuse("add_cross_attention", "pruned_heads")
    hidden_size = config.size("n_embd", "hidden_size", default=768)
    table = (config.size("vocab_size", default=50257), hidden_size)
    positions = config.size("n_positions", "max_position_embeddings", default=1024)
    epsilon = config.number("layer_norm_epsilon", 1e-5)
    base = builder.prefix("transformer.", "wte.weight")
    tokens = builder.tokens(input_shape, positions)
    hidden = builder.sum(
        f"{base}wte.add",
        builder.embedding(f"{base}wte", tokens, table),
        builder.rows(f"{base}wpe", (positions, hidden_size), 0, tokens.shape[0]),
    )
    for number in range(config.size("n_layer", "num_hidden_layers", default=12)):
        hidden = _block(builder, f"{base}h.{number}.", number, hidden, epsilon)
    last = builder.layer_norm(f"{base}ln_f", hidden, epsilon)
    own = builder.has("lm_head.weight")
    if not own and "GPT2LMHeadModel" not in config.architectures:
        return [last]
    if not own:
        builder.check_tied("lm_head.weight")
    weight = builder.tensor("lm_head.weight" if own else f"{base}wte.weight", table)
    return [last, builder.projection("lm_head", last, {"weight": weight}, table[0])]


def _block(
    builder: Builder, stem: str, number: int, hidden: Operation, epsilon: float
) -> Operation:
    config, size = builder.config, hidden.shape[-1]
    heads = config.size("n_head", "num_attention_heads", default=12)
    scale = head_size(config, size, heads) ** -0.5
    if not config.flag("scale_attn_weights", True):
        scale = 1.0
    if config.flag("scale_attn_by_inverse_layer_idx", False):
        scale /= number + 1
    normed = builder.layer_norm(f"{stem}ln_1", hidden, epsilon)
    joint = builder.linear(f"{stem}attn.c_attn", normed, 3 * size, layout=_CONV1D)
    query, key, value = (
        builder.cut(f"{stem}attn.{name}", joint, -1, place * size, (place + 1) * size)
        for place, name in enumerate(("query", "key", "value"))
    )
    context = builder.attention(f"{stem}attn", (query, key, value), heads, scale=scale, causal=True)
    attended = builder.linear(f"{stem}attn.c_proj", context, size, layout=_CONV1D)
    middle = builder.sum(f"{stem}attn.add", attended, hidden)
    normed = builder.layer_norm(f"{stem}ln_2", middle, epsilon)
    inner = config.size("n_inner", default=4 * size)
    inward = builder.linear(f"{stem}mlp.c_fc", normed, inner, layout=_CONV1D)
    acted = builder.activation(f"{stem}mlp.act", inward, "activation_function", "gelu_new")
    outward = builder.linear(f"{stem}mlp.c_proj", acted, size, layout=_CONV1D)
    return builder.sum(f"{stem}mlp.add", outward, middle)
