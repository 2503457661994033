"""Agreement on an ordered chain of opaque digests."""
