"""Markers of tests that only one of the two control planes can run; shared by the suites' conftest files.

    @pytest.mark.only_real("the imitation has no ...")

Such a test is not collected on the other one, and the end of the run says how many were left out and why.
"""

import collections

KINDS = {"only_real": "real", "only_builtin": "builtin"}


def register(config):
    for name, kind in KINDS.items():
        config.addinivalue_line("markers", f"{name}(reason): the test needs the {kind} control plane")


def left_out(item, kind):
    """Why the test is not for a control plane of this kind; None if it is."""
    for name, wanted in KINDS.items():
        marker = item.get_closest_marker(name)
        if marker and wanted != kind:
            if not marker.args:
                raise ValueError(f"{item.nodeid}: marker {name} gives no reason")
            return f"{name}: {marker.args[0]}"
    return None


def deselect(config, items, kind):
    """Takes the tests out of `items` that this control plane cannot run."""
    reasons = [left_out(item, kind) for item in items]
    gone = [item for item, reason in zip(items, reasons) if reason]
    config.hook.pytest_deselected(items=gone)
    items[:] = [item for item, reason in zip(items, reasons) if not reason]
    return collections.Counter(reason for reason in reasons if reason)
