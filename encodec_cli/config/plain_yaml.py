"""YAML of plain values: mappings, lists, texts and numbers, and nothing that takes endless time.

No tags, so no code and no other types; no aliases, with which a small text stands for a huge
value; and a date is the text that it is.
"""

from typing import Any

import yaml

from encodec_cli.errors import ConfigError
from encodec_cli.io.text import printable

__all__ = ["MOST_YAML_BYTES", "parse_yaml"]

MOST_YAML_BYTES = 1 << 17
"""Configs and recipes have a few thousand."""
_MOST_DIGITS = 40
_MOST_LEVELS = 30
_PREFIX = "tag:yaml.org,2002:"
_PLAIN = ("null", "bool", "int", "float")


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML document, in dicts, lists, str, int, float, bool and None.

    Raises:
        ConfigError: too long, not YAML, or with tags or aliases; the message starts with `where`.
    """
    if len(text) > MOST_YAML_BYTES:
        raise ConfigError(f"{where}: larger than {MOST_YAML_BYTES} bytes; not a configuration")
    try:
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        line = printable(" ".join(str(error).split()))[:200]
        raise ConfigError(f"{where}: not valid YAML: {line}") from error


class _PlainLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012 - as the parent has it
        first: [(tag, rule) for tag, rule in rules if tag.removeprefix(_PREFIX) in _PLAIN]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("uses YAML aliases; write out what they stand for")
        if getattr(event, "tag", None) not in (None, "!"):
            raise yaml.YAMLError(f"uses YAML tags ({event.tag}); write plain values")
        self.depth += 1
        if self.depth > _MOST_LEVELS:
            raise yaml.YAMLError(f"more than {_MOST_LEVELS} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _number(self, node: yaml.ScalarNode) -> int | float:
        if len(node.value) > _MOST_DIGITS:
            raise yaml.YAMLError(f"a number of {len(node.value)} characters")
        if node.tag == f"{_PREFIX}int":
            return int(self.construct_yaml_int(node))
        return float(self.construct_yaml_float(node))


for _kind in ("int", "float"):
    _PlainLoader.add_constructor(f"{_PREFIX}{_kind}", _PlainLoader._number)
