"""The manifests that the documentation points at, on a real API."""

import pathlib

import pytest

from tests.cluster.images import PROJECT

SAMPLES = sorted(pathlib.Path(PROJECT, "config", "samples").glob("*.yaml"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_sample_applies(cluster, path):
    cluster.kubectl("apply", "--dry-run=server", "-f", path)
