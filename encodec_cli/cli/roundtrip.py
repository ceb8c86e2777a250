"""`roundtrip`: what a codec makes of one recording, in words, numbers and a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from encodec_cli.cli import options
from encodec_cli.cli.batch import AUDIO_SUFFIXES
from encodec_cli.cli.codings import warn_of_missing_packages
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, output, print_json, printable, rounded
from encodec_cli.cli.loading import load
from encodec_cli.cli.option_values import rate_choice
from encodec_cli.cli.recordings import kind_of, refuse_stream
from encodec_cli.cli.tables import facts_table, print_facts
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import UsageError
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.evaluation.verdict import verdicts
from encodec_cli.io.files import check_writable

if TYPE_CHECKING:
    from encodec_cli.audio import FloatBlock
    from encodec_cli.evaluation.evaluate import Coded, Reference, Row

__all__ = ["roundtrip"]

_ASPECTS = {
    "pesq": "speech, if any",
    "estoi": "words, if any",
    "si_sdr": "waveform",
    "mel": "spectrum",
    "level_db": "level",
}
_SCALES = {"pesq": " of 4.64", "estoi": " of 1", "mel": ", 0 is equal"}


def roundtrip(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="Audio.", autocompletion=complete_files(AUDIO_SUFFIXES)),
    ],
    target: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="Where to keep what comes back.")
    ] = None,
    bandwidth: options.UsualBandwidth = None,
    n_q: options.NQ = None,
    search: options.Search = None,
    refine: options.Refine = False,
    fit: options.Fit = None,
    model: options.Model = DEFAULT_MODEL,
    speech: options.Speech = None,
    force: options.Force = False,
    json: options.Json = False,
    device: options.Device = "auto",
    dtype: options.DType = options.DTypeName.fp32,
    threads: options.Threads = None,
) -> None:
    """Encode and decode once; print sizes, rate and how close the result is.

    A wide enough terminal also gets both spectrograms. docs/judging.md has what the words mean.

    Example: encodec-cli roundtrip talk.wav decoded.wav --bandwidth 3
    """
    from encodec_cli.audio import choose_format

    bandwidth, n_q = rate_choice(context, bandwidth, n_q)
    if target is not None:
        choose_format(target, None, None)
        if target.exists() and source.exists() and target.samefile(source):
            raise UsageError(f"{target}: is the input; name another output")
        check_writable(target, force=force)
    refuse_stream(source)
    loaded = load(model, device, threads, dtype)

    from encodec_cli.evaluation.evaluate import judge, read_reference, through_model, warm_up

    codebooks = loaded.config.choose_codebooks(bandwidth, n_q)
    kind = kind_of(source)
    reference = read_reference(source, loaded.sample_rate, loaded.channels, kind=kind)
    warm_up(loaded)
    bandwidth = loaded.config.bandwidth_kbps(codebooks)
    coded = through_model(loaded, reference, bandwidth, search=search, refine=refine, fit=fit or 0)
    if target is not None:
        _keep(coded.audio, target, loaded.sample_rate, force=force)
    warn_of_missing_packages([kind], speech)
    row = judge(reference, coded, speech=speech)
    if json:
        print_json(_as_dict(row, loaded.config.name, codebooks, source, target))
    else:
        table = _facts(row, coded, codebooks)
        if target is not None:
            table.add_row("kept in", printable(str(target)), "")
        print_facts(str(source), table)
        _print_pictures(reference, coded)


def _keep(audio: "FloatBlock", target: Path, sample_rate: int, *, force: bool) -> None:
    from encodec_cli.audio import open_audio_writer

    with open_audio_writer(target, sample_rate, len(audio), force=force) as writer:
        writer.write(audio)


def _as_dict(
    row: "Row", model: str, codebooks: int, source: Path, target: Path | None
) -> dict[str, Any]:
    source_bytes = source.stat().st_size
    assert row.bytes is not None
    return rounded(
        {
            "source": str(source),
            "target": None if target is None else str(target),
            "model": model,
            "codebooks": codebooks,
            "seconds": round(row.seconds, 3),
            "source_bytes": source_bytes,
            "bytes": row.bytes,
            "ratio": source_bytes / row.bytes,
            "kbps": row.kbps,
            "encode_speed": row.encode_speed,
            "decode_speed": row.decode_speed,
            "clipped": row.clipped,
            **row.metrics,
            "words": verdicts(row.metrics),
        }
    )


def _facts(row: "Row", coded: "Coded", codebooks: int) -> Table:
    """Sizes first, then how near it is: what of it, a word, the number behind it."""
    assert row.bytes is not None
    source_bytes = Path(row.recording).stat().st_size
    table = facts_table(columns=3)
    sizes = f"{source_bytes:,} -> {row.bytes:,} bytes"
    table.add_row("size", f"{source_bytes / row.bytes:.1f} times smaller", sizes)
    codes = f"{row.bandwidth:g} kb/s of codes, {count(codebooks, 'codebook')}, {row.seconds:.2f} s"
    table.add_row("rate", f"{row.kbps:.2f} kb/s", codes)
    for name, word in verdicts(row.metrics).items():
        metric = METRICS[name]
        label = "" if metric.label == _ASPECTS[name] else f"{metric.label} "
        number = f"{label}{row.metrics[name]:.{metric.digits}f} {metric.unit}".rstrip()
        table.add_row(_ASPECTS[name], word, f"{number}{_SCALES.get(name, '')}")
    if "level_db" not in row.metrics:
        table.add_row(_ASPECTS["level_db"], "of silence", f"decoded to {_dbfs(coded):.1f} dBFS")
    if row.clipped:
        table.add_row("clipped", count(row.clipped, "sample"), "")
    speeds = f"decoded {row.decode_speed:.1f} times"
    table.add_row("speed", f"encoded {row.encode_speed:.1f} times", f"{speeds} real time")
    return table


def _dbfs(coded: "Coded") -> float:
    import torch

    from encodec_cli.evaluation.metrics import level_dbfs

    return level_dbfs(torch.from_numpy(coded.audio))


def _print_pictures(reference: "Reference", coded: "Coded") -> None:
    console = output()
    # Imported here: numpy would cost every other command, and --help, a tenth of a second.
    from encodec_cli.cli.spectrogram import PICTURE_ROWS, picture_pair, picture_width

    width = picture_width(console)
    if width is None:
        return

    import torch

    from encodec_cli.dsp.spectra import picture_levels

    pictures = [
        picture_levels(
            torch.from_numpy(audio).mean(0),
            reference.sample_rate,
            mels=2 * PICTURE_ROWS,
            columns=width,
        ).numpy()
        for audio in (reference.audio, coded.audio)
    ]
    console.print(picture_pair(console, ("original", "decoded"), pictures))
