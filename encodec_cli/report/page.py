"""The page: recordings one after the other, with what they have in common above them."""

import shutil
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO, Self

from encodec_cli import __version__
from encodec_cli.evaluation.evaluate import Row
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.model.codec import Codec
from encodec_cli.report.overview import BEST, overview_html
from encodec_cli.report.recording import Recording, recording_html
from encodec_cli.report.template import asset, content_policy, escaped, filled

__all__ = ["Report"]

_SCRIPTS = ("deck.js", "transport.js", "card.js", "blind.js", "main.js")
_TERMS = {
    "Pictures": "Time runs to the right, pitch upwards on a mel scale. Differences are orange "
    "where a version is louder than the original, blue where it is quieter.",
    "kb/s": "Thousands of bits per second of sound, from the bytes of the file; "
    "of Ogg files only the audio packets count.",
    "of PCM": "Size against the same sound as plain 16-bit samples.",
    "clipped": "Decoded samples beyond full scale.",
}


class Report:
    """Collects recordings and writes the page; use as a context manager.

    Recordings wait on disk, not in memory.
    """

    def __init__(self, model: Codec) -> None:
        self._model = model
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._names: list[str] = []
        self._rows: list[Sequence[Row]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._spool.close()

    @property
    def recordings(self) -> int:
        """How many were added."""
        return len(self._names)

    def add(self, recording: Recording) -> int:
        """Append a recording; returns the bytes it takes on the page."""
        number = len(self._names) + 1
        text = recording_html(recording, number, self._model.config.name)
        self._names.append(recording.name)
        self._rows.append([result.row for result in recording.results])
        return self._spool.write(text.encode())

    def write(self, file: BinaryIO) -> None:
        """Write the page of everything that was added, at least one recording."""
        script = "\n" + "\n".join(["(() => {", '"use strict";', *map(asset, _SCRIPTS), "})();"])
        # What stands where the recordings go cannot be in any value: they are all escaped.
        before, after = filled(
            "page.html",
            policy=content_policy(script),
            title=escaped(f"Listening report: {self._model.config.name}"),
            style=asset("page.css"),
            about=self._about(),
            contents=self._contents(),
            overview=overview_html(self._rows, self._model.config.name),
            recordings="\0",
            terms="\n".join(self._terms()),
            play_icon=asset("play.svg").strip(),
            version=escaped(__version__),
            script=script,
        ).split("\0")
        file.write(before.encode())
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, file)
        file.write(after.encode())

    def _about(self) -> str:
        config, sha256 = self._model.config, self._model.sha256
        count = len(self._names)
        weights = f", weights {sha256[:12]}" if sha256 else ""
        return escaped(
            f"{'One recording' if count == 1 else f'{count} recordings'} through model "
            f"{config.name} ({config.sample_rate / 1000:g} kHz{weights}) and back, at several "
            "rates. The original is what the model was given: at its rate and with its channels. "
            "Nothing you hear was compressed again: the page holds FLAC."
        )

    def _contents(self) -> str:
        if len(self._names) == 1:
            return ""
        links = (
            f'<li><a href="#r{number}">{escaped(name)}</a></li>'
            for number, name in enumerate(self._names, 1)
        )
        return f'<nav aria-label="Recordings"><ol>{"".join(links)}</ol></nav>'

    def _terms(self) -> list[str]:
        present = {name for rows in self._rows for row in rows for name in row.metrics}
        terms = list(_TERMS.items())
        terms += [
            (metric.label, f"{metric.hint[0].upper()}{metric.hint[1:]}; {BEST[metric.best]}.")
            for name, metric in METRICS.items()
            if name in present
        ]
        return [f"    <dt>{escaped(t)}</dt><dd>{escaped(text)}</dd>" for t, text in terms]
