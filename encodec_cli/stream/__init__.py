"""Blocks of audio to chunks of codes and back, for any cut of the input, in constant memory.

Drives a model block by block: re-blocking, gain, search, overlap, seeking, many streams at once.
Knows containers' headers and chunks, and no files.
"""
