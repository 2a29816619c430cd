"""Becomes the program of a container: python3 -I -S launch.py SPEC.json FD

FD is the writing end of a pipe: closed without a word once the program runs, or told why it cannot.
Builds a root file system of its own in a private mount namespace, takes on the container's user and
capabilities, and executes the program. The root is a tmpfs with the machine's /usr, a fresh /tmp and
/run, the image's files and the volumes; it vanishes with the last process in it.

An image that is a directory ("rootfs") is taken instead of the machine's /usr and /etc, and nothing else.

SPEC: {"rootfs": directory or null, "files": {target: source}, "volumes": [{"source", "target", "readOnly"}],
"argv", "env", "cwd", "uid", "gid", "groups", "capabilities": [names], "noNewPrivileges", "readOnlyRoot", "netns", "hostname"}
"""

import ctypes
import json
import os
import shutil
import signal
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x20000, 0x4000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_SET_KEEPCAPS = 1, 38, 24, 8
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAPABILITY_VERSION_3 = 0x20080522

CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
).split()

ETC_FILES = (
    "passwd group hosts nsswitch.conf resolv.conf host.conf gai.conf services protocols localtime "
    "ld.so.cache ld.so.conf ssl alternatives"
).split()

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def mount(source, target, fstype=None, flags=0, data=None):
    args = [item.encode() if item is not None else None for item in (source, target, fstype)]
    check(libc.mount(*args, flags, data.encode() if data else None), f"mount {source} on {target}")


def bind(source, target, read_only=False):
    """Binds a file or a directory; the target is made if it is not there."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "ab"):
            pass
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        mount(None, target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def build_etc(root):
    """An /etc with what programs look for, into which volumes can be mounted."""
    for name in ETC_FILES:
        source, target = f"/etc/{name}", f"{root}/etc/{name}"
        if os.path.isdir(source):
            bind(source, target, read_only=True)
        elif os.path.exists(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(source, "rb") as file, open(target, "wb") as copy:
                copy.write(file.read())


def build_from_image(root, image):
    """What the image holds: directories read-only in place, but /etc, into which volumes are mounted, copied."""
    for name in os.listdir(image):
        source, target = f"{image}/{name}", f"{root}/{name}"
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif name == "etc":
            shutil.copytree(source, target, symlinks=True)
        elif name != "tmp":
            bind(source, target, read_only=True)


def build_from_machine(root):
    for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        source, target = f"/{name}", f"{root}/{name}"
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isdir(source):
            bind(source, target, read_only=True)
    build_etc(root)


def build_root(root, image):
    mount("tmpfs", root, "tmpfs", data="mode=0755,size=256m")
    if image:
        build_from_image(root, image)
    else:
        build_from_machine(root)
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        bind(f"/dev/{name}", f"{root}/dev/{name}")
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    os.makedirs(f"{root}/proc")
    mount("/proc", f"{root}/proc", flags=MS_BIND | MS_REC)
    os.makedirs(f"{root}/sys")
    mount("sysfs", f"{root}/sys", "sysfs", flags=MS_NOSUID | MS_RDONLY)
    for name in ("tmp", "var/tmp"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
        os.chmod(f"{root}/{name}", 0o1777)
    os.makedirs(f"{root}/run")
    os.symlink("/run", f"{root}/var/run")


def place(root, target):
    """Where an absolute path of the container lies while its root is built: /var/run means /run."""
    target = os.path.normpath(target)
    if target == "/var/run" or target.startswith("/var/run/"):
        target = target[len("/var") :]
    return root + target


def fill_root(spec, root):
    for target, source in sorted(spec["files"].items()):
        bind(source, place(root, target), read_only=True)
    # A volume may lie inside another one: the outer first, and not read-only before the place of the inner is made.
    volumes = sorted(spec["volumes"], key=lambda volume: volume["target"])
    for volume in volumes:
        bind(volume["source"], place(root, volume["target"]))
    for volume in volumes:
        if volume["readOnly"]:
            mount(None, place(root, volume["target"]), flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def enter_root(root, read_only):
    os.chdir(root)
    check(libc.syscall(SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")
    if read_only:
        mount(None, "/", flags=MS_REMOUNT | MS_RDONLY | MS_BIND)


SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]


class CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class CapData(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def set_capabilities(numbers):
    """The three sets of the thread become exactly `numbers`."""
    data = (CapData * 2)()
    for number in numbers:
        word, bit = data[number // 32], 1 << (number % 32)
        word.effective |= bit
        word.permitted |= bit
        word.inheritable |= bit
    header = CapHeader(CAPABILITY_VERSION_3, 0)
    check(libc.capset(ctypes.byref(header), data), "capset")


def last_capability():
    with open("/proc/sys/kernel/cap_last_cap", "rb") as file:  # no codec can be loaded any more
        return int(file.read())


def may_set_groups():
    """A user namespace made without privileges keeps the groups of who made it."""
    with open("/proc/self/setgroups", "rb") as file:
        return file.read().strip() != b"deny"


def mapped(path, number):
    """Whether this user namespace knows the id; an unprivileged one knows only its own."""
    with open(path, "rb") as file:
        for line in file:
            first, _, count = (int(word) for word in line.split())
            if first <= number < first + count:
                return True
    return False


def take_identity(spec):
    """User, groups and capabilities, the bounding set included."""
    keep = [CAPABILITIES.index(name) for name in spec["capabilities"]]
    keep = [number for number in keep if number <= last_capability()]
    for number in range(last_capability() + 1):
        if number not in keep:
            check(libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0), f"dropping capability {number}")
    check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keeping capabilities")
    if mapped("/proc/self/gid_map", spec["gid"]) and mapped("/proc/self/uid_map", spec["uid"]):
        if (os.getgroups() or spec["groups"]) and may_set_groups():
            os.setgroups(spec["groups"])
        os.setresgid(spec["gid"], spec["gid"], spec["gid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    else:
        print(f"launch: user {spec['uid']} is unknown to this user namespace; running as {os.getuid()}",
              file=sys.stderr)
    set_capabilities(keep)
    if spec["noNewPrivileges"]:
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    os.set_inheritable(int(sys.argv[2]), False)
    parent = os.getppid()
    if spec["netns"]:
        fd = os.open(spec["netns"], os.O_RDONLY | os.O_CLOEXEC)
        check(libc.setns(fd, CLONE_NEWNET), "setns")
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWUTS), "unshare")
    check(libc.sethostname(spec["hostname"].encode(), len(spec["hostname"].encode())), "sethostname")
    mount(None, "/", flags=MS_REC | MS_PRIVATE)
    root = spec["root"]
    build_root(root, spec.get("rootfs"))
    fill_root(spec, root)
    enter_root(root, spec["readOnlyRoot"])
    os.chdir(spec["cwd"])
    take_identity(spec)
    # Changing the user cleared it, hence here: the container goes when its node agent goes.
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")
    if os.getppid() != parent:
        sys.exit("launch: the node agent is gone")
    os.execvpe(spec["argv"][0], spec["argv"], spec["env"])


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        os.write(int(sys.argv[2]), str(error).encode())
        sys.exit(127)
