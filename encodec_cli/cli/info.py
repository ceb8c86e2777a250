"""`info`: what `.ecdc` files hold. Needs no model, and no torch."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from encodec_cli.cli import options
from encodec_cli.cli.batch import ECDC_SUFFIXES, Job, inputs_in
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, print_json, printable, warn
from encodec_cli.cli.foreign_files import not_ecdc
from encodec_cli.cli.running import one_by_one
from encodec_cli.cli.tables import channels_name, facts_table, print_facts
from encodec_cli.errors import ContainerError
from encodec_cli.io.files import open_input

if TYPE_CHECKING:
    from encodec_cli.container import Header, Summary

__all__ = ["info"]


def info(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help=".ecdc; folders with -r; - is stdin.",
            autocompletion=complete_files(ECDC_SUFFIXES),
        ),
    ],
    recursive: options.Recursive = False,
    json: options.Json = False,
) -> None:
    """Show what .ecdc files hold: model, rates, length, real kb/s, damage, tags.

    Example: encodec-cli info talk.ecdc
    """
    from encodec_cli.container import summarize

    inputs = inputs_in(sources, ECDC_SUFFIXES, recursive=recursive)

    def work(job: Job) -> bool:
        with open_input(job.source) as file:
            try:
                summary = summarize(file)
            except ContainerError as error:
                raise not_ecdc(job.source, error) from error
        for line in summary.warnings:
            warn(f"{job.source}: {line}")
        for line in summary.problems:
            warn(f"{job.source}: {line}", label="error", style="bold red")
        if json:
            print_json(_as_dict(str(job.source), summary))
        else:
            print_facts(str(job.source), _table(summary))
        return not summary.problems

    exit_code = one_by_one(inputs, work, alone=len(inputs) == 1)
    if exit_code:
        raise typer.Exit(exit_code)


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
        **{f"tag {printable(name)}": printable(text) for name, text in header.tags.items()},
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
