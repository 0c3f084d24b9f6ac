"""Exchanges recorded from a real Envoy, replayed in the mock host."""
