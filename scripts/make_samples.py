"""Make samples/speech.wav and samples/music.wav, the free audio that the README plays with.

    python scripts/make_samples.py

Speech is spoken by Flite (apt-get install flite), music is computed here. Both are ours to give
away; see samples/README.md. Running it again makes the same samples.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from encodec_cli.audio import open_audio, open_audio_writer

__all__ = ["make_music", "make_speech"]

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SPEECH = (
    "Good evening. A codec listens to a voice, keeps what the ear would miss, "
    "and quietly lets the rest go. What remains is still a voice."
)
VOICE = "slt"

RATE = 44_100
BEAT = RATE // 2  # 120 beats a minute
SECONDS = 8.5  # four bars of four beats, and half a second for the last chord to fade

# Notes are MIDI numbers, 69 = 440 Hz. One chord a bar: A minor 9, F major 7, C, G with a fourth.
CHORDS = [[57, 60, 64, 67, 71], [53, 57, 60, 64, 69], [55, 60, 64, 67, 72], [55, 60, 62, 67, 71]]
ROOTS = [33, 29, 36, 31]
# (beat, length in beats, note)
MELODY = [
    (0.0, 1.5, 76), (1.5, 0.5, 74), (2.0, 1.0, 72), (3.0, 0.5, 71), (3.5, 1.5, 69),
    (5.0, 0.5, 72), (5.5, 0.5, 76), (6.0, 1.5, 81), (7.5, 0.5, 79),
    (8.0, 1.0, 79), (9.0, 0.5, 76), (9.5, 0.5, 72), (10.0, 1.0, 74), (11.0, 1.0, 76),
    (12.0, 0.75, 74), (12.75, 0.25, 76), (13.0, 0.5, 74), (13.5, 0.5, 71), (14.0, 2.5, 67),
]  # fmt: skip

Signal = npt.NDArray[np.float64]


def hertz(note: float) -> float:
    """Frequency of a MIDI note."""
    return float(440.0 * 2.0 ** ((note - 69) / 12))


def seconds_axis(seconds: float) -> Signal:
    """Times in seconds of `seconds` worth of samples."""
    return np.arange(int(seconds * RATE)) / RATE


def pluck(note: float, seconds: float, noise: np.random.Generator) -> Signal:
    """A plucked string after Karplus and Strong: noise that circles in a damped delay line."""
    period = RATE / hertz(note)
    whole = int(period)
    fraction = period - whole  # a two-point average delays by its second weight: exact tuning
    string = np.zeros(int(seconds * RATE))
    burst = noise.uniform(-1, 1, whole + 2)
    string[: whole + 1] = 0.5 * (burst[1:] + burst[:-1])
    damping = 0.001 ** (1 / (hertz(note) * 2.2))  # -60 dB after 2.2 s
    for start in range(whole + 1, len(string), whole):
        now = np.arange(start, min(start + whole, len(string)))
        string[now] = damping * (
            (1 - fraction) * string[now - whole] + fraction * string[now - whole - 1]
        )
    return fade_out(string)


def electric_piano(note: float, seconds: float) -> Signal:
    """Frequency modulation, two operators and a bell partial, brighter at the attack."""
    times = seconds_axis(seconds + 0.25)
    phase = 2 * np.pi * hertz(note) * times
    vibrato = 0.06 * np.sin(2 * np.pi * 5.2 * times) * np.minimum(times / 0.4, 1)
    body = np.sin(phase + vibrato + 1.6 * np.exp(-times / 0.35) * np.sin(phase))
    bell = np.sin(phase + 0.7 * np.exp(-times / 0.08) * np.sin(14 * phase))
    envelope = np.minimum(times / 0.004, 1) * np.exp(-times / 0.9)
    return fade_out((0.75 * body + 0.25 * bell) * envelope)


def pad(note: float, seconds: float, detune: float) -> Signal:
    """A soft saw of eight falling harmonics, slightly off by `detune` semitones."""
    times = seconds_axis(seconds)
    phase = 2 * np.pi * hertz(note + detune) * times
    saw = sum(np.sin(k * phase) / k**1.6 for k in range(1, 9))
    return fade_out(np.asarray(saw) * np.minimum(times / 0.25, 1), 0.3)


def bass(note: float, seconds: float) -> Signal:
    """A round bass: fundamental, two harmonics that die early, a little saturation."""
    times = seconds_axis(seconds)
    phase = 2 * np.pi * hertz(note) * times
    tone = np.sin(phase) + np.exp(-times / 0.12) * (
        0.6 * np.sin(2 * phase) + 0.3 * np.sin(3 * phase)
    )
    return fade_out(np.tanh(1.4 * tone) * np.minimum(times / 0.005, 1) * np.exp(-times / 0.6))


def kick() -> Signal:
    """A sine that falls from 160 to 48 Hz, with a click."""
    times = seconds_axis(0.35)
    phase = 2 * np.pi * (48 * times + 112 * 0.035 * (1 - np.exp(-times / 0.035)))
    return np.sin(phase) * np.exp(-times / 0.11) + 0.3 * np.exp(-times / 0.002)


def snare(noise: np.random.Generator) -> Signal:
    """A drum head at 185 Hz under a rattle of bright noise."""
    times = seconds_axis(0.25)
    rattle = np.diff(noise.uniform(-1, 1, len(times) + 1))
    head = np.sin(2 * np.pi * 185 * times) * np.exp(-times / 0.05)
    return 0.6 * head + 0.45 * rattle * np.exp(-times / 0.07)


def hat(seconds: float, noise: np.random.Generator) -> Signal:
    """Noise, differentiated twice so that only the treble is left."""
    times = seconds_axis(0.3)
    return np.diff(noise.uniform(-1, 1, len(times) + 2), n=2) * 0.25 * np.exp(-times / seconds)


def fade_out(signal: Signal, seconds: float = 0.02) -> Signal:
    """End `signal` at zero instead of with a click."""
    length = min(int(seconds * RATE), len(signal))
    signal[len(signal) - length :] *= np.linspace(1, 0, length)
    return signal


class Mixer:
    """A stereo bus [2, n] of `SECONDS`, with a second one that feeds the reverb."""

    def __init__(self) -> None:
        self.dry = np.zeros((2, int(SECONDS * RATE)))
        self.send = np.zeros_like(self.dry)

    def add(self, beat: float, sound: Signal, gain: float, pan: float, reverb: float) -> None:
        """Put `sound` at `beat`; `pan` from -1 (left) to 1, at equal power."""
        start = round(beat * BEAT)
        sound = sound[: self.dry.shape[1] - start]
        angle = (pan + 1) * np.pi / 4
        panned = gain * np.stack([np.cos(angle) * sound, np.sin(angle) * sound])
        self.dry[:, start : start + len(sound)] += panned
        self.send[:, start : start + len(sound)] += reverb * panned

    def master(self, noise: np.random.Generator) -> Signal:
        """Dry and reverb together, gently saturated, at -1 dBFS, faded at the end."""
        times = seconds_axis(1.6)
        room = noise.standard_normal((2, len(times))) * np.exp(-times / 0.32)
        room[:, 1:] = 0.55 * room[:, 1:] + 0.45 * room[:, :-1]  # walls swallow treble
        room *= np.minimum(times / 0.012, 1) / np.sqrt((room**2).sum(axis=1, keepdims=True))
        length = self.dry.shape[1]
        size = 1 << (length + len(times)).bit_length()
        spectrum = np.fft.rfft(self.send, size) * np.fft.rfft(room, size)
        wet = np.fft.irfft(spectrum, size)[:, :length]
        mix = np.tanh(1.1 * (self.dry + wet))
        mix[:, -RATE // 2 :] *= np.linspace(1, 0, RATE // 2) ** 2
        return np.asarray(mix * (10 ** (-1 / 20) / np.abs(mix).max()))


def make_music() -> Signal:
    """The piece [2, n] at `RATE`, linear range [-1, 1]."""
    noise = np.random.default_rng(2_022)
    mixer = Mixer()
    for bar, (chord, root) in enumerate(zip(CHORDS, ROOTS, strict=True)):
        for voice, note in enumerate(chord):
            side = -0.8 + 0.4 * voice
            mixer.add(4 * bar, pad(note, 2.15, 0.06 * side), 0.035, side, 0.5)
        for step in range(8):
            note = chord[[0, 2, 4, 3, 1, 3, 2, 4][step]]
            beat = 4 * bar + step / 2
            mixer.add(beat, pluck(note, 1.2, noise), 0.22, -0.45 if step % 2 else 0.15, 0.35)
        for beat, length, gain in (
            (0, 0.7, 0.34),
            (1.5, 0.25, 0.26),
            (2, 0.6, 0.32),
            (3.5, 0.25, 0.24),
        ):
            mixer.add(4 * bar + beat, bass(root, length), gain, 0.0, 0.03)
        for beat in (0, 2, 2.5) if bar % 2 else (0, 2):
            mixer.add(4 * bar + beat, kick(), 0.55, 0.0, 0.04)
        for beat in (1, 3):
            mixer.add(4 * bar + beat, snare(noise), 0.34, 0.08, 0.3)
        for step in range(16):
            loud = (1.0, 0.35, 0.65, 0.35)[step % 4]
            ring = 0.12 if step == 14 else 0.025
            mixer.add(4 * bar + step / 4, hat(ring, noise), 0.16 * loud, 0.35, 0.1)
    for beat, length, note in MELODY:
        mixer.add(beat, electric_piano(note, length / 2), 0.24, 0.2, 0.4)
    return mixer.master(noise)


def make_speech(target: Path) -> None:
    """`SPEECH` in `VOICE` at the rate of the synthesizer, as `target`."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "flite.wav"
        subprocess.run(["flite", "-voice", VOICE, "-t", SPEECH, "-o", str(spoken)], check=True)
        with (
            open_audio(spoken) as reader,
            open_audio_writer(target, reader.sample_rate, 1, force=True) as writer,
        ):
            for block in reader.blocks(reader.sample_rate):
                writer.write(block)


def main() -> None:
    """Write both files."""
    make_speech(SAMPLES / "speech.wav")
    with open_audio_writer(SAMPLES / "music.wav", RATE, 2, force=True) as writer:
        writer.write(make_music().astype(np.float32))


if __name__ == "__main__":
    main()
