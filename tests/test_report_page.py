"""The page of `report`: complete, self-contained, and safe whatever the files are called."""

import base64
import dataclasses
import hashlib
import io
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cases import mostly_slow
from cli_samples import RATE, make_model, mono_config, tone
from report_samples import EVIL, recording

import encodec_cli.report
from encodec_cli.audio import flac_bytes
from encodec_cli.evaluation.evaluate import Evaluated
from encodec_cli.model.module import CompressionModel
from encodec_cli.report import Recording, Report
from encodec_cli.report.template import asset, escaped
from encodec_cli.report.waveform import WAVE_COLUMNS, wave_path

pytest.importorskip("matplotlib")

VOID = {"br", "img", "input", "link", "meta", "hr"}
Page = Callable[..., "Parsed"]


class Parsed(HTMLParser):
    """Elements in order, what is open around each, and the text of all."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "elements that were never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"option", "p"} and self._open[-1] != tag:
            return
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        tag = self._open[-1] if self._open else ""
        self.texts[tag] = self.texts.get(tag, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def model() -> CompressionModel:
    return make_model(mono_config())


@pytest.fixture(scope="module")
def page(model: CompressionModel) -> Page:
    def make(*recordings: Recording) -> Parsed:
        file = io.BytesIO()
        with Report(model) as report:
            for each in recordings:
                report.add(each)
            report.write(file)
        return Parsed(file.getvalue().decode())

    return make


def sounds(parsed: Parsed) -> list[np.ndarray]:
    found = []
    for element in parsed.all("audio"):
        source = element["src"] or ""
        assert source.startswith("data:audio/flac;base64,")
        data = base64.b64decode(source.partition(",")[2])
        audio, rate = soundfile.read(io.BytesIO(data))
        assert rate == RATE
        found.append(audio)
    return found


@pytest.mark.slow
def test_every_version_is_there_to_the_sample(page: Page) -> None:
    one = recording(bandwidths=(1.5, 3, 6))
    found = sounds(page(one))
    expected = [one.reference.audio, *(result.audio for result in one.results)]
    assert len(found) == 4
    for audio, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(audio, wanted[0], atol=0.51 / 2**15)


@pytest.mark.slow
def test_pictures_of_each_version_and_of_each_difference(page: Page) -> None:
    parsed = page(recording(bandwidths=(1.5, 6)), recording(bandwidths=(1.5, 6)))
    images = parsed.all("img")
    assert len(images) == 2 * (3 + 2)
    for image in images:
        assert (image["src"] or "").startswith("data:image/webp;base64,")
        data = base64.b64decode((image["src"] or "").partition(",")[2])
        assert (data[:4], data[8:12]) == (b"RIFF", b"WEBP")
    assert {image["alt"] for image in images} == {
        "Spectrogram, original",
        "Spectrogram, 1.5 kb/s",
        "Spectrogram, 6 kb/s",
        "Difference to the original, 1.5 kb/s",
        "Difference to the original, 6 kb/s",
    }
    waves = [svg for svg in parsed.all("svg") if svg.get("class") == "wave"]
    assert len(waves) == 6


def test_tables_say_sizes_and_metrics(page: Page) -> None:
    text = page(recording(bandwidths=(6.0,))).source
    row = re.search(r'<tr><th scope="row">6 kb/s</th>(.*?)</tr>', text.split("<article")[1], re.S)
    assert row is not None
    cells = re.findall(r"<td>(.*?)</td>", row[1])
    assert cells == ["1,600", "6.40", "1/60", "3", "2.50", "18.0", "-0.17"]


@pytest.mark.slow
def test_means_over_recordings_by_kind_with_their_intervals(page: Page) -> None:
    talks = [recording(f"{i}.wav", kind="speech", seconds=1 + i) for i in range(5)]
    text = page(*talks, recording("song.wav", kind="music")).source
    overview = text.split("<article")[0]
    assert "speech, 5 recordings" in overview
    assert "music, 1 recording<" in overview
    assert "2.50 <small>±0.00</small>" in overview  # PESQ at 6 kb/s is the same in all
    assert "tiny24, speech" in overview


@pytest.mark.slow
def test_a_chart_for_each_metric_takes_the_colours_of_the_page(page: Page) -> None:
    one, two = page(recording()).source, page(recording(), recording()).source
    for text, curves in ((one, 1), (two, 3)):
        charts = re.findall(
            r'<figcaption>(.*?)<span>.*?</figcaption>\s*<div role="img"[^>]*>(<svg.*?</svg>)',
            text,
            re.S,
        )
        assert [name for name, _ in charts] == ["PESQ-WB", "SI-SDR", "level"]
        for _, svg in charts:
            assert (
                len(re.findall(r'<g id="line2d_\d+">\s*<path [^>]*stroke: var\(--c0\)', svg))
                == curves
            )
            assert "currentColor" in svg
            assert not re.search("#010[23]", svg)


@pytest.mark.slow
def test_kinds_and_codecs_have_colours_of_their_own(page: Page) -> None:
    codecs = [f"codec{i}" for i in range(8)]
    overview = page(*(recording(codec=codec) for codec in codecs)).source.split("<article")[0]
    keys = re.findall(r'<li><i style="background: (.*?)"></i>(.*?)</li>', overview)
    assert keys == [(f"var(--c{i % 6})", codec) for i, codec in enumerate(codecs)]
    assert {f"stroke: var(--c{i})" in overview for i in range(6)} == {True}


@pytest.mark.slow
def test_nothing_is_fetched_from_anywhere(page: Page) -> None:
    parsed = page(recording(), recording(EVIL))
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "xlink:href", "poster", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
    assert not parsed.all("link")
    addresses = set(re.findall(r"(?:https?:)?//[a-z][\w.]+\.[a-z]+", parsed.source))
    assert addresses <= {"http://www.w3.org"}  # names of SVG's namespaces
    assert not re.search(r"@import|url\((?!#)", asset("page.css"))


@pytest.mark.slow
def test_the_policy_allows_the_one_script_and_no_network(page: Page) -> None:
    parsed = page(recording(EVIL))
    policies = [m["content"] or "" for m in parsed.all("meta") if m.get("http-equiv")]
    assert len(policies) == 1
    digest = hashlib.sha256(parsed.texts["script"].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in policies[0]
    assert policies[0].startswith("default-src 'none'")
    assert len(parsed.all("script")) == 1


@pytest.mark.slow
def test_names_of_files_stay_text(page: Page) -> None:
    parsed = page(recording(EVIL, kind=EVIL, codec=EVIL), recording())
    assert not any("onerror" in a or a.get("src") == "x" for _, a in parsed.elements)
    shown = EVIL.replace("\n", "\\n").replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert shown in parsed.texts["h3"]
    assert "\x1b" not in parsed.source
    assert "\u202e" not in parsed.source
    assert parsed.texts["a"].startswith(shown)


@pytest.mark.parametrize(
    "name", mostly_slow(["${x}", "\udcff\ud800.wav", "$", "\0", "x" * 5000], 2)
)
def test_odd_names_do_not_break_the_page(page: Page, name: str) -> None:
    assert escaped(name) in page(recording(name)).source


@pytest.mark.slow
def test_controls_have_names_and_ids_are_unique(page: Page) -> None:
    parsed = page(recording(), recording("other.wav"))
    ids = [a["id"] for tag, a in parsed.elements if "id" in a and tag not in SVG_PARTS]
    assert len(ids) == len(set(ids))
    for label in parsed.all("label"):
        assert "for" not in label or label["for"] in ids
    for tag in ("audio", "nav", "dialog", "article"):
        for attributes in parsed.all(tag):
            assert "aria-label" in attributes or attributes.get("aria-labelledby") in ids
    for attributes in parsed.all("input"):
        named = "aria-label" in attributes or attributes["type"] in ("radio", "checkbox")
        assert named, attributes
    assert all(image.get("alt") for image in parsed.all("img"))
    for figure in parsed.all("figure"):
        assert "data-index" in figure or figure.get("aria-label")


SVG_PARTS = {"g", "path", "clippath", "defs", "use"}


@pytest.mark.slow
def test_keys_choose_the_first_nine(page: Page) -> None:
    bandwidths = tuple(range(1, 12))
    text = page(recording(bandwidths=bandwidths)).source
    choices = re.findall(r'<input type="radio" name="r1" [^>]*><span>(.*?) <span>', text)
    assert choices == [*(f"<kbd>{n}</kbd>" for n in range(1, 10)), "", "", ""]


@pytest.mark.slow
def test_the_same_recordings_give_the_same_bytes(page: Page) -> None:
    assert page(recording(), recording()).source == page(recording(), recording()).source


@pytest.mark.parametrize("seconds", mostly_slow([1 / RATE, 0.01, 100.0]))
def test_any_length(page: Page, seconds: float) -> None:
    audio = np.zeros((1, round(seconds * RATE)), np.float32)
    audio[0, -1] = 0.5
    parsed = page(silent(audio))
    assert [len(sound) for sound in sounds(parsed)] == [audio.shape[1]] * 2
    assert len(parsed.source) < 20_000_000


def test_silence_is_drawn_as_such(page: Page) -> None:
    """What a codec makes of it is far too quiet to hear, and must not look like noise."""
    one = silent(np.zeros((1, 5000), np.float32))
    hiss = 1e-4 * np.sin(np.arange(5000, dtype=np.float32))[None]
    row = dataclasses.replace(one.results[0].row, metrics={"mel": 0.7})
    parsed = page(dataclasses.replace(one, results=[Evaluated(row, hiss)]))
    assert len(sounds(parsed)) == 2
    assert "Against the original: mel distance 0.70" in parsed.source
    for path in re.findall(r' d="(M[^"]*Z)"', parsed.source):
        points = np.array([p.split() for p in path.strip("MZ").split("L")], int)
        assert np.abs(points[:, 1]).max() <= 1


def silent(audio: np.ndarray) -> Recording:
    one = recording(bandwidths=(6,))
    result = Evaluated(
        dataclasses.replace(one.results[0].row, seconds=audio.shape[1] / RATE), audio
    )
    return dataclasses.replace(
        one, reference=dataclasses.replace(one.reference, audio=audio), results=[result]
    )


def test_the_files_of_the_page_are_packaged() -> None:
    folder = Path(encodec_cli.report.__file__).parent / "assets"
    used: Sequence[str] = sorted(path.name for path in folder.iterdir())
    sources = "\n".join(p.read_text(encoding="utf-8") for p in folder.parent.glob("*.py"))
    assert used
    for name in used:
        assert f'"{name}"' in sources, f"nothing uses {name}"


def test_waveforms_are_outlines_between_the_extremes() -> None:
    audio = tone(1.0).T
    path = wave_path(audio, 0.3)
    points = np.array([p.split() for p in path.strip("MZ").split("L")], int)
    assert path.startswith("M0 ")
    assert len(points) == 2 * WAVE_COLUMNS
    top, bottom = points[:WAVE_COLUMNS], points[WAVE_COLUMNS:][::-1]
    np.testing.assert_array_equal(top[:, 0], bottom[:, 0])
    columns = audio[0].reshape(WAVE_COLUMNS, -1) if audio.shape[1] % WAVE_COLUMNS == 0 else None
    assert (top[:, 1] <= bottom[:, 1]).all()
    assert np.abs(points[:, 1]).max() <= 100
    if columns is not None:
        np.testing.assert_array_equal(
            top[:, 1], np.rint(-100 * columns.max(axis=1) / 0.3).clip(-100)
        )


def test_flac_is_lossless_and_clamps() -> None:
    audio = np.array([[0.0, 0.5, -0.25, 1.5, -2.0]], np.float32)
    data, rate = soundfile.read(io.BytesIO(flac_bytes(audio, 48_000)), dtype="int16")
    assert (data.tolist(), rate) == ([0, 16384, -8192, 32767, -32768], 48_000)


def test_stereo(model: CompressionModel, page: Page) -> None:
    one = recording(bandwidths=(6,))
    pair = tone(1.0, channels=2).T
    result = Evaluated(one.results[0].row, pair)
    both = dataclasses.replace(
        one, reference=dataclasses.replace(one.reference, audio=pair), results=[result]
    )
    parsed = page(both)
    assert all(sound.shape == (RATE, 2) for sound in sounds(parsed))
    assert "24 kHz, stereo" in parsed.source
