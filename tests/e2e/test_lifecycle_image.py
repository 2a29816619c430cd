"""hack/image: what is in the image, and one name for several architectures."""

import json
import os
import pathlib
import subprocess
import tarfile

import pytest

from tests.cluster.images import PROJECT

ROOT = pathlib.Path(PROJECT)
GOAL = 30 << 20  # bytes, compressed


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False,
                          env={**os.environ, "STORAGE_DRIVER": "vfs"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built():
    return run(ROOT / "hack/image", "metallb-c:latest")


def test_what_is_in_it(built):
    size = int(built.rsplit("KiB compressed", 1)[0].rsplit(",", 1)[1]) << 10
    assert 1 << 20 < size < GOAL, built
    names = {str(path.relative_to(ROOT / "build/image")) for path in (ROOT / "build/image").rglob("*")}
    assert {"operator", "speaker", "kubectl-metallb", "etc/ssl/certs/ca-certificates.crt"} <= names
    assert not {name for name in names if name.rsplit("/", 1)[-1] in ("sh", "bash", "dash", "busybox", "apt", "dpkg")}
    image = json.loads(run("buildah", "inspect", "--type", "image", "metallb-c:latest"))["Docker"]["config"]
    assert image["User"] == "65534:65534" and image["Entrypoint"] == ["/operator"]


def test_two_architectures_under_one_name(built, tmp_path):
    """The second one is empty but for its label: there is no machine of its kind here."""
    container = run("buildah", "from", "scratch").strip()
    other = tmp_path / "arm64.tar"
    try:
        run("buildah", "config", "--arch", "arm64", container)
        run("buildah", "commit", "-q", container, "metallb-c-test:arm64")
        run("buildah", "push", "-q", "metallb-c-test:arm64", f"docker-archive:{other}:metallb-c-test:arm64")
        own = tmp_path / "own.tar"
        own.write_bytes((ROOT / "build/image.tar").read_bytes())
        said = run(ROOT / "hack/image", "--join", "metallb-c-test:all", own, other)
        assert "amd64 arm64" in said
        with tarfile.open(ROOT / "build/image-all.tar") as archive:
            index = json.load(archive.extractfile("index.json"))
        assert index["manifests"][0]["mediaType"].endswith("image.index.v1+json") or len(index["manifests"]) > 1
    finally:
        run("buildah", "rm", container)
        for name in ("metallb-c-test:arm64", "metallb-c-test:all"):
            subprocess.run(["buildah", "rmi", "-f", name], capture_output=True, check=False,
                           env={**os.environ, "STORAGE_DRIVER": "vfs"})
