"""What befalls nodes and the API server is seen by the cluster as it would be by a real one."""

import time

from tests.cluster import workloads


def wait_state(cluster, node, is_ready, timeout=15):
    cluster.wait_for(lambda: cluster.node_ready(node) is is_ready, timeout, f"{node.name} Ready={is_ready}")


def settle(cluster, name, node):
    """Deploys three backends of which at least one runs on `node`; returns how many do."""
    cluster.apply(workloads.deployment(name))
    pods = workloads.wait_ready(cluster, name, 3)
    on_node = sum(pod["spec"]["nodeName"] == node.name for pod in pods)
    assert on_node > 0
    return on_node


def outage(cluster, name, node, down, up):
    """After down() the node and its Pods are not Ready in about 4 s; after up() they are again, quickly."""
    on_node = settle(cluster, name, node)
    began = time.monotonic()
    down()
    wait_state(cluster, node, False)
    assert 2 < time.monotonic() - began < 9
    workloads.wait_ready(cluster, name, 3 - on_node)
    began = time.monotonic()
    up()
    wait_state(cluster, node, True)
    workloads.wait_ready(cluster, name, 3)
    assert time.monotonic() - began < 10
    workloads.remove(cluster, name)


def test_killed_node(cluster):
    node = cluster.node(2)
    outage(cluster, "killed", node, node.kill, node.start)


def test_partitioned_node(cluster):
    node = cluster.node(3)
    outage(cluster, "cut", node, node.partition, node.heal)


def test_frozen_node(cluster):
    node = cluster.node(1)
    outage(cluster, "frozen", node, node.freeze, node.thaw)


def test_api_server_restart_keeps_everything(cluster):
    cluster.apply(workloads.deployment("kept"))
    before = {pod["metadata"]["uid"] for pod in workloads.wait_ready(cluster, "kept", 3)}
    cluster.restart_api(down_s=1)
    cluster.wait_for(lambda: all(map(cluster.node_ready, cluster.nodes)), 20, "all nodes Ready")
    after = {pod["metadata"]["uid"] for pod in workloads.wait_ready(cluster, "kept", 3)}
    assert before == after
    cluster.kubectl("scale", "deployment", "kept", "--replicas=1")
    workloads.wait_ready(cluster, "kept", 1, timeout=40)
    workloads.remove(cluster, "kept")
