"""Running the command line in this process or its own, on models and recordings made here."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from encodec_cli.__main__ import main
from encodec_cli.checkpoints.modules import save_model
from encodec_cli.config.codec import CodecConfig
from encodec_cli.model.module import CompressionModel
from encodec_cli.train.init import initialize

REPOSITORY = Path(__file__).resolve().parent.parent
RATE = 24_000
HOP = 320
PATIENCE_SECONDS = 60.0
"""How long a test waits for a process that should have done by then."""
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def mono_config(**changes: Any) -> CodecConfig:
    """The geometry of EnCodec 24 kHz (75 frames/s, 0.75 kb/s a codebook), very few channels."""
    data: dict[str, Any] = {
        "name": "tiny24",
        "sample_rate": RATE,
        "channels": 1,
        "target_bandwidths": [1.5, 6],
        "seanet": {
            "dimension": 8,
            "n_filters": 4,
            "n_residual_layers": 1,
            "ratios": [8, 5, 4, 2],
            "causal": True,
        },
        "quantizer": {"n_q": 8, "bins": 1024, "kmeans_init": False},
    }
    return CodecConfig.from_dict(data | changes)


def stereo_config() -> CodecConfig:
    """The geometry of EnCodec 48 kHz: stereo, normalised, overlapping segments of a second."""
    config = mono_config(
        name="tiny48", sample_rate=48_000, channels=2, normalize=True, segment_seconds=1.0
    )
    changes: dict[str, Any] = {"causal": False, "norm": "time_group_norm"}
    return replace(
        config,
        seanet=replace(config.seanet, **changes),
        decoder=replace(config.decoder, **changes),
    )


def make_model(config: CodecConfig, *, seed: int = 0, gain: float = 1.0) -> CompressionModel:
    """An untrained codec whose output is about as loud as its input, times `gain`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CompressionModel(config)
        x = torch.randn(1, config.channels, config.sample_rate) * 0.1
        initialize(model, [x])
        with torch.no_grad():
            for book in model.quantizer.codebooks:
                book.embed.normal_(std=0.5)
            result = model.eval()(x)
            last = model.decoder.model[-1].conv.conv  # type: ignore[union-attr]
            scale = gain * 0.1 / float(result.x.std())
            last.weight.mul_(scale)  # type: ignore[operator, union-attr]
    return model


def write_model(path: Path, model: CompressionModel) -> Path:
    """`model` as a checkpoint of ours, in fp32."""
    save_model(model, path, licence="MIT", training_data="none", half=False)
    return path


def tone(
    seconds: float, *, rate: int = RATE, channels: int = 1, level: float = 0.3
) -> NDArray[np.float32]:
    """A chord with some noise, `[n, C]`."""
    n = round(seconds * rate)
    t = np.arange(n)[:, None] / rate
    pitches = 220.0 * (1 + 0.5 * np.arange(channels))
    noise = np.random.default_rng(5).standard_normal((n, channels))
    wave = np.sin(2 * np.pi * pitches * t) + 0.1 * noise
    return (level * wave / 1.5).astype(np.float32)


def write_audio(
    path: Path, samples: int, *, rate: int = RATE, channels: int = 1, level: float = 0.3
) -> Path:
    """A recording of exactly `samples` samples per channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(samples / rate, rate=rate, channels=channels, level=level), rate)
    return path


def damaged_copy(source: Path, target: Path, share: Fraction) -> Path:
    """`source` written to `target` with one bit of the byte at `share` of its length changed."""
    data = bytearray(source.read_bytes())
    data[int(len(data) * share)] ^= 1
    target.write_bytes(data)
    return target


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode()

    @property
    def errors(self) -> list[str]:
        """Lines of standard error that report an error."""
        return [x for x in self.stderr.splitlines() if x.startswith("encodec-cli: error: ")]

    def ok(self) -> "Result":
        """The result itself, if all went well."""
        assert (self.code, self.errors) == (0, []), self.stderr
        return self

    def refused(self, code: int, *words: str) -> "Result":
        """The result itself, if it is `code`, nothing on stdout, and one line with `words`."""
        assert self.code == code, self.stderr
        assert self.stdout == b""
        assert len(self.errors) == 1, self.stderr
        for word in words:
            assert word in self.errors[0]
        return self


class Stream(io.TextIOWrapper):
    """A stand-in for a standard stream, which may claim to be a terminal."""

    def __init__(self, raw: BinaryIO, *, terminal: bool = False) -> None:
        super().__init__(raw, encoding="utf-8", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def run(
    *arguments: str | Path,
    stdin: bytes = b"",
    terminal: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> Result:
    """Run the command line in this process; `terminal` names streams that are one."""
    out, err = io.BytesIO(), io.BytesIO()
    streams = {"stdin": io.BytesIO(stdin), "stdout": out, "stderr": err}
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    patches = [
        mock.patch.object(sys, name, Stream(raw, terminal=name in terminal))
        for name, raw in streams.items()
    ]
    patches.append(mock.patch.object(sys, "argv", ["encodec-cli", *map(str, arguments)]))
    plain = {"COLUMNS": "100", "TERM": "xterm", **(environment or {})}
    patches.append(mock.patch.dict(os.environ, plain))
    for patch in patches:
        patch.start()
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    finally:
        for patch in reversed(patches):
            patch.stop()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    text = err.getvalue().decode()
    assert "Traceback" not in text, text
    return Result(code, out.getvalue(), text)


def command(*arguments: str | Path) -> list[str]:
    """The command line of a process of its own."""
    return [sys.executable, "-m", "encodec_cli", *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """For `command`: this package, one thread."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **changes}


@contextmanager
def process(*arguments: str | Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The command line in a process of its own; killed at the end if it is still there."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    given = {"env": environment()} | streams | options
    child = subprocess.Popen(command(*arguments), **given)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def shell(line: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a line in bash, as `environment` says."""
    return subprocess.run(
        line,
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        env=environment(),
        timeout=PATIENCE_SECONDS,
    )
