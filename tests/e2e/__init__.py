"""The product on a whole cluster: real kubectl, its own manifests, traffic on the wire."""
