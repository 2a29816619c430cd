"""kubectl-metallb convert and doctor."""

import json
import pathlib

import pytest
import yaml

from tests.e2e.test_ipam_cli import NS, run

CASES = yaml.safe_load(pathlib.Path(__file__).with_name("convert_cases.yaml").read_text())
GOOD = [case for case in CASES if "makes" in case]
BAD = [case for case in CASES if "error" in case]


def config_map(text):
    meta = {"name": "config", "namespace": NS}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"config": text}})


def test_the_table_is_large_enough():
    assert len(GOOD) >= 30 and len(GOOD) + len(BAD) == len(CASES)


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["id"])
def test_an_old_configuration_becomes_resources(case):
    status, out, err = run("convert", "-", stdin=config_map(case["config"]))
    assert status == 0, err
    made = list(yaml.safe_load_all(out))
    assert all(o["metadata"]["namespace"] == NS for o in made)
    found = {f"{o['kind']} {o['metadata']['name']}": o.get("spec", o.get("stringData")) for o in made}
    assert found == case["makes"] and len(found) == len(made)
    assert case["note"] in err if "note" in case else err == ""

    status, findings, err = run("validate", "--backend", case.get("backend", "native"), "-", stdin=out)
    assert (status, findings, err) == (0, "", "")

    status, as_json, _ = run("convert", "-o", "json", "-", stdin=config_map(case["config"]))
    assert status == 0 and json.loads(as_json)["items"] == made


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["id"])
def test_what_metallb_refused_is_refused_with_its_place(case):
    status, out, err = run("convert", "-", stdin=config_map(case["config"]))
    assert status == 1 and out == ""
    assert err.startswith("kubectl-metallb: -:1: ConfigMap config: key config: ") and case["error"] in err


def test_the_map_is_found_among_other_objects(tmp_path):
    config_maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "x"}, "data": data}
        for name, data in (("other", {"a": "b"}), ("config", {"config": GOOD[1]["config"]}))
    ]
    (tmp_path / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": config_maps}))
    status, out, err = run("convert", "-n", "lb", tmp_path)
    assert (status, err) == (0, "") and [o["metadata"]["namespace"] for o in yaml.safe_load_all(out)] == ["lb", "lb"]


@pytest.mark.parametrize("text, said", [("a: 1", "no ConfigMap"), ("address-pools: []", "the configuration itself")])
def test_what_is_no_map_is_told(text, said):
    status, out, err = run("convert", "-", stdin=text)
    assert status in (1, 2) and out == "" and said in err
