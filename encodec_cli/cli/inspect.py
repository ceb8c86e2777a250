"""`info`, `verify`, `peel`: what needs no model, and no torch."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from encodec_cli.cli import options
from encodec_cli.cli.batch import ECDC_SUFFIXES
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, output, print_json, printable, say, warn
from encodec_cli.cli.loading import code_models
from encodec_cli.cli.tables import channels_name, facts_table, print_facts
from encodec_cli.errors import ContainerError, EncodecCliError, UsageError
from encodec_cli.io.files import atomic_output, open_input, standard_output

if TYPE_CHECKING:
    from encodec_cli.container import Header, Summary

__all__ = ["info", "peel", "verify"]

_complete_ecdc = complete_files(ECDC_SUFFIXES)


def _place(text: str) -> Any:
    return "-" if text == "-" else Path(text)


def info(
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help=".ecdc, '-' is stdin.", autocompletion=_complete_ecdc),
    ],
    json: options.Json = False,
) -> None:
    """Show what an .ecdc file holds: model, rates, length, real kb/s, damage."""
    from encodec_cli.container import summarize

    with open_input(_place(source)) as file:
        try:
            summary = summarize(file)
        except ContainerError as error:
            raise error.about(source) from error
    for line in summary.warnings:
        warn(f"{source}: {line}")
    for line in summary.problems:
        warn(f"{source}: {line}", label="error", style="bold red")
    if json:
        print_json(_as_dict(source, summary))
    else:
        print_facts(source, _table(summary))
    if summary.problems:
        raise typer.Exit(1)


def verify(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="IN...", help=".ecdc files.", autocompletion=_complete_ecdc),
    ],
    code_model: options.CodeModel = None,
    quiet: options.Quiet = False,
) -> None:
    """Check every checksum and count; one line per file, exit code 1 if any is damaged.

    Codes that a code model made smaller are decoded as well, if it is there.
    """
    from encodec_cli.container import verify as verify_file

    files = code_models(code_model)

    failed = False
    for source in sources:
        verdict = "ok"
        try:
            with open_input(_place(source)) as file:
                problems = verify_file(file, code_models=files)
            if problems:
                verdict = "damaged"
        except (EncodecCliError, OSError) as error:
            problems = [str(error).removeprefix(f"{source}: ")]
            verdict = "unreadable"
        failed = failed or bool(problems)
        for line in problems:
            warn(f"{source}: {line}", label="error", style="bold red")
        if not quiet:
            output().print(f"{printable(source)}: {verdict}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def peel(
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help=".ecdc, '-' is stdin.", autocompletion=_complete_ecdc),
    ],
    target: Annotated[str, typer.Argument(metavar="OUT", help=".ecdc, '-' is stdout.")],
    bandwidth: options.Bandwidth = None,
    n_q: options.NQ = None,
    code_model: options.CodeModel = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Lower the bandwidth of an .ecdc file by dropping codebooks; needs no model.

    Codes that a code model made smaller take that code model, the bundled one for instance.
    """
    from encodec_cli.container import EcdcReader
    from encodec_cli.container import peel as peel_file

    if (bandwidth is None) == (n_q is None):
        raise UsageError("give --bandwidth or --n-q")
    where = _place(target)
    with open_input(_place(source)) as file:
        try:
            reader = EcdcReader(file, code_models=code_models(code_model))
            codebooks = reader.header.choose_codebooks(bandwidth, n_q)
            with standard_output() if where == "-" else atomic_output(where, force=force) as out:
                header = peel_file(reader, out, codebooks)
        except (ContainerError, UsageError) as error:
            raise error.about(source) from error
    if not quiet:
        kept = count(header.codebooks, "codebook")
        say(f"{source} -> {target}: {kept}, {header.bandwidth_kbps:g} kb/s")


def _as_dict(source: str, summary: "Summary") -> dict[str, Any]:
    header = dataclasses.asdict(summary.header)
    return {
        "source": source,
        **header,
        "tags": dict(summary.header.tags),
        "bytes": summary.file_bytes,
        "seconds": round(summary.duration, 4),
        "frames": summary.frames,
        "chunks": summary.chunks,
        "nominal_kbps": round(summary.header.bandwidth_kbps, 4),
        "kbps": round(summary.kbps, 4),
        "payload_kbps": round(summary.payload_kbps, 4),
        "coded_chunks": summary.coded,
        "damaged_chunks": [chunk.index for chunk in summary.damaged],
        "problems": list(summary.problems),
        "warnings": list(summary.warnings),
    }


def _table(summary: "Summary") -> Table:
    header = summary.header
    table = facts_table()
    rows = {
        "format": f".ecdc version {header.version}",
        "model": header.model,
        "weights": f"SHA-256 {header.model_sha256[:16]}..." if header.model_sha256 else "not said",
        "length": f"{summary.duration:.3f} s, {_samples(header.num_samples)}",
        "audio": f"{header.sample_rate} Hz, {channels_name(header.channels)}",
        "source": _source(header),
        "codes": (
            f"{count(header.codebooks, 'codebook')} of {header.bits} bits, "
            f"{header.frame_rate:g} frames/s, {count(summary.frames, 'frame')}"
        ),
        "rate": f"{summary.kbps:.3f} kb/s on disk, {header.bandwidth_kbps:g} kb/s of codes",
        **_entropy_coding(summary),
        "size": f"{summary.file_bytes:,} bytes, {count(summary.chunks, 'chunk')}",
        **{f"tag {name}": text for name, text in header.tags.items()},
        "state": count(len(summary.problems), "problem") if summary.problems else "intact",
    }
    if header.version == 0 and not summary.problems:
        rows["state"] = "sizes fit (format 0 has no checksums)"
    if header.lm:
        rows["codes"] += ", compressed with Meta's language model"
        if not summary.problems:
            rows["state"] = "size is possible (only decoding with --lm checks such codes)"
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def _entropy_coding(summary: "Summary") -> dict[str, str]:
    header = summary.header
    if header.version < 2:
        return {}
    if header.code_model is None:
        return {"entropy coding": "none"}
    return {
        "entropy coding": (
            f"code model {header.code_model}, {summary.coded} of "
            f"{count(summary.chunks, 'chunk')}, {summary.payload_kbps:.3f} kb/s of payloads"
        )
    }


def _source(header: "Header") -> str:
    if header.source_sample_rate is None or header.source_channels is None:
        return "not said"
    length = _samples(header.source_num_samples)
    return f"{header.source_sample_rate} Hz, {channels_name(header.source_channels)}, {length}"


def _samples(number: int | None) -> str:
    return "number of samples unknown" if number is None else count(number, "sample")
