"""Number formats that a model codes in.

In half precision the convolutions compute with weights and activations of 16 bits. What would not
bear it stays in fp32: the search for codes and the sum of codebook vectors, whose rounding would
change codes for nothing, and the LSTM, whose cells add small amounts to large ones for seconds.
"""

from itertools import chain
from typing import TYPE_CHECKING

import torch

from encodec_cli.errors import UsageError, parameter
from encodec_cli.nn.lstm import StreamableLSTM

if TYPE_CHECKING:
    from encodec_cli.model.module import CompressionModel

__all__ = ["check_bf16", "set_precision"]


def set_precision(model: "CompressionModel", dtype: torch.dtype) -> None:
    """Convert `model` from fp32 to `dtype`; what is said above stays at least fp32."""
    exact = torch.promote_types(dtype, torch.float32)
    model.quantizer.to(exact)
    for network in (model.encoder, model.decoder):
        lstms = [m for m in network.modules() if isinstance(m, StreamableLSTM)]
        kept = {id(weight) for lstm in lstms for weight in lstm.parameters()}
        for weight in chain(network.parameters(), network.buffers()):
            weight.data = weight.data.to(exact if id(weight) in kept else dtype)


def check_bf16(device: torch.device) -> None:
    """Refuse a device that has no bf16 arithmetic: it would emulate it, slowly.

    Raises:
        UsageError: the device has no bf16 arithmetic.
    """
    if device.type == "cpu" and not _cpu_has_bf16():
        raise UsageError(
            f"{parameter('dtype', 'bf16')}: this CPU has no bf16 arithmetic (AVX512-BF16, AMX), "
            "and imitating it is 10 to 20 times slower than fp32; leave it out"
        )
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UsageError(
            f"{parameter('dtype', 'bf16')}: this GPU has no bf16 arithmetic; leave it out"
        )


def _cpu_has_bf16() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        return any(name.endswith("bf16") and has for name, has in capabilities().items())
    # Before torch 2.12. It also says yes to AVX-512 without bf16, which is merely not faster.
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
