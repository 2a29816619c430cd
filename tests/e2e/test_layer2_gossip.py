"""Our gossip engine in one cluster with Go memberlist and serf, on real sockets."""

import json
import os
import subprocess
import time

import pytest

from tests.gossip.peers import Net

KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
KEY2 = "101112131415161718191a1b1c1d1e1f000102030405060708090a0b0c0d0e0f"
SOAK = bool(os.environ.get("METALLB_SOAK"))


@pytest.fixture
def net():
    with Net() as made:
        yield made


def keyfile(tmp_path, *keys):
    path = tmp_path / f"keys-{len(keys)}"
    path.write_text("".join(f"hex:{k}\n" for k in keys))
    return str(path)


def both_know(a, b, names, seconds=15):
    a.wait_alive(names, seconds)
    b.wait_alive(names, seconds)


@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "plain"])
@pytest.mark.parametrize("who_joins", ["own", "go"])
def test_join_both_ways(net, who_joins, compress):
    go = net.go("go1", "127.0.0.2", f"-compress={'true' if compress else 'false'}")
    own = net.own("own1", "127.0.0.1", *([] if compress else ["-nocompress"]))
    if who_joins == "own":
        own.say("join 127.0.0.2:7946")
    else:
        go.say("join 127.0.0.1:7946")
    both_know(own, go, {"go1", "own1"})
    assert own.count("drop") == 0, own.events


def test_bound_to_every_address(net):
    """What is advertised is an address that others reach, as with Go's."""
    net.run("ip", "link", "add", "a0", "type", "veth", "peer", "name", "a1")
    for words in ("addr add 10.9.8.7/24 dev a0", "link set a0 up", "link set a1 up", "route add default dev a0"):
        net.run("ip", *words.split())
    own = net.own("own1", "0.0.0.0")
    go = net.go("go1", "127.0.0.2", "-port", "7950", "-join", "10.9.8.7:7946")
    both_know(own, go, {"go1", "own1"})
    before = go.count("members")
    go.say("members")
    go.wait(lambda p: p.count("members") > before, 10, "members")
    assert "10.9.8.7" in json.dumps([e for e in go.events if e["event"] == "members"][-1])


def test_encrypted_and_wrong_key(net, tmp_path):
    go = net.go("go1", "127.0.0.2", "-keyfile", keyfile(tmp_path, KEY))
    own = net.own("own1", "127.0.0.1", "-key", KEY, "-join", "127.0.0.2:7946")
    both_know(own, go, {"go1", "own1"})
    stranger = net.own("own2", "127.0.0.3", "-key", KEY2, "-join", "127.0.0.2:7946")
    stranger.wait(lambda p: p.count("joined") == 1, 15, "answer to the join")
    assert stranger.count("joined", error="") == 0
    time.sleep(1)
    both_know(own, go, {"go1", "own1"}, 1)


HALF_STREAMS = """
import socket, struct
peers = [socket.create_connection(("127.0.0.1", 7946)) for _ in range(4)]
for peer in peers:
    peer.sendall(b"\\n" + struct.pack("!I", 20 << 20))
for _ in range((12 << 20) >> 16):
    for peer in list(peers):
        try:
            peer.sendall(bytes(1 << 16))
        except OSError:
            peers.remove(peer)
"""


def test_streams_that_never_end(net, tmp_path):
    """Four strangers begin messages of 20 MB: what is kept of them is bounded, and gossip goes on."""
    own = net.own("own1", "127.0.0.1", "-key", KEY)
    net.run("/usr/bin/python3", "-c", HALF_STREAMS)
    own.wait(lambda p: p.count("drop", why="too many bytes of incomplete streams"), 10, "drop")
    go = net.go("go1", "127.0.0.2", "-keyfile", keyfile(tmp_path, KEY), "-join", "127.0.0.1:7946")
    both_know(own, go, {"go1", "own1"})


def test_key_rotation_in_flight(net, tmp_path):
    go = net.go("go1", "127.0.0.2", "-keyfile", keyfile(tmp_path, KEY))
    own = net.own("own1", "127.0.0.1", "-key", KEY, "-join", "127.0.0.2:7946")
    both_know(own, go, {"go1", "own1"})
    for step in ("addkey", "usekey"):
        for peer in (own, go):
            peer.say(f"{step} {KEY2 if peer is own else 'hex:' + KEY2}")
            time.sleep(0.5)
    for peer in (own, go):
        peer.say(f"rmkey {KEY if peer is own else 'hex:' + KEY}")
    late = net.own("own2", "127.0.0.3", "-key", KEY2, "-join", "127.0.0.1:7946")
    for peer in (own, go, late):
        peer.wait_alive({"go1", "own1", "own2"}, 15)
    assert go.count("leave") == 0 and own.count("leave") == 0


def test_crash_and_leave_seen_both_ways(net):
    go = net.go("go1", "127.0.0.2")
    own = [net.own(f"own{i}", f"127.0.0.{10 + i}", "-join", "127.0.0.2:7946") for i in (1, 2, 3)]
    for peer in (go, *own):
        peer.wait_alive({"go1", "own1", "own2", "own3"}, 15)
    own[0].say("leave")
    go.wait(lambda p: p.count("leave") == 1, 3, "leave of own1")
    own[1].wait(lambda p: p.count("leave", name="own1") == 1, 3, "leave of own1")
    own[2].kill()
    go.wait(lambda p: p.count("leave") == 2, 40, "death of own3")
    own[1].wait(lambda p: p.count("leave", name="own3") == 1, 40, "death of own3")
    go.kill()
    own[1].wait(lambda p: p.count("leave", name="go1") == 1, 40, "death of go1")
    assert own[1].alive() == {"own2"}


def test_restart_with_the_same_address(net):
    go = net.go("go1", "127.0.0.2")
    own = net.own("own1", "127.0.0.1", "-join", "127.0.0.2:7946")
    both_know(own, go, {"go1", "own1"})
    own.kill()
    again = net.own("own1", "127.0.0.1", "-join", "127.0.0.2:7946")
    both_know(again, go, {"go1", "own1"})
    time.sleep(8)  # longer than a suspicion: nobody may hold the old death against it
    both_know(again, go, {"go1", "own1"}, 1)


def test_frozen_process_refutes(net):
    go = [net.go(f"go{i}", f"127.0.0.{20 + i}", "-join", "127.0.0.21:7946") for i in (1, 2)]
    own = net.own("own1", "127.0.0.1", "-join", "127.0.0.21:7946")
    for peer in (*go, own):
        peer.wait_alive({"go1", "go2", "own1"}, 15)
    pid = own.process.pid
    os.kill(pid, 19)
    time.sleep(2.5)
    os.kill(pid, 18)
    time.sleep(6)
    for peer in (*go, own):
        peer.wait_alive({"go1", "go2", "own1"}, 1)
    assert all(p.count("leave") == 0 for p in (*go, own))


def test_loss_without_false_death(net):
    """5 % loss on every packet; no member may be declared dead."""
    n_own, n_go, seconds = (5, 15, 300) if SOAK else (3, 5, 20)
    net.run(
        "nft",
        "-f",
        "-",
        input="table inet t { chain c { type filter hook input priority 0;"
        " meta l4proto udp numgen random mod 100 < 5 drop\n }\n }\n",
        text=True,
    )
    first = net.go("go1", "127.0.1.1")
    peers = [first]
    for i in range(2, n_go + 1):
        peers.append(net.go(f"go{i}", f"127.0.1.{i}", "-join", "127.0.1.1:7946"))
    for i in range(1, n_own + 1):
        peers.append(net.own(f"own{i}", f"127.0.2.{i}", "-join", "127.0.1.1:7946"))
    names = {f"go{i}" for i in range(1, n_go + 1)} | {f"own{i}" for i in range(1, n_own + 1)}
    # Gossip alone leaves somebody out now and then; the full exchange every 30 s does not.
    for peer in peers:
        peer.wait_alive(names, 90)
    time.sleep(seconds)
    for peer in peers:
        peer.wait_alive(names, 5)
        assert peer.count("leave") == 0, (peer, [e for e in peer.events if e["event"] == "leave"])


def serf_members(net, rpc):
    out = net.run(
        "serf", "members", f"-rpc-addr={rpc}", "-format=json", capture_output=True, text=True
    ).stdout
    return {m["name"]: m["status"] for m in json.loads(out)["members"]}


def test_serf(net):
    """serf speaks delegate version 5 and sends user messages: counted, otherwise ignored."""
    rpc = "127.0.0.2:7373"
    agent = subprocess.Popen(
        ["ip", "netns", "exec", net.name, "serf", "agent", "-node=serf1", "-bind=127.0.0.2:7946"]
        + [f"-rpc-addr={rpc}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(1.5)
        own = net.own("own1", "127.0.0.1", "-dvsn", "2,5,4", "-join", "127.0.0.2:7946")
        own.wait_alive({"own1", "serf1"}, 15)
        end = time.monotonic() + 10
        while serf_members(net, rpc).get("own1") != "alive":
            assert time.monotonic() < end, serf_members(net, rpc)
            time.sleep(0.3)
        net.run("serf", "event", f"-rpc-addr={rpc}", "hello", "world", stdout=subprocess.DEVNULL)
        own.wait(lambda p: p.count("drop", why="user message"), 10, "user message counted")
        assert own.alive() == {"own1", "serf1"}
    finally:
        agent.terminate()
        agent.wait()
