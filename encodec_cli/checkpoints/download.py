"""Downloading published weights into the user's cache: complete and checked, or not at all.

    https --pooch--> hidden folder beside the target --SHA-256, or loading--> rename

A download that breaks off, stalls or arrives damaged is started afresh a few times.
"""

import difflib
import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from encodec_cli.checkpoints.card import file_sha256
from encodec_cli.checkpoints.published import PUBLISHED, PublishedFile, PublishedModel, pulled_path
from encodec_cli.errors import CheckpointError, OutputError, UsageError, parameter
from encodec_cli.io.temporary import temporary_folder

__all__ = ["is_pulled", "published_model", "pull"]

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes received, and in all if known."""

_MOST_BYTES = 2 << 30
_CHUNK_BYTES = 1 << 16
_CONNECT_SECONDS = 10.0


def published_model(name: str) -> PublishedModel:
    """The published model of that name.

    Raises:
        UsageError: there is none; names the nearest.
    """
    if name in PUBLISHED:
        return PUBLISHED[name]
    near = difflib.get_close_matches(name, PUBLISHED, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PUBLISHED)}"
    raise UsageError(f"{name}: no published model of that name; {hint}")


def is_pulled(model: PublishedModel) -> bool:
    """Whether the cache holds `model`, intact as far as its hash is known."""
    target = pulled_path(model)
    if len(model.files) > 1:
        return all((target / file.name).is_file() for file in model.files)
    [file] = model.files
    return target.is_file() and file_sha256(target).startswith(file.sha256_start or "")


def pull(
    model: PublishedModel,
    *,
    mirror: str | None = None,
    offline: bool = False,
    progress: Progress | None = None,
    attempts: int = 3,
    stall_seconds: float = 30.0,
    pause_seconds: float = 1.0,
) -> Path:
    """Put `model` into the cache, unless it is there already; returns where it is.

    `mirror` is the address of a server that stands in for the publisher's. A server that sends
    nothing for `stall_seconds` counts as broken off; each of `attempts` starts afresh,
    `pause_seconds` longer after the last.

    Raises:
        CheckpointError: not found, unreachable, broken off, damaged, or not the published file.
        UsageError: `offline`, and the model is not there; a mirror that is no web address.
        OutputError: the cache cannot be written.
    """
    target = pulled_path(model)
    if is_pulled(model):
        return target
    root = _root(model, mirror)
    if offline:
        raise UsageError(
            f"{model.name}: is not in {target.parent} and this is offline; pull it without "
            f"{parameter('offline')} and ENCODEC_CLI_OFFLINE, or put {_names(model)} there"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(target.parent, model.name) as temporary:
            folder = temporary / model.name
            folder.mkdir()
            for file in model.files:
                place = folder / file.name
                for attempt in range(1, attempts + 1):
                    try:
                        _download(root, file, place, stall_seconds, progress)
                    except _BrokenOff as error:
                        if attempt == attempts:
                            raise CheckpointError(f"{error}; {attempts} attempts failed") from error
                        time.sleep(attempt * pause_seconds)
                    else:
                        break
            if len(model.files) == 1:
                (folder / model.files[0].name).replace(target)
            else:
                _check_by_loading(folder, root)
                _place_folder(folder, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot write there: {error.strerror or error}") from error
    return target


class _BrokenOff(Exception):
    """Another attempt may succeed."""


class _Receiver:
    """Takes what pooch downloads, counts and hashes it; it reports progress to this as well."""

    def __init__(self, file: IO[bytes], name: str, progress: Progress | None) -> None:
        self._file, self._name, self._progress = file, name, progress
        self.bytes = 0
        self.total = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.bytes += len(data)
        if self.bytes > _MOST_BYTES:
            raise CheckpointError(f"{self._name}: larger than {_MOST_BYTES} bytes; not a model")
        self.sha256.update(data)
        self._file.write(data)
        if self._progress is not None:
            self._progress(self._name, self.bytes, self.total or None)

    def flush(self) -> None:
        """Once at the end is enough."""

    def update(self, count: int) -> None:
        """`write` knows better: pooch counts whole blocks."""

    def reset(self) -> None:
        """Nothing to reset."""

    def close(self) -> None:
        """The file's opener closes it."""


def _download(
    root: str, file: PublishedFile, place: Path, stall_seconds: float, progress: Progress | None
) -> None:
    """Put `file` at `place`, complete and checked.

    Raises:
        _BrokenOff: another attempt may succeed.
        CheckpointError: none can.
    """
    import requests
    from pooch import HTTPDownloader

    url = root + file.path
    with place.open("wb") as output, closing(_Responses()) as responses:
        receiver = _Receiver(output, file.name, progress)
        download = HTTPDownloader(
            progressbar=receiver,
            chunk_size=_CHUNK_BYTES,
            timeout=(_CONNECT_SECONDS, stall_seconds),
            hooks={"response": responses},
        )
        try:
            download(url, receiver, None)
        except requests.HTTPError as error:
            status = 0 if error.response is None else error.response.status_code
            if status >= 500 or status == 429:
                raise _BrokenOff(f"{url}: the server answers {status}") from error
            raise CheckpointError(
                f"{url}: the server answers {status}; is the address ({parameter('mirror')}) right?"
            ) from error
        except (requests.Timeout, requests.ConnectionError) as error:
            slow = "timed out" in str(error).lower() or isinstance(error, requests.Timeout)
            what = f"nothing came for {stall_seconds:g} s" if slow else "cannot be reached"
            raise _BrokenOff(f"{url}: {what}") from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise _BrokenOff(f"{url}: broke off after {receiver.bytes} bytes") from error
        except (requests.RequestException, ValueError) as error:
            line = " ".join(str(error).split())[:120]
            raise CheckpointError(f"{url}: cannot be downloaded: {line}") from error
    digits = receiver.sha256.hexdigest()
    if file.sha256_start is not None and not digits.startswith(file.sha256_start):
        raise _BrokenOff(
            f"{url}: not the published file: its SHA-256 starts with {digits[:8]}, "
            f"not {file.sha256_start}"
        )


class _Responses:
    """Sees every response, redirects included; closes what pooch leaves open on an error."""

    def __init__(self) -> None:
        self._seen: list[Any] = []

    def __call__(self, response: Any, **_: Any) -> None:
        self._seen.append(response)
        location = response.headers.get("location", "")
        # Anybody on the way could change the file.
        if response.url.startswith("https:") and location.startswith("http:"):
            raise CheckpointError(f"{response.url}: redirects to an insecure address; not followed")

    def close(self) -> None:
        for response in self._seen:
            response.close()


def _root(model: PublishedModel, mirror: str | None) -> str:
    if not mirror:
        return model.root
    if not mirror.startswith(("https://", "http://")):
        raise UsageError(
            f"{parameter('mirror', mirror)}: give an address that starts with https://"
        )
    return mirror.rstrip("/") + "/"


def _check_by_loading(folder: Path, root: str) -> None:
    """Stands in for a hash: every tensor must be there, of its shape, and finite."""
    from encodec_cli.checkpoints.modules import load_model_file

    try:
        load_model_file(folder)
    except CheckpointError as error:
        line = str(error).replace(f"{folder}", root.rstrip("/"))
        raise CheckpointError(f"{line}; the download was dropped") from error


def _place_folder(folder: Path, target: Path) -> None:
    if not target.is_dir():
        folder.replace(target)
        return
    for file in folder.iterdir():  # one that lost a file
        file.replace(target / file.name)


def _names(model: PublishedModel) -> str:
    names = " and ".join(file.name for file in model.files)
    return names if len(model.files) == 1 else f"{names}, in a folder {model.name},"
