"""Which page stands at which path."""

from __future__ import annotations

from cohortlens.identity.models import TERMS_VERSION
from gateway.http.pages import authorize, invitation, login, reset_password, undelete, verify_email
from gateway.http.pages.billing import change, overview, returned
from gateway.http.pages.billing.payment_pages import PaymentPages
from gateway.http.pages.door import Page, PageDoor, Rpcs
from gateway.http.pages.forms import FormGuard
from gateway.interceptors.chain import Chain


def page_door(chain: Chain, form_key: bytes, public_url: str, payment_base: str, currency: str) -> PageDoor:
    """The door of all pages.

    Args:
        chain: What the pages call runs through it.
        form_key: Key of the form tokens, 32 bytes, the same in every process.
        public_url: Address under which browsers reach this server.
        payment_base: Address of the payment provider's API; empty for Stripe itself.
        currency: Currency in which plans are sold.
    """
    pages = _pages(Rpcs(chain), PaymentPages(payment_base, currency))
    return PageDoor(pages, FormGuard(form_key, public_url))


def _pages(rpcs: Rpcs, payment: PaymentPages) -> dict[str, Page]:
    return {
        overview.PATH: overview.OverviewPage(rpcs, payment),
        returned.PATH: returned.ReturnPage(rpcs, payment),
        change.CHANGE_PATH: change.ChangePage(rpcs, payment),
        change.CANCEL_PATH: change.CancelPage(rpcs, payment),
        authorize.PATH: authorize.AuthorizePage(rpcs),
        login.PATH: login.LoginPage(rpcs),
        login.LOGOUT_PATH: login.LogoutPage(rpcs),
        invitation.PATH: invitation.InvitationPage(rpcs, TERMS_VERSION),
        undelete.PATH: undelete.UndeletePage(rpcs),
        reset_password.PATH: reset_password.ResetPasswordPage(rpcs),
        verify_email.PATH: verify_email.VerifyEmailPage(rpcs),
    }
