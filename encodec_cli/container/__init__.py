"""The `.ecdc` container: files and pipes of codes, formats 0 (Meta's) and 1. See docs/ecdc.md."""

from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import META_MODELS, Header, default_chunk_frames, v0_header
from encodec_cli.container.stream import Ecdc, EcdcReader, EcdcWriter, read_ecdc, write_ecdc
from encodec_cli.container.tools import Summary, peel, summarize, verify
from encodec_cli.container.types import ChunkIndex, DamagedChunk
from encodec_cli.container.v0_head import Legacy

__all__ = [
    "META_MODELS",
    "ChunkIndex",
    "CodeChunk",
    "DamagedChunk",
    "Ecdc",
    "EcdcReader",
    "EcdcWriter",
    "Header",
    "Legacy",
    "Summary",
    "default_chunk_frames",
    "peel",
    "read_ecdc",
    "summarize",
    "v0_header",
    "verify",
    "write_ecdc",
]
