"""Where a node answers: an address for HTTP and WebSocket alike, as both share one port."""

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from node.client.errors import InvalidUrl

DEFAULT_URL = "http://127.0.0.1:9944"
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One node's address."""

    host: str
    port: int
    path: str
    is_secure: bool

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Return the endpoint of ``http://host:port`` (or https, ws, wss). Raises: InvalidUrl."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise InvalidUrl(f"the URL is no address: write {DEFAULT_URL}") from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise InvalidUrl(f"{url!r:.80} is no node's address: write {DEFAULT_URL}")
        if parts.username or parts.password:
            raise InvalidUrl("a node's address holds no user name or password")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not path.isascii() or any(ord(character) <= 32 for character in path):
            raise InvalidUrl("the path of the URL has characters that must be escaped")
        secure = parts.scheme in ("https", "wss")
        return cls(parts.hostname, port or _PORTS[parts.scheme], path, secure)

    @property
    def url(self) -> str:
        """The address as people read it."""
        scheme = "https" if self.is_secure else "http"
        path = "" if self.path == "/" else self.path
        return f"{scheme}://{self.host_header}{path}"

    @property
    def host_header(self) -> str:
        """Host and port as HTTP's Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def tls(self) -> ssl.SSLContext | None:
        """Return what a secure connection is made with, or None for a plain one."""
        return ssl.create_default_context() if self.is_secure else None
