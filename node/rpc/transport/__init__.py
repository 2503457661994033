"""How requests reach the dispatcher: HTTP, WebSocket, and who may connect at all."""
