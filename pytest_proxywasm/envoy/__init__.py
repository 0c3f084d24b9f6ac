"""A real Envoy with the filters under test in it: how it is started, driven, and read."""
