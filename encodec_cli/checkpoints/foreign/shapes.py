"""The config of a codec, told from the names and shapes of its tensors.

Weights say the sizes of all layers, the strides (a layer that resamples has a kernel of two
strides), shortcuts, LSTM, codebooks and the kind of norm. They do not say the sample rate, whether
the codec is causal, how signals are padded at their ends, and whether they are cut in segments and
normalised. For those a published model of the same shapes is the guide, or Meta's custom:
`time_group_norm` comes with segments of a second, all else is causal.
"""

import re
from collections.abc import Mapping
from typing import Any

from encodec_cli.checkpoints.foreign.folding import folded_config
from encodec_cli.checkpoints.foreign.naming import PUBLISHED_CONFIGS, published_config
from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.layers import Shapes
from encodec_cli.config.tensors import codec_shapes
from encodec_cli.errors import CheckpointError

__all__ = ["told_by_shapes", "untold"]

_LAYER = re.compile(r"^encoder\.model\.(\d+)\.(.+)$")
_BOOK = re.compile(r"^quantizer\.vq\.layers\.\d+\._codebook\.embed$")
_CONVOLUTION, _BRANCH = "conv.conv.weight", "block.1.conv.conv.weight"


def told_by_shapes(shapes: Shapes, *, normed: bool, where: str) -> dict[str, Any]:
    """A config, in the layout of the YAML files, of folded weights of Meta's names and `shapes`.

    `normed`: norms of weights were folded away.

    Raises:
        CheckpointError: layers that are no codec of this family.
    """
    for name in PUBLISHED_CONFIGS:
        config = published_config(name)
        if codec_shapes(folded_config(config)) == shapes:
            return config.to_dict()
    try:
        return _told(shapes, "weight_norm" if normed else "none")
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{where}: its encoder's layers are not those of EnCodec's networks; is it another "
            "codec?"
        ) from error


def untold(config: CodecConfig) -> str:
    """What weights do not say about the codec of `config`, in words."""
    pieces = [
        f"{config.sample_rate} Hz",
        "causal" if config.seanet.causal else "not causal",
        f"pad mode {config.seanet.pad_mode}",
    ]
    if config.segment_seconds is None:
        pieces.append("no segments")
    else:
        pieces.append(f"segments of {config.segment_seconds:g} s")
        pieces.append("normalised" if config.normalize else "not normalised")
    return ", ".join(pieces)


def _told(shapes: Shapes, norm: str) -> dict[str, Any]:
    layers = _encoder_layers(shapes)
    convolutions = [parts[_CONVOLUTION] for parts in layers if _CONVOLUTION in parts]
    first, *resampling, last = convolutions
    kernels = [shape[2] for shape in resampling]
    if any(kernel % 2 for kernel in kernels) or not kernels:
        raise ValueError("strides of half samples")
    ratios = [kernel // 2 for kernel in reversed(kernels)]
    widths = [first[0], *(shape[0] for shape in resampling)]
    doubling = widths == [widths[0] << i for i in range(len(widths))]
    if any(name.endswith(".conv.norm.weight") for name in shapes):
        norm = "time_group_norm"
    segments = norm == "time_group_norm"
    channels = first[1]
    rate = 48_000 if channels > 1 else 24_000
    books = [shape for name, shape in shapes.items() if _BOOK.match(name)]
    bins, dimension = books[0]
    hop = 1
    for ratio in ratios:
        hop *= ratio
    blocks = _residual_layers(layers)
    return {
        "name": "encodec",
        "sample_rate": rate,
        "channels": channels,
        "normalize": segments and channels > 1,
        "segment_seconds": 1.0 if segments else None,
        "target_bandwidths": [len(books) * max(1, (bins - 1).bit_length()) * rate / hop / 1000],
        "seanet": {
            "dimension": dimension,
            "n_filters": widths[0] if doubling else widths,
            "n_residual_layers": blocks[0] if len(set(blocks)) == 1 else blocks,
            "ratios": ratios,
            "norm": norm,
            "kernel_size": first[2],
            "last_kernel_size": last[2],
            "causal": not segments,
            **_block_sizes(layers),
            "lstm": sum(name.startswith("lstm.weight_ih_l") for part in layers for name in part),
        },
        "quantizer": {"n_q": len(books), "bins": bins},
    }


def _encoder_layers(shapes: Shapes) -> list[dict[str, tuple[int, ...]]]:
    """Shapes of the encoder's layers that have weights, in order, by what follows their number."""
    layers: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        match = _LAYER.match(name)
        if match and len(match[1]) < 6:
            layers.setdefault(int(match[1]), {})[match[2]] = shape
    return [layers[number] for number in sorted(layers)]


def _residual_layers(layers: list[dict[str, tuple[int, ...]]]) -> list[int]:
    """Residual blocks before each of the encoder's resampling convolutions."""
    counts, count = [], 0
    for parts in layers[1:]:
        if _BRANCH in parts:
            count += 1
        elif _CONVOLUTION in parts:
            counts.append(count)
            count = 0
    return counts[:-1]  # the last convolution resamples nothing


def _block_sizes(layers: list[dict[str, tuple[int, ...]]]) -> dict[str, Any]:
    block: Mapping[str, tuple[int, ...]] | None = next(
        (parts for parts in layers if _BRANCH in parts), None
    )
    if block is None:
        return {}
    inner, width, kernel = block[_BRANCH]
    return {
        "residual_kernel_size": kernel,
        "compress": width // inner,
        "true_skip": not any(name.startswith("shortcut.") for name in block),
    }
