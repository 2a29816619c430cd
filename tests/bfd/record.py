"""Records what FRR's bfdd and BIRD send in the life of a session: tests/vectors/bfd/*.hex.

usage: python3 -m tests.bfd.record [DIRECTORY]

Each packet stands behind a comment that says what it means, as tshark reads it. Packets that differ in
nothing but the moment are kept once.
"""

import json
import pathlib
import subprocess
import sys
import time

from tests.bfd.wire import MINE, THEIRS, BfdLab
from tests.bgp.probe import ROOT, wait_for

STATES = {0: "admin-down", 1: "down", 2: "init", 3: "up"}
FIELDS = [
    "udp.payload",
    "bfd.sta",
    "bfd.flags.p",
    "bfd.flags.f",
    "bfd.flags.c",
    "bfd.diag",
    "bfd.detect_time_multiplier",
    "bfd.desired_min_tx_interval",
    "bfd.required_min_rx_interval",
    "bfd.required_min_echo_interval",
]
OURS = {"remote": THEIRS["4"], "tx_ms": 100, "rx_ms": 100}
CONFIG = {
    "frr": f" peer {MINE['4']} interface w\n  receive-interval 100\n  transmit-interval 100\n !\n",
    "bird": f'interface "w" {{ interval 100 ms; multiplier 3; }}; neighbor {MINE["4"]} dev "w" local {THEIRS["4"]};',
}


def life(lab, kind):
    """Up, a poll of ours answered, our silence noticed, up again, and an end in order where there is one."""
    lab.probe.sessions(OURS)
    lab.probe.wait_state(THEIRS["4"])
    time.sleep(1)
    lab.probe.sessions({**OURS, "tx_ms": 200})
    time.sleep(1)
    heal = lab.drop(lab.there, "udp dport 3784")
    wait_for("down", lambda: any(e["event"] == "down" for e in lab.probe.events))
    time.sleep(1)
    heal()
    lab.probe.wait_state(THEIRS["4"])
    if kind == "frr":
        lab.router.vtysh("configure terminal", "bfd", f"peer {MINE['4']} interface w", "shutdown")
        time.sleep(2)


def read(pcap):
    argv = ["tshark", "-r", pcap, "-Y", f"bfd && ip.src == {THEIRS['4']}", "-T", "json"]
    for packet in json.loads(subprocess.run(argv + [x for f in FIELDS for x in ("-e", f)],
                                            capture_output=True, text=True, check=True).stdout):
        got = {name: values[0] for name, values in packet["_source"]["layers"].items()}
        number = {name: int(value, 0) for name, value in got.items() if name != "udp.payload"}
        flags = "".join(letter for letter, name in zip("PFC", FIELDS[2:5]) if number[name])
        yield got["udp.payload"].replace(":", ""), " ".join(
            [STATES[number["bfd.sta"]], flags or "-"] + [str(number[name]) for name in FIELDS[5:]]
        )


def record(kind, directory):
    lab = BfdLab()
    pcap = str(directory / f"{kind}.pcapng")
    try:
        tshark = subprocess.Popen(
            lab.here.prefix() + ["tshark", "-q", "-i", "w", "-w", pcap, "udp port 3784"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        wait_for("tshark", lambda: "Capturing on" in tshark.stderr.readline())
        time.sleep(1)
        (lab.frr if kind == "frr" else lab.bird)(CONFIG[kind])
        life(lab, kind)
        tshark.terminate()
        tshark.wait(timeout=20)
    finally:
        lab.close()
    lines = dict.fromkeys(read(pcap))
    text = "".join(f"# {meaning}\n{data}\n" for data, meaning in lines)
    (directory / f"{kind}.hex").write_text(text, encoding="ascii")
    pathlib.Path(pcap).unlink()


def main():
    directory = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "tests" / "vectors" / "bfd")
    directory.mkdir(parents=True, exist_ok=True)
    for kind in CONFIG:
        record(kind, directory)


if __name__ == "__main__":
    main()
