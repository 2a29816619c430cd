"""The objects, in memory. Owns: resourceVersions, the event history that watches resume from, indexes by
owner, and the file that lets a restarted server go on.

An object in here is never changed in place: a write replaces the Entry. Leaves out: history across a restart
(a watch older than the newest write of its table gets 410, as after an etcd compaction).
"""
import asyncio
import json
import os
from collections import deque

from .errors import gone

HISTORY_MAX = 20000
WATCH_BACKLOG_MAX = 50000
SAVE_DELAY = 0.5


def clone(value):
    """A deep copy of JSON; much faster than copy.deepcopy."""
    if isinstance(value, dict):
        return {k: clone(v) for k, v in value.items()}
    if isinstance(value, list):
        return [clone(v) for v in value]
    return value


class Entry:
    """One version of one object, with its encoding made once."""

    __slots__ = ("obj", "rv", "_raw")

    def __init__(self, obj, rv):
        self.obj = obj
        self.rv = rv
        self._raw = None

    @property
    def raw(self):
        if self._raw is None:
            self._raw = json.dumps(self.obj, separators=(",", ":")).encode()
        return self._raw

    def copy(self):
        return clone(self.obj)


class Event:
    __slots__ = ("type", "entry", "old")

    def __init__(self, type_, entry, old):
        self.type = type_
        self.entry = entry
        self.old = old


class Watcher:
    """A queue of events for one reader; `lost` says that it fell too far behind."""

    def __init__(self, table):
        self.table = table
        self.queue = deque()
        self.wake = asyncio.Event()
        self.lost = False

    def push(self, event):
        if len(self.queue) >= WATCH_BACKLOG_MAX:
            self.lost = True
        else:
            self.queue.append(event)
        self.wake.set()

    def drain(self):
        out = list(self.queue)
        self.queue.clear()
        self.wake.clear()
        return out

    def close(self):
        self.table.watchers.discard(self)


class Table:
    """All objects of one storage key, keyed by (namespace, name)."""

    def __init__(self, key):
        self.key = key
        self.objects = {}
        self.by_ns = {}
        self.history = deque()
        self.floor = 0  # newest rv whose event is no longer in history
        self.watchers = set()
        self.next_ip_hint = 0

    def items(self, ns=None):
        if ns is None:
            return [self.objects[k] for k in sorted(self.objects)]
        names = self.by_ns.get(ns, {})
        return [names[n] for n in sorted(names)]

    def values(self, ns=None):
        """Unsorted and uncopied: for readers in this process."""
        return list((self.objects if ns is None else self.by_ns.get(ns, {})).values())


class Store:
    def __init__(self, path=None):
        self.rv = 1
        self.tables = {}
        self.by_uid = {}
        self.dependents = {}
        self.listeners = []
        self.path = path
        self._save_handle = None
        if path and os.path.exists(path):
            self._load()

    def table(self, key):
        if key not in self.tables:
            self.tables[key] = Table(key)
        return self.tables[key]

    def get(self, key, ns, name):
        return self.table(key).objects.get((ns or "", name))

    def put(self, key, obj):
        """Commits `obj` as new or changed; returns its Entry. The caller has checked versions."""
        meta = obj["metadata"]
        self.rv += 1
        meta["resourceVersion"] = str(self.rv)
        entry = Entry(obj, self.rv)
        table = self.table(key)
        ident = (meta.get("namespace", ""), meta["name"])
        old = table.objects.get(ident)
        table.objects[ident] = entry
        table.by_ns.setdefault(ident[0], {})[ident[1]] = entry
        self._index(key, ident, old, entry)
        self._publish(table, Event("MODIFIED" if old else "ADDED", entry, old))
        return entry

    def remove(self, key, ns, name):
        table = self.table(key)
        ident = (ns or "", name)
        old = table.objects.pop(ident)
        del table.by_ns[ident[0]][ident[1]]
        self.rv += 1
        last = old.copy()
        last["metadata"]["resourceVersion"] = str(self.rv)
        entry = Entry(last, self.rv)
        self._index(key, ident, old, None)
        self._publish(table, Event("DELETED", entry, old))
        return entry

    def _index(self, key, ident, old, new):
        for entry, adding in ((old, False), (new, True)):
            if entry is None:
                continue
            meta = entry.obj["metadata"]
            ref = (key,) + ident
            if adding:
                self.by_uid[meta["uid"]] = ref
            elif new is None or new.obj["metadata"]["uid"] != meta["uid"]:
                self.by_uid.pop(meta["uid"], None)
            for owner in meta.get("ownerReferences") or ():
                group = self.dependents.setdefault(owner.get("uid"), set())
                (group.add if adding else group.discard)(ref)
                if not group:
                    del self.dependents[owner.get("uid")]

    def _publish(self, table, event):
        table.history.append(event)
        if len(table.history) > HISTORY_MAX:
            table.floor = table.history.popleft().entry.rv
        for watcher in table.watchers:
            watcher.push(event)
        for listener in self.listeners:
            listener(table.key, event)
        self._schedule_save()

    def watch(self, key, since):
        """A Watcher primed with what happened after `since`; raises 410 when that is forgotten."""
        table = self.table(key)
        if since < table.floor:
            raise gone("too old resource version: %d (%d)" % (since, table.floor))
        watcher = Watcher(table)
        for event in table.history:
            if event.entry.rv > since:
                watcher.push(event)
        table.watchers.add(watcher)
        return watcher

    def compact(self):
        """Forgets all history, as etcd's compaction does; tests use it to see a 410."""
        for table in self.tables.values():
            if table.history:
                table.floor = table.history[-1].entry.rv
                table.history.clear()

    def _schedule_save(self):
        if self.path and self._save_handle is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return
            self._save_handle = loop.call_later(SAVE_DELAY, self.save)

    def save(self):
        """Writes everything beside the file and renames it over."""
        if self._save_handle is not None:
            self._save_handle.cancel()
            self._save_handle = None
        if not self.path:
            return
        tables = []
        for key, table in self.tables.items():
            last = table.history[-1].entry.rv if table.history else table.floor
            objects = b",".join(e.raw for e in table.objects.values())
            tables.append(b'"%s":{"floor":%d,"objects":[%s]}' % (key.encode(), last, objects))
        tmp = self.path + ".tmp"
        with open(tmp, "wb") as out:
            out.write(b'{"rv":%d,"tables":{%s}}' % (self.rv, b",".join(tables)))
        os.replace(tmp, self.path)

    def _load(self):
        with open(self.path, encoding="utf-8") as src:
            data = json.load(src)
        self.rv = data["rv"]
        for key, saved in data["tables"].items():
            table = self.table(key)
            table.floor = saved["floor"]
            for obj in saved["objects"]:
                meta = obj["metadata"]
                ident = (meta.get("namespace", ""), meta["name"])
                entry = Entry(obj, int(meta["resourceVersion"]))
                table.objects[ident] = entry
                table.by_ns.setdefault(ident[0], {})[ident[1]] = entry
                self._index(key, ident, None, entry)
