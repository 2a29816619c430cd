"""The cluster without the product: what its own tests run on."""

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
        yield made
