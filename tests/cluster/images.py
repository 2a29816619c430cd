"""The table of images: what stands for a container image is a handful of files of this machine.

An image is {"files": {path in the container: path here}, "entrypoint", "cmd", "env", "user"}; every container
sees the machine's /usr besides (launch.py), unless the image is a whole root file system: {"rootfs": directory}. The name is the image reference's last part without tag.
"""

import os
import pathlib
import re

PROJECT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("operator", "speaker", "kubectl-metallb")


def build_directory():
    """Where the programs were built: $METALLB_BUILD, or the newest of the presets' directories."""
    named = os.environ.get("METALLB_BUILD")
    if named:
        return pathlib.Path(named).resolve()
    candidates = [path for path in (PROJECT / "build").glob("*") if find_program(path, "speaker")]
    if not candidates:
        raise FileNotFoundError("no built programs: set METALLB_BUILD or build a preset first")
    return max(candidates, key=lambda path: find_program(path, "speaker").stat().st_mtime)


def find_program(directory, name):
    """The executable `name` of a build directory, at its top, in bin/ or in the folder of its sources."""
    for place in ("", "bin", name, "operator/cli"):
        path = pathlib.Path(directory, place, name)
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def product_image(directory=None):
    """The project's own image, with the programs where the container image has them."""
    directory = directory or build_directory()
    files = {}
    for name in PROGRAMS:
        path = find_program(directory, name)
        if path:
            files[f"/{name}"] = str(path)
    env = {key: value for key, value in os.environ.items() if key in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")}
    return {"files": files, "env": env}


def built_image(directory=None):
    """What hack/image has built, as it is: nothing of this machine is in its containers."""
    return {"rootfs": str(directory or PROJECT / "build" / "image"), "entrypoint": ["/operator"], "user": 65534}


def helper_images():
    """Images for tests: `backend`, a small HTTP server, and `machine`, just this machine's programs."""
    backend = pathlib.Path(__file__).with_name("images") / "backend.py"
    return {
        "backend": {"files": {"/backend": str(backend)}, "entrypoint": ["/usr/bin/python3", "-I", "/backend"]},
        "machine": {"files": {}},
    }


def other_images(directory, version):
    """More images of the product, with files made in `directory`: for upgrades.

    `metallb-c-next` is the same programs that call themselves another version (of as many characters);
    `metallb-c-stuck` has that operator, and a speaker that never gets ready.
    """
    image = product_image()
    files = {}
    for inside, path in image["files"].items():
        found = pathlib.Path(path).read_bytes()
        own = re.search(rb" (\d+\.\d+\.\d+)\0", found)
        if own and len(own[1]) == len(version):
            for before in (b" ", b"\0"):  # compilers keep it once or twice
                found = found.replace(before + own[1] + b"\0", before + version.encode() + b"\0")
        made = pathlib.Path(directory, pathlib.Path(path).name)
        made.write_bytes(found)
        made.chmod(0o755)
        files[inside] = str(made)
    stuck = {**files, "/speaker": str(pathlib.Path(__file__).with_name("images") / "never_ready.sh")}
    return {"metallb-c-next": {**image, "files": files}, "metallb-c-stuck": {**image, "files": stuck}}
