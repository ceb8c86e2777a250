"""Codes for other programs: npz, safetensors, Parquet, WebDataset, Shar and JSON Lines, both ways.

    .ecdc --ecdc_item--> TokenItem --Arrangement, targets--> a.npz, shards
    a.npz, shards ... --read_items--> TokenItem --item_ecdc--> .ecdc

Nothing here imports torch. docs/tokens.md describes the files.
"""

from encodec_cli.tokens.arrange import Layout, Reading, arranged
from encodec_cli.tokens.card import CardFacts, write_card
from encodec_cli.tokens.columns import ColumnKinds, column_kinds
from encodec_cli.tokens.ecdc import chunks_item, ecdc_item, item_ecdc
from encodec_cli.tokens.files import MANY_SUFFIXES, READ_SUFFIXES, read_items
from encodec_cli.tokens.formats import (
    SHARD_FORMATS,
    SINGLE_FORMATS,
    ShardFormat,
    SingleFormat,
    check_arrangement,
)
from encodec_cli.tokens.item import BadItem, TokenInfo, TokenItem
from encodec_cli.tokens.pattern import undelay, undelay_stereo
from encodec_cli.tokens.shards import FileTarget, ShardTarget, TokenTarget
from encodec_cli.tokens.writing import Arrangement

__all__ = [
    "MANY_SUFFIXES",
    "READ_SUFFIXES",
    "SHARD_FORMATS",
    "SINGLE_FORMATS",
    "Arrangement",
    "BadItem",
    "CardFacts",
    "ColumnKinds",
    "FileTarget",
    "Layout",
    "Reading",
    "ShardFormat",
    "ShardTarget",
    "SingleFormat",
    "TokenInfo",
    "TokenItem",
    "TokenTarget",
    "arranged",
    "check_arrangement",
    "chunks_item",
    "column_kinds",
    "ecdc_item",
    "item_ecdc",
    "read_items",
    "undelay",
    "undelay_stereo",
    "write_card",
]
