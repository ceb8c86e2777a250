"""`models pull` against a server on this machine that behaves in every way servers do."""

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cli_samples import (
    make_model,
    mono_config,
    process,
    run,
    write_audio,
    write_model,
)

from encodec_cli.checkpoints.card import find_model
from encodec_cli.checkpoints.download import is_pulled, pull
from encodec_cli.checkpoints.modules import export_checkpoint
from encodec_cli.checkpoints.published import (
    PUBLISHED,
    PublishedFile,
    PublishedModel,
    models_folder,
    pulled_path,
)
from encodec_cli.errors import CheckpointError, OutputError, UsageError


@dataclass
class Site:
    """What the server has, how it behaves, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    manners: list[str] = field(default_factory=list)
    """One per request, the last for all that follow; "" is good manners."""
    asked: list[str] = field(default_factory=list)
    address: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def behave(self, *manners: str) -> None:
        self.manners = list(manners)


class Handler(http.server.BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        site.asked.append(self.path)
        manner = site.manners.pop(0) if len(site.manners) > 1 else site.manners[0]
        if manner == "redirect" and not self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", f"/moved{self.path}")
            self.end_headers()
            return
        data = site.files.get(self.path.removeprefix("/moved"))
        if manner.isdigit() or data is None:
            self.send_error(int(manner) if manner.isdigit() else 404)
            return
        if manner == "lie":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if manner == "html":
            data = b"<!DOCTYPE html><html>Please log in</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        half = len(data) // 2
        if manner == "truncate":
            self.wfile.write(data[:half])
        elif manner == "stall":
            self.wfile.write(data[:half])
            self.wfile.flush()
            site.released.wait(20)
        else:
            self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on 127.0.0.1."""
    site = Site(manners=[""])
    handler = type("SiteHandler", (Handler,), {"site": site})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    yield site
    site.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no switches left from the user's shell."""
    for name in ("ENCODEC_CLI_MIRROR", "ENCODEC_CLI_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENCODEC_CLI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(
        tmp_path_factory.mktemp("weights") / "tiny24.safetensors", make_model(mono_config())
    )


def published_file(site: Site, weights: Path) -> PublishedModel:
    """A model of one file whose name ends with the start of its hash, as Meta's do."""
    data = weights.read_bytes()
    digits = hashlib.sha256(data).hexdigest()[:8]
    file = PublishedFile(f"tiny-{digits}.safetensors", digits)
    site.files[f"/v0/{file.path}"] = data
    return PublishedModel("encodec_tiny", f"{site.address}/v0/", (file,), "MIT", "encodec_24khz")


@pytest.fixture
def model(site: Site, weights: Path, monkeypatch: pytest.MonkeyPatch) -> PublishedModel:
    """`published_file`, known to the program by name."""
    model = published_file(site, weights)
    known = {model.name: model, **PUBLISHED}
    for module in ("published", "download", "card"):
        monkeypatch.setattr(f"encodec_cli.checkpoints.{module}.PUBLISHED", known)
    return model


@pytest.fixture
def hub_model(site: Site, tmp_path: Path) -> PublishedModel:
    """A folder of two files without a known hash, as on Hugging Face."""
    config = mono_config()
    config = replace(
        config,
        seanet=replace(config.seanet, lstm=1),
        decoder=replace(config.decoder, lstm=1),
    )
    source = write_model(tmp_path / "hub.safetensors", make_model(config))
    export_checkpoint(source, tmp_path / "hub", to="hf")
    names = ("config.json", "model.safetensors")
    for name in names:
        site.files[f"/org/tiny/resolve/main/{name}"] = (tmp_path / "hub" / name).read_bytes()
    files = tuple(PublishedFile(f"org/tiny/resolve/main/{name}", None) for name in names)
    return PublishedModel("hub_tiny", f"{site.address}/", files, "CC-BY-NC 4.0", None)


def quick(model: PublishedModel, **options: object) -> Path:
    return pull(model, **({"pause_seconds": 0.0, "stall_seconds": 0.3} | options))  # type: ignore[arg-type]


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


# What goes well


def test_a_pulled_model_is_complete_and_found_by_name(
    model: PublishedModel, site: Site, cache: Path, weights: Path
) -> None:
    seen: list[tuple[str, int, int | None]] = []
    assert not is_pulled(model)
    path = quick(model, progress=lambda *report: seen.append(report))
    assert path == pulled_path(model) == cache / model.files[0].name
    assert path.read_bytes() == weights.read_bytes()
    assert left(cache) == [path.name]
    size = weights.stat().st_size
    assert seen[-1] == (path.name, size, size)
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    assert is_pulled(model)
    assert find_model(model.name) == path
    assert quick(model) == path
    assert len(site.asked) == 1


def test_redirects_are_followed(model: PublishedModel, site: Site, weights: Path) -> None:
    site.behave("redirect")
    assert quick(model).read_bytes() == weights.read_bytes()
    assert [path.startswith("/moved") for path in site.asked] == [False, True]


def test_a_mirror_stands_for_the_root(model: PublishedModel, site: Site, weights: Path) -> None:
    site.files = {f"/my/mirror/{model.files[0].path}": weights.read_bytes()}
    for address in (f"{site.address}/my/mirror", f"{site.address}/my/mirror/"):
        quick(model, mirror=address).unlink()
    with pytest.raises(UsageError, match="give an address that starts with https://"):
        quick(model, mirror="ftp://127.0.0.1/")


def test_a_folder_of_files_is_checked_by_loading(
    hub_model: PublishedModel, site: Site, cache: Path
) -> None:
    path = quick(hub_model)
    assert path == cache / "hub_tiny"
    assert left(cache) == ["hub_tiny"]
    assert left(path) == ["config.json", "model.safetensors"]
    (path / "config.json").unlink()
    assert not is_pulled(hub_model)
    assert quick(hub_model) == path
    assert left(path) == ["config.json", "model.safetensors"]
    assert len(site.asked) == 4


def test_an_interrupted_or_damaged_file_is_replaced(
    model: PublishedModel, cache: Path, weights: Path
) -> None:
    cache.mkdir(parents=True)
    pulled_path(model).write_bytes(b"half")
    assert not is_pulled(model)
    assert quick(model).read_bytes() == weights.read_bytes()


# What goes wrong


@pytest.mark.parametrize("manner", ["truncate", "stall", "lie", "503", "429", "html"])
def test_one_failure_is_tried_again_afresh(
    manner: str, model: PublishedModel, site: Site, weights: Path
) -> None:
    site.behave(manner, "")
    assert quick(model).read_bytes() == weights.read_bytes()
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    ("manner", "words", "requests"),
    [
        ("truncate", r"broke off after \d+ bytes; 2 attempts failed", 2),
        ("stall", r"nothing came for 0\.3 s; 2 attempts failed", 2),
        ("lie", r"not the published file: its SHA-256 starts with [0-9a-f]{8}, not", 2),
        ("html", "not the published file", 2),
        ("500", "the server answers 500; 2 attempts failed", 2),
        ("404", r"the server answers 404; is the address \(mirror\) right\?", 1),
        ("403", "the server answers 403", 1),
    ],
)
def test_failures_are_named_and_leave_nothing(
    manner: str, words: str, requests: int, model: PublishedModel, site: Site, cache: Path
) -> None:
    site.behave(manner)
    with pytest.raises(CheckpointError, match=words) as raised:
        quick(model, attempts=2)
    assert str(raised.value).startswith(f"{site.address}/v0/tiny-")
    assert "\n" not in str(raised.value)
    assert left(cache) == []
    assert len(site.asked) == requests


@pytest.mark.slow
def test_what_a_killed_pull_left_is_removed(model: PublishedModel, site: Site, cache: Path) -> None:
    published = PUBLISHED["encodec_24khz"]
    site.files[f"/v0/{published.files[0].path}"] = bytes(1000)
    site.behave("stall", "")
    with process("models", "pull", published.name, "--mirror", f"{site.address}/v0") as child:
        end = time.monotonic() + 60
        while not list(cache.glob(".*/*/*")) and time.monotonic() < end:
            time.sleep(0.01)
        child.kill()
        child.wait()
    assert len(left(cache)) == 1
    path = quick(model)
    assert left(cache) == [path.name]


def test_a_server_that_is_not_there(model: PublishedModel, site: Site, cache: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be reached; 2 attempts failed"):
        quick(model, mirror="http://127.0.0.1:9/", attempts=2)
    assert left(cache) == []


@pytest.mark.parametrize("damage", ["html", "config", "weights"])
def test_a_folder_that_does_not_load_is_dropped(
    damage: str, hub_model: PublishedModel, site: Site, cache: Path
) -> None:
    config, tensors = site.files
    if damage == "html":
        site.behave("html")
    elif damage == "config":
        site.files[config] = b"{}"
    else:
        site.files[tensors] = site.files[tensors][:-4]
    with pytest.raises(CheckpointError, match="the download was dropped") as raised:
        quick(hub_model)
    assert site.address in str(raised.value)
    assert str(cache) not in str(raised.value)
    assert left(cache) == []


def test_endless_data_is_cut_off(
    model: PublishedModel, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encodec_cli.checkpoints.download._MOST_BYTES", 1000)
    with pytest.raises(CheckpointError, match="larger than 1000 bytes; not a model"):
        quick(model)
    assert left(cache) == []


def test_a_redirect_to_http_is_not_followed() -> None:
    from encodec_cli.checkpoints.download import _Responses

    class Response:
        url = "https://127.0.0.1/a"
        headers = {"location": "http://127.0.0.1/a"}  # noqa: RUF012 - a stand-in

    with pytest.raises(CheckpointError, match="insecure address; not followed"):
        _Responses()(Response())


def test_a_cache_that_cannot_be_written(
    model: PublishedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ENCODEC_CLI_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot write there: Not a directory"):
        quick(model)


# The command


def test_pull_and_encode_by_name(
    model: PublishedModel, site: Site, tmp_path: Path, cache: Path
) -> None:
    source = write_audio(tmp_path / "a.wav", 3000)
    result = run("encode", source, "-m", model.name)
    result.refused(1, f"run: encodec-cli models pull {model.name}")
    result = run("models", "pull", model.name).ok()
    assert result.stdout == b""
    assert result.stderr.splitlines() == [
        "encodec_tiny: licence of the weights: MIT",
        f"encodec_tiny: {pulled_path(model)}",
    ]
    run("encode", source, "-m", model.name).ok()
    again = run("models", "pull", model.name, "--offline").ok()
    assert again.stderr == f"encodec_tiny: is there already: {pulled_path(model)}\n"
    assert len(site.asked) == 1


def test_switches_come_from_the_environment(model: PublishedModel, site: Site) -> None:
    name = model.name
    for offline in ({"ENCODEC_CLI_OFFLINE": "1"}, {}):
        options = () if offline else ("--offline",)
        result = run("models", "pull", name, *options, environment=offline)
        result.refused(2, "this is offline", model.files[0].name)
    assert site.asked == []
    mirror = {"ENCODEC_CLI_MIRROR": f"{site.address}/elsewhere/"}
    run("models", "pull", name, environment=mirror).refused(1, "/elsewhere/", "404")
    run("models", "pull", name, "-q", environment={"ENCODEC_CLI_OFFLINE": "0"}).ok()


def test_a_terminal_sees_progress_and_a_pipe_does_not(model: PublishedModel, site: Site) -> None:
    result = run("models", "pull", model.name, terminal=("stderr",)).ok()
    assert model.files[0].name[:10] in result.stderr
    pulled_path(model).unlink()
    assert "\x1b" not in run("models", "pull", model.name).ok().stderr


def test_unknown_names_suggest_the_nearest() -> None:
    run("models", "pull", "encodec_24kHz").refused(2, "did you mean encodec_24khz?")
    run("models", "pull", "zzz").refused(2, "there are encodec_24khz, ")
    run("models", "show", "encodec24khz").refused(1, "did you mean encodec_24khz?")


def test_models_list_says_what_is_pulled(model: PublishedModel) -> None:
    before = run("models", "list").ok().text
    quick(model)
    after = run("models", "list").ok().text
    line = next(line for line in before.splitlines() if "encodec_tiny" in line)
    assert "to pull" in line
    line = next(line for line in after.splitlines() if "encodec_tiny" in line)
    assert "pulled" in line.split()
    assert "24000 Hz" in line
    assert "CC-BY-NC 4.0" in next(x for x in after.splitlines() if "encodec_32khz" in x)


def test_the_licences_and_addresses_of_what_is_published() -> None:
    """As the publishers state them: file names with their hashes, licences."""
    files = {m.root + f.path: f.sha256_start for m in PUBLISHED.values() for f in m.files}
    meta = "https://dl.fbaipublicfiles.com/encodec/v0/"
    hub = "https://huggingface.co/facebook/encodec_32khz/resolve/main/"
    assert files == {
        f"{meta}encodec_24khz-d7cc33bc.th": "d7cc33bc",
        f"{meta}encodec_48khz-7e698e3e.th": "7e698e3e",
        f"{meta}encodec_lm_24khz-1608e3c0.th": "1608e3c0",
        f"{meta}encodec_lm_48khz-7add9fc3.th": "7add9fc3",
        f"{hub}config.json": None,
        f"{hub}model.safetensors": None,
    }
    assert "CC-BY-NC 4.0" in PUBLISHED["encodec_32khz"].licence
    assert all("MIT" in model.licence for model in PUBLISHED.values())


def test_the_cache_is_the_users_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ENCODEC_CLI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert models_folder().name == "models"
    assert models_folder().parent.name == "encodec-cli"
    assert not models_folder().exists()
