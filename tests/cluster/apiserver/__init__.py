"""The built-in API server: `python3 -m tests.cluster.apiserver --help`; __main__.py tells how to run it.

A request goes server.py (path, identity, rbac.py) -> rest.py (the order of a write's steps) -> schema.py, strategy.py
(what a kind may be), apply.py and patch.py, admission.py -> store.py, which tells watchers and controllers/.

Left to a real server: CEL, escalation checks when roles are written, aggregated ClusterRoles, resource quotas,
ControllerRevisions, DaemonSet maxSurge, protobuf answers, pods/log and pods/exec, HTTP/2, SCTP and FQDN finer points,
JSON keys given twice, lists that read an older resourceVersion (a page after the first shows the newest state).
"""
