#!/usr/bin/python3
"""How soon BFD finds a dead path, and what many sessions cost.

usage: tests/bench/bfd.py [--cuts N] [--sessions N] [--seconds S]

Detection: three sessions with FRR at 3x50, 3x100 and 3x300 ms; the wire is cut N times by a packet filter.
The figures are from the cut to the engine's word that the session is down; the last packet came up to one
interval before the cut. Flood: well-formed packets with a wrong discriminator, as fast as one process can
send them. Cost: N sessions at 3x100 ms, with as many of FRR's, for S seconds.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.bench.layer2_idle import rss_mb
from tests.bfd.wire import BfdLab
from tests.bgp.probe import ROOT, wait_for

INTERVALS_MS = (50, 100, 300)


def figure(metric, unit, values, shown=None):
    value = statistics.median(values) if shown is None else shown
    print(json.dumps({"bench": "bfd", "metric": metric, "unit": unit, "value": value, "runs": len(values),
                      "min": min(values), "max": max(values)}), flush=True)


def ends(number):
    return f"10.88.{2 + number // 200}.{1 + number % 200}", f"10.89.{2 + number // 200}.{1 + number % 200}"


def setup(intervals):
    """A session for each interval, all up at the agreed pace."""
    lab = BfdLab()
    text, wanted = "", []
    for number, ms in enumerate(intervals):
        mine, theirs = ends(number)
        lab.here.ip(f"address add {mine}/32 dev w", f"route add {theirs}/32 dev w src {mine}")
        lab.there.ip(f"address add {theirs}/32 dev w", f"route add {mine}/32 dev w src {theirs}")
        text += f" peer {mine} local-address {theirs} interface w\n"
        text += f"  receive-interval {ms}\n  transmit-interval {ms}\n !\n"
        wanted.append({"remote": theirs, "local": mine, "tx_ms": ms, "rx_ms": ms})
    lab.frr(text)
    lab.probe.sessions(*wanted)

    settle(lab, intervals)
    return lab


def settle(lab, intervals):
    """Waits until all are up at the agreed pace."""

    def settled():
        got = lab.probe.status()["peers"]
        return all(p["state"] == "up" and p["detection_us"] == 3000 * ms for p, ms in zip(got, intervals))

    wait_for("all sessions up", settled, 60, every=0.2)


def detection(cuts):
    lab = setup(INTERVALS_MS)
    found = {ends(number)[1]: [] for number in range(len(INTERVALS_MS))}
    try:
        for _ in range(cuts):
            time.sleep(0.5 + random.random() / 3)
            seen = len(lab.probe.events)
            heal = lab.drop(lab.here, "udp dport 3784")
            began = time.monotonic()
            wait_for("down", lambda: len(lab.probe.events) >= seen + len(found), every=0.2)
            for event in lab.probe.events[seen:]:
                assert event["event"] == "down", event
                found[event["peer"]].append(event["at_us"] / 1000 - began * 1000)
            heal()
            settle(lab, INTERVALS_MS)
    finally:
        lab.close()
    for ms, values in zip(INTERVALS_MS, found.values()):
        figure(f"cut to down, 3x{ms} ms ({3 * ms} ms from the last packet)", "ms", [round(v, 1) for v in values])


def cost(sessions, seconds):
    lab = setup([100] * sessions)
    try:
        before, began = lab.probe.status(), time.monotonic()
        time.sleep(seconds)
        after, took = lab.probe.status(), time.monotonic() - began
        memory = rss_mb(lab.probe.process.pid)
    finally:
        lab.close()
    cpu = (after["cpu_us"] - before["cpu_us"]) / took / 1e4
    packets = sum(p["sent"] + p["received"] for p in after["peers"]) - sum(
        p["sent"] + p["received"] for p in before["peers"])
    figure(f"{sessions} sessions at 3x100 ms, CPU", "%", [round(cpu, 2)])
    figure(f"{sessions} sessions, packets in and out", "1/s", [round(packets / took)])
    figure(f"{sessions} sessions, RSS", "MB", [round(memory, 1)])
    downs = [p["down"] for p in after["peers"]]
    figure(f"{sessions} sessions, times one went down in {seconds} s", "", downs, sum(downs))


FLOOD = """
import socket, sys, time
target, end, sent = (sys.argv[1], 3784), time.monotonic() + float(sys.argv[2]), 0
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
data = bytes([0x20, 0x40, 3, 24, 0, 0, 0, 9, 0, 0, 0, 5] + [0, 1, 0, 0] * 3)
while time.monotonic() < end:
    for _ in range(100):
        s.sendto(data, target)
    sent += 100
print(sent)
"""


def flood(seconds):
    lab = setup([100])
    mine, _ = ends(0)
    try:
        sent = int(lab.there.run(["/usr/bin/python3", "-c", FLOOD, mine, str(seconds)]).stdout)
        time.sleep(0.5)
        got = lab.probe.status()
    finally:
        lab.close()
    figure("packets of strangers at one session at 3x100 ms", "1/s", [round(sent / seconds)])
    figure(f"the same, times the session went down in {seconds} s", "", [got["peers"][0]["down"]])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=30)
    args = parser.parse_args()
    os.environ.setdefault("METALLB_PROBE_BUILD", str(ROOT / "build" / "release"))
    if args.cuts:
        detection(args.cuts)
    flood(10)
    if args.sessions:
        cost(args.sessions, args.seconds)


if __name__ == "__main__":
    main()
