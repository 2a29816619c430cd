"""Objects that the cluster's own tests make, and short ways to wait for them."""


def ready(pod):
    conditions = pod.get("status", {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def deployment(name, replicas=3, **container):
    container = {
        "name": name,
        "image": "backend",
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
        **container,
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def service(name, **spec):
    wanted = {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {**wanted, **spec}}


def pod(name, script, node=None, **spec):
    """A Pod that runs a shell script on this machine's programs."""
    container = {"name": "main", "image": "machine", "command": ["/bin/sh", "-c", script]}
    container.update(spec.pop("container", {}))
    wanted = {"containers": [container], "terminationGracePeriodSeconds": 1, "restartPolicy": "Never", **spec}
    if node:
        wanted["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": wanted,
    }


def wait_ready(cluster, name, count, timeout=20):
    """The Pods with label app=name, once exactly `count` of them are Ready."""

    def found():
        pods = [item for item in cluster.pods("default", app=name) if ready(item)]
        return pods if len(pods) == count else None

    return cluster.wait_for(found, timeout, f"{count} Pods of {name} Ready")


def wait_phase(cluster, name, phase, timeout=20):
    def found():
        obj = cluster.get("Pod", name, "default")
        return obj if obj and obj["status"].get("phase") == phase else None

    return cluster.wait_for(found, timeout, f"Pod {name} {phase}")


def run_script(cluster, name, script, **spec):
    """Runs a script in a Pod to its end; returns what it printed."""
    cluster.api.create(pod(name, script, **spec))
    try:
        node = wait_phase(cluster, name, "Succeeded")["spec"]["nodeName"]
        # Another node may still have the log of an earlier Pod of this name.
        return next(text for key, text in cluster.log("default", name).items() if key.startswith(f"{node}/"))
    finally:
        cluster.api.delete("Pod", name, "default")


def publish(cluster, name, addresses, node):
    """Does the product's work by hand: status, and the client's neighbour table."""
    ingress = [{"ip": address} for address in addresses]
    cluster.api.patch("Service", name, {"status": {"loadBalancer": {"ingress": ingress}}}, "default", "status")
    point(cluster, addresses, node)


def point(cluster, addresses, node):
    """The client sends what is for the addresses to this node."""
    mac = node.mac
    prefix = {address: "-6 " if ":" in address else "" for address in addresses}
    cluster.client().ns.ip(*(f"{six}neigh replace {a} lladdr {mac} dev eth0" for a, six in prefix.items()))


def remove(cluster, *names):
    for name in names:
        cluster.api.delete("Service", name, "default")
        cluster.api.delete("Deployment", name, "default")
        cluster.api.delete("Pod", name, "default")
    cluster.wait_for(
        lambda: not any(cluster.pods("default", app=name) for name in names), 30, f"Pods of {names} gone"
    )
