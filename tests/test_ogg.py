"""Packets of Ogg files, counted against what was put in and what libsndfile makes."""

import io
import struct

import numpy as np
import pytest
import soundfile

from encodec_cli.errors import ContainerError
from encodec_cli.evaluation.ogg import packet_sizes


def page(lacing: list[int]) -> bytes:
    header = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, 1, 0, 0, len(lacing))
    return header + bytes(lacing) + bytes(sum(lacing))


def test_sizes_of_packets() -> None:
    assert packet_sizes(b"") == []
    assert packet_sizes(page([19]) + page([10, 0, 254])) == [19, 10, 0, 254]
    # A packet of 255 ends with a zero, and may go on in the next page.
    assert packet_sizes(page([255, 0, 7, 255, 255]) + page([255, 3, 8])) == [255, 7, 768, 8]


def test_every_cut_is_noticed_or_at_a_page() -> None:
    data = page([19]) + page([10, 255, 4])
    for length in range(1, len(data)):
        if length == len(page([19])):
            assert packet_sizes(data[:length]) == [19]
        else:
            with pytest.raises(ContainerError, match="Ogg: cut off"):
                packet_sizes(data[:length])


def test_what_is_not_ogg_is_refused() -> None:
    with pytest.raises(ContainerError, match="no page at byte 47"):
        packet_sizes(page([19]) + b"RIFF" + bytes(40))


def test_a_real_file() -> None:
    file = io.BytesIO()
    x = np.random.default_rng(0).standard_normal(48_000) * 0.1
    soundfile.write(file, x, 24_000, format="OGG", subtype="VORBIS")
    sizes = packet_sizes(file.getvalue())
    assert sizes[0] == 30  # the identification header of Vorbis
    assert 0 < len(file.getvalue()) - sum(sizes) < 0.1 * sum(sizes)
