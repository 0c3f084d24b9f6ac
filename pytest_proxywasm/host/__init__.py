"""What a proxy does for filters: streams, chains, buffers, callouts, clock, shared data, metrics, properties.

Sans I/O: no sockets, no threads, no wall clock; it starts at the header map. Knows no wasm engine and no linear memory.
"""
