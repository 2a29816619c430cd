"""One container of a Pod: its process, its restarts, its probes, its part of the Pod's status."""

import asyncio
import datetime
import json
import logging
import os
import pathlib
import signal
import sys
import time

from . import fields, probes

LOG = logging.getLogger("container")
LAUNCHER = pathlib.Path(__file__).with_name("launch.py")
# What container runtimes leave a root user by default.
DEFAULT_CAPABILITIES = (
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT "
    "MKNOD AUDIT_WRITE SETFCAP"
).split()
BACKOFF_FIRST_S, BACKOFF_MAX_S, BACKOFF_RESET_S = 1.0, 30.0, 60.0


def timestamp():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def capabilities(context):
    """The container's capability set after add and drop."""
    from .launch import CAPABILITIES

    asked = context.get("capabilities") or {}
    add = {name.upper().removeprefix("CAP_") for name in asked.get("add") or []}
    drop = {name.upper().removeprefix("CAP_") for name in asked.get("drop") or []}
    if context.get("privileged") or "ALL" in add:
        return list(CAPABILITIES)
    base = set() if "ALL" in drop else set(DEFAULT_CAPABILITIES) - drop
    return sorted(base | add)


class Container:
    """Runs until stop(). The owner is told of every change by on_change()."""

    def __init__(self, owner, spec, is_init):
        self.owner = owner
        self.spec = spec
        self.name = spec["name"]
        self.is_init = is_init
        self.restarts = 0
        self.ready = False
        self.started = False
        self.state = {"waiting": {"reason": "ContainerCreating"}}
        self.last_state = {}
        self.pid = None
        self._process = None
        self._stopping = False
        self._probe_tasks = []
        self._task = None
        self._ended = asyncio.Event()

    def start(self):
        self._task = asyncio.create_task(self._run())

    async def wait(self):
        """Until it has ended for good: stopped, or not to be restarted."""
        await self._task

    @property
    def exit_code(self):
        return self.state.get("terminated", {}).get("exitCode")

    def _set_state(self, kind, **details):
        if "terminated" in self.state:
            self.last_state = self.state
        self.state = {kind: details}
        self.owner.on_change()

    async def _run(self):
        backoff = BACKOFF_FIRST_S
        while not self._stopping:
            began = time.monotonic()
            try:
                spec = self._launch_spec()
                await self._spawn(spec)
            except fields.FieldError as error:
                self._set_state("waiting", reason="CreateContainerConfigError", message=str(error))
                await asyncio.sleep(1)
                continue
            except LookupError as error:
                self._set_state("waiting", reason="ErrImagePull", message=str(error))
                await asyncio.sleep(2)
                continue
            code = await self._attend()
            if self._stopping or not self._restart_wanted(code):
                return
            if time.monotonic() - began > BACKOFF_RESET_S:
                backoff = BACKOFF_FIRST_S
            terminated = self.state
            await asyncio.sleep(0.05)
            self._set_state("waiting", reason="CrashLoopBackOff", message=f"back-off {backoff:g}s restarting")
            self.last_state = terminated
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, BACKOFF_MAX_S)
            self.restarts += 1

    def _restart_wanted(self, code):
        policy = self.owner.pod["spec"].get("restartPolicy", "Always")
        if self.is_init:
            return code != 0 and policy != "Never"
        return policy == "Always" or (policy == "OnFailure" and code != 0)

    def _launch_spec(self):
        pod = self.owner.pod
        image = self.owner.agent.image(self.spec["image"])
        base = {"PATH": fields.DEFAULT_PATH, "HOSTNAME": self.owner.hostname(), "HOME": "/"}
        env = self.owner.environment({**base, **image.get("env", {})}).build(self.spec)
        command = self.spec.get("command") or image.get("entrypoint") or []
        arguments = self.spec.get("args") or ([] if self.spec.get("command") else image.get("cmd") or [])
        argv = [fields.expand(word, env) for word in [*command, *arguments]]
        if not argv:
            raise LookupError(f"image {self.spec['image']} has no command, and the container names none")
        context = {**(pod["spec"].get("securityContext") or {}), **(self.spec.get("securityContext") or {})}
        groups = list(context.get("supplementalGroups") or [])
        if context.get("fsGroup") is not None:
            groups.append(context["fsGroup"])
        uid = context.get("runAsUser")
        uid = image.get("user", 0) if uid is None else uid
        if context.get("runAsNonRoot") and uid == 0:
            raise fields.FieldError("container has runAsNonRoot and image will run as root")
        return {
            "root": str(self.owner.root_directory()),
            "rootfs": image.get("rootfs"),
            "files": image.get("files", {}),
            "volumes": self.owner.volumes.mounts(self.spec),
            "argv": argv,
            "env": env,
            "cwd": self.spec.get("workingDir") or "/",
            "uid": uid,
            "gid": context.get("runAsGroup") or 0,
            "groups": groups,
            "capabilities": capabilities(context),
            "noNewPrivileges": context.get("allowPrivilegeEscalation") is False,
            "readOnlyRoot": bool(context.get("readOnlyRootFilesystem")),
            "netns": self.owner.netns_path(),
            "hostname": self.owner.hostname(),
        }

    async def _spawn(self, spec):
        path = self.owner.directory / f"{self.name}.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        reading, writing = os.pipe()
        try:
            with open(self.log_path(), "ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *[sys.executable, "-I", "-S", str(LAUNCHER), str(path), str(writing)],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=[writing],
                )
        finally:
            os.close(writing)
        with open(reading, "rb") as pipe:
            trouble = await asyncio.to_thread(pipe.read)
        if trouble:
            await self._process.wait()
            raise fields.FieldError(f"cannot start {spec['argv'][0]}: {trouble.decode()}")
        self.pid = self._process.pid
        self._set_state("running", startedAt=timestamp())

    def log_path(self):
        return self.owner.log_directory / f"{self.name}.log"

    async def _attend(self):
        """Probes the running process until it ends; returns its exit code as a container runtime tells it."""
        began = timestamp()
        self._ended.clear()
        self._start_probes()
        code = await self._process.wait()
        for task in self._probe_tasks:
            task.cancel()
        self._signal_group(signal.SIGKILL)
        self.pid = None
        self.ready = self.started = False
        details = {"exitCode": code if code >= 0 else 128 - code, "startedAt": began, "finishedAt": timestamp()}
        details["reason"] = "Completed" if code == 0 else "Error"
        if code < 0:
            details["signal"] = -code
        self._set_state("terminated", **details)
        self._ended.set()
        return details["exitCode"]

    def _start_probes(self):
        prober = probes.Prober(self.spec, self.owner.pod_ip(), self.owner.agent.session, self.run_inside)
        self._probe_tasks = []
        startup = self.spec.get("startupProbe")
        if startup:
            self._probe(prober, startup, lambda ok, why: self._on_startup(prober, ok, why), False)
        else:
            self._on_startup(prober, True, "")

    def _probe(self, prober, probe, on_verdict, initial):
        task = asyncio.create_task(probes.watch(prober, probe, on_verdict, initial))
        self._probe_tasks.append(task)

    def _on_startup(self, prober, ok, why):
        if not ok:
            self._unhealthy("Startup", why)
            return
        self.started = True
        if self.spec.get("readinessProbe"):
            self._probe(prober, self.spec["readinessProbe"], self._on_ready, False)
        else:
            self.ready = True
        if self.spec.get("livenessProbe"):
            self._probe(prober, self.spec["livenessProbe"], self._on_live, True)
        self.owner.on_change()

    def _on_ready(self, ok, why):
        if ok != self.ready:
            LOG.info("%s/%s ready=%s %s", self.owner.name, self.name, ok, why)
        self.ready = ok
        self.owner.on_change()

    def _on_live(self, ok, why):
        if not ok:
            self._unhealthy("Liveness", why)

    def _unhealthy(self, kind, why):
        LOG.warning("%s/%s: %s probe failed: %s; restarting it", self.owner.name, self.name, kind, why)
        asyncio.create_task(self._terminate(self.owner.grace()))

    async def run_inside(self, argv):
        """Runs a command in the container's namespaces; returns its exit code."""
        process = await asyncio.create_subprocess_exec(
            *["nsenter", "-t", str(self.pid), "-m", "-n", "--root", "--wd", "--", *argv],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()

    def _signal_group(self, number):
        if self.pid is not None:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                pass  # all of them have ended already, which is what was wanted

    async def _terminate(self, grace):
        """SIGTERM to the main process, SIGKILL to all when the grace period is over."""
        if self.pid is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(self._ended.wait()), grace)
        except asyncio.TimeoutError:
            self._signal_group(signal.SIGKILL)

    async def stop(self, grace):
        self._stopping = True
        if self._task is None:
            return
        if self.pid is None:
            self._task.cancel()
        await self._terminate(grace)
        await asyncio.gather(self._task, return_exceptions=True)

    def status(self):
        """The container's entry in the Pod's containerStatuses."""
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": "local/" + self.spec["image"],
            "containerID": f"process://{self.pid or 0}",
            "ready": self.exit_code == 0 if self.is_init else self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
        }
