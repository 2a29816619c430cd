"""Tables for `kubectl get`."""


def table(res, objs, include, version, md, columns=True):
	return {"kind": "Table", "apiVersion": "meta.k8s.io/" + version, "metadata": md,
	        "columnDefinitions": [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}],
	        "rows": [{"cells": [o["metadata"]["name"]], "object": {
	        	"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": o["metadata"]}}
	        	for o in objs]}
