"""The speakers' gossip settings from the ConfigMap metallb-memberlist-config."""

import json

from tests.e2e.lab import SYSTEM, pod_ready

NAME = "metallb-memberlist-config"
SETTINGS = {
    "TCPTimeout": "10s",
    "IndirectChecks": 3,
    "RetransmitMult": 4,
    "SuspicionMult": 4,
    "SuspicionMaxTimeoutMult": 6,
    "PushPullInterval": "30s",
    "ProbeTimeout": "500ms",
    "ProbeInterval": "1s",
    "DisableTcpPings": False,
    "AwarenessMaxMultiplier": 8,
    "GossipNodes": 3,
    "GossipInterval": "100ms",
    "GossipToTheDeadTime": "30s",
    "GossipVerifyIncoming": True,
    "GossipVerifyOutgoing": True,
    "EnableCompression": True,
    "HandoffQueueDepth": 1024,
    "UDPBufferSize": 1400,
    "QueueCheckInterval": "30s",
}


def test_settings_are_taken_at_the_start(lab):
    def others():
        return [pod for pod in lab.cluster.pods(SYSTEM, component="speaker") if pod_ready(pod)]

    data = {"config.json": json.dumps(SETTINGS)}
    meta = {"name": NAME, "namespace": SYSTEM}
    lab.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    try:
        before = {pod["metadata"]["name"] for pod in others()}
        lab.api.delete("Pod", min(before), SYSTEM)
        (new,) = lab.wait(
            lambda: len(others()) == 3 and {pod["metadata"]["name"] for pod in others()} - before, 30, "a new speaker"
        )
        taken = [line for _, line in lab.log_lines(new) if isinstance(line, dict) and line["msg"] == "gossip: settings"]
        assert [line["file"] for line in taken] == ["/etc/metallb/memberlist/config.json"]
    finally:
        lab.api.delete("ConfigMap", NAME, SYSTEM)
