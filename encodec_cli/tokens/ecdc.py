"""Between `.ecdc` files and token items."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from encodec_cli.container import CodeChunk, DamagedChunk, Ecdc, EcdcReader, Header
from encodec_cli.errors import ContainerError, UsageError, parameter
from encodec_cli.tokens.item import INFO_FIELDS, MAX_CODES, TokenInfo, TokenItem

__all__ = ["chunks_item", "ecdc_item", "item_ecdc"]


def ecdc_item(reader: EcdcReader, key: str, source: str, codebooks: int | None = None) -> TokenItem:
    """The codes that `reader` has opened, or the coarsest `codebooks` of them.

    Raises:
        ContainerError: codes are missing or damaged, or more than an item may hold.
    """
    chunks, count = [], 0
    for chunk in reader:
        if isinstance(chunk, DamagedChunk):
            raise ContainerError(f"{reader.problems[-1]}; get it again")
        count += chunk.codes.size
        if count > MAX_CODES:
            raise ContainerError(f"more than {MAX_CODES} codes; cut the recording in pieces")
        chunks.append(replace(chunk, codes=chunk.codes[:codebooks]))
    lengths = (reader.num_samples, reader.source_num_samples)
    return chunks_item(reader.header, chunks, lengths, key, source)


def chunks_item(
    header: Header,
    chunks: Sequence[CodeChunk],
    lengths: tuple[int | None, int | None],
    key: str,
    source: str,
) -> TokenItem:
    """All chunks of a recording as an item; `lengths` in samples, the model's and the source's.

    Raises:
        ContainerError: more codes than an item may hold.
    """
    if sum(chunk.codes.size for chunk in chunks) > MAX_CODES:
        raise ContainerError(f"more than {MAX_CODES} codes; cut the recording in pieces")
    levelled = header.has_scale and header.segment is None
    info = {name: getattr(header, name) for name in INFO_FIELDS if name != "source"}
    info |= {
        "num_samples": lengths[0],
        "source_num_samples": lengths[1],
        "end_padding": header.end_padding or None,
        "chunk_frames": header.chunk_frames if levelled else None,
    }
    codes = [chunk.codes for chunk in chunks]
    scales = [chunk.scale for chunk in chunks if chunk.scale is not None]
    return TokenItem(
        key=key,
        codes=np.concatenate(codes, axis=1),
        scales=np.array(scales, np.float32) if header.has_scale else None,
        info=TokenInfo(source=source, **info),
    )


def item_ecdc(item: TokenItem, model: Header) -> Ecdc:
    """`item` as an `.ecdc` file; `model`, a header of the model to decode with, fills gaps.

    Without `num_samples` the recording ends with its last frame.

    Raises:
        UsageError: the item says that another model coded it, or in other segments.
        ContainerError: codes, scales and numbers that do not fit together.
    """
    info = item.info
    if info.model not in (None, model.model):
        raise UsageError(
            f"coded by model {info.model}, not {model.model}; name it with {parameter('model')}"
        )
    for name, ours in (("segment", model.segment), ("stride", model.stride)):
        if getattr(info, name) not in (None, ours):
            raise UsageError(
                f"coded with {name} {getattr(info, name)}, but {model.model} has {ours}"
            )
    said = {name: getattr(info, name) for name in INFO_FIELDS if name != "source"}
    said = {name: value for name, value in said.items() if value is not None}
    codebooks, frames = item.codes.shape
    header = replace(model, **({"end_padding": 0} | said | {"codebooks": codebooks}))
    if header.segment is None and item.scales is None:  # without its level, as codes alone are
        header = replace(header, has_scale=False)
    if header.num_samples is None:
        if header.segment is not None:
            raise ContainerError(f"num_samples: missing; {header.model} codes segments")
        header = replace(header, num_samples=frames * header.hop)
    low, high = int(item.codes.min()), int(item.codes.max())
    if low < 0 or high >> header.bits:
        wrong = low if low < 0 else high
        raise ContainerError(
            f"code {wrong}: {header.model} has codes of {header.bits} bits; codes of a delay "
            f"pattern, with special tokens, take {parameter('pattern', 'delay')}"
        )
    return Ecdc(header, item.codes.astype(np.uint16), _scales(item, header))


def _scales(item: TokenItem, header: Header) -> np.ndarray[tuple[int], np.dtype[np.float32]] | None:
    if (item.scales is not None) != header.has_scale:
        verb = "needs" if header.has_scale else "has no"
        raise ContainerError(f"{header.model} {verb} scales")
    return None if item.scales is None else item.scales.astype(np.float32)
