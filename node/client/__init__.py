"""A client of the node's JSON-RPC, for the command line and for scripts."""
