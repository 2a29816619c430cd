"""OpenAPI v2 and v3 documents."""
from . import errors


def answer(registry, http, parts):
	raise errors.no_such_path()
