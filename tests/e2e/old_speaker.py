"""Stands for MetalLB's speaker where it is to be replaced: Go memberlist (mlpeer) and an ARP responder.

It gossips with MetalLB's key and answers for those of $ADDRESSES that MetalLB's election gives to its node
among all members. SIGTERM: it leaves and stops, as MetalLB's does.
"""

import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

NODE = os.environ["METALLB_NODE_NAME"]
HOST = os.environ["METALLB_HOST"]
ADDRESSES = os.environ["ADDRESSES"].split(",")
INTERFACE = "eth0"

members = {NODE}
lock = threading.Lock()


def owner(address):
    with lock:
        return min(members, key=lambda name: hashlib.sha256(f"{name}#{address}".encode()).digest())


def gossip():
    secret = pathlib.Path("/etc/ml_secret_key/secretkey").read_bytes()
    key = (secret + hashlib.sha256(b"").digest())[:32]
    keyfile = pathlib.Path("/tmp", f"key-{NODE}")
    keyfile.write_text(f"hex:{key.hex()}\n")
    peers = ",".join(f"{ip}:7946" for ip in os.environ["PEERS"].split(",") if ip != HOST)
    words = ["/mlpeer", "-name", NODE, "-bind", HOST, "-keyfile", str(keyfile), "-join", peers, "-join-retry"]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def follow(process):
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] not in ("join", "leave"):
            continue
        with lock:
            (members.add if event["event"] == "join" else members.discard)(event["name"])
        print(line, end="", flush=True)
    os._exit(0)


def answer():
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    sock.bind((INTERFACE, 0))
    mac = sock.getsockname()[4]
    while True:
        frame = sock.recv(128)
        if len(frame) < 42 or frame[20:22] != b"\0\1":
            continue
        address = socket.inet_ntoa(frame[38:42])
        if address in ADDRESSES and owner(address) == NODE:
            sock.send(frame[6:12] + mac + frame[12:20] + b"\0\2" + mac + frame[38:42] + frame[22:32])


def main():
    process = gossip()

    def leave(*_):
        process.stdin.write("leave\n")
        process.stdin.flush()
        process.stdin.write("quit\n")
        process.stdin.flush()

    signal.signal(signal.SIGTERM, leave)
    threading.Thread(target=follow, args=(process,), daemon=True).start()
    threading.Thread(target=answer, daemon=True).start()
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
