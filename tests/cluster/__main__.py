"""python3 -m tests.cluster [--nodes N]: a cluster to play with until Ctrl-C."""

import argparse
import signal
import sys
import time

from . import Cluster


def main():
    parser = argparse.ArgumentParser(prog="tests.cluster", description="raises a cluster until Ctrl-C")
    parser.add_argument("--nodes", type=int, default=3)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    began = time.monotonic()
    with Cluster(nodes=arguments.nodes) as cluster:
        print(f"{cluster.kind} control plane, {arguments.nodes} nodes, {time.monotonic() - began:.1f} s")
        print(f"export KUBECONFIG={cluster.kubeconfig}")
        print(f"client: {' '.join(cluster.client().prefix)} COMMAND")
        print(f"addresses for Services: {cluster.plan.pool4()} {cluster.plan.pool6()}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("taking it down")


if __name__ == "__main__":
    main()
