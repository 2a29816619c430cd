"""The cluster without the product: what its own tests run on."""

import os

import pytest

from tests.cluster import Cluster, chosen_control_plane, markers
from tests.cluster.images import helper_images


def pytest_configure(config):
    markers.register(config)


def pytest_collection_modifyitems(config, items):
    markers.deselect(config, items, chosen_control_plane())


@pytest.fixture(scope="session")
def cluster():
    with Cluster(nodes=3, images=helper_images()) as made:
        try:
            yield made
        finally:
            if os.environ.get("METALLB_CLUSTER_LOGS"):
                made.save_logs(os.environ["METALLB_CLUSTER_LOGS"])
