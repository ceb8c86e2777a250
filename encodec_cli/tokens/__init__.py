"""Codes for other programs: npz, safetensors, Parquet and WebDataset files, both ways.

    .ecdc --ecdc_item--> TokenItem --write_item / ShardWriter--> a.npz, tokens-00000.tar ...
    a.npz, tokens-00000.tar ... --read_items--> TokenItem --item_ecdc--> .ecdc

Nothing here imports torch. docs/tokens.md describes the files.
"""

from encodec_cli.tokens.ecdc import chunks_item, ecdc_item, item_ecdc
from encodec_cli.tokens.files import (
    SHARD_SUFFIXES,
    SINGLE_SUFFIXES,
    read_items,
    write_item,
)
from encodec_cli.tokens.item import BadItem, TokenInfo, TokenItem
from encodec_cli.tokens.pattern import undelay
from encodec_cli.tokens.shards import ShardWriter

__all__ = [
    "SHARD_SUFFIXES",
    "SINGLE_SUFFIXES",
    "BadItem",
    "ShardWriter",
    "TokenInfo",
    "TokenItem",
    "chunks_item",
    "ecdc_item",
    "item_ecdc",
    "read_items",
    "undelay",
    "write_item",
]
