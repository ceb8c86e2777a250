"""A model ready to code: what streams, the pipeline and the command line work with."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from encodec_cli.config.codec import CodecConfig
from encodec_cli.errors import UsageError
from encodec_cli.runtime.protocol import Engine

__all__ = ["Codec", "Configured", "Model", "codec_of"]


class Configured:
    """What a model's config says of it."""

    config: CodecConfig

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.config.sample_rate

    @property
    def channels(self) -> int:
        return self.config.channels

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second."""
        return self.config.frame_rate

    @property
    def target_bandwidths(self) -> tuple[float, ...]:
        """kb/s the model was trained for."""
        return self.config.target_bandwidths


@dataclass(frozen=True, eq=False)
class Codec(Configured):
    """A model ready to code, without torch unless its engine needs it.

    Attributes:
        config: what the model is made of.
        engine: its networks and quantizer, see `runtime.protocol`.
        sha256: names the weights in `.ecdc` headers; None if they came from no file.
        runs_on: the engine in words, such as "numpy" or "torch, cuda:0, bfloat16".
        assumed: what the weights' file does not say and was assumed, in words; None if nothing.
        path: the weights' file or folder; None if they came from none.
    """

    config: CodecConfig
    engine: Engine
    sha256: str | None
    runs_on: str
    assumed: str | None = None
    path: Path | None = None

    def codec(self) -> "Codec":
        """Itself: a `Codec` is a `Model`."""
        return self


class Model(Protocol):
    """Whatever can be made ready to code: a `Codec`, or a `CompressionModel` of torch modules."""

    def codec(self) -> Codec:
        """This model ready to code, with the weights that it has now."""


def codec_of(model: Model) -> Codec:
    """`model` ready to code.

    Raises:
        UsageError: no model was given (arguments in the wrong order, for example).
    """
    make = getattr(model, "codec", None)
    if not callable(make):
        raise UsageError(f"a {type(model).__name__} is no model; give what load_model returns")
    codec: Codec = make()
    return codec
