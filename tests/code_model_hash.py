"""Run by tests with other threads and other kernels: prints a hash of frequencies and bytes.

python code_model_hash.py [FILE]
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
from code_model_samples import USUAL, random_codes, random_model

from encodec_cli.entropy.integer.model import CodeModel

__all__ = ["model_hash"]


def model_hash(model: CodeModel) -> str:
    """Of the frequencies at fixed codes, of their runs, and of what these decode to."""
    digest = hashlib.sha256()
    chunks = []
    for k in model.sizes.trained:
        chunk = random_codes(model.sizes, k, 90, seed=k)
        digest.update(model.frequencies(chunk).astype("<i4").tobytes())
        chunks += [chunk, chunk[:, :7], chunk[:, 40:]]
    runs = model.encode_chunks(chunks)
    asked = [(run, *chunk.shape) for run, chunk in zip(runs, chunks, strict=True)]
    for run, codes, chunk in zip(runs, model.decode_chunks(asked), chunks, strict=True):
        digest.update(run)
        assert np.array_equal(codes, chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    print(model_hash(CodeModel.load(Path(sys.argv[1])) if sys.argv[1:] else random_model(USUAL)))
