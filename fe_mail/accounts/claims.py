"""
Which account's claim on a domain name counts.

Several accounts may claim one name. The TXT record decides; on a server whose admin claims a
name, that claim counts while no record says otherwise, so that a fresh server works before its
DNS does. The store orders the claims: verified first, then the admins', then by age.
"""

from collections.abc import Iterable

from fe_mail.model.account import RouteRows

__all__ = ["chosen_claim"]


def chosen_claim(rows: Iterable[RouteRows]) -> RouteRows | None:
    """The first claim that is verified or a server admin's; None: the name is none of ours."""
    return next((row for row in rows if row.domain.has_txt_record or row.owner_is_admin), None)
