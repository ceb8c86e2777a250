"""Meta's language model files, `encodec_lm_*.th`: found, read, held against a codec."""

from pathlib import Path

from encodec_cli.checkpoints.card import find_model
from encodec_cli.checkpoints.foreign.torch_file import load_torch_file, plain_tensors
from encodec_cli.config.codec import CodecConfig
from encodec_cli.container import META_MODELS
from encodec_cli.engine.lm.model import LanguageModel
from encodec_cli.errors import CheckpointError, UsageError, parameter

__all__ = ["load_language_model"]

_CONTEXT_SECONDS = 3.5


def load_language_model(name_or_path: str | Path, config: CodecConfig) -> LanguageModel:
    """The language model in a file, or of a pulled model's name, for codes of the codec `config`.

    It runs on the CPU, in fp32, on one thread.

    Raises:
        CheckpointError: no such file, or it is something else, or for another codec.
        UsageError: no file format can name this codec together with a language model.
    """
    if config.name not in META_MODELS:
        raise UsageError(
            f"{parameter('lm')}: Meta's language models are for {' and '.join(META_MODELS)}, "
            f"not {config.name}"
        )
    path = find_model(name_or_path)
    if not path.is_file():
        raise CheckpointError(f"{path}: is a folder; name Meta's encodec_lm_*.th")
    state = plain_tensors(load_torch_file(path), path)
    try:
        model = LanguageModel(state, past_context=int(_CONTEXT_SECONDS * config.frame_rate))
    except CheckpointError as error:
        raise error.about(path) from error
    codes = (config.quantizer.n_q, config.quantizer.bins)
    if (model.codebooks, model.bins) != codes:
        raise CheckpointError(
            f"{path}: a language model of {model.codebooks} codebooks of {model.bins} codes; "
            f"{config.name} has {codes[0]} of {codes[1]}; name the one that belongs to it"
        )
    return model
