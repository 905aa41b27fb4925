"""ViT: patches of an image through an encoder that normalizes before each residual."""

from __future__ import annotations

from ingest.operations import Operation
from ingest.readers.huggingface.building import Builder, head_size
from store.errors import InvalidArgument, UnreadableModel


def vit(builder: Builder, input_shape: tuple[int, ...] | None) -> list[Operation]:
    """``ViTModel``, its pooler and, of ``ViTForImageClassification``, the logits.

    Returns
    -------
    list of operations
        The last hidden state, what the pooler gives, and logits.
    """
    config = builder.config
    config.refuse("pruned_heads")
    size = config.size("hidden_size", default=768)
    epsilon = config.number("layer_norm_eps", 1e-12)
    base = builder.prefix("vit.", "embeddings.cls_token")
    hidden = _embedded(builder, f"{base}embeddings.", input_shape, size)
    for number in range(config.size("num_hidden_layers", default=12)):
        hidden = _layer(builder, f"{base}encoder.layer.{number}.", hidden, epsilon)
    last = builder.layer_norm(f"{base}layernorm", hidden, epsilon)
    outputs = [last]
    if builder.has(f"{base}pooler.dense.weight"):
        targets = config.size("pooler_output_size", default=size)
        token = builder.first(f"{base}pooler.first", last)
        pooled = builder.linear(f"{base}pooler.dense", token, targets)
        outputs.append(builder.activation(f"{base}pooler.activation", pooled, "pooler_act", "tanh"))
    if builder.has("classifier.weight"):
        outputs += builder.labels("classifier", builder.first("classifier.first", last))
    return outputs


def _embedded(
    builder: Builder, stem: str, input_shape: tuple[int, ...] | None, size: int
) -> Operation:
    """The class token and a token for each patch, with their positions."""
    config = builder.config
    channels = config.size("num_channels", default=3)
    image, patch = config.pair("image_size", 224), config.pair("patch_size", 16)
    shape = (channels, *image)
    if input_shape not in (None, shape):
        raise InvalidArgument(
            f"The model takes images of shape {shape}, as {config.path.name!r} says, not "
            f"{input_shape}."
        )
    grid = (image[0] // patch[0], image[1] // patch[1])
    patches = grid[0] * grid[1]
    if not patches:
        raise UnreadableModel(
            f"The file {config.path.name!r} gives patches of {patch}, larger than the image of "
            f"{image}."
        )
    pixels = builder.input(shape, integers=False)
    name = f"{stem}patch_embeddings.projection"
    projected = builder.add(
        name, "conv", [pixels], (size, *grid),
        {
            "weight": builder.tensor(f"{name}.weight", (size, channels, *patch)),
            "bias": builder.tensor(f"{name}.bias", (size,)),
        },
        stride=patch, dilation=(1, 1), padding=((0, 0), (0, 0)), groups=1,
        layout="target_source",
    )  # fmt: skip
    flat = builder.add(f"{name}.flatten", "reshape", [projected], (size, patches))
    rows = builder.add(f"{name}.patches", "permute", [flat], (patches, size), axes=(-1, -2))
    token = builder.operand(f"{stem}cls_token", (1, size))
    tokens = builder.add(f"{stem}concat", "concat", [token, rows], (1 + patches, size), axis=-2)
    positions = builder.operand(f"{stem}position_embeddings", (1 + patches, size))
    return builder.sum(f"{stem}add", tokens, positions)


def _layer(builder: Builder, stem: str, hidden: Operation, epsilon: float) -> Operation:
    config, size = builder.config, hidden.shape[-1]
    heads = config.size("num_attention_heads", default=12)
    biased = config.flag("qkv_bias", True)
    normed = builder.layer_norm(f"{stem}layernorm_before", hidden, epsilon)
    query, key, value = (
        builder.linear(f"{stem}attention.attention.{name}", normed, size, bias=biased)
        for name in ("query", "key", "value")
    )
    context = builder.attention(
        f"{stem}attention.attention",
        (query, key, value),
        heads,
        scale=head_size(config, size, heads) ** -0.5,
    )
    attended = builder.linear(f"{stem}attention.output.dense", context, size)
    middle = builder.sum(f"{stem}attention.output.add", attended, hidden)
    normed = builder.layer_norm(f"{stem}layernorm_after", middle, epsilon)
    inner = config.size("intermediate_size", default=3072)
    inward = builder.linear(f"{stem}intermediate.dense", normed, inner)
    acted = builder.activation(
        f"{stem}intermediate.intermediate_act_fn", inward, "hidden_act", "gelu"
    )
    outward = builder.linear(f"{stem}output.dense", acted, size)
    return builder.sum(f"{stem}output.add", outward, middle)
