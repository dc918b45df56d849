"""Accounts as the directory keeps them, when a person is erased."""

from __future__ import annotations

from uuid import UUID

from governance.models import User


def forget_account(person: UUID) -> bool:
    """Take name and address from an account and close it; the row stays, because the ledger refers to its id.

    Part of the transaction of an erasure (audits.services.erasure), whose event tells of it.
    """
    user = User.objects.select_for_update().filter(id=person).first()
    if user is None:
        return False
    user.username = user.erased_name
    user.first_name = user.last_name = user.email = ""
    user.is_active = user.is_staff = user.is_superuser = False
    user.set_unusable_password()
    user.save()
    return True
