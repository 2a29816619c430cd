"""Single requests, credentials, Events and leases against the fake server."""
import base64
import json
import threading
import time

from fake_api import FakeApi, Step, status


def test_get(api, probe):
	p = probe(api.url, "get", "/version")
	assert p.end() == ["ok 200"]


def test_get_of_nothing(api, probe):
	api.script.append(Step(lambda r: r.answer(404, status(404, "NotFound", "no such thing"))))
	assert probe(api.url, "get", "/x").end(1) == ["failed 404 get: 404 Not Found: no such thing"]


def test_no_server(probe):
	lines = probe("http://127.0.0.1:1", "get", "/x").end(1)
	assert lines[0].startswith("failed 0 get: ") and "onnect" in lines[0]


def test_answer_that_is_not_http(api, probe):
	def act(request):
		request.wfile.write(b"hello hello hello\r\n\r\n")
		request.cut()
	api.script.append(Step(act))
	assert probe(api.url, "get", "/x").end(1)[0].startswith("failed 0 get: ")


def test_tls_with_the_right_ca(pki, probe):
	api = FakeApi(pki / "ca")
	ca = base64.b64encode((pki / "ca.crt").read_bytes()).decode()
	assert probe(api.url, "get", "/x", cluster=f"certificate-authority: {pki}/ca.crt").end() == ["ok 200"]
	assert probe(api.url, "get", "/x", cluster=f"certificate-authority-data: {ca}").end() == ["ok 200"]
	api.close()


def test_tls_with_the_wrong_ca_sends_nothing(pki, probe):
	api = FakeApi(pki / "ca")
	wrong = [f"certificate-authority: {pki}/other.crt", "",
		"certificate-authority-data: " + base64.b64encode((pki / "other.crt").read_bytes()).decode()]
	for cluster in wrong:
		lines = probe(api.url, "get", "/x", cluster=cluster).end(1)
		assert lines[0].startswith("failed 0 get: ") and "certificate" in lines[0]
	assert api.requests == []
	api.close()


def test_tls_insecure_only_when_told(pki, probe):
	api = FakeApi(pki / "ca")
	assert probe(api.url, "get", "/x", cluster="insecure-skip-tls-verify: true").end() == ["ok 200"]
	api.close()


def test_tls_server_name(pki, probe):
	api = FakeApi(pki / "ca")
	url = api.url.replace("127.0.0.1", "localhost")
	ca = f"certificate-authority: {pki}/ca.crt"
	assert probe(url, "get", "/x", cluster=ca).end(1)[0].startswith("failed 0")
	assert probe(url, "get", "/x", cluster=ca + ", tls-server-name: kubernetes.default").end() == ["ok 200"]
	assert probe(url, "get", "/x", cluster=ca + ", tls-server-name: elsewhere").end(1)[0].startswith("failed 0")
	api.close()


def test_proxy_of_the_kubeconfig(api, probe):
	assert probe("http://kube.invalid:1", "get", "/x", cluster=f'proxy-url: "{api.url}"').end() == ["ok 200"]
	assert [path for _, _, path, _ in api.requests] == ["/x"]


def test_missing_ca_file_is_named(api, probe):
	lines = probe(api.url, "get", "/x", cluster="certificate-authority: nothing.crt").end(2)
	assert "nothing.crt: No such file" in lines[0]


def test_token_file_is_read_again(api, probe, tmp_path):
	token = tmp_path / "token"
	token.write_text("first\n")
	seen = []

	def check(request):
		seen.append(request.headers["Authorization"])
		if seen[-1] == "Bearer second":
			return api.list(request)
		token.write_text("second\n")
		return request.answer(401, status(401, "Unauthorized", "Unauthorized"))
	api.script.extend(Step(check) for _ in range(2))
	p = probe(api.url, "watch", "services", user=f"tokenFile: {token}")
	p.wait("state list services: 401 Unauthorized")
	p.wait("synced 0")
	assert seen == ["Bearer first", "Bearer second"]


def test_basic_auth(api, probe):
	seen = []
	api.script.append(Step(lambda r: seen.append(r.headers["Authorization"]) or r.answer(200, {})))
	probe(api.url, "get", "/x", user="username: joe, password: secret").end()
	assert seen == ["Basic " + base64.b64encode(b"joe:secret").decode()]


def is_event(request):
	return "/events" in request.url_path


def is_write(request):
	return is_event(request) or "/services" in request.url_path


def test_the_same_event_many_times(api, probe):
	bodies = []

	def keep(request):
		bodies.append((request.command, json.loads(request.body)))
		return request.answer(201 if request.command == "POST" else 200, bodies[-1][1])
	api.script.extend(Step(keep, matching=is_event) for _ in range(30))
	p = probe(api.url, "event", "ns/web", "100")
	time.sleep(1)
	p.stop()
	assert [command for command, _ in bodies] == ["POST", "PATCH"]
	event = bodies[0][1]
	assert event["involvedObject"] == {"kind": "Service", "apiVersion": "v1", "namespace": "ns", "name": "web", "uid": "0-1"}
	assert event["source"] == {"component": "kube-probe"} and event["metadata"]["name"].startswith("web.")
	assert bodies[1][1]["count"] == 25  # what one object may say at once


def test_event_that_the_server_forgot_is_made_again(api, probe):
	commands = []

	def keep(request):
		commands.append(request.command)
		if request.command == "PATCH":
			return request.answer(404, status(404, "NotFound", "events not found"))
		return request.answer(201, json.loads(request.body))
	api.script.extend(Step(keep, matching=is_event) for _ in range(3))
	p = probe(api.url, "event", "ns/web", "2")
	time.sleep(1)
	p.stop()
	assert commands == ["POST", "PATCH", "POST"]


def test_event_that_is_refused_is_logged_unless_its_namespace_goes(api, probe, monkeypatch):
	monkeypatch.setenv("KUBE_PROBE_LOG", "1")
	causes = [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]
	for details, logged in (({}, True), ({"causes": causes}, False)):
		answer = {**status(403, "Forbidden", "no"), "details": details}
		step = Step(lambda request, answer=answer: request.answer(403, answer), matching=is_event)
		api.script.append(step)
		p = probe(api.url, "event", "ns/web", "1")
		time.sleep(1)
		lines = p.stop()
		assert any("event not written" in line for line in lines) == logged, lines
		assert step not in api.script


class Leases:
	"""Just enough of the Lease API: optimistic concurrency over one object."""

	def __init__(self, api):
		self.lease, self.version = None, 0
		for _ in range(200):
			api.script.append(Step(self.act, matching=lambda r: "/leases" in r.url_path))

	def act(self, request):
		if request.command == "GET":
			if not self.lease:
				return request.answer(404, status(404, "NotFound", "no lease"))
			return request.answer(200, self.lease)
		body = json.loads(request.body)
		if request.command == "POST" and self.lease:
			return request.answer(409, status(409, "AlreadyExists", "exists"))
		if request.command == "PUT" and body["metadata"]["resourceVersion"] != str(self.version):
			return request.answer(409, status(409, "Conflict", "changed"))
		self.version += 1
		body["metadata"]["resourceVersion"] = str(self.version)
		self.lease = body
		return request.answer(200, body)


def test_lease_goes_over_when_it_is_released(api, probe):
	leases = Leases(api)
	one = probe(api.url, "lease", "ns/lead", "one")
	one.wait("started")
	two = probe(api.url, "lease", "ns/lead", "two")
	two.wait("leader one")
	began = time.monotonic()
	lines = one.stop()
	assert lines[-1] == "released" and "stopped" in lines
	two.wait("started")
	assert time.monotonic() - began < 2
	spec = leases.lease["spec"]
	assert spec["holderIdentity"] == "two" and spec["leaseDurationSeconds"] == 4 and spec["leaseTransitions"] == 1
	two.stop()
	assert leases.lease["spec"]["holderIdentity"] == ""


def test_lease_goes_over_when_the_holder_dies(api, probe):
	Leases(api)
	one = probe(api.url, "lease", "ns/lead", "one")
	one.wait("started")
	two = probe(api.url, "lease", "ns/lead", "two")
	two.wait("leader one")
	began = time.monotonic()
	one.kill()
	two.wait("started")
	assert 2.5 < time.monotonic() - began < 6


def test_lease_is_lost_when_the_server_is_away(api, probe):
	Leases(api)
	one = probe(api.url, "lease", "ns/lead", "one")
	one.wait("started")
	api.close()
	began = time.monotonic()
	one.wait("stopped")
	assert time.monotonic() - began < 4


def test_lease_does_not_queue_behind_other_requests(api, probe):
	Leases(api)
	gate = threading.Event()

	def hang(request):
		gate.wait(10)
		request.answer(201, {})
	api.script.extend(Step(hang, matching=is_write) for _ in range(102))
	p = probe(api.url, "crowd", "ns/lead", "one")
	p.wait("started")
	time.sleep(4)  # past the renew deadline
	paths = [path for _, _, path, _ in api.requests]
	assert sum("/services" in path for path in paths) == 31
	# The Event that came when nothing else was to be sent is on its way; the other lets all the rest go first.
	assert sum("/events" in path for path in paths) == 1
	gate.set()
	assert "stopped" not in p.drain()
	deadline = time.monotonic() + 10
	while len(writes := [path for _, _, path, _ in api.requests if "/services" in path or "/events" in path]) < 102:
		assert time.monotonic() < deadline, len(writes)
		time.sleep(0.05)
	assert "/events" not in writes[1:-8] and sum("/events" in path for path in writes[-8:]) == 1
