"""
The limits of the rule tables, all in one place.

What they limit is counted in the ``Counters`` port, over all processes and restarts.
"""

__all__ = [
    "ACQUAINTANCE_SECONDS",
    "DAILY_MESSAGES",
    "GREETING_SECONDS",
    "MAX_HEADER_OCTETS",
    "MAX_RECEIVED_FIELDS",
    "MAX_RECIPIENTS",
    "TARPIT_AFTER",
    "TARPIT_MAX_SECONDS",
    "UNKNOWN_MAX",
]

# More of them are a loop (RFC 5321 §6.3: not before 100).
MAX_RECEIVED_FIELDS = 100
MAX_HEADER_OCTETS = 256 * 1024
MAX_RECIPIENTS = 100  # of one message (RFC 5321 §4.5.3.1.8: no fewer)

# Address harvesting: unknown recipients asked for in an hour by one IPv4 address or IPv6 /64.
TARPIT_AFTER = 3  # slow down from here on
TARPIT_MAX_SECONDS = 8.0
UNKNOWN_MAX = 50  # refuse everything for the rest of the window

# A stranger's greeting is held back for so long: programs that send junk rarely wait for it. A
# network that went on to MAIL is no stranger for a day, so honest hosts pay this about once a day,
# and RFC 5321 §4.5.3.2.1 has them wait a hundred times longer.
GREETING_SECONDS = 3.0
ACQUAINTANCE_SECONDS = 86400.0

DAILY_MESSAGES = 300  # of a domain and of a user, unless a server admin runs the domain
