"""
Roles: what one process may do. All of them by default, fewer with ``--role``.
"""

__all__ = ["ROLES"]

# In the order in which they start; they stop in reverse.
ROLES = ("smtp-bree", "bree", "imap", "pop3", "smtp", "api", "web", "mx")
