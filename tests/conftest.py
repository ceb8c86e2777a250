"""One thread, the same random numbers in every test, and two small models as files."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

# As the command line does it: with more threads BLAS rounds otherwise.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from cli_samples import make_model, mono_config, stereo_config, write_model

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_random_numbers() -> Iterator[None]:
    """Seed every generator for the test; give each back as it was."""
    torch.set_num_threads(1)  # commands that ran in this process have set their own
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(1)
    np.random.seed(1)
    # torch.manual_seed would keep a traceback, for GPUs that may come.
    torch.default_generator.manual_seed(1)
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


@pytest.fixture(scope="session")
def mono(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of an untrained model of `mono_config`; for reading only."""
    path = tmp_path_factory.mktemp("mono") / "mono.safetensors"
    return write_model(path, make_model(mono_config()))


@pytest.fixture(scope="session")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of an untrained model of `stereo_config`; for reading only."""
    path = tmp_path_factory.mktemp("stereo") / "stereo.safetensors"
    return write_model(path, make_model(stereo_config()))
