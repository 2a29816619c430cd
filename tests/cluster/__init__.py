"""A whole Kubernetes cluster on one machine, for tests, benchmarks and the demo.

    from tests.cluster import Cluster

    with Cluster(nodes=3) as cluster:
        cluster.kubectl("apply", "-k", "config/default")
        cluster.wait_for(lambda: cluster.get("Service", "web", "default")["status"].get("loadBalancer"), 10,
                         "an address")
        print(cluster.client().curl(address))

Needs root (or a user namespace with network and mount namespaces of its own) and leaves nothing behind.

Cluster(kind, nodes, images, faults, proxy, node_labels, service_conditions)
  kind         "real": etcd, kube-apiserver, kube-controller-manager, kube-scheduler of $KUBEBUILDER_ASSETS;
               "builtin": the imitation in tests/cluster/apiserver. Default: $CLUSTER, or real when
               $KUBEBUILDER_ASSETS is set. The running one: cluster.kind, cluster.control_plane.version.
  images       image name -> files (images.py); default: metallb-c from $METALLB_BUILD or build/*,
               backend (an HTTP server), machine (this machine's /usr; the Pod names the command)
  faults       Pods reach the API server through the fault proxy: cluster.faults (faults.py)
  proxy        each node runs the service proxy (proxy.py)
  service_conditions  False: the imitation drops conditions of Services, as servers before 1.20 do

Methods: kubectl apply get wait_for · api (api.py: request get list create patch delete) · node client ·
  pods containers signal_container log save_logs · restart_api · faults.set/clear/cut/state
Addresses: cluster.plan.pool4(first, count) and pool6 give ranges of the LAN for Services (plan.py).
Nodes (node.py): kill start partition heal freeze thaw containers mac ns; ns.run(argv) runs in its namespace.
Clients (client.py): run curl arping ndisc neighbour forget_neighbours; make as many as wanted by name.
Traffic (traffic.py): Load (HTTP requests at a rate), ArpProbe and NdpProbe (who answers, every 10 ms), Sniffer (frames).
"""

from .cluster import Cluster, chosen_control_plane
from .procs import wait_until

__all__ = ["Cluster", "chosen_control_plane", "wait_until"]
