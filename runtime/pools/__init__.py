"""Liquidity pools that sell perishable capacity."""
