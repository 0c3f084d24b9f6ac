"""Records cases in a real Envoy: ``python -m tests.envoy.record IN.jsonl OUT.jsonl``."""
