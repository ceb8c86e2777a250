"""Codes for other programs: npz, safetensors, Parquet and WebDataset files, both ways.

    .ecdc --ecdc_item--> TokenItem --write_item, shards--> a.npz, tokens-00000.tar ...
    a.npz, tokens-00000.tar ... --read_items--> TokenItem --item_ecdc--> .ecdc

Nothing here imports torch. docs/tokens.md describes the files.
"""

from encodec_cli.tokens.arrange import Layout, Reading, arranged
from encodec_cli.tokens.ecdc import chunks_item, ecdc_item, item_ecdc
from encodec_cli.tokens.files import (
    MANY_SUFFIXES,
    READ_SUFFIXES,
    SHARD_SUFFIXES,
    SINGLE_SUFFIXES,
    read_items,
    write_item,
)
from encodec_cli.tokens.item import BadItem, TokenInfo, TokenItem
from encodec_cli.tokens.pattern import undelay, undelay_stereo

__all__ = [
    "MANY_SUFFIXES",
    "READ_SUFFIXES",
    "SHARD_SUFFIXES",
    "SINGLE_SUFFIXES",
    "BadItem",
    "Layout",
    "Reading",
    "TokenInfo",
    "TokenItem",
    "arranged",
    "chunks_item",
    "ecdc_item",
    "item_ecdc",
    "read_items",
    "undelay",
    "undelay_stereo",
    "write_item",
]
