"""One cluster for the whole session, a fresh namespace and no leftovers for each test.

KUBEBUILDER_ASSETS chooses the control plane (tests/cluster); METALLB_BUILD the programs, by default
those that were built last (hack/test takes build/release). METALLB_E2E_LOGS names a directory for the
logs of everything, else only failures show them.
--part takes only the tests that need that cluster, or only those that make their own wires (engines with
routers and other members of a gossip), so that the two can run side by side.
"""

import os
import signal
import sys

import pytest

from tests.cluster import Cluster, chosen_control_plane, markers
from tests.cluster.images import helper_images, other_images, product_image
from tests.e2e.lab import Lab, install, tidy

LEFT_OUT = pytest.StashKey()
NEXT_VERSION = "9.9.9"  # of the image metallb-c-next


def pytest_configure(config):
    markers.register(config)
    # So that an end by SIGTERM takes the cluster down as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def pytest_addoption(parser):
    parser.addoption("--part", choices=("cluster", "wires"), help="only tests that need the cluster, or only the others")


def pytest_collection_modifyitems(config, items):
    if part := config.getoption("--part"):
        gone = [item for item in items if ("cluster" in item.fixturenames) != (part == "cluster")]
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]
    config.stash[LEFT_OUT] = markers.deselect(config, items, chosen_control_plane())


def pytest_terminal_summary(terminalreporter, config):
    for reason, count in sorted(config.stash.get(LEFT_OUT, {}).items()):
        terminalreporter.write_line(f"not for this control plane: {count} test(s): {reason}")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Three nodes with the product installed from config/default, all its Pods Ready."""
    images = {"metallb-c": product_image(), **helper_images()}
    images.update(other_images(tmp_path_factory.mktemp("images"), NEXT_VERSION))
    with Cluster(nodes=3, images=images) as made:
        try:
            install(made)
            yield made
        finally:
            if os.environ.get("METALLB_E2E_LOGS"):
                made.save_logs(os.environ["METALLB_E2E_LOGS"])


@pytest.fixture
def lab(cluster):
    """The test's own corner: a namespace, and ways to make pools, Services and backends."""
    made = Lab(cluster)
    try:
        yield made
    finally:
        tidy(cluster, made)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    cluster = item.funcargs.get("cluster") or item.funcargs.get("bare") or getattr(item.funcargs.get("lab"), "cluster", None)
    if report.failed and cluster is not None and cluster.state is not None:
        for title, text in _evidence(cluster):
            report.sections.append((title, text))


def _evidence(cluster):
    """What one wants to see after a failure: objects, events, the ends of our programs' logs."""
    yield "cluster", cluster.kubectl("get", "all,events", "-A", "-o", "wide", check=False)
    yield "configuration", cluster.kubectl("get", "ipaddresspools,l2advertisements", "-A", "-o", "yaml", check=False)
    for name, text in cluster.log("metallb-system", "").items():
        yield f"log of {name}", "\n".join(text.splitlines()[-60:])
    for made in cluster.nodes:
        yield f"agent of {made.name}", made.agent.tail(20)
