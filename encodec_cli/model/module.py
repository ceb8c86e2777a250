"""The compression model: SEANet encoder, residual vector quantizer, SEANet decoder.

    [B, C, T] --encoder--> [B, D, T'] --quantizer--> codes [B, K, T'] --decoder--> [B, C, T]

It codes one segment at a time; `stream` cuts long signals into what the model was trained for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from encodec_cli.config.codec import CodecConfig, load_codec_config
from encodec_cli.engine import TorchEngine
from encodec_cli.errors import UsageError
from encodec_cli.model.codec import Codec, Configured
from encodec_cli.nn.quantizer import QuantizedResult, ResidualVectorQuantizer
from encodec_cli.nn.seanet import SEANetDecoder, SEANetEncoder

__all__ = ["CompressionModel", "get_compression_model"]


class CompressionModel(nn.Module, Configured):
    """A codec built from a `CodecConfig`; sizes and rates are those of the config."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.sha256: str | None = None
        """Hash of the file the weights came from, None if they were not loaded."""
        self.assumed: str | None = None
        """What their file does not say and was assumed, in words."""
        self.path: Path | None = None
        """The file or folder they came from."""
        self.encoder = SEANetEncoder(config=config.seanet)
        self.quantizer = ResidualVectorQuantizer(config=config.quantizer)
        self.decoder = SEANetDecoder(config=config.decoder)
        self._engine: TorchEngine | None = None
        self._engine_weights: list[tuple[int, int]] = []

    def codec(self) -> Codec:
        """This model ready to code; made once, and again if a weight changes."""
        weights = [
            # Weights loaded in inference mode count no changes.
            (w.data_ptr(), 0 if w.is_inference() else w._version)
            for w in self.state_dict(keep_vars=True).values()
        ]
        if self._engine is None or self._engine_weights != weights:
            self._engine = TorchEngine(self.encoder, self.quantizer, self.decoder)
            self._engine_weights = weights
        dtype = str(self._engine.dtype).removeprefix("torch.")
        where = f"torch, {self._engine.device}, {dtype}"
        return Codec(self.config, self._engine, self.sha256, where, self.assumed, self.path)

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles have weights of their own; the engine is made from those.
        return {**self.__dict__, "_engine": None}

    def set_target_bandwidth(self, bandwidth_kbps: float) -> None:
        """Use the most codebooks that fit in `bandwidth_kbps`.

        Raises:
            UsageError: outside what the model can code.
        """
        self.quantizer.n_q = self.config.codebooks_for(bandwidth_kbps)

    def forward(self, x: Tensor, n_q: Tensor | None = None) -> QuantizedResult:
        """Code and decode one segment; `result.x` is the audio, `[B, C, T]` like the input."""
        x_scaled, scale = self.normalize(x)
        result: QuantizedResult = self.quantizer(self.encoder(x_scaled), self.frame_rate, n_q)
        result.x = self._rescale(self.decoder(result.x)[..., : x.shape[-1]], scale)
        return result

    @torch.inference_mode()
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Code one segment `[B, C, T]`, T >= 1, linear range [-1, 1].

        Returns codes `[B, n_q, ceil(T / hop)]` and, if the model normalises, the scale `[B, 1]`.

        Raises:
            UsageError: wrong shape or channel count.
        """
        if x.dim() != 3 or x.shape[1] != self.channels or x.shape[2] < 1:
            raise UsageError(
                f"{tuple(x.shape) = }: {self.config.name} codes [B, {self.channels}, T], T >= 1"
            )
        x, scale = self.normalize(x)
        latents = self.encoder(x).to(self.quantizer.codebooks[0].embed.dtype)
        return self.quantizer.encode(latents), scale

    @torch.inference_mode()
    def decode(self, codes: Tensor, scale: Tensor | None = None) -> Tensor:
        """Audio of one segment. `[B, K, T'] -> [B, C, T' * hop]`, K from 1 to all codebooks."""
        latents = self.quantizer.decode(codes).to(next(self.decoder.parameters()).dtype)
        return self._rescale(self.decoder(latents), scale)

    def normalize(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Divide a segment `[B, C, T]` by its RMS if the model does so; the scale is `[B, 1]`."""
        if not self.config.normalize:
            return x, None
        # In fp16 the 1e-8 that keeps silence finite would be zero.
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        mono = exact.mean(dim=1, keepdim=True)
        scale = mono.pow(2).mean(dim=2, keepdim=True).sqrt() + 1e-8
        return (exact / scale).to(x.dtype), scale.view(-1, 1)

    def _rescale(self, x: Tensor, scale: Tensor | None) -> Tensor:
        return x if scale is None else x * scale.view(-1, 1, 1)


def get_compression_model(config: CodecConfig | Mapping[str, Any] | str | Path) -> CompressionModel:
    """Build the model that `config` (an object, its dict, or a YAML file) describes, untrained.

    Raises:
        ConfigError: unknown or ill-typed key, with the key, the file and what is allowed.
    """
    if isinstance(config, str | Path):
        config = load_codec_config(Path(config))
    elif isinstance(config, Mapping):
        config = CodecConfig.from_dict(config)
    return CompressionModel(config)
