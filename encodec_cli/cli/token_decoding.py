"""The part of `decode` that reads files of tokens."""

import dataclasses
import io
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from encodec_cli.cli.batch import Job, make_folder
from encodec_cli.cli.console import progress_bar, say, warn
from encodec_cli.errors import ContainerError, EncodecCliError, UsageError

if TYPE_CHECKING:
    from encodec_cli.model.module import CompressionModel
    from encodec_cli.pipeline.files import DecodeOptions
    from encodec_cli.pipeline.reports import DecodeReport
    from encodec_cli.tokens import TokenItem

__all__ = ["PatternName", "decode_tokens"]


class PatternName(StrEnum):
    delay = "delay"


def decode_tokens(
    job: Job,
    model: "CompressionModel",
    decoding: "DecodeOptions",
    *,
    pattern: PatternName | None,
    output_dir: Path | None,
    suffix: str,
    skip_existing: bool,
    quiet: bool,
    report: Callable[["DecodeReport"], bool],
) -> bool:
    """Decode the items of a file of tokens; whether all went well.

    A shard's items go to `output_dir`, named by their keys; one that fails does not stop the rest.

    Raises:
        EncodecCliError: the file cannot be read, or its only item cannot be decoded.
    """
    from encodec_cli.tokens import SHARD_SUFFIXES, BadItem, read_items

    assert isinstance(job.source, Path)
    if job.source.suffix.lower() not in SHARD_SUFFIXES:
        [item] = read_items(job.source)
        assert not isinstance(item, BadItem)
        return report(_decode_item(item, str(job.source), job, model, decoding, pattern, quiet))
    if output_dir is None:
        raise UsageError(f"{job.source}: holds many items; name a folder with --output-dir")
    good, seen = True, set()
    for item in read_items(job.source):
        name = f"{job.source}: {item.key}"
        try:
            if isinstance(item, BadItem):
                raise ContainerError(f"{name}: {item.reason}")
            if item.key in seen:
                raise ContainerError(f"{name}: the key occurs twice; only the first is decoded")
            seen.add(item.key)
            target = output_dir / f"{item.key}{suffix}"
            if skip_existing and target.is_file():
                if not quiet:
                    say(f"{target}: exists, skipped")
                continue
            make_folder(target.parent)
            one = Job(job.source, target)
            good &= report(_decode_item(item, name, one, model, decoding, pattern, quiet))
        except EncodecCliError as error:
            warn(str(error), label="error", style="bold red")
            good = False
    return good


def _decode_item(
    item: "TokenItem",
    name: str,
    job: Job,
    model: "CompressionModel",
    decoding: "DecodeOptions",
    pattern: PatternName | None,
    quiet: bool,
) -> "DecodeReport":
    from encodec_cli.container import write_ecdc
    from encodec_cli.pipeline.files import decode_stream
    from encodec_cli.stream.signals import header_for
    from encodec_cli.tokens import item_ecdc, undelay

    packed = io.BytesIO()
    try:
        if pattern is PatternName.delay:
            codes = undelay(item.codes, model.config.quantizer.bins)
            item = dataclasses.replace(item, codes=codes)
        write_ecdc(packed, item_ecdc(item, header_for(model, item.codes.shape[0])))
    except (ContainerError, UsageError) as error:
        raise type(error)(f"{name}: {error}") from error
    packed.seek(0)
    with progress_bar(name, quiet=quiet) as progress:
        return decode_stream(model, packed, name, job.target, decoding, progress=progress)
