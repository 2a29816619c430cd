"""Service addresses and node ports."""


class Network:
	def __init__(self, store, cidrs, node_ports):
		self.store = store
