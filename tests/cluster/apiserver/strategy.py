"""What is peculiar to a kind: defaults, validation, deletion. Owns: the table of kinds to their rules."""


def prepare_create(rest, res, obj):
	if res.table == "/namespaces":
		obj["spec"] = {"finalizers": ["kubernetes"]}
		obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


def keeps_status_on_create(res):
	return res.table == "/nodes"


def initial_status(res, obj):
	if res.table == "/namespaces":
		obj["status"] = {"phase": "Active"}


def allocate(rest, res, obj, old, dry_run):
	pass


def prepare_update(rest, res, new, old, sub):
	if sub == "status":
		status = new.get("status")
		managed = new["metadata"].get("managedFields")
		meta = dict(old["metadata"])
		if managed is not None:
			meta["managedFields"] = managed
		new.clear()
		new.update({**old, "metadata": meta})
		new.pop("status", None)
		if status is not None:
			new["status"] = status
	elif res.has_status:
		new.pop("status", None)
		if "status" in old:
			new["status"] = old["status"]


def validate(rest, res, obj, old, sub):
	return []


def held(res, obj):
	"""Kept by something else than metadata.finalizers."""
	return res.table == "/namespaces" and bool((obj.get("spec") or {}).get("finalizers"))


def released(rest, res, obj):
	pass


def grace(res, obj, asked):
	return 0


def terminating(res, obj):
	if res.table == "/namespaces":
		obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
