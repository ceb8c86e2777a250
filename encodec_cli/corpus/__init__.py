"""What a corpus is read from: lists of recordings, archives of them, folders.

    Corpus (files, folders, manifests) --read--> CorpusItem | BadCorpusItem, one after the other

Nothing here decodes audio.
"""

from encodec_cli.corpus.item import AudioData, AudioFile, BadCorpusItem, CorpusItem
from encodec_cli.corpus.read import Corpus, read

__all__ = ["AudioData", "AudioFile", "BadCorpusItem", "Corpus", "CorpusItem", "read"]
