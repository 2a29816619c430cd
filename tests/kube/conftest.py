"""Fixtures: the fake API server, and kube_probe as a process whose lines a test waits for."""
import os
import queue
import signal
import subprocess
import threading
import time

import pytest

from fake_api import FakeApi, make_pki


class Probe:
	def __init__(self, kubeconfig, *args):
		env = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
		self.lines = queue.Queue()
		self.seen = []
		self.process = subprocess.Popen([os.environ["KUBE_PROBE"], str(kubeconfig), *args], env=env,
			stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
		self.reader = threading.Thread(target=self.read, daemon=True)
		self.reader.start()

	def read(self):
		for line in self.process.stdout:
			self.lines.put(line.rstrip("\n"))

	def wait(self, text, timeout=10):
		"""The next line that contains text; those before it are passed over (and kept in `seen`)."""
		end = time.monotonic() + timeout
		while True:
			try:
				line = self.lines.get(timeout=max(0, end - time.monotonic()))
			except queue.Empty:
				raise AssertionError(f"no line with {text!r}; the lines so far: {self.seen[-20:]}") from None
			self.seen.append(line)
			if text in line:
				return line

	def drain(self):
		while not self.lines.empty():
			self.seen.append(self.lines.get())
		return self.seen

	def kill(self):
		self.process.send_signal(signal.SIGKILL)
		self.process.wait()

	def stop(self):
		"""Tell it to end; its lines."""
		self.process.stdin.close()
		return self.end()

	def end(self, code=0):
		"""Wait until it ends by itself; its lines."""
		assert self.process.wait(20) == code, self.drain()
		self.reader.join()
		return self.drain()


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
	folder = tmp_path_factory.mktemp("pki")
	make_pki(folder)
	make_pki(folder, "other")
	return folder


@pytest.fixture
def api():
	server = FakeApi()
	yield server
	server.close()


@pytest.fixture
def kubeconfig(tmp_path):
	def write(server, cluster="", user=""):
		path = tmp_path / "kubeconfig"
		path.write_text(f"""\
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters:
- name: test
  cluster: {{server: "{server}"{', ' if cluster else ''}{cluster}}}
users:
- name: test
  user: {{{user}}}
""")
		return path
	return write


@pytest.fixture
def probe(kubeconfig):
	started = []

	def start(server, *args, cluster="", user=""):
		process = Probe(kubeconfig(server, cluster, user), *args)
		started.append(process)
		return process
	yield start
	for process in started:
		if process.process.poll() is None:
			process.kill()
