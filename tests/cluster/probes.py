"""Liveness, readiness and startup probes of one container."""

import asyncio

import aiohttp


def resolve_port(container, port):
    """A port number, or the container port of that name."""
    if isinstance(port, int):
        return port
    for item in container.get("ports") or []:
        if item.get("name") == port:
            return item["containerPort"]
    return int(port)


class Prober:
    """Asks one container; `run` enters its namespaces for exec probes: argv -> exit code."""

    def __init__(self, container, pod_ip, session, run):
        self._container = container
        self._pod_ip = pod_ip
        self._session = session
        self._run = run

    async def ask(self, probe):
        """None when the probe succeeds, else the reason of its failure."""
        timeout = probe.get("timeoutSeconds") or 1
        try:
            return await asyncio.wait_for(self._ask(probe), timeout)
        except asyncio.TimeoutError:
            return f"no answer within {timeout} s"
        except (aiohttp.ClientError, OSError) as error:
            return str(error)

    async def _ask(self, probe):
        if "httpGet" in probe:
            return await self._http(probe["httpGet"])
        if "tcpSocket" in probe:
            target = probe["tcpSocket"]
            port = resolve_port(self._container, target["port"])
            _, writer = await asyncio.open_connection(target.get("host") or self._pod_ip, port)
            writer.close()
            return None
        if "exec" in probe:
            code = await self._run(probe["exec"]["command"])
            return None if code == 0 else f"command exited with {code}"
        return f"this node agent has no probes of the kind {', '.join(probe)}"

    async def _http(self, target):
        host = target.get("host") or self._pod_ip
        host = f"[{host}]" if ":" in host else host
        port = resolve_port(self._container, target["port"])
        scheme = (target.get("scheme") or "HTTP").lower()
        headers = {item["name"]: item["value"] for item in target.get("httpHeaders") or []}
        url = f"{scheme}://{host}:{port}{target.get('path') or '/'}"
        async with self._session.get(url, headers=headers, ssl=False, allow_redirects=False) as answer:
            return None if 200 <= answer.status < 400 else f"HTTP status {answer.status}"


async def watch(prober, probe, on_verdict, initial):
    """Probes for ever; on_verdict(ok, reason) is called each time the verdict changes from `initial`."""
    verdict, successes, failures = initial, 0, 0
    await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
    while True:
        reason = await prober.ask(probe)
        successes, failures = (successes + 1, 0) if reason is None else (0, failures + 1)
        if reason is None and not verdict and successes >= (probe.get("successThreshold") or 1):
            verdict = True
            on_verdict(True, "")
        if reason is not None and failures >= (probe.get("failureThreshold") or 3):
            # Reported again on each further failure: a liveness probe's container may have been restarted.
            verdict, failures = False, 0
            on_verdict(False, reason)
        await asyncio.sleep(probe.get("periodSeconds") or 10)
