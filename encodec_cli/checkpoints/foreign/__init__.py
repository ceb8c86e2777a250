"""Checkpoints of other programs, in and out.

`identify` tells what a file is, without torch; `foreign` reads it, with one module and one pure
renaming function per layout; `export` writes what other programs load.
"""

from encodec_cli.checkpoints.foreign.identify import Layout, identify

__all__ = ["Layout", "identify"]
