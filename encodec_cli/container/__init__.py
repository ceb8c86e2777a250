"""The `.ecdc` container: files and pipes of codes, formats 0 (Meta's) to 2. See docs/ecdc.md."""

from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import Header, v0_header
from encodec_cli.container.known_models import META_MODELS
from encodec_cli.container.payload import ChunkCoder
from encodec_cli.container.reader import EcdcReader
from encodec_cli.container.tools import Summary, peel, summarize, verify
from encodec_cli.container.types import ChunkIndex, ChunkSource, DamagedChunk
from encodec_cli.container.v0_head import Legacy
from encodec_cli.container.whole import Ecdc, MemorySource, read_ecdc, write_ecdc
from encodec_cli.container.writer import EcdcWriter

__all__ = [
    "META_MODELS",
    "ChunkCoder",
    "ChunkIndex",
    "ChunkSource",
    "CodeChunk",
    "DamagedChunk",
    "Ecdc",
    "EcdcReader",
    "EcdcWriter",
    "Header",
    "Legacy",
    "MemorySource",
    "Summary",
    "peel",
    "read_ecdc",
    "summarize",
    "v0_header",
    "verify",
    "write_ecdc",
]
