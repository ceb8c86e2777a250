"""What a corpus is read from: lists of recordings, archives of them, folders.

    manifest, tar, Parquet, folder --> CorpusItem, one after the other

Nothing here decodes audio.
"""

from encodec_cli.corpus.item import AudioData, AudioFile, CorpusItem

__all__ = ["AudioData", "AudioFile", "CorpusItem"]
