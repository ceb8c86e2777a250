"""The part of `decode` that reads files of tokens."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from encodec_cli.cli.batch import Job
from encodec_cli.cli.console import progress_bar, say, warn
from encodec_cli.cli.token_options import LayoutName
from encodec_cli.cli.wording import in_options
from encodec_cli.errors import ContainerError, EncodecCliError, UsageError, parameter
from encodec_cli.io.files import check_inside, make_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from encodec_cli.container import MemorySource
    from encodec_cli.model.codec import Codec
    from encodec_cli.pipeline.decode import DecodeOptions
    from encodec_cli.pipeline.reports import DecodeReport, Place
    from encodec_cli.tokens import TokenItem

__all__ = ["PatternName", "TokenDecoder", "TokenSettings"]


class PatternName(StrEnum):
    delay = "delay"
    stereo_delay = "stereo-delay"


@dataclass(frozen=True, kw_only=True)
class TokenSettings:
    """How items are read and where their audio goes; `tell` says what became of each."""

    pattern: PatternName | None
    layout: LayoutName | None
    offset: int
    separator: int | None
    output_dir: Path | None
    suffix: str
    skip_existing: bool
    threads: int
    quiet: bool
    tell: Callable[["DecodeReport"], bool]


class TokenDecoder:
    """Decodes files of tokens, all with the same model and options."""

    def __init__(self, codec: "Codec", options: "DecodeOptions", settings: TokenSettings) -> None:
        self._codec, self._options, self._settings = codec, options, settings

    def decode(self, job: Job) -> bool:
        """Decode the items of a file; whether all went well.

        A shard's items go to the output folder, named by their keys; one that fails does not stop
        the rest.

        Raises:
            EncodecCliError: the file cannot be read, or its only item cannot be decoded.
        """
        from encodec_cli.tokens import MANY_SUFFIXES, BadItem, read_items

        assert isinstance(job.source, Path)
        if job.source.suffix.lower() in MANY_SUFFIXES:
            return self._decode_shard(job.source)
        [item] = read_items(job.source)
        assert not isinstance(item, BadItem)
        if self._settings.output_dir is not None and isinstance(job.target, Path):
            make_folder(job.target.parent)
        return self._decode_item(item, str(job.source), job.target, job.source)

    def _decode_shard(self, source: Path) -> bool:
        from encodec_cli.tokens import BadItem, read_items

        settings = self._settings
        if settings.output_dir is None:
            raise UsageError(f"{source}: holds many items; name a folder with --output-dir")
        good, seen = True, set()
        for item in read_items(source):
            name = f"{source}: {item.key}"
            try:
                if isinstance(item, BadItem):
                    raise ContainerError(f"{name}: {item.reason}")
                if item.key in seen:
                    raise ContainerError(f"{name}: the key occurs twice; only the first is decoded")
                seen.add(item.key)
                target = settings.output_dir / f"{item.key}{settings.suffix}"
                if settings.skip_existing and target.is_file():
                    if not settings.quiet:
                        say(f"{target}: exists, skipped")
                    continue
                check_inside(target, settings.output_dir)
                make_folder(target.parent)
                good &= self._decode_item(item, name, target, source)
            except EncodecCliError as error:
                warn(in_options(error), label="error", style="bold red")
                good = False
        return good

    def _decode_item(
        self, item: "TokenItem", name: str, target: "Place", like: Path | None
    ) -> bool:
        from encodec_cli.pipeline.decode import decode_chunks

        try:
            left, *right = map(self._opened, self._sides(item))
        except (ContainerError, UsageError) as error:
            raise error.about(name) from error
        with progress_bar(name, quiet=self._settings.quiet) as progress:
            report = decode_chunks(
                self._codec,
                left,
                name,
                target,
                replace(self._options, like=like),
                right=right[0] if right else None,
                threads=self._settings.threads,
                progress=progress,
            )
        return self._settings.tell(report)

    def _opened(self, item: "TokenItem") -> "MemorySource":
        from encodec_cli.container import MemorySource
        from encodec_cli.stream.headers import header_for
        from encodec_cli.tokens import item_ecdc

        return MemorySource(item_ecdc(item, header_for(self._codec, item.codes.shape[0])))

    def _sides(self, item: "TokenItem") -> list["TokenItem"]:
        """The item with its codes as [K, T], or the left and right of a stereo pattern.

        Raises:
            ContainerError, UsageError: codes that cannot be arranged, or no model for them.
        """
        from encodec_cli.tokens import Reading, arranged, undelay, undelay_stereo

        settings, quantizer = self._settings, self._codec.config.quantizer
        stereo = settings.pattern is PatternName.stereo_delay
        reading = Reading(
            books=quantizer.n_q * (2 if stereo else 1),
            bins=quantizer.bins,
            layout=None if settings.layout is None else settings.layout.value,
            offset=settings.offset,
            separator=settings.separator,
        )
        if stereo and self._codec.channels != 1:
            pattern = parameter("pattern", PatternName.stereo_delay.value)
            raise UsageError(
                f"{pattern}: left and right are coded by a mono model, and "
                f"{self._codec.config.name} has {self._codec.channels} channels"
            )
        codes = arranged(item, reading)
        if settings.pattern is PatternName.delay and item.arrangement != "stated":
            codes = undelay(codes, quantizer.bins)
        if not stereo:
            return [_with_codes(item, codes)]
        return [_with_codes(item, own) for own in undelay_stereo(codes, quantizer.bins)]


def _with_codes(item: "TokenItem", codes: "NDArray[np.integer]") -> "TokenItem":
    return replace(item, codes=codes, arrangement="known")
