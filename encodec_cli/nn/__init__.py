"""The networks: SEANet encoder and decoder, residual vector quantizer. Drop-in for audiocraft's."""

from encodec_cli.nn.codebook import EuclideanCodebook
from encodec_cli.nn.conv import (
    NormConv1d,
    NormConvTranspose1d,
    StreamableConv1d,
    StreamableConvTranspose1d,
)
from encodec_cli.nn.lstm import StreamableLSTM
from encodec_cli.nn.quantizer import QuantizedResult, ResidualVectorQuantizer
from encodec_cli.nn.seanet import SEANetDecoder, SEANetEncoder, SEANetResnetBlock
from encodec_cli.nn.vq import ResidualVectorQuantization, VectorQuantization

__all__ = [
    "EuclideanCodebook",
    "NormConv1d",
    "NormConvTranspose1d",
    "QuantizedResult",
    "ResidualVectorQuantization",
    "ResidualVectorQuantizer",
    "SEANetDecoder",
    "SEANetEncoder",
    "SEANetResnetBlock",
    "StreamableConv1d",
    "StreamableConvTranspose1d",
    "StreamableLSTM",
    "VectorQuantization",
]
