"""Writes docs/recipe.md from the dataclasses that recipes are read into.

python scripts/make_recipe_doc.py
"""

import dataclasses
import typing
from pathlib import Path
from typing import Any

from encodec_cli.config.schema import describe_type
from encodec_cli.train.config import (
    AdversaryConfig,
    AugmentConfig,
    DataConfig,
    LossConfig,
    TrainConfig,
)

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipe.md"
SECTIONS: tuple[tuple[str, type[Any]], ...] = (
    ("", TrainConfig),
    ("data", DataConfig),
    ("data: augment", AugmentConfig),
    ("loss", LossConfig),
    ("adversary", AdversaryConfig),
)
HEAD = """\
# The keys of a recipe

`encodec-cli train RECIPE` reads these keys from a YAML file; [training.md](training.md) says what
to do with them, and `encodec-cli train --init` prints a recipe to begin with. Keys without a
default must be given, unknown ones are refused, and all faults of a recipe are named at once.
Paths are relative to the folder that the command runs in, `model` to the recipe. This page is made
by `scripts/make_recipe_doc.py`.
"""
AFTER = {
    "loss": """
The balancer of the EnCodec paper gives each loss its share of the gradient at the output: the
numbers are shares, whatever the losses' own sizes. What each is good for:
[experiments.md](experiments.md#losses).
""",
    "adversary": """
On a CPU the discriminator multiplies the cost of a step.
""",
}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for section, cls in SECTIONS:
        title = f"## Inside `{section}`" if section else "## At the top"
        rows = [_row(cls, entry) for entry in dataclasses.fields(cls)]
        table = ["| key | default | is | meaning |", "|---|---|---|---|", *rows]
        parts += ["\n".join(["", title, "", *table, ""]), AFTER.get(section, "")]
    return "".join(parts)


def _row(cls: type[Any], entry: "dataclasses.Field[Any]") -> str:
    hint = typing.get_type_hints(cls, include_extras=True)[entry.name]
    kind, meaning = typing.get_args(hint)
    inner = dataclasses.is_dataclass(kind)
    words = "a mapping" if inner else describe_type(kind)
    return f"| `{entry.name}` | {_default(entry, inner=inner)} | {words} | {meaning} |"


def _default(entry: "dataclasses.Field[Any]", *, inner: bool) -> str:
    if inner and entry.default_factory is not dataclasses.MISSING:
        return "its own"
    if entry.default_factory is not dataclasses.MISSING:
        return "{}"
    if entry.default is dataclasses.MISSING:
        return ""
    value = entry.default
    if isinstance(value, tuple):
        return f"{list(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value) or "empty"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
