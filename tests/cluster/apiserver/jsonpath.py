"""The JSONPath of additionalPrinterColumns: fields, indexes, [*], quoted keys and simple ?(@.a=="b") filters.

Owns: this subset of kubectl's JSONPath; a path outside it finds nothing.
"""
import functools
import json
import re

_TOKEN = re.compile(
    r"""\.(?P<name>[A-Za-z0-9_\-/]+(?:\\\.[A-Za-z0-9_\-/]+)*)|\[(?P<index>-?\d+)\]|(?P<all>\[\*\]|\.\*)"""
    r"""|\['(?P<quoted>[^']*)'\]|\[\?\(@\.(?P<key>[A-Za-z0-9_.\-/]+)\s*==\s*["'](?P<want>[^"']*)["']\)\]"""
)


@functools.lru_cache(512)
def _parse(path):
    """-> tokens, or None."""
    text, out = path.strip("{}"), []
    if not text.startswith((".", "[")):
        text = "." + text
    at = 0
    while at < len(text):
        m = _TOKEN.match(text, at)
        if not m:
            return None
        out.append(m)
        at = m.end()
    return out


def _step(m, value):
    name = m["name"].replace("\\.", ".") if m["name"] else m["quoted"]
    if name is not None:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if m["all"]:
        return (
            list(value)
            if isinstance(value, list)
            else list(value.values())
            if isinstance(value, dict)
            else []
        )
    if not isinstance(value, list):
        return []
    if m["index"]:
        i = int(m["index"])
        return [value[i]] if -len(value) <= i < len(value) else []
    return [v for v in value if isinstance(v, dict) and str(_dig(v, m["key"])) == m["want"]]


def _dig(value, path):
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def find(path, obj):
    """The values that `path` finds, nulls left out."""
    tokens = _parse(path)
    values = [obj] if tokens is not None else []
    for m in tokens or ():
        values = [v for value in values for v in _step(m, value)]
    return [v for v in values if v is not None]


def text(values):
    """Several values, or one that is no scalar, as kubectl writes them."""
    parts = []
    for value in values:
        if isinstance(value, str):
            parts.append(value)
        elif isinstance(value, bool):
            parts.append("true" if value else "false")
        else:
            parts.append(json.dumps(value, separators=(",", ":")))
    return " ".join(parts)
