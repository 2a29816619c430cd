"""Server-side apply and the tracking of field managers."""
from .errors import ApiError


def track(res, old, new, manager, sub, when):
	pass


def merge(res, old, body, manager, sub, force, when):
	raise ApiError(415, "UnsupportedMediaType", "server-side apply is not supported")
