#!/usr/bin/env python3
"""Take a folder of recordings through `tokens`: each form of corpus, each format, each way to run.

    python scripts/try_corpus.py FOLDER [--files N] [--seconds S] [--product] [--tiny]

Makes a corpus of every form from the recordings of FOLDER (N of them, spread over all), and runs
the command line on it: every form to WebDataset, and the folder to every format; with `--product`
every form to every format. Then the folder once more to WebDataset in other ways: as three parts of
which one is killed and started again, by a process for each of two devices, and on Ray with two
workers of which one is killed. Every output is read by the library that it is for. Prints a row for
each run: items that are missing, that are there twice, or whose codes or text differ from those of
the first run; of the other ways also whether a shard differs in a byte. Exit code 1 if any does.

`--tiny` codes with a small untrained model, so that most of the time is reading. With `--seconds`
each recording is its first packets, between half of S and S in all, which takes less time.
"""

import argparse
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from corpus_inputs import INPUTS, TEXTLESS, Recording, recordings_in, text_of
from corpus_outputs import OUTPUTS, read_output

OURS = [sys.executable, "-m", "encodec_cli", "tokens"]
PARTS = 3
LOOK_SECONDS = 0.02
FIRST_FORM, FIRST_FORMAT = "folder", "webdataset"


@dataclass(frozen=True)
class Trial:
    """Where it takes place, and what all runs of `tokens` are told."""

    work: Path
    items: Sequence[Recording]
    options: Sequence[str]
    shards: Sequence[str]

    def line(self, arguments: Sequence[str], to: str, place: Path) -> list[str]:
        """The command of a run."""
        own = self.shards if to not in ("npz", "safetensors") else ()
        return [*OURS, *arguments, "--to", to, "-o", str(place), *self.options, *own]


def main() -> int:
    """Run; the exit code."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="try-corpus-") as name:
        work = (options.work or Path(name)).resolve()
        (work / "in").mkdir(parents=True, exist_ok=True)
        items = spread(recordings_in(options.folder.resolve()), options.files)
        if options.seconds:
            items = cut(items, work / "audio", options.seconds)
        model = ["-m", str(tiny_model(work / "tiny.safetensors"))] if options.tiny else []
        shards = ["--shard-size", str(options.shard_size)]
        trial = Trial(work, items, [*model, "--quiet", "--n-q", options.n_q], shards)
        hours = sum(item.seconds for item in items) / 3600
        print(f"{len(items)} recordings, {hours:.2f} h", flush=True)
        return 1 if try_all(trial, options.product, options.ways) else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, help="how many, spread over all; all unless given")
    parser.add_argument("--seconds", type=float, help="of each recording, at most")
    parser.add_argument("--product", action="store_true", help="every form to every format")
    parser.add_argument("--tiny", action="store_true", help="a small untrained model")
    parser.add_argument("--n-q", default="2", help="codebooks")
    parser.add_argument("--shard-size", type=float, default=0.4, help="MB")
    parser.add_argument("--ways", nargs="*", choices=[*WAYS], default=[*WAYS])
    parser.add_argument("--work", type=Path, help="an empty folder to keep all that is made")
    return parser.parse_args()


def spread(items: list[Recording], count: int | None) -> list[Recording]:
    """So many of `items`, at equal distances."""
    return items[:: max(1, len(items) // count)][:count] if count else items


def cut(items: Sequence[Recording], place: Path, seconds: float) -> list[Recording]:
    """The first packets of each recording as a file, of many lengths."""
    for number, item in enumerate(items):
        path = place / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        end = seconds * (0.5 + 0.5 * (number * 0.618 % 1))
        with av.open(str(item.path)) as source, av.open(str(path), "w") as target:
            own = target.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(audio=0):
                if packet.pts is None or packet.pts * packet.time_base > end:
                    break
                packet.stream = own
                target.mux(packet)
    return recordings_in(place)


def tiny_model(path: Path) -> Path:
    """An untrained codec of 24 kHz with few channels, as a checkpoint."""
    import torch

    from encodec_cli.checkpoints.modules import save_model
    from encodec_cli.config.codec import CodecConfig
    from encodec_cli.model.module import CompressionModel
    from encodec_cli.train.init import initialize

    torch.manual_seed(0)
    seanet = {"dimension": 8, "n_filters": 4, "n_residual_layers": 1, "ratios": [8, 5, 4, 2]}
    config = CodecConfig.from_dict(
        {
            "name": "tiny24",
            "sample_rate": 24_000,
            "channels": 1,
            "target_bandwidths": [1.5],
            "seanet": seanet | {"causal": True, "lstm": 0},
            "quantizer": {"n_q": 2, "bins": 1024, "kmeans_init": False},
        }
    )
    model = CompressionModel(config)
    initialize(model, [torch.randn(1, 1, 24_000) * 0.1])
    with torch.no_grad():
        for book in model.quantizer.codebooks:
            book.embed.normal_(std=0.5)
    save_model(model.eval(), path, licence="MIT", training_data="none", half=False)
    return path


def try_all(trial: Trial, product: bool, ways: Sequence[str]) -> int:
    """Print the table; how many runs differ from the first."""
    print(f"{'form':11} {'format':12} {'way':8} items lost twice differ  files   cpu s  wall s")
    forms, bad = {}, 0
    expected: dict[str, bytes] = {}
    for form in sorted(INPUTS, key=lambda each: each != FIRST_FORM):
        (trial.work / "in" / form).mkdir()
        forms[form] = INPUTS[form](trial.items, trial.work / "in" / form)
        for to in OUTPUTS if product or form == FIRST_FORM else [FIRST_FORMAT]:
            place = trial.work / "out" / f"{form}-{to}"
            took = timed(lambda: here(trial, forms[form], to, place))  # noqa: B023
            expected = expected or {each.key: digest(each.codes) for each in read_output(to, place)}
            bad += tell((form, to, "here"), trial, place, expected, took)
    first = trial.work / "out" / f"{FIRST_FORM}-{FIRST_FORMAT}"
    for way in ways:
        place = trial.work / "out" / way
        took = timed(lambda: WAYS[way](trial, forms[FIRST_FORM], FIRST_FORMAT, place))  # noqa: B023
        label = (FIRST_FORM, FIRST_FORMAT, way)
        bad += tell(label, trial, place, expected, took, same_as=first)
    print("all the same" if not bad else f"{bad} runs differ")
    return bad


def digest(codes: object) -> bytes:
    """Of codes and their shape."""
    return hashlib.sha256(repr(codes.shape).encode() + codes.tobytes()).digest()  # type: ignore[attr-defined]


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """CPU seconds of the processes that `work` starts, and seconds by the clock."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - started


def tell(
    label: tuple[str, str, str],
    trial: Trial,
    place: Path,
    expected: dict[str, bytes],
    took: tuple[float, float],
    same_as: Path | None = None,
) -> bool:
    """Print a row; whether anything is wrong."""
    form, to, _ = label
    found = read_output(to, place)
    counts = Counter(each.key for each in found)
    lost = sum(item.key not in counts for item in trial.items)
    twice = len(found) - len(counts)
    differ = sum(
        expected.get(each.key) != digest(each.codes)
        or each.text != (None if form in TEXTLESS else text_of(each.key))
        for each in found
    )
    files = shards_of(place)
    if same_as is not None:
        differ += files != shards_of(same_as)
    numbers = f"{len(found):5} {lost:4} {twice:5} {differ:6} {len(files):6}"
    print(f"{form:11} {to:12} {label[2]:8} {numbers} {took[0]:7.1f} {took[1]:7.1f}", flush=True)
    return bool(lost or twice or differ)


def shards_of(place: Path) -> dict[str, bytes]:
    """Names of files with codes, and digests of their bytes."""
    rest = {"README.md", "failures.jsonl"}
    paths = (path for path in sorted(place.rglob("*")) if path.is_file())
    kept = [path for path in paths if ".done" not in path.parts and path.name not in rest]
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).digest() for path in kept
    }


# Ways to run


def here(trial: Trial, arguments: Sequence[str], to: str, place: Path) -> None:
    """One process, one thread."""
    subprocess.run([*trial.line(arguments, to, place), "--threads", "1"], check=True)


def parts(trial: Trial, arguments: Sequence[str], to: str, place: Path) -> None:
    """Three processes; the second is killed when it has made a shard, and started again."""
    line = [*trial.line(arguments, to, place), "--threads", "1", "--skip-existing"]
    lines = [[*line, "--part", f"{number}/{PARTS}"] for number in range(1, PARTS + 1)]
    with running(lines) as children:
        wait_for(lambda: (place / "tokens-00001.tar").exists(), children[1])
        children[1].kill()
        children[1].wait()
        subprocess.run(lines[1], check=True)
        for child in (children[0], children[2]):
            if child.wait() != 0:
                raise SystemExit(f"a part has failed: exit code {child.returncode}")


def devices(trial: Trial, arguments: Sequence[str], to: str, place: Path) -> None:
    """A process for each of two devices, one of which is killed; it is replaced."""
    with running([[*trial.line(arguments, to, place), "--device", "cpu,cpu"]]) as [child]:
        wait_for(lambda: any(place.glob("tokens-*")), child)
        kill_one(child.pid, lambda title: b"multiprocessing.spawn" in title)
        if child.wait() != 0:
            raise SystemExit(f"--device cpu,cpu has failed: exit code {child.returncode}")


def on_ray(trial: Trial, arguments: Sequence[str], to: str, place: Path) -> None:
    """Two workers of Ray on this machine, one of which is killed."""
    line = [*trial.line(arguments, to, place), "--ray", "--ray-workers", "2", "--threads", "1"]
    with running([line]) as [child]:
        wait_for(lambda: any(place.glob("tokens-*")), child)
        kill_one(child.pid, lambda title: title.startswith(b"ray::") and b"_Worker" in title)
        if child.wait() != 0:
            raise SystemExit(f"--ray has failed: exit code {child.returncode}")


WAYS = {"parts": parts, "devices": devices, "ray": on_ray}


@contextmanager
def running(lines: Sequence[Sequence[str]]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """A process for each line; those that are still there at the end are killed."""
    children = [subprocess.Popen(line) for line in lines]
    try:
        yield children
    finally:
        for child in children:
            child.kill()
            child.wait()


def wait_for(there: Callable[[], bool], child: "subprocess.Popen[bytes]") -> None:
    """Wait while `child` runs."""
    while not there():
        if child.poll() is not None:
            raise SystemExit(f"ended too soon: exit code {child.returncode}")
        time.sleep(LOOK_SECONDS)


def kill_one(above: int, is_it: Callable[[bytes], bool]) -> None:
    """Kill -9 the first process below `above` whose command line `is_it`."""
    for place in sorted(Path("/proc").glob("[0-9]*"), key=lambda each: int(each.name)):
        try:
            title = (place / "cmdline").read_bytes()
            if is_it(title) and above in ancestors(int(place.name)):
                os.kill(int(place.name), signal.SIGKILL)
                return
        except OSError:  # gone meanwhile
            continue
    raise SystemExit("there is no process to kill")


def ancestors(pid: int) -> Iterator[int]:
    """Of a process, from its parent up."""
    while pid > 1:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        pid = int(stat.rpartition(")")[2].split()[1])
        yield pid


if __name__ == "__main__":
    sys.exit(main())
