"""Admission."""


class Admission:
	def __init__(self, store, registry, webhooks):
		self.store = store
		self.registry = registry
		self.webhooks = webhooks
		self.converter = None

	async def mutate(self, res, operation, sub, obj, old, ctx):
		return obj

	async def validate(self, res, operation, sub, obj, old, ctx):
		return None
