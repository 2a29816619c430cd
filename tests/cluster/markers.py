"""Markers of tests that not every place can run; shared by the suites' conftest files.

    @pytest.mark.only_real("the imitation has no ...")     one of the two control planes
    @pytest.mark.needs_kernel("vrf")                       a kernel with this type of link

Such a test is not collected elsewhere, and the end of the run says how many were left out and why.
"""

import collections
import functools

from .netns import Netns, NetnsError

KINDS = {"only_real": "real", "only_builtin": "builtin"}


def register(config):
    for name, kind in KINDS.items():
        config.addinivalue_line("markers", f"{name}(reason): the test needs the {kind} control plane")
    config.addinivalue_line("markers", "needs_kernel(type): the test needs a kernel with this type of link")


@functools.cache
def kernel_has(link_type):
    """Whether the kernel knows links of a type, tried in a namespace of its own."""
    ns = Netns.create("kernel")
    try:
        ns.ip(f"link add probe type {link_type}" + (" table 10" if link_type == "vrf" else ""))
        return True
    except NetnsError as error:
        if "Unknown device type" not in str(error) and "not supported" not in str(error):
            raise
        return False
    finally:
        ns.close()


def left_out(item, kind):
    """Why the test is not for a control plane of this kind; None if it is."""
    for name, wanted in KINDS.items():
        marker = item.get_closest_marker(name)
        if marker and wanted != kind:
            if not marker.args:
                raise ValueError(f"{item.nodeid}: marker {name} gives no reason")
            return f"{name}: {marker.args[0]}"
    marker = item.get_closest_marker("needs_kernel")
    if marker and not kernel_has(marker.args[0]):
        return f"needs_kernel: {marker.args[0]}"
    return None


def deselect(config, items, kind):
    """Takes the tests out of `items` that this control plane cannot run."""
    reasons = [left_out(item, kind) for item in items]
    gone = [item for item, reason in zip(items, reasons) if reason]
    config.hook.pytest_deselected(items=gone)
    items[:] = [item for item, reason in zip(items, reasons) if not reason]
    return collections.Counter(reason for reason in reasons if reason)
