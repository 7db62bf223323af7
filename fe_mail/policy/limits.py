"""
The limits of the rule tables, all in one place.

Counters live in the ``Cache`` port: losing them costs a fresh allowance, nothing else.
"""

__all__ = [
    "ACQUAINTANCE_SECONDS",
    "DAILY_MESSAGES",
    "DAY_SECONDS",
    "GREETING_SECONDS",
    "MAX_HEADER_OCTETS",
    "MAX_RECEIVED_FIELDS",
    "MAX_RECIPIENTS",
    "TARPIT_AFTER",
    "TARPIT_MAX_SECONDS",
    "UNKNOWN_MAX",
    "UNKNOWN_WINDOW_SECONDS",
]

# More of them are a loop. RFC 5321 §6.3 suggests room for 100; the reference stops at 25, no real
# path comes near, and a loop costs four times less.
MAX_RECEIVED_FIELDS = 25
MAX_HEADER_OCTETS = 256 * 1024
MAX_RECIPIENTS = 50  # of one message

# Address harvesting: unknown recipients asked for by one IPv4 address or IPv6 /64.
UNKNOWN_WINDOW_SECONDS = 3600.0
TARPIT_AFTER = 3  # slow down from here on
TARPIT_MAX_SECONDS = 8.0
UNKNOWN_MAX = 50  # refuse everything for the rest of the window

DAY_SECONDS = 86400.0

# A stranger's greeting is held back for so long: programs that send junk rarely wait for it. A
# network that went on to MAIL is no stranger for a day, so honest hosts pay this about once a day,
# and RFC 5321 §4.5.3.2.1 has them wait a hundred times longer.
GREETING_SECONDS = 3.0
ACQUAINTANCE_SECONDS = DAY_SECONDS

DAILY_MESSAGES = 300  # of a domain and of a user, unless a server admin runs the domain
