"""kubectl-metallb plan --cluster tells what the running programs really do."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("METALLB_BUILD", ROOT / "build/release")) / "operator/cli/kubectl-metallb"


def plan(lab, *args, stdin=None):
    command = [PROGRAM, "plan", "--cluster", "--kubeconfig", lab.cluster.kubeconfig, "-o", "json", *args]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    made = json.loads(done.stdout)
    return {s["name"]: s for s in made["services"] if s["namespace"] == lab.namespace}


def test_plan_agrees_with_the_cluster(lab):
    lab.pool()
    lab.l2()
    lab.backend("web")
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    owner = lab.wait_answering(address)
    planned = plan(lab)["web"]
    assert planned["addresses"] == [address]
    assert planned["pool"] == "pool"
    assert [(x["address"], x["node"], x["interfaces"]) for x in planned["layer2"]] == [(address, owner.name, "all")]


def test_files_on_top_show_what_applying_them_would_do(lab):
    lab.pool()
    lab.service("held")
    (held,) = lab.wait_addresses("held")
    waiting = lab.service_object("waiting", ipFamilies=["IPv4"], clusterIP="10.96.200.9", clusterIPs=["10.96.200.9"])
    planned = plan(lab, "-", stdin=json.dumps(waiting))
    assert planned["held"]["addresses"] == [held]
    assert len(planned["waiting"]["addresses"]) == 1 and planned["waiting"]["addresses"] != [held]
