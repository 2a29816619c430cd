"""One Pod on a node: network, volumes, init containers, containers, status, end."""

import asyncio
import logging
import pathlib
import shutil

import aiohttp

from . import fields, volumes
from .container import Container, timestamp
from .kube import ApiError

LOG = logging.getLogger("pod")
# A kubelet leaves a container this long even if the Pod asks for less.
GRACE_MIN_S = 2
VOLUME_RETRY_S = 0.5


def subset(wanted, actual):
    """Whether `actual` says all that `wanted` says."""
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(subset(value, actual.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(actual, list) and len(wanted) == len(actual) and all(map(subset, wanted, actual))
    return wanted == actual


class Pod:
    """Lives from the Pod's binding to this node until its containers are gone and the object deleted."""

    def __init__(self, agent, pod):
        self.agent = agent
        self.pod = pod
        self.name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        self.uid = pod["metadata"]["uid"]
        self.directory = pathlib.Path(agent.state, "pods", self.uid)
        self.log_directory = pathlib.Path(agent.state, "logs", self.name.replace("/", "_"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_directory.mkdir(parents=True, exist_ok=True)
        self.volumes = volumes.Volumes(pod, self.directory / "volumes", agent.sources)
        self.init = [Container(self, spec, True) for spec in pod["spec"].get("initContainers") or []]
        self.containers = [Container(self, spec, False) for spec in pod["spec"]["containers"]]
        self._addresses = []
        self._ns = None
        self._number = None
        self._message = ""
        self._condition_times = {}
        self._dirty = asyncio.Event()
        self._started_at = timestamp()
        self._tasks = []
        self._ending = False

    # What containers ask of their Pod.

    def on_change(self):
        self._dirty.set()

    def hostname(self):
        return self.agent.node["name"] if self.host_network() else self.pod["metadata"]["name"]

    def host_network(self):
        return bool(self.pod["spec"].get("hostNetwork"))

    def netns_path(self):
        return self._ns.path if self._ns else ""

    def pod_ip(self):
        return self._addresses[0]

    def grace(self):
        return max(GRACE_MIN_S, self.pod["spec"].get("terminationGracePeriodSeconds", 30))

    def root_directory(self):
        root = self.directory / "root"
        root.mkdir(exist_ok=True)
        return root

    def environment(self, base):
        base = {**base, **self.agent.service_environment()}
        return fields.Environment(self.pod, self._addresses_status(), self.agent.sources, base)

    # Life.

    def start(self):
        self._tasks = [asyncio.create_task(self._write_status()), asyncio.create_task(self._run())]
        for task in self._tasks:
            task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task):
        if not task.cancelled() and task.exception():
            LOG.error("%s: %r", self.name, task.exception(), exc_info=task.exception())

    async def _run(self):
        await self._attach()
        self.on_change()
        await self._prepare_volumes()
        for container in self.init:
            container.start()
            await container.wait()
            if container.exit_code != 0:
                return
        for container in self.containers:
            container.start()

    async def _attach(self):
        if self.host_network():
            self._addresses = [self.agent.node["ip4"], self.agent.node["ip6"]]
            return
        attached = await asyncio.to_thread(self.agent.network.attach, self.name)
        self._ns, self._number, self._addresses = attached

    async def _prepare_volumes(self):
        while True:
            try:
                await self.volumes.update()
                self._message = ""
                return
            except (volumes.VolumeError, ApiError, aiohttp.ClientError, asyncio.TimeoutError) as error:
                self._message = str(error)
                self.on_change()
                await asyncio.sleep(VOLUME_RETRY_S)

    async def refresh_volumes(self):
        """After a Secret or ConfigMap changed, or a token is due."""
        try:
            await self.volumes.update()
        except (volumes.VolumeError, ApiError, aiohttp.ClientError, asyncio.TimeoutError) as error:
            LOG.warning("%s: volumes stay as they were: %s", self.name, error)

    def update(self, pod):
        """The object has changed at the server; spec changes of a running Pod do not matter here."""
        self.pod = self.volumes.pod = pod
        self._dirty.set()
        if pod["metadata"].get("deletionTimestamp"):
            self.end(pod["metadata"].get("deletionGracePeriodSeconds"))

    def end(self, grace):
        if not self._ending:
            self._ending = True
            asyncio.create_task(self._end(grace))

    async def _end(self, grace):
        grace = self.grace() if grace is None else max(GRACE_MIN_S, grace)
        self._tasks[1].cancel()
        await asyncio.gather(*(container.stop(grace) for container in self.init + self.containers))
        await self._delete_object()
        self._tasks[0].cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._ns:
            await asyncio.to_thread(self.agent.network.detach, self._ns, self._number)
        await asyncio.to_thread(shutil.rmtree, self.directory, True)
        self.agent.forget(self)

    async def _delete_object(self):
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        while True:
            try:
                await self._push_status()
                await self.agent.client.request("DELETE", self._path(), options)
                return
            except ApiError as error:
                if error.status in (404, 409):
                    return
                LOG.info("%s: deleting it: %s", self.name, error)
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                LOG.info("%s: deleting it: %r", self.name, error)
            await asyncio.sleep(0.5)

    # Status.

    def _path(self):
        meta = self.pod["metadata"]
        return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"

    async def _write_status(self):
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._push_status()
            except ApiError as error:
                if error.status != 404:
                    LOG.info("%s: status: %s", self.name, error)
                    await asyncio.sleep(0.3)
                    self._dirty.set()
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                LOG.info("%s: status: %r", self.name, error)
                await asyncio.sleep(0.3)
                self._dirty.set()

    async def _push_status(self):
        status = self.status()
        if not subset(status, self.pod.get("status") or {}):
            body = {"metadata": {"uid": self.uid}, "status": status}
            self.pod = await self.agent.client.merge(self._path() + "/status", body)

    def _addresses_status(self):
        if not self._addresses:
            return {"hostIP": self.agent.node["ip4"]}
        return {
            "hostIP": self.agent.node["ip4"],
            "podIP": self._addresses[0],
            "podIPs": [{"ip": address} for address in self._addresses],
        }

    def _phase(self):
        codes = [container.exit_code for container in self.containers]
        if any(container.exit_code for container in self.init) and self.pod["spec"].get("restartPolicy") == "Never":
            return "Failed"
        if all(code is not None for code in codes) and self._settled():
            return "Failed" if any(codes) else "Succeeded"
        started = any("waiting" not in container.state or container.restarts for container in self.containers)
        return "Running" if started else "Pending"

    def _settled(self):
        """Whether no container will be started again."""
        policy = self.pod["spec"].get("restartPolicy", "Always")
        if self._ending:
            return True
        failed = any(container.exit_code for container in self.containers)
        return policy == "Never" or (policy == "OnFailure" and not failed)

    def status(self):
        initialized = all(container.exit_code == 0 for container in self.init)
        ready = initialized and all(container.ready for container in self.containers)
        status = {
            "phase": self._phase(),
            "startTime": self._started_at,
            "message": self._message or None,
            "conditions": self._conditions(initialized, ready),
            "containerStatuses": [container.status() for container in self.containers],
            **self._addresses_status(),
        }
        if self.init:
            status["initContainerStatuses"] = [container.status() for container in self.init]
        return status

    def _conditions(self, initialized, ready):
        """Ours, and after them those that others have set, such as PodScheduled."""
        ours = {"Initialized": initialized, "Ready": ready, "ContainersReady": ready}
        conditions = []
        for kind, value in ours.items():
            value = str(value)
            before, since = self._condition_times.get(kind, (None, None))
            if before != value:
                since = timestamp()
                self._condition_times[kind] = (value, since)
            condition = {"type": kind, "status": value, "lastTransitionTime": since}
            if value == "False" and kind != "Initialized":
                condition["reason"] = "ContainersNotReady"
            conditions.append(condition)
        theirs = (self.pod.get("status") or {}).get("conditions") or []
        return conditions + [condition for condition in theirs if condition["type"] not in ours]
