"""The Proxy-Wasm ABI: its numbers, encodings, hostcall declarations and callbacks; knows no proxy and no engine."""
