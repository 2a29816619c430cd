"""The BFD engine against FRR's bfdd and BIRD: coming up, staying up, noticing what is dead."""

import time

import pytest

from tests.bfd.wire import FAR_MINE, FAR_THEIRS, MINE, THEIRS, BfdLab
from tests.bgp.probe import wait_for

FAST = {"tx_ms": 100, "rx_ms": 100}
EXPIRED = "control detection time expired"


@pytest.fixture
def lab():
    made = BfdLab()
    try:
        yield made
    finally:
        made.close()


def frr_peer(address, *lines, interface="w"):
    where = f" interface {interface}" if interface else ""
    text = "".join(f"  {line}\n" for line in lines)
    return f" peer {address}{where}\n  receive-interval 100\n  transmit-interval 100\n{text} !\n"


def frr_far(family, *lines):
    text = "".join(f"  {line}\n" for line in lines)
    return (
        f" peer {FAR_MINE[family]} multihop local-address {FAR_THEIRS[family]}\n"
        f"  receive-interval 100\n  transmit-interval 100\n{text} !\n"
    )


def bird_peer(family, far=False):
    mine, theirs = (FAR_MINE, FAR_THEIRS) if far else (MINE, THEIRS)
    where = f"local {theirs[family]} multihop" if far else f'dev "w" local {theirs[family]}'
    return f"neighbor {mine[family]} {where};"


BIRD_FAST = 'interface "*" { interval 100 ms; multiplier 3; }; multihop { interval 100 ms; multiplier 3; };'


def near(family="4", **changes):
    return {"remote": THEIRS[family], **FAST, **changes}


def far(family="4", **changes):
    return {"remote": FAR_THEIRS[family], "local": FAR_MINE[family], "multihop": True, **FAST, **changes}


@pytest.mark.parametrize("kind", ["frr", "bird"])
def test_comes_up(lab, kind):
    """Both families over one and over two hops; the pace that both ends agree on; AdminDown at the end."""
    lab.far()
    if kind == "frr":
        lab.frr("".join(frr_peer(MINE[f]) + frr_far(f) for f in "46"))
    else:
        lab.bird(BIRD_FAST + "".join(bird_peer(f) + bird_peer(f, far=True) for f in "46"))
    hops = {} if kind == "frr" else {"min_ttl": 63}  # BIRD sends its multihop packets with 64
    wanted = [near("4"), near("6"), far("4", **hops), far("6", **hops)]
    ours = [MINE["4"], MINE["6"], FAR_MINE["4"], FAR_MINE["6"]]
    lab.probe.sessions(*wanted)
    for session, mine in zip(wanted, ours):
        lab.probe.wait_state(session["remote"])
        lab.wait_peer(mine)
    wait_for("pace", lambda: all(p["tx_us"] == 100000 for p in lab.probe.status()["peers"]))
    assert {p["detection_us"] for p in lab.probe.status()["peers"]} == {300000}
    time.sleep(2)
    assert [p["up"] for p in lab.probe.status()["peers"]] == [1, 1, 1, 1]
    assert [p["down"] for p in lab.probe.status()["peers"]] == [0, 0, 0, 0]
    lab.probe.sessions()
    for mine in ours:
        lab.wait_peer(mine, "down")
    if kind == "frr":
        said = lab.router.bfd_session(ours[0])["remote-diagnostic"]
        assert "administratively" in said or "admin" in said, said
