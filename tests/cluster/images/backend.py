#!/usr/bin/python3
"""A small HTTP backend: says who it is and who asked. Also streams, and echoes UDP on the same port.

GET /          "HOSTNAME CLIENT-ADDRESS CLIENT-PORT"
GET /stream    one line each 100 ms until the client goes: a connection to watch while things move
GET /unready   from now on /healthz answers 503; GET /ready ends that
"""

import asyncio
import os
import socket
import sys

healthy = True


def answer(status, text):
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def respond(path, peer):
    global healthy
    if path == "/healthz":
        return answer("200 OK", "ok\n") if healthy else answer("503 Service Unavailable", "not now\n")
    if path in ("/ready", "/unready"):
        healthy = path == "/ready"
    return answer("200 OK", f"{socket.gethostname()} {peer[0]} {peer[1]}\n")


async def stream(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
    number = 0
    while True:
        writer.write(f"{number} {socket.gethostname()}\n".encode())
        await writer.drain()
        number += 1
        await asyncio.sleep(0.1)


async def serve(reader, writer):
    try:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split(b" ")[1].decode()
        if path == "/stream":
            await stream(writer)
        writer.write(respond(path, writer.get_extra_info("peername")))
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError) as error:
        print(f"client {writer.get_extra_info('peername')}: {error!r}", file=sys.stderr)
    finally:
        writer.close()


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(socket.gethostname().encode() + b" " + data, addr)


async def main():
    port = int(os.environ.get("PORT", "8080"))
    sock = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    server = await asyncio.start_server(serve, sock=sock)
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp.bind((host, port))
        await asyncio.get_running_loop().create_datagram_endpoint(Echo, sock=udp)
    print(f"serving on port {port}", flush=True)
    await server.serve_forever()


asyncio.run(main())
