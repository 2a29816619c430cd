"""Structural schemas."""


def child(schema, key):
	props = schema.get("properties") or {}
	if key in props:
		return props[key]
	extra = schema.get("additionalProperties")
	return extra if isinstance(extra, dict) else None


def admit(res, obj, ctx):
	pass


def default(res, obj):
	pass


def validate(res, obj):
	return []
