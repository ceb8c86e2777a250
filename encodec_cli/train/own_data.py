"""A run on a folder of one's own recordings, without a recipe: it is written into the run.

RUN/recipe.yaml       what was chosen, to read and to change
RUN/recordings.csv    nine tenths of the recordings
RUN/validation.csv    the others, at most ten
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from encodec_cli.audio import open_audio
from encodec_cli.errors import AudioError, ConfigError, UsageError, parameter
from encodec_cli.io.files import atomic_output, make_folder
from encodec_cli.train.starter import DEFAULT_STEPS, starter_recipe

__all__ = ["prepare_run"]

_MOST_VALIDATION = 10
_UNKNOWN = "unknown"
"""Kind of recordings whose folders do not say it; they are judged as speech is, too."""
_Row = tuple[str, str, int]


def prepare_run(
    recordings: Mapping[Path, str | None],
    run: Path,
    steps: int | None,
    warn: Callable[[str], None] = lambda line: None,
) -> Path:
    """The recipe of `run`, written for these `recordings` and their kinds unless it is there.

    Recordings that cannot be read are left out, and said to `warn`.

    Raises:
        ConfigError: none can be read.
        UsageError: `steps` for a run that has its recipe.
        OutputError: the run's folder cannot be written.
    """
    recipe = run / "recipe.yaml"
    if recipe.exists():
        if steps is not None:
            raise UsageError(f"{parameter('steps', steps)}: {recipe} is there; change it there")
        warn(f"{run}: goes on with its recipe.yaml and the recordings listed there")
        return recipe
    rows = _readable(recordings, warn)
    if not rows:
        raise ConfigError(f"{run}: none of {len(recordings)} recordings can be read")
    held = rows[:: max(10, -(-len(rows) // _MOST_VALIDATION))]
    learnt = [row for row in rows if row not in held] or held
    if learnt is held:
        warn("one recording alone: the run is judged by what it learns from")
    make_folder(run)
    lists = {"recordings": learnt, "validation": held}
    for name, some in lists.items():
        with atomic_output(run / f"{name}.csv", force=True) as file:
            file.write(_as_csv(some))
    paths = (str(run), str(run / "recordings.csv"), str(run / "validation.csv"))
    text = starter_recipe(*paths, steps=steps or DEFAULT_STEPS)
    with atomic_output(recipe) as file:
        file.write(text.encode())
    return recipe


def _readable(recordings: Mapping[Path, str | None], warn: Callable[[str], None]) -> Sequence[_Row]:
    rows = []
    for path, kind in recordings.items():
        try:
            with open_audio(path) as audio:
                rows.append((str(path.resolve()), kind or _UNKNOWN, audio.sample_rate))
        except AudioError as error:
            warn(f"{error}; left out")
    return rows


def _as_csv(rows: Sequence[_Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("file", "kind", "source_rate"))
    writer.writerows(rows)
    return text.getvalue().encode()
