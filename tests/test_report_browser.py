"""The page in a real browser: it plays, switches in place, obeys keys, counts blind answers."""

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_samples import make_model, mono_config
from report_samples import EVIL, recording
from webdriver import Browser, missing_browser, open_browser

from encodec_cli.report import Report

pytest.importorskip("matplotlib")
pytestmark = [
    pytest.mark.slow,  # a browser takes seconds to start
    pytest.mark.skipif(missing_browser() is not None, reason=missing_browser() or ""),
]

SPACE, ESCAPE, LEFT, TAB = " ", "\ue00c", "\ue012", "\ue004"

# The script of the page keeps to itself; what reaches the loudspeakers is seen from outside.
LISTEN = """
window.voices = [];
const make = AudioContext.prototype.createGain;
AudioContext.prototype.createGain = function () {
  const gain = make.call(this);
  const probe = this.createAnalyser();
  gain.connect(probe);
  window.voices.push({gain, probe});
  return gain;
};
"""
STATE = """
const card = document.querySelector(".card.active");
if (!card) return null;
const versions = card.querySelectorAll(".version").length;
const power = ({probe}) => {
  const samples = new Float32Array(probe.fftSize);
  probe.getFloatTimeDomainData(samples);
  return samples.reduce((sum, x) => sum + x * x, 0);
};
const voices = window.voices.slice(-versions);
return {
  name: card.querySelector("h3").textContent,
  at: Number(card.querySelector(".seek").value) / 1000,
  button: card.querySelector(".play").getAttribute("aria-label"),
  chosen: [...card.querySelectorAll(".choices input")].findIndex((radio) => radio.checked),
  gains: voices.map(({gain}) => Math.round(gain.gain.value * 100) / 100),
  heard: voices.map((voice) => power(voice) > 1e-3),
};
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    with Report(make_model(mono_config())) as report, path.open("wb") as file:
        report.add(recording("first.wav", seconds=20, bandwidths=(1.5, 6)))
        report.add(recording(EVIL, seconds=1, bandwidths=(6,)))
        report.write(file)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def loaded(browser: Browser, page: Path) -> Iterator[None]:
    browser.open(page)
    browser.run(LISTEN)
    yield
    assert browser.complaints() == []


def state(browser: Browser) -> Any:
    return browser.run(STATE)


def wait_for(browser: Browser, **wanted: Any) -> Any:
    """Wait for the active recording to be as `wanted`."""

    def fits() -> bool:
        found = state(browser)
        return found is not None and all(found[name] == value for name, value in wanted.items())

    browser.until(fits)
    return state(browser)


def play(browser: Browser) -> None:
    browser.click("#r1 .play")
    wait_for(browser, button="Pause", heard=[True, False, False])


def test_players_play_what_was_chosen(browser: Browser) -> None:
    play(browser)
    before = state(browser)
    assert (before["name"], before["chosen"]) == ("first.wav", 0)
    browser.until(lambda: state(browser)["at"] > before["at"])


def test_switching_keeps_the_position(browser: Browser) -> None:
    play(browser)
    browser.until(lambda: state(browser)["at"] > 0.02)
    for key, chosen in (("3", 2), ("2", 1), ("1", 0)):
        before = state(browser)
        browser.press(key)
        after = wait_for(browser, chosen=chosen, gains=[int(i == chosen) for i in range(3)])
        assert after["button"] == "Pause"
        assert before["at"] <= after["at"] < before["at"] + 0.5  # of 20 s, on a busy machine
    browser.click("#r1 .choices label:nth-of-type(2)")
    wait_for(browser, chosen=1, gains=[0, 1, 0])
    assert browser.run("return window.voices.length") == 3  # nothing was started anew
    browser.press("9")  # there is none
    wait_for(browser, chosen=1)


def test_space_pauses_and_goes_on_from_there(browser: Browser) -> None:
    play(browser)
    browser.until(lambda: state(browser)["at"] > 0.02)
    browser.run("document.activeElement.blur()")
    browser.press(SPACE)
    paused = wait_for(browser, button="Play")
    browser.press("2")
    assert wait_for(browser, chosen=1)["at"] == paused["at"]
    browser.press(SPACE)
    resumed = wait_for(browser, button="Pause", heard=[False, True, False])
    assert resumed["at"] >= paused["at"] - 0.001


def test_arrows_and_pictures_move(browser: Browser) -> None:
    browser.click('#r1 figure.difference[data-index="2"] img')
    wait_for(browser, chosen=2)
    browser.until(lambda: abs(state(browser)["at"] - 0.5) < 0.01)
    browser.press(LEFT)
    browser.until(lambda: abs(state(browser)["at"] - 0.4) < 0.01)


def test_another_recording_stops_the_first_and_ends_by_itself(browser: Browser) -> None:
    play(browser)
    browser.click("#r2 .play")
    wait_for(browser, name=browser.run("return document.querySelector('#r2 h3').textContent"))
    assert "playing" not in browser.run("return document.querySelector('#r1').className")
    browser.until(lambda: state(browser)["button"] == "Pause")
    ended = wait_for(browser, button="Play")
    assert ended["at"] == 0


def test_names_of_files_stay_text(browser: Browser) -> None:
    assert "<script>alert(1)</script>" in browser.run(
        "return document.querySelector('#r2 h3').textContent"
    )
    assert browser.run("return document.scripts.length") == 1


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([1] * 8, "right in 8 of 8 trials. Guessing does that or better in 0.4 % of tests"),
        ([0] * 2 + [1] * 6, "right in 6 of 8 trials. Guessing does that or better in 14.5 %"),
    ],
)
def test_blind_test_counts(browser: Browser, answers: list[int], verdict: str) -> None:
    browser.run("crypto.getRandomValues = (bytes) => bytes.fill(1)")  # X is always B
    browser.click("#r1 .blind-open")
    browser.run("document.querySelector('#blind [name=trials]').value = '8'")
    browser.click("#blind [value=start]")
    browser.until(lambda: trial(browser) == "Trial 1 of 8")
    browser.press("3")
    browser.click("#blind .play")
    browser.until(lambda: browser.run("return window.voices.length") == 3)
    browser.until(lambda: gains(browser) == [0, 0, 1])
    for number, answer in enumerate(answers, start=1):
        assert trial(browser) == f"Trial {number} of 8"
        browser.click(f'#blind [data-answer="{answer}"]')
    said = browser.run("return document.querySelector('#blind .verdict').textContent")
    assert verdict in said
    assert ("very likely" in said) == (sum(answers) == 8)
    browser.press(ESCAPE)
    row = browser.run("return document.querySelector('#blind-results tbody').innerText")
    assert row.split("\t")[:4] == ["first.wav", "original", "1.5 kb/s", f"{sum(answers)} of 8"]


def test_where_sounds_cannot_be_decoded_plain_players_take_over(browser: Browser) -> None:
    browser.run("AudioContext.prototype.decodeAudioData = () => Promise.reject(Error('no FLAC'))")
    shown = "return getComputedStyle(document.querySelector('#r1 audio')).display !== 'none'"
    assert not browser.run(shown)
    browser.click("#r1 .play")
    browser.until(lambda: bool(browser.run(shown)))
    notice = browser.run("return document.querySelector('#r1 .failure').innerText")
    assert "no FLAC" in notice
    assert browser.run("return document.querySelector('#r1 .play').ariaBusy") is None


def test_plain_players_have_the_same_sounds(browser: Browser) -> None:
    browser.run("document.querySelector('#r1 audio').preload = 'auto'")
    length = "return document.querySelector('#r1 audio').duration"
    browser.until(lambda: browser.run(length) is not None)
    assert browser.run(length) == pytest.approx(20, abs=0.01)


def trial(browser: Browser) -> str:
    return str(browser.run("return document.querySelector('#blind .trial').textContent"))


def gains(browser: Browser) -> list[float]:
    found: list[float] = browser.run("return window.voices.slice(-3).map((v) => v.gain.gain.value)")
    return found


def test_everything_can_be_reached_by_keyboard_and_focus_shows(browser: Browser) -> None:
    browser.press(TAB)
    reached = set()
    for _ in range(40):
        reached.add(
            browser.run(
                "const e = document.activeElement;"
                "return [e.closest('article')?.id, e.className || e.type || e.tagName].join(' ')"
            )
        )
        browser.press(TAB)
    assert {"r1 play", "r1 loop", "r1 blind-open", "r1 radio", "r1 seek", "r2 play"} <= reached
    browser.run("document.querySelector('#r1 .play').focus()")
    outline = "return getComputedStyle(document.querySelector('#r1 .play')).outlineStyle"
    assert browser.run(outline) == "solid"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, which npm fetches."""
    folder = tmp_path_factory.mktemp("axe")
    try:
        subprocess.run(
            ["npm", "pack", "axe-core@4", "--silent"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        pytest.skip("axe-core cannot be had from npm here")
    [archive] = folder.glob("*.tgz")
    with tarfile.open(archive) as files:
        file = files.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


RUN_AXE = """
window.found = null;
axe.run(document).then(({violations}) => {
  window.found = violations
    .map(({id, impact, nodes}) => [impact, id, nodes.map((node) => node.html.slice(0, 120))]);
});
"""


@pytest.mark.parametrize("width", [360, 1200])
def test_axe_finds_nothing(browser: Browser, axe: str, width: int) -> None:
    browser.resize(width, 800)
    try:
        browser.run(f"{axe}\n{RUN_AXE}")
        browser.until(lambda: browser.run("return window.found !== null"))
        assert browser.run("return window.found") == []
    finally:
        browser.resize(1200, 800)
