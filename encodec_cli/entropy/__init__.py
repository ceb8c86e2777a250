"""Entropy coding of codes with probabilities from a model: integers and numpy, no torch.

probabilities float32 --stable_cdf--> integer bounds --ArithmeticEncoder--> bits of a segment
"""

from encodec_cli.entropy.arithmetic import ArithmeticDecoder, ArithmeticEncoder
from encodec_cli.entropy.cdf import RANGE_BITS, stable_cdf
from encodec_cli.entropy.codes import CodeDecoder, CodeEncoder, CodeModel, Predictor

__all__ = [
    "RANGE_BITS",
    "ArithmeticDecoder",
    "ArithmeticEncoder",
    "CodeDecoder",
    "CodeEncoder",
    "CodeModel",
    "Predictor",
    "stable_cdf",
]
