"""Generated hosts and exchanges on which the mock and a real Envoy must agree.

``python -m tests.envoy.differential`` runs many; the suite runs a few.
"""
