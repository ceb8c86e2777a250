"""All of a corpus, whatever it is kept in, one item after the other.

IN ...          files, folders, tar archives, Parquet, saved data sets  --.
--manifest ...  JSON Lines, CSV, TSV, lists of lhotse                   --+-->  items
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.keys import Keys
from encodec_cli.errors import UsageError

__all__ = ["Corpus", "read"]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What to read, in this order; data that any process can take, and read the same from.

    Attributes:
        inputs: files and folders; "-" is a tar archive on standard input.
        manifests: tables of recordings.
        recursive: take the recordings in folders, at any depth.
        keep_suffix: keys of files end in their suffix, `talk_mp3`.
        audio_root: the folder where relative names in manifests lead; None: the manifest's.
    """

    inputs: Sequence[str] = ()
    manifests: Sequence[Path] = ()
    recursive: bool = False
    keep_suffix: bool = False
    audio_root: Path | None = None

    @property
    def rereadable(self) -> bool:
        """Whether it can be read again, as standard input cannot."""
        return "-" not in self.inputs


def read(corpus: Corpus) -> Iterator[CorpusItem | BadCorpusItem]:
    """The items of `corpus`, lazily, in an order and with keys that are the same each time.

    No two have the same key: the second of equal ones gets `-2` at its end. What cannot be taken
    is a `BadCorpusItem`; a file of which the rest cannot be read is one at its end.

    Raises:
        UsageError: at once, for a folder without `recursive`; at the end, if there was nothing;
            in between, if a package that a format needs is missing.
    """
    from encodec_cli.corpus.choose import check_inputs, wished_items  # not needed for --help

    check_inputs(corpus)
    return _with_keys(wished_items(corpus))


def _with_keys(
    items: Iterator[CorpusItem | BadCorpusItem],
) -> Iterator[CorpusItem | BadCorpusItem]:
    keys = Keys()
    found = False
    for item in items:
        found = True
        key = keys.unique(item.key)
        yield item if key == item.key else replace(item, key=key)
    if not found:
        raise UsageError("no recordings found in the inputs")
