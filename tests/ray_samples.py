"""What processes of Ray are told in tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from cli_samples import environment

__all__ = ["PATIENCE_SECONDS", "ray_environment"]

PATIENCE_SECONDS = 1200.0
"""A busy machine takes minutes for what takes a quiet one seconds."""


@contextmanager
def ray_environment(**changes: str) -> Iterator[dict[str, str]]:
    """Variables for clusters of this test alone: a home without a token, files in a folder.

    Workers run as urgently as all else: Ray has them wait for whatever a machine does besides.
    """
    # Paths of sockets are short: not below pytest's folders.
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        yield environment(
            HOME=place,
            RAY_TMPDIR=place,
            RAY_ADDRESS="",
            RAY_USAGE_STATS_ENABLED="0",
            RAY_worker_niceness="0",
            **changes,
        )
