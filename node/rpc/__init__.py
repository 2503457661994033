"""JSON-RPC 2.0 over HTTP and WebSocket: the face of the node to wallets, scripts and people."""
