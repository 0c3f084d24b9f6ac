"""Tests that run a real Envoy."""
