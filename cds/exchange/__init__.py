"""What leaves this process: one HTTP client, to addresses that the site lists, within a deadline and a size."""

from cds.exchange.client import CannotFetch, Exchange
from cds.exchange.network import NotPermitted, Permit

__all__ = ["CannotFetch", "Exchange", "NotPermitted", "Permit"]
