"""Work-arounds for defects of py-libp2p 0.8.1; each has a test that fails without it."""
