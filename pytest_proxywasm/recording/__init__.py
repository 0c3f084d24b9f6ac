"""Recorded cases: what a real Envoy did with a filter and some bytes on the wire, as JSON that can be held against."""
