"""The node agent: what a kubelet is to a real node. Runs inside the node's network namespace.

    python3 -m tests.cluster.agent CONFIG.json

Runs the Pods bound to its node, renews the node's Lease, keeps the Node's status, serves container logs
on the kubelet's port, and runs the service proxy. It ends its containers when it ends; when it is killed,
they die with it. A unix socket in its directory tells the cluster which process is which container.
"""

import asyncio
import datetime
import json
import logging
import pathlib
import signal
import ssl
import sys
import time

import aiohttp
from aiohttp import web

from . import kube, podnet, proxy, volumes
from .container import timestamp
from .pod import Pod

LOG = logging.getLogger("agent")
LEASE_PERIOD_S = 1.0
LEASE_SECONDS = 4
NODE_STATUS_PERIOD_S = 10


class Agent:
    """config: see Node.agent_config() in node.py, which writes it."""

    def __init__(self, config):
        self.config = config
        self.node = config["node"]
        self.state = pathlib.Path(config["state"])
        self.client = None
        self.session = None
        self.network = podnet.PodNetwork(self.node["pod_cidr4"], self.node["pod_cidr6"])
        self.sources = None
        self.pods = {}
        self._informers = []
        self._renewed = time.monotonic()

    # What Pods ask of their agent.

    def image(self, reference):
        """The image's description: the last part of its name without tag or digest counts."""
        name = reference.split("@")[0].rsplit("/", 1)[-1].split(":")[0]
        if name not in self.config["images"]:
            raise LookupError(f'Failed to pull image "{reference}": it is not in the table of images')
        return self.config["images"][name]

    def service_environment(self):
        host, port = self.config["api_host"], str(self.config["api_port"])
        return {
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
            "KUBERNETES_SERVICE_PORT_HTTPS": port,
        }

    def forget(self, pod):
        if self.pods.get(pod.uid) is pod:
            del self.pods[pod.uid]

    # Pods.

    def _on_pod(self, event, obj):
        uid = obj["metadata"]["uid"]
        known = self.pods.get(uid)
        if event == "delete":
            if known:
                known.end(0)
        elif known:
            known.update(obj)
        elif obj["status"].get("phase") not in ("Succeeded", "Failed"):
            known = self.pods[uid] = Pod(self, obj)
            known.start()
            known.update(obj)

    def _on_content(self, kind):
        def changed(_event, obj):
            for pod in self.pods.values():
                if pod.pod["metadata"]["namespace"] == obj["metadata"].get("namespace"):
                    if pod.volumes.refers_to(kind, obj["metadata"]["name"]):
                        asyncio.create_task(pod.refresh_volumes())

        return changed

    async def _renew_tokens(self):
        while True:
            await asyncio.sleep(5)
            for pod in list(self.pods.values()):
                due = pod.volumes.token_due()
                if due is not None and time.monotonic() >= due:
                    await pod.refresh_volumes()

    # The Node and its Lease.

    def _node_object(self):
        name = self.node["name"]
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            **self.config["labels"],
        }
        cidrs = [self.node["pod_cidr4"], self.node["pod_cidr6"]]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
        }

    def _node_status(self):
        now = timestamp()
        healthy = {"DiskPressure": "False", "MemoryPressure": "False", "PIDPressure": "False", "Ready": "True"}
        capacity = {"cpu": "8", "memory": "16Gi", "pods": "250", "ephemeral-storage": "64Gi"}
        return {
            "addresses": [
                {"type": "InternalIP", "address": self.node["ip4"]},
                {"type": "InternalIP", "address": self.node["ip6"]},
                {"type": "Hostname", "address": self.node["name"]},
            ],
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": "NodeAgent",
                    "message": "the node agent says so",
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": now,
                }
                for kind, status in healthy.items()
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.config["kubelet_port"]}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": self.config["boot_id"],
                "kernelVersion": "linux",
                "osImage": "network namespace",
                "containerRuntimeVersion": "process://1",
                "kubeletVersion": self.config["version"],
                "kubeProxyVersion": self.config["version"],
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        }

    async def _register(self):
        while True:
            try:
                await self.client.request("POST", "/api/v1/nodes", self._node_object())
                return
            except kube.ApiError as error:
                if error.status == 409:
                    return
                LOG.warning("creating the Node: %s", error)
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                LOG.warning("creating the Node: %r", error)
            await asyncio.sleep(0.3)

    async def _push_node_status(self):
        path = f"/api/v1/nodes/{self.node['name']}"
        node = await self.client.get(path)
        ready = [c for c in (node.get("status") or {}).get("conditions") or [] if c["type"] == "Ready"]
        if not ready or ready[0]["status"] != "True":
            LOG.info("the Node becomes Ready")
        await self.client.merge(path + "/status", {"status": self._node_status()})

    def _lease(self):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        name = self.node["name"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
        }

    async def _renew_lease(self):
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        try:
            await self.client.merge(f"{path}/{self.node['name']}", {"spec": self._lease()["spec"]})
        except kube.ApiError as error:
            if error.status != 404:
                raise
            await self.client.request("POST", path, self._lease())

    async def _heartbeat(self):
        """Lease every second; Node status at times, at once when somebody says that it is not Ready."""
        pushed = 0
        while True:
            try:
                await asyncio.wait_for(self._renew_lease(), 2)
                if time.monotonic() - self._renewed > LEASE_SECONDS:
                    # The way to the API server was gone; watches may hang on it, and the Node is not Ready.
                    pushed = 0
                    self._start_informers()
                self._renewed = time.monotonic()
                if time.monotonic() - pushed > NODE_STATUS_PERIOD_S or self._marked_down():
                    await asyncio.wait_for(self._push_node_status(), 2)
                    pushed = time.monotonic()
            except (kube.ApiError, aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
                LOG.info("heartbeat: %r", error)
            await asyncio.sleep(LEASE_PERIOD_S)

    def _marked_down(self):
        node = self._own_node.objects.get(("", self.node["name"]))
        conditions = ((node or {}).get("status") or {}).get("conditions") or []
        return not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    # Logs and control.

    async def _serve_logs(self, request):
        """GET /containerLogs/NAMESPACE/POD/CONTAINER?follow&tailLines: kubectl logs, through the API server."""
        info = request.match_info
        path = self.state / "logs" / f"{info['namespace']}_{info['pod']}" / f"{info['container']}.log"
        if not path.exists():
            raise web.HTTPNotFound(text=f"no log of container {info['container']}")
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        with open(path, "rb") as file:
            data = file.read()
            if "tailLines" in request.query:
                lines = data.splitlines(keepends=True)
                data = b"".join(lines[max(0, len(lines) - int(request.query["tailLines"])) :])
            await answer.write(data)
            while request.query.get("follow") == "true":
                data = file.read(65536)
                await answer.write(data)
                if not data:
                    await asyncio.sleep(0.2)
        return answer

    async def _serve_containers(self, _request):
        """GET /containers: every container with its process id and log."""
        found = [
            {
                "namespace": pod.pod["metadata"]["namespace"],
                "pod": pod.pod["metadata"]["name"],
                "container": container.name,
                "pid": container.pid,
                "restarts": container.restarts,
                "log": str(container.log_path()),
                "netns": pod.netns_path(),
            }
            for pod in self.pods.values()
            for container in pod.containers
        ]
        return web.json_response(found)

    async def _start_servers(self):
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._serve_logs)
        app.router.add_get("/containers", self._serve_containers)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.config["kubelet_cert"], self.config["kubelet_key"])
        port = self.config["kubelet_port"]
        await web.TCPSite(runner, self.node["ip4"], port, ssl_context=context).start()
        await web.UnixSite(runner, self.config["socket"]).start()

    # Life.

    def _start_informers(self):
        for task in self._informers:
            task.cancel()
        self._informers = [asyncio.create_task(informer.run()) for informer in self._all_informers]

    def _make_informers(self):
        mine = {"fieldSelector": f"spec.nodeName={self.node['name']}"}
        secrets = kube.Informer(self.client, "/api/v1/secrets", self._on_content("Secret"))
        configmaps = kube.Informer(self.client, "/api/v1/configmaps", self._on_content("ConfigMap"))
        self.sources = volumes.Sources(self.client, secrets, configmaps)
        own_name = {"fieldSelector": f"metadata.name={self.node['name']}"}
        self._own_node = kube.Informer(self.client, "/api/v1/nodes", lambda *_: None, own_name)
        pods = kube.Informer(self.client, "/api/v1/pods", self._on_pod, mine)
        self._all_informers = [secrets, configmaps, self._own_node, pods]

    async def run(self):
        config = self.config
        connection = kube.Client(config["server"], config["ca"], config["cert"], config["key"])
        async with connection as self.client, aiohttp.ClientSession() as self.session:
            await self._register()
            self._make_informers()
            if config["proxy"]:
                service_proxy = proxy.ServiceProxy(self.client, self.node, config["nodes"])
                self._all_informers += await service_proxy.informers()
                asyncio.create_task(service_proxy.run())
            await self._start_servers()
            self._start_informers()
            asyncio.create_task(self._renew_tokens())
            heartbeat = asyncio.create_task(self._heartbeat())
            stopped = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
            await stopped.wait()
            heartbeat.cancel()
            for pod in list(self.pods.values()):
                for container in pod.containers + pod.init:
                    await container.stop(0)


def main():
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stdout)
    with open(sys.argv[1], encoding="utf-8") as file:
        config = json.load(file)
    asyncio.run(Agent(config).run())


if __name__ == "__main__":
    main()
