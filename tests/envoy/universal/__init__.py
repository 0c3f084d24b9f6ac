"""Every hostcall in every callback, with good and bad arguments: what Envoy answered, and whether the mock does."""
