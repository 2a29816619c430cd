"""The controllers that run beside the API server. Owns: their start."""
import asyncio

from .daemonset import DaemonSets
from .deployment import Deployments
from .endpoints import Endpoints
from .garbage import Garbage
from .namespaces import Namespaces
from .nodes import Nodes
from .replicaset import ReplicaSets
from .scheduler import Scheduler


def start(parts, args):
    """-> the running tasks, to be cancelled at the end."""
    all_ = [
        Namespaces(parts),
        Garbage(parts),
        Scheduler(parts),
        ReplicaSets(parts),
        Deployments(parts),
        DaemonSets(parts),
        Endpoints(parts),
        Nodes(parts, args.node_monitor_grace_period),
    ]
    return [asyncio.get_running_loop().create_task(c.run()) for c in all_]
