"""What README.md and docs/installation.md tell to type, typed: on a cluster that MetalLB has just left.

Only the lines with kubectl of the sections on installing, checking and removing are run; none is changed.
"""

import os
import re
import subprocess
import time

from tests.cluster.images import build_directory
from tests.e2e.bare import ROOT, addresses, bare, held_addresses, leave_metallbs_objects, workload  # noqa: F401
from tests.e2e.lab import SYSTEM, wait_installed


def commands(document, section):
    """The kubectl lines of the indented blocks below a heading."""
    text = (ROOT / document).read_text()
    part = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^    (kubectl.*)$", part[1], re.MULTILINE)
    assert found, (document, section)
    return found


def typed(cluster, line, timeout=120):
    """Runs one line in a shell, in the checkout, as the administrator; its output."""
    path = f"{build_directory() / 'operator/cli'}:{os.environ['PATH']}"
    done = subprocess.run(
        line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
        env={**cluster.kubectl_env(), "PATH": path})
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_install_section_word_for_word(bare):  # noqa: F811
    held = held_addresses(bare, 3)
    leave_metallbs_objects(bare, held)
    secret = bare.get("Secret", "memberlist", SYSTEM)

    # README.md
    for line in commands("README.md", "Install on a cluster"):
        typed(bare, line)
    wait_installed(bare)

    # docs/installation.md says the same at more length
    for line in commands("docs/installation.md", "Apply"):
        typed(bare, line)

    # what MetalLB gave out is kept, and nothing else gets it; its key is used
    time.sleep(1)
    assert [addresses(bare, f"old-{i}") for i in range(3)] == [[a] for a in held]
    now = bare.get("Secret", "memberlist", SYSTEM)
    assert (now["metadata"]["uid"], now["data"]) == (secret["metadata"]["uid"], secret["data"])
    pool = bare.get("IPAddressPool", "old", SYSTEM)
    bare.wait_for(lambda: bare.get("IPAddressPool", "old", SYSTEM)["status"]["assignedIPv4"] == 3, 10, str(pool))

    # the sample's pool serves a Service: an answer through its address
    bare.kubectl("apply", "-f", ROOT / "config/samples/service.yaml")
    found = bare.wait_for(lambda: addresses(bare, "web"), 20, "an address from the sample's pool")
    assert found[0].startswith("192.168.1.24")
    client = bare.client()
    client.ns.ip(f"route add {found[0]}/32 dev eth0")
    bare.wait_for(lambda: client.curl(found[0]), 45, "an answer through the address")

    out = "".join(typed(bare, line) for line in commands("docs/installation.md", "Check"))
    assert found[0] in out and "nodeAssigned" in out and "local" in out and "controller" in out

    delete, ask, remove = commands("docs/installation.md", "Remove")
    typed(bare, delete)
    bare.wait_for(lambda: "speaker" not in typed(bare, ask), 60, "the speakers gone", 0.5)
    assert addresses(bare, "old-0") == [held[0]]  # no speaker, but booked; only with the pools it goes
    typed(bare, remove)
    assert bare.get("Namespace", SYSTEM) is None
    left = bare.kubectl("get", "crds,clusterroles,clusterrolebindings,validatingwebhookconfigurations", "-o", "name")
    assert "metallb" not in left, left
