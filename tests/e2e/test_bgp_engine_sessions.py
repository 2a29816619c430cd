"""What the BGP engine does when sessions begin and end: restarts, drains, mistakes, dead peers."""

import json
import subprocess
import time

import pytest

from tests.bgp.matrix import PASSWORD, Matrix
from tests.bgp.probe import Probe, wait_for

EBGP = [("ebgp", "v4", "plain")]


@pytest.fixture
def lab(request):
    """A matrix of one cell, its router started; ended by the test's end."""
    made = []

    def make(kind="frr", cells=EBGP, start=True, **kwargs):
        matrix = Matrix(kind, cells, **kwargs)
        made.append(matrix)
        if start:
            matrix.router.start()
        return matrix, matrix.cells[0]

    yield make
    for matrix in made:
        matrix.close()


def up(matrix, cell, **changes):
    matrix.probe.peers({**cell.peer(), **changes})
    matrix.probe.routes(cell.name, *cell.routes())
    matrix.probe.wait_state(cell.name)


@pytest.mark.parametrize("kind", ["frr", "bird"])
def test_graceful_restart_keeps_the_routes(lab, kind):
    """Killed and started anew: the router keeps the route, stale, until End-of-RIB, then as before."""
    matrix, cell = lab(kind)
    up(matrix, cell, graceful_restart=True)
    prefix = cell.prefixes[0]
    matrix.router.wait_route(prefix)
    matrix.probe.kill()
    time.sleep(1)
    check_kept(matrix, prefix, stale=True)
    matrix.probe = Probe(matrix.here, "--restarted")
    matrix.probe.peers({**cell.peer(), "graceful_restart": True})
    matrix.probe.wait_state(cell.name)
    # without the routes no End-of-RIB: still there
    time.sleep(1)
    check_kept(matrix, prefix, stale=True)
    matrix.probe.routes(cell.name, *cell.routes())
    time.sleep(1)
    check_kept(matrix, prefix, stale=False)


def check_kept(matrix, prefix, stale):
    """It is there; FRR also shows whether it is stale (BIRD does not)."""
    route = matrix.router.route(prefix)
    assert route
    if matrix.kind == "frr":
        assert route["stale"] == stale


def test_shutdown_with_graceful_restart_is_silent(lab):
    matrix, cell = lab()
    up(matrix, cell, graceful_restart=True)
    matrix.router.wait_route(cell.prefixes[0])
    matrix.probe.ask("shutdown", reason="restart")
    wait_for("stale", lambda: (matrix.router.route(cell.prefixes[0]) or {}).get("stale"))
    assert matrix.probe.status(cell.name)["notifications_sent"] == 0


def test_shutdown_without_it_says_so(lab):
    matrix, cell = lab()
    up(matrix, cell)
    matrix.router.wait_route(cell.prefixes[0])
    matrix.probe.ask("shutdown", reason="upgrade of the speaker")
    matrix.router.wait_no_route(cell.prefixes[0])
    assert "Administrative Reset" in matrix.probe.status(cell.name)["last_notification"]
    neighbor = matrix.router.neighbor(cell.mine)
    assert "Administrative Reset" in json.dumps(neighbor), neighbor


def capture(ns, interface, path):
    process = subprocess.Popen(
        ns.prefix() + ["tshark", "-q", "-i", interface, "-w", path, "tcp port 179"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "Capturing on" in line:
            break
    time.sleep(1)
    return process


def frames(pcap, match):
    """When the matching frames were seen, in seconds."""
    out = subprocess.run(
        ["tshark", "-r", pcap, "-Y", match, "-T", "fields", "-e", "frame.time_relative"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [float(line) for line in out.split()]


def test_drain_in_order(lab, tmp_path):
    """GRACEFUL_SHUTDOWN, then the withdrawal, then Cease: read off the wire."""
    matrix, cell = lab()
    pcap = str(tmp_path / "drain.pcapng")
    tshark = capture(matrix.here, cell.interface, pcap)
    try:
        up(matrix, cell)
        matrix.router.wait_route(cell.prefixes[0])
        matrix.probe.ask("drain", wait_ms=1500, reason="node drain")
        wait_for(
            "GSHUT",
            lambda: {"gracefulShutdown", "graceful-shutdown", "65535:0"}
            & (matrix.router.route(cell.prefixes[0]) or {"communities": set()})["communities"],
        )
        matrix.probe.wait_event("drained", cell.name)
        matrix.router.wait_no_route(cell.prefixes[0])
        time.sleep(0.5)
    finally:
        tshark.terminate()
        tshark.wait(timeout=20)
    order = sorted(
        (at, name)
        for name, match in (
            ("gshut", "tcp.payload contains ff:ff:00:00"),  # 65535:0
            ("withdraw", "bgp.update.withdrawn_routes.length > 0"),
            ("cease", "bgp.notify.major_error == 6"),
        )
        for at in frames(pcap, f"ip.src == {cell.mine4} && {match}")
    )
    assert [name for _, name in order] == ["gshut", "withdraw", "cease"], order
    assert order[1][0] - order[0][0] >= 1.4


def test_wrong_as_is_named_with_both_numbers(lab):
    matrix, cell = lab()
    matrix.probe.peers({**cell.peer(), "peer_asn": 64999})
    event = matrix.probe.wait_event("failed", cell.name, "wrong AS")
    assert "65000" in event["text"] and "64999" in event["text"]


def test_our_as_is_not_what_the_router_expects(lab):
    matrix, cell = lab()
    matrix.probe.peers({**cell.peer(), "my_asn": 64998})
    assert "64998" in matrix.probe.wait_event("failed", cell.name, "wrong AS")["text"]


def test_wrong_password_is_suspected(lab):
    matrix, cell = lab(cells=[("ebgp", "v4", "md5")])
    matrix.probe.peers({**cell.peer(), "password": PASSWORD + "x"})
    matrix.probe.wait_event("failed", cell.name, "MD5 password", timeout=20)


def test_nobody_there(lab):
    matrix, cell = lab(start=False)
    matrix.probe.peers(cell.peer())
    matrix.probe.wait_event("failed", cell.name, "refused")
    matrix.here.ip(f"address flush dev {cell.interface}")
    matrix.probe.wait_event("failed", cell.name, "no route")


def test_dead_router_is_noticed_by_the_hold_timer(lab):
    matrix, cell = lab()
    up(matrix, cell)
    for process in matrix.router.processes:
        process.send_signal(19)  # SIGSTOP: TCP lives, BGP does not
    try:
        matrix.probe.wait_event("down", cell.name, "hold timer expired", timeout=20)
    finally:
        for process in matrix.router.processes:
            process.send_signal(18)
    matrix.probe.wait_state(cell.name)


def test_passive_and_collision(lab):
    """Both sides connect at will; one session comes of it, and it stays."""
    matrix, cell = lab(start=False, listen=179)
    matrix.router.neighbors[0]["active"] = True
    matrix.router.start()
    up(matrix, cell)
    matrix.router.wait_route(cell.prefixes[0])
    time.sleep(2)
    assert matrix.probe.status(cell.name)["state"] == "Established"
    assert matrix.router.route(cell.prefixes[0])


def test_advertisement_changes_reset_nothing(lab):
    matrix, cell = lab()
    up(matrix, cell)
    for i in range(30):
        matrix.probe.routes(cell.name, {"prefix": cell.prefixes[0], "communities": [f"65000:{i}"]})
        matrix.probe.peers({**cell.peer(), "connect": f"{i + 1}s"})
    wait_for("the last", lambda: (matrix.router.route(cell.prefixes[0]) or {}).get("communities") == {"65000:29"})
    status = matrix.probe.status(cell.name)
    assert status["established"] == 1 and status["updates_sent"] < 20
    matrix.probe.peers({**cell.peer(), "hold": "12s"})
    matrix.probe.wait_event("up", cell.name)
    wait_for("back", lambda: matrix.probe.status(cell.name)["established"] == 2)
    matrix.router.wait_route(cell.prefixes[0])


def test_ten_thousand_routes(lab):
    matrix, cell = lab()
    matrix.probe.peers(cell.peer())
    matrix.probe.ask("routes", peer=cell.name, count=10000, first="10.100.0.0")
    matrix.probe.wait_state(cell.name)
    matrix.router.wait_route("10.100.39.15/32", timeout=30)
    status = matrix.probe.status(cell.name)
    assert status["announced"] == 10000 and status["updates_sent"] < 20


@pytest.mark.parametrize("kind, my_asn", [("frr", 64512), ("exabgp", 4200000001)])
def test_router_without_four_octet_as_numbers(lab, kind, my_asn):
    """What does not fit is AS_TRANS in its path, and AS4_PATH says what it stands for."""
    matrix, cell = lab(kind, start=False)
    matrix.router.neighbors[0].update(old=True, asn=my_asn if my_asn < 65536 else 23456)
    matrix.router.start()
    up(matrix, cell, my_asn=my_asn)
    route = matrix.router.wait_route(cell.prefixes[0])
    assert route["as_path"] == str(my_asn)
    assert route["communities"] == {"65000:1"}


@pytest.mark.parametrize("kind", ["frr", "bird"])
def test_ttl_security(lab, kind):
    """RFC 5082 on both sides; a session of ours without it does not last."""
    matrix, cell = lab(kind, start=False)
    matrix.router.neighbors[0]["gtsm"] = True
    matrix.router.start()
    timers = {"hold": "3s", "keepalive": "1s"}
    matrix.probe.peers({**cell.peer(), **timers})
    wait_for("its end", lambda: any(event["event"] in ("failed", "down") for event in matrix.probe.events), 20)
    up(matrix, cell, gtsm_hops=1, **timers)
    matrix.router.wait_route(cell.prefixes[0])
    before = matrix.probe.status(cell.name)["established"]
    time.sleep(4)
    status = matrix.probe.status(cell.name)
    assert status["established"] == before and status["state"] == "Established"


@pytest.mark.parametrize("vrf", [pytest.param("blue", marks=pytest.mark.needs_kernel("vrf")), ""])
def test_session_in_a_vrf(lab, vrf):
    """Bound to the VRF's device, the session finds its router where the main table leads astray.

    An ordinary interface shows the binding where the kernel has no VRFs.
    """
    matrix, cell = lab()
    if vrf:
        matrix.here.ip(f"link add {vrf} type vrf table 10", f"link set {vrf} up", f"link set {cell.interface} master {vrf}")
    matrix.here.ip(
        "link add astray type veth peer name away",
        "link set astray up",
        "link set away up",
        "address add 10.99.99.1/24 dev astray",
        f"route add {cell.theirs4}/32 dev astray",
    )
    matrix.probe.peers(cell.peer())
    matrix.probe.wait_event("failed", cell.name, timeout=20)
    up(matrix, cell, vrf=vrf or cell.interface)
    matrix.router.wait_route(cell.prefixes[0])
