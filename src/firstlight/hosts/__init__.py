"""Redshifts of hosts from outside: a table or a lookup of another package beside the packets and files."""

from firstlight.hosts.candidates import Candidates, HostLookup
from firstlight.hosts.rule import KINDS, UsedRedshifts, redshifts_in_use
from firstlight.hosts.source import ENTRY_POINTS, Hosts, Reread
from firstlight.hosts.table import MOST_CANDIDATES, RADIUS_ARCSEC, HostTable

__all__ = [
    "ENTRY_POINTS",
    "KINDS",
    "MOST_CANDIDATES",
    "RADIUS_ARCSEC",
    "Candidates",
    "HostLookup",
    "HostTable",
    "Hosts",
    "Reread",
    "UsedRedshifts",
    "redshifts_in_use",
]
