"""List and watch against a server that fails in every way: nothing that is known is lost, and it comes right again."""
import threading
import time

from fake_api import FakeApi, Step, status


def start(api, probe, *names):
	for name in names:
		api.put(name)
	process = probe(api.url, "watch", "services")
	process.wait(f"synced {len(names)}")
	return process


def test_changes_arrive(api, probe):
	p = start(api, probe, "a", "b")
	api.put("c")
	p.wait("add ns/c")
	api.put("a")
	p.wait("update ns/a")
	api.remove("b")
	p.wait("delete ns/b")
	assert "state" not in " ".join(p.stop())


def test_pages(api, probe):
	for i in range(1203):
		api.put(f"s{i:04}")
	p = probe(api.url, "watch", "services")
	p.wait("synced 1203")
	assert api.count(watch=False) == 3
	api.put("late")
	p.wait("add ns/late")


def test_410_in_the_middle_of_a_list(api, probe):
	for i in range(700):
		api.put(f"s{i:04}")
	gone = status(410, "Expired", "The provided continue parameter is too old")
	api.script.append(Step(lambda r: r.answer(410, gone), matching=lambda r: "continue" in r.query))
	p = probe(api.url, "watch", "services")
	p.wait("synced 700")
	assert sum(line.startswith("add") for line in p.stop()) == 700


def relist_after(api, probe, act):
	"""A watch that must not go on: the new list finds what is gone and what is new, and says nothing of the rest."""
	gate = threading.Event()

	def when_told(request):
		gate.wait(10)
		act(request)
	api.script.append(Step(when_told, watch=True))
	p = start(api, probe, "stays", "goes", "changes")
	api.remove("goes", quietly=True)
	api.put("changes")
	api.put("new")
	gate.set()
	p.wait("delete ns/goes")
	lines = p.stop()
	assert "update ns/changes" in lines and "add ns/new" in lines
	assert sum("ns/stays" in line for line in lines) == 1
	assert api.count(watch=False) == 2


def test_410_as_the_answer_to_a_watch(api, probe):
	relist_after(api, probe, lambda r: r.answer(410, status(410, "Expired", "too old resource version")))


def test_410_as_an_event(api, probe):
	def act(request):
		request.begin_stream()
		request.event("ERROR", status(410, "Expired", "too old resource version"))
		request.chunk(b"")
	relist_after(api, probe, act)


def test_nonsense_in_a_watch(api, probe):
	def act(request):
		request.begin_stream()
		request.chunk(b"<html>not json at all\n")
		request.chunk(b"")
	relist_after(api, probe, act)


def test_retry_after_is_honoured(api, probe):
	busy = status(429, "TooManyRequests", "slow down")
	api.script.append(Step(lambda r: r.answer(429, busy, Retry_After="2")))
	p = probe(api.url, "watch", "services")
	p.wait("state list services: 429 Too Many Requests: slow down")
	p.wait("state ok")
	assert api.requests[1][0] - api.requests[0][0] >= 2


def test_errors_of_the_server_back_off(api, probe):
	for _ in range(4):
		api.script.append(Step(lambda r: r.answer(500, status(500, "InternalError", "etcd is away"))))
	p = probe(api.url, "watch", "services")
	p.wait("state list services: 500 Internal Error: etcd is away")
	p.wait("synced 0")
	times = [when for when, *_ in api.requests[:5]]
	assert times[4] - times[3] > times[1] - times[0]


def test_cut_in_the_middle_of_an_object(api, probe):
	def act(request):
		request.begin_stream()
		request.event("ADDED", {"metadata": {"namespace": "ns", "name": "whole", "resourceVersion": "150"}})
		request.chunk(b'{"type": "ADDED", "object": {"metadata": {"namespace": "ns", "name": "ha')
		request.cut()
	api.script.append(Step(act, watch=True))
	p = start(api, probe, "a")
	p.wait("add ns/whole")
	api.version = 150
	api.put("after")
	p.wait("add ns/after")
	assert not any("ns/ha" in line for line in p.stop())
	assert [query["resourceVersion"] for _, _, _, query in api.requests if "watch" in query] == ["101", "150"]
	assert api.count(watch=False) == 1


def test_list_cut_in_the_middle(api, probe):
	def act(request):
		body = b'{"kind":"List","metadata":{"resourceVersion":"5"},"items":[{"metadata":{"na'
		request.send_response(200)
		request.send_header("Content-Length", "5000")
		request.end_headers()
		request.wfile.write(body)
		request.cut()
	api.script.append(Step(act))
	p = probe(api.url, "watch", "services")
	p.wait("state list services:")
	p.wait("synced 0")


def test_answers_that_are_no_list(api, probe):
	for body in (b"<html>hello</html>", b'{"kind":"List","items":[{},', b'{"kind":"Status"}', b"[]", b""):
		api.script.append(Step(lambda r, body=body: r.answer(200, body)))
	p = probe(api.url, "watch", "services")
	p.wait("not the JSON of a list")
	p.wait("ends within its text")
	p.wait("it is not a list")
	p.wait("synced 0", timeout=20)


def test_watch_cut_again_and_again(api, probe):
	def act(request):
		request.begin_stream()
		time.sleep(0.1)
		request.cut()
	api.script.extend(Step(act, watch=True) for _ in range(6))
	p = start(api, probe)
	for i in range(5):
		api.put(f"n{i}")
	for i in range(5):
		p.wait(f"add ns/n{i}")
	assert api.count(watch=False) == 1


def test_line_of_30_mb(api, probe):
	p = start(api, probe, "a")
	api.put("large", data="x" * 30_000_000)
	p.wait("add ns/large", timeout=30)
	api.put("b")
	p.wait("add ns/b")


def test_object_of_30_mb_in_a_list(api, probe):
	api.put("large", data="x" * 30_000_000)
	p = probe(api.url, "watch", "services")
	p.wait("synced 1", timeout=30)


def test_slow_body(api, probe):
	body = b'{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"namespace":"ns","name":"slow"}}]}'

	def act(request):
		request.begin_stream()
		for i in range(len(body)):
			request.chunk(body[i:i + 1])
			time.sleep(0.02)
		request.chunk(b"")
	api.script.append(Step(act))
	p = probe(api.url, "watch", "services")
	p.wait("synced 1")
	assert "add ns/slow" in p.seen


def test_malformed_objects_do_not_touch_the_others(api, probe):
	bad = [None, 5, [], {}, {"metadata": None}, {"metadata": {"namespace": "ns"}}, {"metadata": {"name": 7, "namespace": "ns"}},
		{"metadata": {"name": "none"}}, {"metadata": {"namespace": "ns", "name": "x" * 300}},
		{"metadata": {"namespace": "ns", "name": "spec"}, "spec": "text"}]
	good = {"metadata": {"namespace": "ns", "name": "good"}}
	body = {"metadata": {"resourceVersion": "100"}, "items": [*bad, good]}
	api.script.append(Step(lambda r: r.answer(200, body)))
	p = probe(api.url, "watch", "services")
	p.wait("synced 1")
	assert p.seen == ["add ns/good", "synced 1"]
	api.put("later")
	p.wait("add ns/later")


def test_what_cannot_be_read_any_more_stays_known(api, probe):
	p = start(api, probe, "a")
	api.put("a", spec="text")
	api.put("b")
	p.wait("add ns/b")
	assert not any("update ns/a" in line or "delete" in line for line in p.stop())


def test_forbidden_names_verb_and_resource(api, probe):
	text = 'services is forbidden: User "x" cannot list resource "services" in API group "" at the cluster scope'
	api.script.append(Step(lambda r: r.answer(403, status(403, "Forbidden", text))))
	p = probe(api.url, "watch", "services")
	assert p.wait("state") == "state list services: 403 Forbidden: " + text
	p.wait("state ok")


def test_kind_that_is_not_served_falls_back(api, probe):
	def missing(request):
		return request.answer(404, b"404 page not found\n")
	api.script.extend(Step(missing) for _ in range(2))
	p = probe(api.url, "watch", "endpointslices")
	p.wait("synced 0")
	paths = [path for _, _, path, _ in api.requests[:3]]
	assert paths == ["/apis/discovery.k8s.io/v1/endpointslices", "/apis/discovery.k8s.io/v1beta1/endpointslices",
		"/api/v1/endpoints"]


def test_kind_that_nobody_serves_is_told(api, probe):
	api.script.append(Step(lambda r: r.answer(404, b"404 page not found\n")))
	p = probe(api.url, "watch", "ipaddresspools")
	assert p.wait("state") == "state kind not served: IPAddressPool of metallb.io/v1beta1"


def test_server_goes_away_and_comes_back(api, probe):
	p = start(api, probe, "a")
	api.close()
	p.wait("state watch services:")
	again = FakeApi(port=api.port)
	try:
		again.version = api.version
		again.put("b")
		p.wait("add ns/b", timeout=20)
		assert "state ok" in p.seen or p.wait("state ok")
		assert not any(line.startswith("delete") for line in p.stop())
	finally:
		again.close()
