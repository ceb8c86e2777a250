"""torchaudio imports beside any torch, its maths is right, and other failures are not hidden.

Each case runs in a fresh interpreter with warnings as errors. The extension, which cannot be made
to load and to fail at will, is replaced by a module that does what the case is about.
"""

import subprocess
import sys

import pytest

PRELUDE = """
import importlib.abc, importlib.util, math, sys
from encodec_cli.errors import EncodecCliError
from encodec_cli.dsp.torchaudio_import import import_torchaudio

class Extension(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    '''Runs `body` where torchaudio would load its extension.'''
    def __init__(self, name, body): self.name, self.body = name, body
    def find_spec(self, name, path, target=None):
        if name == self.name:
            return importlib.util.spec_from_loader(name, self, is_package=True)
    def exec_module(self, module): exec(self.body, module.__dict__)

def replace(name, body): sys.meta_path.insert(0, Extension(name, body))
"""

CHECK_MATHS = """
torchaudio = import_torchaudio()
assert import_torchaudio() is torchaudio
import torch
seconds = torch.arange(48_000) / 48_000
sine = torch.sin(2 * math.pi * 1_000 * seconds)[None]
half = torchaudio.functional.resample(sine, 48_000, 24_000)
expected = torch.sin(2 * math.pi * 1_000 * torch.arange(24_000) / 24_000)[None]
assert half.shape == expected.shape
assert (half - expected)[:, 100:-100].abs().max() < 2e-3
assert half.abs()[0, 100:-100].max() > 0.99

# Filters peak where the mel scale puts them: 2595 * log10(1 + f / 700), evenly spaced.
banks = torchaudio.functional.melscale_fbanks(1_025, 0.0, 12_000.0, 40, 24_000)
assert banks.shape == (1_025, 40)
top = 2595 * math.log10(1 + 12_000 / 700)
centre = 700 * (10 ** (top * 21 / 41 / 2595) - 1)
assert abs(banks[:, 20].argmax().item() * 12_000 / 1_024 - centre) < 12_000 / 1_024

mel = torchaudio.transforms.MelSpectrogram(sample_rate=24_000, n_fft=1_024, n_mels=64)(half)
assert mel.shape[:2] == (1, 64) and torch.isfinite(mel).all()
print("right", sys.modules["torchaudio._extension"].__doc__)
"""


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        check=False,
    )


def expect_success(program: str) -> str:
    result = run(program)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.mark.slow
def test_the_installed_torchaudio_imports_and_computes() -> None:
    assert expect_success(CHECK_MATHS).startswith("right")


@pytest.mark.slow
def test_an_extension_that_loads_is_left_in_place() -> None:
    working = (
        "'the real one'\n_IS_TORCHAUDIO_EXT_AVAILABLE = False\n_IS_ALIGN_AVAILABLE = False\n"
        "_load_lib = lambda name: False\nfail_if_no_align = lambda function: function\n"
    )
    program = f"replace('torchaudio._extension', {working!r})\n" + CHECK_MATHS
    assert expect_success(program) == "right the real one\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "failure",
    [
        "raise OSError('libc10_cuda.so: cannot open shared object file')",
        "raise RuntimeError('PyTorch and TorchAudio were compiled with different CUDA versions')",
    ],
    ids=["OSError", "RuntimeError"],
)
def test_an_extension_that_fails_gets_a_stand_in(failure: str) -> None:
    program = f"replace('torchaudio._extension', {failure!r})\n" + CHECK_MATHS
    assert expect_success(program).startswith("right Stand-in made by encodec-cli")


@pytest.mark.slow
def test_what_needs_the_extension_says_so() -> None:
    expect_success(
        "replace('torchaudio._extension', 'raise OSError()')\n"
        "torchaudio = import_torchaudio()\n"
        "import torch\n"
        "try: torchaudio.functional.forced_align(torch.zeros(1, 4, 3), torch.ones(1, 2).long())\n"
        "except RuntimeError as error: assert 'needs torchaudio' in str(error)\n"
        "else: raise AssertionError('aligned without an extension')\n"
    )


def test_a_missing_torchaudio_is_our_own_error() -> None:
    output = expect_success(
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'torchaudio': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "try: import_torchaudio()\n"
        "except EncodecCliError as error: print(error)\n"
    )
    assert output.startswith("torchaudio is not installed")
    assert output.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "failure", "kind"),
    [
        ("torchaudio._extension", "raise ValueError('odd')", "ValueError"),
        ("torchaudio.functional", "raise OSError('disk')", "OSError"),
        ("torchaudio.functional", "raise RuntimeError('elsewhere')", "RuntimeError"),
        ("torchaudio._extension", "import no_such_module", "ModuleNotFoundError"),
    ],
)
def test_other_failures_are_raised_as_they_are(module: str, failure: str, kind: str) -> None:
    program = (
        f"replace({module!r}, {failure!r})\n"
        "if 'extension' not in " + repr(module) + ":\n"
        "    replace('torchaudio._extension', '_IS_TORCHAUDIO_EXT_AVAILABLE = False')\n"
        "try: import_torchaudio()\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    assert expect_success(program) == f"{kind}\n"
