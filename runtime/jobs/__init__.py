"""Jobs: what leased computers compute for clients, and how a wrong result is proven."""
