"""TCP connections: how they travel through network filters; knows no HTTP."""
