"""Text from outside, such as file names, made fit to be shown."""

__all__ = ["printable"]


def printable(text: str) -> str:
    """`text` on one line: what is not printable (in file names, say) as Python would escape it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
