"""Services reach their backends, wherever the connection enters and wherever the backend runs."""

import time

import pytest

from tests.cluster import traffic, workloads


def addresses(cluster):
    return [cluster.plan.pool4().split("-", maxsplit=1)[0], cluster.plan.pool6().split("-", maxsplit=1)[0]]


@pytest.fixture(scope="module", name="web")
def _web(cluster):
    """Three backends, one on each node or so, behind a dual-stack Service that node 1 answers for."""
    cluster.apply(workloads.deployment("web"), workloads.service("web", ipFamilyPolicy="PreferDualStack"))
    workloads.wait_ready(cluster, "web", 3)
    workloads.publish(cluster, "web", addresses(cluster), cluster.node(1))
    for address in addresses(cluster):
        cluster.wait_for(lambda a=address: cluster.client().curl(a), 10, f"an answer of {address}")
    yield "web"
    workloads.remove(cluster, "web")


def answers(cluster, address, count=24):
    got = [cluster.client().curl(address) for _ in range(count)]
    assert None not in got
    return {text.split()[0]: text.split()[1] for text in got}


def test_all_backends_answer_and_see_the_client(cluster, web):
    client = cluster.client()
    for address, source in zip(addresses(cluster), (f"::ffff:{client.ip4}", client.ip6)):
        seen = answers(cluster, address)
        assert len(seen) == 3, f"{web} behind {address}: {seen}"
        assert set(seen.values()) == {source}


def test_cluster_address_works_from_nodes_and_pods(cluster, web):
    address = cluster.get("Service", web, "default")["spec"]["clusterIP"]
    for node in cluster.nodes:
        assert web in node.ns.run(["curl", "-sf", "-m", "3", f"http://{address}/"]).stdout
    text = workloads.run_script(cluster, "visitor", f"for i in 1 2 3 4 5 6; do curl -sSf -m 3 http://{address}/ 2>&1; done")
    assert len([line for line in text.splitlines() if line.startswith(web)]) == 6, text


def test_open_connection_moves_with_the_address(cluster, web):
    address = addresses(cluster)[0]
    client = cluster.client()
    workloads.point(cluster, [address], cluster.node(1))
    # 40 lines in 4 s, one each 100 ms; the address moves twice meanwhile.
    script = f"curl -sN -m 4 http://{address}/stream | wc -l"
    moves = f"sleep 1.3; ip neigh replace {address} lladdr {cluster.node(2).mac} dev eth0; sleep 1.3; "
    moves += f"ip neigh replace {address} lladdr {cluster.node(3).mac} dev eth0"
    done = client.run(["sh", "-c", f"({moves}) & {script}; wait"])
    assert int(done.stdout) >= 36, f"{web}: the stream was interrupted"
    workloads.point(cluster, [address], cluster.node(1))


def test_local_policy_keeps_to_the_node(cluster, web):
    pods = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in cluster.pods("default", app=web)}
    node = cluster.node(next(iter(pods.values())))
    address = addresses(cluster)[0]
    cluster.api.patch("Service", web, {"spec": {"externalTrafficPolicy": "Local"}}, "default")
    workloads.point(cluster, [address], node)

    def only_local():
        seen = {text.split()[0] for text in (cluster.client().curl(address, timeout=1) for _ in range(8)) if text}
        return bool(seen) and {pods[name] for name in seen} == {node.name}

    cluster.wait_for(only_local, 10, "answers of local backends alone")
    cluster.api.patch("Service", web, {"spec": {"externalTrafficPolicy": "Cluster"}}, "default")
    workloads.point(cluster, [address], cluster.node(1))
    cluster.wait_for(lambda: len(answers(cluster, address)) == 3, 10, "answers of all backends")


def test_udp(cluster, web):
    port = [{"name": "udp", "port": 81, "protocol": "UDP", "targetPort": 8080}]
    cluster.api.create(workloads.service("echo", ports=port, selector={"app": web}))
    address = str(cluster.plan.pool4(first=1).split("-", maxsplit=1)[0])
    workloads.publish(cluster, "echo", [address], cluster.node(1))
    ask = (
        "import socket,sys;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(1);"
        "s.sendto(b'hi',(sys.argv[1],81));print(s.recv(99).decode())"
    )

    def echoed():
        done = cluster.client().run(["/usr/bin/python3", "-c", ask, address], check=False)
        return done.stdout if done.returncode == 0 else None

    assert cluster.wait_for(echoed, 10, "an echo").split()[1] == "hi"
    workloads.remove(cluster, "echo")


def test_no_backends_means_refused_at_once(cluster):
    cluster.api.create(workloads.service("nobody"))
    address = str(cluster.plan.pool4(first=2).split("-", maxsplit=1)[0])
    workloads.publish(cluster, "nobody", [address], cluster.node(1))

    def refused():
        # curl's 7: could not connect.
        return cluster.client().run(["curl", "-s", "-m", "1", f"http://{address}/"], check=False).returncode == 7

    cluster.wait_for(refused, 10, "a refused connection")
    workloads.remove(cluster, "nobody")


def test_a_dead_backend_is_left_out(cluster):
    cluster.apply(workloads.deployment("pair", replicas=2), workloads.service("pair"))
    workloads.wait_ready(cluster, "pair", 2)
    address = str(cluster.plan.pool4(first=3).split("-", maxsplit=1)[0])
    workloads.publish(cluster, "pair", [address], cluster.node(1))
    cluster.wait_for(lambda: cluster.client().curl(address, timeout=1), 10, "an answer")
    victim = workloads.wait_ready(cluster, "pair", 2)[0]
    cluster.node(1).ns.run(["curl", "-s", "-m", "3", f"http://{victim['status']['podIP']}:8080/unready"])
    workloads.wait_ready(cluster, "pair", 1)
    other = "pair"

    def one_left():
        seen = {(cluster.client().curl(address, timeout=1) or "none").split()[0] for _ in range(8)}
        return len(seen) == 1 and victim["metadata"]["name"] not in seen and seen.pop().startswith(other)

    cluster.wait_for(one_left, 10, "answers of the ready backend alone")
    workloads.remove(cluster, "pair")


def test_thousand_services_are_programmed(cluster):
    """The proxy's rules for many Services come in few transactions: seconds, not minutes."""
    count = 300
    node = cluster.node(1)
    began = time.monotonic()
    for number in range(count):
        cluster.api.create(workloads.service(f"many{number}", selector={"app": "none"}, type="ClusterIP"))
    created = time.monotonic()

    def programmed():
        listed = node.ns.run(["nft", "list", "map", "ip", "mlc", "closed"]).stdout
        return listed.count("goto refuse") >= count

    cluster.wait_for(programmed, 20, f"{count} Services in the rules")
    assert time.monotonic() - created < 5, f"{created - began:.1f} s to create them"
    for number in range(count):
        cluster.api.delete("Service", f"many{number}", "default")


def test_load_and_probe_see_an_outage(cluster, web):
    """The instruments themselves: failures are counted, and the gap has the outage's length."""
    address = addresses(cluster)[0]
    node = cluster.node(1)
    with traffic.Load(cluster.client(), [(address, 80)], rate=40, patience=0.5) as load:
        time.sleep(0.5)
        node.partition()
        time.sleep(1.5)
        node.heal()
        cluster.wait_for(lambda: load.requests and load.requests[-1].ok, 10, f"{web} answering again")
    assert load.failed()
    assert 1.2 < load.longest_gap() < 4


def test_probes_and_sniffer(cluster):
    node = cluster.node(3)
    with traffic.NdpProbe(cluster.client(), [node.plan.ip6]) as probe:
        time.sleep(0.4)
        assert probe.owner(node.plan.ip6) == {node.mac}
    with traffic.Sniffer(cluster.client("watcher").ns) as sniffer:
        with traffic.ArpProbe(cluster.client(), [node.plan.ip4]) as probe:
            time.sleep(0.4)
            assert probe.owner(node.plan.ip4) == {node.mac}
    assert probe.longest_gap(node.plan.ip4) < 2
    asked = [frame for frame in sniffer.arp(cluster.client().ip4) if frame.target_ip == node.plan.ip4]
    assert len(asked) > 20
