"""The tensors that a codec's file must hold."""

from collections.abc import Mapping

from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.layers import Shapes
from encodec_cli.config.plan import decoder_plan, encoder_plan
from encodec_cli.errors import CheckpointError

__all__ = ["check_shapes", "codec_shapes", "expected_shapes"]


def codec_shapes(config: CodecConfig) -> Shapes:
    """All tensors of a codec's file: both networks' weights, norms of weights folded, codebooks.

    Raises:
        ConfigError: sizes that make no layer.
    """
    quantizer = config.quantizer
    books: Shapes = {
        f"quantizer.vq.layers.{k}._codebook.embed": (quantizer.bins, quantizer.dimension)
        for k in range(quantizer.n_q)
    }
    return {
        **encoder_plan(config.seanet).shapes(),
        **books,
        **decoder_plan(config.decoder).shapes(),
    }


def expected_shapes(config: CodecConfig, tensors: int, where: str) -> Shapes:
    """`codec_shapes` for a file of so many tensors.

    Raises:
        CheckpointError: far too few; to plan what the config says could cost endless memory.
    """
    seanet = config.seanet
    layers = config.quantizer.n_q + sum(seanet.residual_layers) + seanet.lstm + len(seanet.ratios)
    if layers > max(tensors, 1):
        raise CheckpointError(
            f"{where}: does not fit {config.name}: a model of {layers} layers, {tensors} tensors"
        )
    return codec_shapes(config)


def check_shapes(config: CodecConfig, found: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Refuse tensors of these names and shapes for the codec of `config`.

    Raises:
        CheckpointError: some are missing or left over, or shapes differ; `where` names the file.
    """
    expected = expected_shapes(config, len(found), where)
    missing, left_over = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected)
    if missing or left_over:
        raise CheckpointError(
            f"{where}: does not fit {config.name}: "
            f"missing {_some(missing)}; left over {_some(left_over)}"
        )
    for name, shape in found.items():
        if tuple(shape) != expected[name]:
            raise CheckpointError(
                f"{where}: {name}: shape {tuple(shape)}, {config.name} has {expected[name]}"
            )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4]) or "nothing"
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
