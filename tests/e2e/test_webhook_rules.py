"""Every rule of admission by real kubectl: each bad manifest of the table is refused with its message, each good
twin is accepted."""

import json
import pathlib
import re
import subprocess
import time

import pytest
import yaml

from tests.e2e.lab import CONFIG_KINDS, SYSTEM
from tests.e2e.webhook import kubectl_try, wait_registered

TABLE = yaml.safe_load(pathlib.Path(__file__).with_name("webhook_cases.yaml").read_text())
VERSIONS = {"BGPPeer": "metallb.io/v1beta2", "Secret": "v1"}


@pytest.fixture(scope="module")
def registered(cluster):
    wait_registered(cluster)
    return cluster


@pytest.fixture
def clean(registered):
    """The table's objects go after each row."""
    made = []
    yield made
    # Profiles last: one that is in use cannot go.
    for obj in sorted(made, key=lambda obj: obj["kind"] == "BFDProfile"):
        meta = obj["metadata"]
        registered.api.delete(obj["kind"], meta["name"], meta["namespace"])


def manifest(kind, name, body, meta=None, version=None):
    api = f"metallb.io/{version}" if version else VERSIONS.get(kind, "metallb.io/v1beta1")
    obj = {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": SYSTEM, **(meta or {})}}
    return {**obj, **{key: value for key, value in body.items() if value is not None}}


def given_objects(row):
    for item in row.get("given", []):
        body = {key: value for key, value in item.items() if key not in ("kind", "name")}
        yield manifest(item["kind"], item["name"], body)


def row_object(row, which, meta):
    return manifest(row["kind"], row["id"], {"spec": row[which]}, row.get(meta), row.get("version"))


def create(cluster, made, objects):
    """In place before the row; a moment for the webhooks to learn of them."""
    objects = list(objects)
    for obj in objects:
        cluster.apply(obj)
        made.append(obj)
    if objects:
        time.sleep(0.3)


def expected(row):
    """What the refusal contains. Of a schema's own, whose words and paths vary with the server, the field's name."""
    if not row.get("schema"):
        return row["message"]
    return re.sub(r"\[\d+\]$", "", row["message"]).split(".")[-1]


def apply(cluster, row, obj):
    words = ["apply", "--validate=false", "-f", "-"] + (["--dry-run=server"] if row.get("dryRun") else [])
    return kubectl_try(cluster, *words, stdin=json.dumps(obj))


@pytest.mark.parametrize("row", [row for row in TABLE if not row.get("delete")], ids=lambda row: row["id"])
def test_written(registered, clean, row):
    create(registered, clean, given_objects(row))
    if "old" in row:
        create(registered, clean, [row_object(row, "old", "oldMeta")])
    code, text = apply(registered, row, row_object(row, "bad", "badMeta"))
    assert code != 0, f"accepted: {text}"
    assert expected(row) in text
    good = row_object(row, "good", "goodMeta")
    code, text = apply(registered, row, good)
    if not row.get("dryRun") and "old" not in row:
        clean.append(good)
    assert code == 0, text


@pytest.mark.parametrize("row", [row for row in TABLE if row.get("delete")], ids=lambda row: row["id"])
def test_deleted(registered, clean, row):
    obj = row_object(row, "good", "goodMeta")
    create(registered, clean, [*given_objects(row), obj])
    code, text = kubectl_try(registered, "delete", row["kind"], row["id"], "-n", SYSTEM)
    assert code != 0 and row["message"] in text
    while len(clean) > 1:
        other = clean.pop(0)
        registered.api.delete(other["kind"], other["metadata"]["name"], SYSTEM)
    code, text = kubectl_try(registered, "delete", row["kind"], row["id"], "-n", SYSTEM)
    assert code == 0, text


def test_table_is_long_enough():
    assert len(TABLE) >= 120
    assert len({row["id"] for row in TABLE}) == len(TABLE)
    assert {row["kind"] for row in TABLE} >= set(CONFIG_KINDS)


def test_dry_run(registered):
    """--dry-run=server is judged like the real thing and changes nothing."""
    row = next(row for row in TABLE if row["id"] == "pool-mask-too-long")
    for which, wanted in (("bad", 1), ("good", 0)):
        code, text = apply(registered, {"dryRun": True}, row_object(row, which, None))
        assert (code != 0) == bool(wanted), text
    assert registered.get("IPAddressPool", row["id"], SYSTEM) is None


def test_one_right_after_the_other(registered, clean):
    """Of two pools that overlap, in one kubectl apply, the second is refused however fast it comes."""
    for number in range(10):
        spec = {"spec": {"addresses": [f"198.18.{number}.0/24"]}}
        pools = [manifest("IPAddressPool", f"twin{word}{number}", spec) for word in "ab"]
        clean.extend(pools)
        code, text = kubectl_try(registered, "apply", "-f", "-", stdin="".join(f"---\n{json.dumps(pool)}\n" for pool in pools))
        assert code != 0 and f"of IPAddressPool twina{number}" in text, text


def test_in_the_place_of_a_deleted_one(registered, clean):
    """A pool deleted, and at once another one with its addresses: never refused because of what is gone."""
    for number in range(20):
        pool = manifest("IPAddressPool", f"next{number}", {"spec": {"addresses": ["198.18.77.0/24"]}})
        registered.api.create(pool)
        registered.api.delete("IPAddressPool", f"next{number}", SYSTEM)


def test_missing_references_warn(registered, clean):
    """What an object refers to may come later: the write is accepted, with a warning that names it."""
    peer = manifest(
        "BGPPeer",
        "early",
        {"spec": {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1", "bfdProfile": "later"}},
    )
    advert = manifest(
        "BGPAdvertisement", "early", {"spec": {"ipAddressPools": ["later"], "peers": ["other"], "communities": ["vpn"]}}
    )
    warnings = []
    for obj, words in ((peer, ["BFDProfile later"]), (advert, ["vpn", "IPAddressPool later", "BGPPeer other"])):
        code, text = kubectl_try(registered, "apply", "-f", "-", stdin=json.dumps(obj))
        assert code == 0, text
        clean.append(obj)
        warnings.append((text, words))
    if subprocess.run([registered.kubectl_path, "version", "--client"], capture_output=True, check=True):
        assert any("Warning:" in text and words[0] in text for text, words in warnings), warnings


def test_pool_in_use_warns(lab, registered):
    """Taking a pool's addresses away from Services is allowed, and said."""
    wide = registered.plan.pool4(900, 20)
    lab.pool("used", [wide])
    for number in range(12):
        lab.service(f"svc{number}")
    for number in range(12):
        lab.wait_addresses(f"svc{number}")
    time.sleep(0.5)
    other = manifest("IPAddressPool", "used", {"spec": {"addresses": [registered.plan.pool4(950, 5)]}})
    code, text = kubectl_try(registered, "apply", "--dry-run=server", "-f", "-", stdin=json.dumps(other))
    assert code == 0, text
    assert "12 Services lose their addresses" in text and text.count(f"{lab.namespace}/svc") == 10
    code, text = kubectl_try(registered, "delete", "ipaddresspool", "used", "-n", SYSTEM)
    assert code == 0 and "12 Services lose their addresses" in text, text
