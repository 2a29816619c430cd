"""Tests that are written in Python, and the cluster they run on."""
