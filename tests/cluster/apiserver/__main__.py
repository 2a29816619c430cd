"""An imitation of the Kubernetes API server, in memory, for tests and demonstrations.

    /usr/bin/python3 -m tests.cluster.apiserver --listen 10.0.0.1:6443 \\
        --tls-cert FILE --tls-key FILE --client-ca FILE [--sa-key FILE] [--token-file FILE] \\
        [--ready-file FILE | --ready-fd N] [--data FILE] [--service-cidr V4[,V6]] \\
        [--node-monitor-grace-period SECONDS]

Run it from the project's top directory. --listen may be given more than once; port 0 picks a free one; [v6]:port is
understood. When it answers requests, one line per address, "https://ADDRESS:PORT", is written to the ready file (which appears
at once, whole) or file descriptor (which is closed then). SIGTERM and SIGINT end it; with --data the objects are kept
in that file, and a next server with the same file goes on with them.

Clients are known by certificate (signed by --client-ca: CN is the user, each O a group), by --token-file
(CSV: token,user,uid,"group1,group2") or by ServiceAccount token; RBAC is in force, system:masters may everything.

The API server, the controllers (Deployment, ReplicaSet, DaemonSet, EndpointSlice, garbage, namespaces, node leases)
and the scheduler are in this one process. What it does not serve answers 404, 405, 406, 415 or 422.
"""
import argparse
import asyncio
import gc
import os
import signal
import ssl
import sys
from types import SimpleNamespace

from aiohttp import web

from . import controllers, crd
from .admission import Admission
from .authn import Authenticator
from .bootstrap import advertise, bootstrap
from .convert import Converter
from .documents import Documents
from .network import Network
from .rbac import Authorizer
from .registry import Registry
from .rest import Rest
from .server import Server
from .store import Store
from .webhooks import Webhooks


def arguments(argv):
    cli = argparse.ArgumentParser(
        prog="apiserver", description="an in-memory imitation of the Kubernetes API server"
    )
    cli.add_argument("--listen", action="append", required=True, metavar="ADDRESS:PORT")
    cli.add_argument("--tls-cert", required=True)
    cli.add_argument("--tls-key", required=True)
    cli.add_argument("--client-ca", required=True)
    cli.add_argument("--root-ca", help="what kube-root-ca.crt holds; the client CA when absent")
    cli.add_argument(
        "--sa-key", help="a file whose bytes sign ServiceAccount tokens; random when absent"
    )
    cli.add_argument("--token-file")
    cli.add_argument("--data", help="keep the objects in this file across restarts")
    cli.add_argument("--ready-file")
    cli.add_argument("--ready-fd", type=int)
    cli.add_argument("--service-cidr", default="10.96.0.0/16,fd00:96::/112")
    cli.add_argument("--node-port-range", default="30000-32767")
    cli.add_argument("--node-monitor-grace-period", type=float, default=40.0)
    cli.add_argument("--drop-service-conditions", action="store_true", help="as servers before 1.20 do")
    return cli.parse_args(argv)


def assemble(args):
    """Wires the parts together; nothing runs yet."""
    store = Store(args.data)
    registry = Registry.builtin()
    webhooks = Webhooks(store)
    parts = SimpleNamespace(store=store, registry=registry, webhooks=webhooks)
    parts.converter = Converter(registry, webhooks)
    parts.admission = Admission(store, registry, webhooks)
    parts.admission.converter = parts.converter
    parts.network = Network(store, args.service_cidr, args.node_port_range)
    parts.authn = Authenticator(store, args.token_file, args.sa_key)
    parts.authz = Authorizer(store)
    parts.rest = Rest(store, registry, parts.admission, parts.converter, parts.network)
    parts.rest.drops_service_conditions = args.drop_service_conditions
    parts.documents = Documents(registry, parts.authz, args.listen[0], store)
    crd.follow(parts)
    with open(args.root_ca or args.client_ca, encoding="utf-8") as src:
        parts.root_ca = src.read()
    return parts


def tls(args):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(args.tls_cert, args.tls_key)
    context.load_verify_locations(args.client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def announce(args, runner):
    lines = ""
    for address in runner.addresses:
        host = "[%s]" % address[0] if ":" in address[0] else address[0]
        lines += "https://%s:%d\n" % (host, address[1])
    if args.ready_file:
        with open(args.ready_file + ".tmp", "w", encoding="utf-8") as out:
            out.write(lines)
        os.replace(args.ready_file + ".tmp", args.ready_file)
    if args.ready_fd is not None:
        with os.fdopen(args.ready_fd, "w") as out:
            out.write(lines)


async def serve(args):
    parts = assemble(args)
    server = Server(parts)
    await bootstrap(parts)
    runner = web.AppRunner(server.application(), access_log=None, keepalive_timeout=75)
    await runner.setup()
    context = tls(args)
    for listen in args.listen:
        host, _, port = listen.rpartition(":")
        site = web.TCPSite(
            runner,
            host.strip("[]"),
            int(port),
            ssl_context=context,
            backlog=1024,
            reuse_address=True,
            shutdown_timeout=0.5,
        )
        await site.start()
    await advertise(parts, *runner.addresses[0][:2])
    tasks = controllers.start(parts, args)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop.set)
    announce(args, runner)
    await stop.wait()
    server.closing.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await runner.cleanup()
    await parts.webhooks.close()
    parts.store.save()


def main():
    args = arguments(sys.argv[1:])
    gc.set_threshold(50000, 50, 100)
    asyncio.run(serve(args))


if __name__ == "__main__":
    main()
