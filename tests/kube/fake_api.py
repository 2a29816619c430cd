"""An API server that does what a test tells it to, for one kind: lists, watches, and every way to fail.

Its objects live in `objects`. Each request first asks `script`: a list of functions, the first of which that takes the
request is used up. A function gets the Request and returns True when it has answered it.
"""
import contextlib
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse


def make_pki(folder, name="ca"):
	"""A CA and a server certificate of it for 127.0.0.1 and the name kubernetes.default."""
	def run(*args):
		subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

	(folder / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:kubernetes.default\n")
	curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
	run("req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}", "-days", "2")
	run("req", *curve, "-keyout", f"{name}-server.key", "-out", f"{name}-server.csr", "-subj", "/CN=server")
	run("x509", "-req", "-in", f"{name}-server.csr", "-CA", f"{name}.crt", "-CAkey", f"{name}.key", "-CAcreateserial",
		"-out", f"{name}-server.crt", "-days", "2", "-extfile", "ext")


def status(code, reason, message):
	return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}


class Request(http.server.BaseHTTPRequestHandler):
	protocol_version = "HTTP/1.1"

	def log_message(self, *args):
		pass

	@property
	def api(self):
		return self.server.api

	def answer(self, code, body, **headers):
		data = body if isinstance(body, bytes) else json.dumps(body).encode()
		self.send_response(code)
		for name, value in headers.items():
			self.send_header(name.replace("_", "-"), value)
		self.send_header("Content-Length", str(len(data)))
		self.end_headers()
		self.wfile.write(data)

	def begin_stream(self):
		self.send_response(200)
		self.send_header("Transfer-Encoding", "chunked")
		self.end_headers()

	def chunk(self, data):
		self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
		self.wfile.flush()

	def event(self, kind, item):
		self.chunk(json.dumps({"type": kind, "object": item}).encode() + b"\n")

	def cut(self):
		"""End the connection without ending the answer."""
		self.close_connection = True
		self.connection.close()

	def handle_any(self):
		url = urllib.parse.urlsplit(self.path)
		self.url_path = url.path
		self.query = dict(urllib.parse.parse_qsl(url.query))
		self.is_watch = "watch" in self.query
		length = int(self.headers.get("Content-Length", 0))
		self.body = self.rfile.read(length)
		self.api.take(self)

	do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


class Quiet(http.server.ThreadingHTTPServer):
	daemon_threads = True
	request_queue_size = 64

	def process_request(self, request, client_address):
		self.api.connections.append(request)
		super().process_request(request, client_address)

	def handle_error(self, request, client_address):
		pass  # clients that go away, and connections that tests cut, are what this server is for


class FakeApi:
	def __init__(self, pki=None, port=0):
		self.objects = {}
		self.version = 100
		self.script = []
		self.requests = []  # (time, method, path, query)
		self.connections = []
		self.closing = False
		self.changed = threading.Condition()
		self.log = []  # (version, type, object): what watches send
		self.server = Quiet(("127.0.0.1", port), Request)
		self.server.api = self
		self.port = self.server.server_address[1]
		self.url = f"http://127.0.0.1:{self.port}"
		if pki:
			context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
			context.load_cert_chain(f"{pki}-server.crt", f"{pki}-server.key")
			self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
			self.url = f"https://127.0.0.1:{self.port}"
		self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
		self.thread.start()

	def close(self):
		with self.changed:
			self.closing = True
			self.changed.notify_all()
		self.server.shutdown()
		self.server.server_close()
		for connection in self.connections:
			with contextlib.suppress(OSError):
				connection.shutdown(socket.SHUT_RDWR)

	def put(self, name, **fields):
		"""Create or change an object; watches tell of it."""
		with self.changed:
			self.version += 1
			old = self.objects.get(name)
			meta = {"namespace": "ns", "name": name, "uid": f"uid-{name}", "resourceVersion": str(self.version)}
			self.objects[name] = {"metadata": meta, **fields}
			self.log.append((self.version, "MODIFIED" if old else "ADDED", self.objects[name]))
			self.changed.notify_all()

	def remove(self, name, quietly=False):
		with self.changed:
			self.version += 1
			item = self.objects.pop(name)
			item = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}
			if not quietly:
				self.log.append((self.version, "DELETED", item))
			self.changed.notify_all()

	def take(self, request):
		with self.changed:
			self.requests.append((time.monotonic(), request.command, request.url_path, request.query))
			step = next((s for s in self.script if s.wants(request)), None)
			if step:
				self.script.remove(step)
		if step:
			step.act(request)
		elif request.is_watch:
			self.watch(request)
		else:
			self.list(request)

	def list(self, request):
		with self.changed:
			names = sorted(self.objects)
			items = [self.objects[name] for name in names]
			version = str(self.version)
		limit = int(request.query.get("limit", 0)) or len(items) or 1
		start = int(request.query.get("continue", 0))
		page = items[start:start + limit]
		more = str(start + limit) if start + limit < len(items) else ""
		meta = {"resourceVersion": version, "continue": more}
		request.answer(200, {"kind": "List", "apiVersion": "v1", "metadata": meta, "items": page})

	def watch(self, request):
		at = int(request.query["resourceVersion"])
		request.begin_stream()
		while not self.closing:
			with self.changed:
				news = [entry for entry in self.log if entry[0] > at]
				if not news:
					self.changed.wait(0.5)
					continue
			for version, kind, item in news:
				request.event(kind, item)
				at = version
		request.cut()

	def count(self, watch):
		return sum(("watch" in query) == watch for _, _, _, query in self.requests)


class Step:
	"""One planned misbehaviour: of the next list, or of the next watch."""

	def __init__(self, act, watch=False, matching=None):
		self.act = act
		self.watch = watch
		self.matching = matching

	def wants(self, request):
		if self.matching:
			return self.matching(request)
		return request.command == "GET" and request.is_watch == self.watch
