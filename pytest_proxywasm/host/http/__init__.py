"""HTTP streams: the iteration of a filter chain, the contexts of its filters, and the connection manager around it."""
