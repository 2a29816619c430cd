"""The BGP engine against FRR, BIRD, GoBGP and ExaBGP, every sort of session at once.

Each router runs in a namespace of its own with one neighbour for each cell of the matrix; the routes
must be in it with exactly the attributes sent, as it shows them, and go when they are withdrawn.
"""

import threading

import pytest

from tests.bgp.matrix import Matrix, cells_of
from tests.bgp.probe import wait_for
from tests.bgp.routers import ROUTERS


@pytest.fixture(scope="module")
def matrices():
    """All four at work side by side; what fails to start fails in its own tests."""
    made = {}

    def start(kind):
        made[kind] = Matrix(kind)
        made[kind].start()

    threads = [threading.Thread(target=start, args=(kind,)) for kind in ROUTERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        yield made
    finally:
        for matrix in made.values():
            matrix.close()


CELLS = [(kind, *cell) for kind in ROUTERS for cell in cells_of(kind)]


@pytest.mark.parametrize("kind,session,family,auth", CELLS, ids=["-".join(c) for c in CELLS])
def test_routes_arrive_and_go(matrices, kind, session, family, auth):
    matrix = matrices[kind]
    cell = matrix.cell(session, family, auth)
    matrix.probe.wait_state(cell.name, timeout=30)
    for prefix in cell.prefixes:
        route = matrix.router.wait_route(prefix)
        assert route["as_path"] == ("" if session == "ibgp" else str(cell.my_asn))
        assert route["communities"] == {f"65000:{cell.id}"}
        assert route["large"] == {f"65000:1:{cell.id}"}
        if session == "ibgp":
            assert route["local_pref"] == 150
        check_next_hop(cell, prefix, route["next_hops"])
    matrix.probe.routes(cell.name)
    for prefix in cell.prefixes:
        matrix.router.wait_no_route(prefix)
    status = matrix.probe.status(cell.name)
    assert (status["announced"], status["pending"], status["established"]) == (0, 0, 1)


def check_next_hop(cell, prefix, hops):
    if cell.family == "unnumbered":
        assert any(hop.startswith("fe80:") for hop in hops), hops
    elif cell.family == "dual" and ":" in prefix and cell.session == "multihop":
        # any of the addresses on the interface that the session leaves by
        assert all(hop.startswith(("fd77:", "fd78:")) for hop in hops), hops
    else:
        over_v6 = cell.over_v6 or ":" in prefix
        assert hops == {cell.mine6 if over_v6 else cell.mine4}


@pytest.mark.parametrize("kind", ROUTERS)
def test_nothing_was_reset(matrices, kind):
    """Runs last: every session came up once and stayed."""
    matrix = matrices[kind]
    wait_for("all up", lambda: all(p["state"] == "Established" for p in matrix.probe.status()["peers"]))
    assert {p["established"] for p in matrix.probe.status()["peers"]} == {1}
    assert not [e for e in matrix.probe.events if e["event"] in ("down", "notice")]
