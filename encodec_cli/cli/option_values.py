"""What options say that have to be read together, or taken apart."""

import re
from collections.abc import Sequence

import typer

from encodec_cli.errors import UsageError

__all__ = ["parse_tags", "rate_choice"]

_KEY = re.compile(r"[a-z0-9][a-z0-9_ -]{0,39}", re.ASCII)
_MOST_VALUE = 2_000
_MOST_TAGS = 64


def parse_tags(texts: Sequence[str] | None, *, none: bool) -> dict[str, str] | None:
    """Names and texts of every --tag; None for --no-tags.

    Raises:
        UsageError: both, or something that is no tag.
    """
    if none:
        if texts:
            raise UsageError("give --tag or --no-tags, not both")
        return None
    tags = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        key, value = key.strip().lower(), " ".join(value.split())
        if not equals or not _KEY.fullmatch(key):
            raise UsageError(f"--tag {text[:60]}: give KEY=VALUE, such as title=Morning")
        if not value.isprintable() or len(value) > _MOST_VALUE:
            raise UsageError(f"--tag {key}: give up to {_MOST_VALUE} printable characters")
        tags[key] = value
    if len(tags) > _MOST_TAGS:
        raise UsageError(f"--tag: {len(tags)} tags are too many; give up to {_MOST_TAGS}")
    return tags


def rate_choice(
    context: typer.Context,
    bandwidth: float | None,
    n_q: int | None,
    target_kbps: float | None = None,
) -> tuple[float | None, int | None]:
    """Bandwidth and codebooks as the command line says; only else as the environment does.

    Raises:
        UsageError: the command line says more than one of them.
    """
    source = context.get_parameter_source("bandwidth")
    if source is not None and source.name == "ENVIRONMENT" and (n_q or target_kbps) is not None:
        bandwidth = None
    rates = {"--bandwidth": bandwidth, "--n-q": n_q, "--target-kbps": target_kbps}
    given = [option for option, rate in rates.items() if rate is not None]
    if len(given) > 1:
        raise UsageError(f"give {' or '.join(given)}, not {'both' if len(given) == 2 else 'all'}")
    return bandwidth, n_q
