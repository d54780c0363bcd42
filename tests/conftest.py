"""Small data that several test files use."""

import os
import subprocess

# Threads that wait for another go to sleep: where more processes run than there are cores, those
# that wait busily take ten times as long. It must be said before torch is there.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

# The tests' graphs are tiny: threads would wait for each other more than they help.
torch.set_num_threads(1)

# For what hangs. It must not be met by what is slow, on a machine with ten times as much to do.
SECONDS_BEFORE_HUNG = 3_000


def run_alone(command, **environment):
    """What a Python process of one thread prints; it must end well."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        timeout=SECONDS_BEFORE_HUNG,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def digits():
    """A third of the real digits: classes 0 to 4 to learn from, 5 to 9 never seen."""
    X, y = (part[::3] for part in load_digits(return_X_y=True))
    seen = y < 5
    return X[seen], y[seen], X[~seen], y[~seen]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make_clusters(rng, n_clusters=6, size=12, n_features=16, spread=0.15):
    """Rows around random directions, and their clusters."""
    centers = rng.normal(size=(n_clusters, n_features))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    y = np.repeat(np.arange(n_clusters), size)
    return centers[y] + spread * rng.normal(size=(len(y), n_features)), y


@pytest.fixture
def clusters(rng):
    return make_clusters(rng)
