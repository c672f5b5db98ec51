"""What the page of plan and usage says of a plan, of usage and of money, and what it says on top."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cohortlens.v1 import billing_plans_pb2 as plans_pb
from cohortlens.v1 import billing_subscription_pb2 as pb
from cohortlens.v1 import billing_usage_pb2 as usage_pb
from gateway.http.pages.billing import view
from gateway.http.pages.billing.banners import banners
from gateway.http.pages.billing.figures import minute, money, share
from gateway.http.pages.billing.payment_pages import PaymentPages

MONTH, YEAR = plans_pb.BILLING_INTERVAL_MONTH, plans_pb.BILLING_INTERVAL_YEAR


def at(text: str) -> Timestamp:
    moment = Timestamp()
    moment.FromJsonString(text)
    return moment


def plan(name: str, rank: int, price: int) -> plans_pb.Plan:
    prices = [
        plans_pb.PlanPrice(interval=interval, currency=currency, amount_minor=price * times)
        for interval, times in ((MONTH, 1), (YEAR, 10))
        for currency in ("EUR", "USD")
    ]
    limits = plans_pb.PlanLimits(max_customers=1000 * rank, max_api_calls_per_month=10_000, max_users=rank)
    return plans_pb.Plan(
        plan=name, display_name=name.title(), rank=rank, prices=prices, limits=limits, features=["prediction"]
    )


END = at("2026-12-16T09:00:00Z")
PLANS = [plan("basic", 1, 0), plan("professional", 2, 4900), plan("enterprise", 3, 49_900)]


def seen(
    status=pb.SUBSCRIPTION_STATUS_NONE,
    own: str = "basic",
    access=plans_pb.PLAN_ACCESS_FULL,
    **subscription,
) -> view.Replies:
    limits = next(one.limits for one in PLANS if one.plan == own)
    entitlement = plans_pb.Entitlement(plan=own, subscribed_plan=own, access=access, limits=limits)
    return view.Replies(
        plans_pb.GetEntitlementResponse(entitlement=entitlement, stored=plans_pb.StoredCounts(customers=812)),
        pb.Subscription(status=status, plan=own, interval=MONTH, **subscription),
        PLANS,
    )


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (129_900, "usd", "$1,299.00"),
        (500, "JPY", "\u00a5500"),
        (1_234_567, "KWD", "KWD1,234.567"),
        (-1, "EUR", "-\u20ac0.01"),
        (0, "EUR", "\u20ac0.00"),
    ],
)
def test_money_has_the_decimals_of_its_currency(amount, currency, text):
    assert money(amount, currency) == text


def test_a_moment_is_told_with_its_zone():
    assert minute(at("2026-12-01T23:59:59Z")) == "1 December 2026, 23:59 UTC"


def test_a_share_stays_between_nothing_and_all():
    assert [share(0, 10), share(1, 3), share(20, 10), share(0, 0)] == [0, 33, 100, 100]


def test_one_currency_is_shown_the_installations_or_the_one_of_the_last_invoice():
    found = seen()
    assert {one.price for one in view.cards(found)[1].offers} == {"\u20ac49.00", "\u20ac490.00"}
    found.invoices = pb.ListInvoicesResponse(invoices=[pb.Invoice(currency="usd")])
    assert {one.price for one in view.cards(found)[1].offers} == {"$49.00", "$490.00"}


def test_without_a_subscription_plans_are_bought_with_one_they_are_changed():
    assert [(one.act, one.verb) for one in view.cards(seen())] == [
        ("", "Subscribe"),
        ("checkout", "Upgrade"),
        ("checkout", "Upgrade"),
    ]
    found = view.cards(seen(pb.SUBSCRIPTION_STATUS_ACTIVE, "professional"))
    assert [(one.act, one.verb, one.badge) for one in found] == [
        ("", "Change", ""),
        ("change", "Switch", "your plan"),
        ("change", "Upgrade", ""),
    ]
    assert [one.is_current for one in found[1].offers] == [True, False]


def test_who_was_granted_a_plan_is_offered_it_as_no_upgrade():
    found = seen(own="professional")
    found.subscription.plan = "basic"
    assert [one.verb for one in view.cards(found)] == ["Subscribe", "Subscribe", "Upgrade"]
    assert [one.badge for one in view.cards(found)] == ["", "your plan", ""]


def test_who_pays_for_less_than_was_granted_sees_which_plan_is_paid():
    found = seen(pb.SUBSCRIPTION_STATUS_ACTIVE, "enterprise")
    found.subscription.plan = "professional"
    assert [one.badge for one in view.cards(found)] == ["", "what you pay for", "your plan"]


@pytest.mark.parametrize("status", [pb.SUBSCRIPTION_STATUS_UNPAID, pb.SUBSCRIPTION_STATUS_PAUSED])
def test_what_is_not_paid_is_paid_before_the_plan_is_changed(status):
    offered = [one for one in view.cards(seen(status, "professional")) if one.offers]
    assert {(one.act, one.note) for one in offered} == {
        ("", "Pay what is open first; then the plan can be changed.")
    }


def test_a_plan_that_is_cancelled_is_kept_before_it_is_changed():
    found = seen(pb.SUBSCRIPTION_STATUS_ACTIVE, "professional", cancel_at_period_end=True)
    offered = [one for one in view.cards(found) if one.offers]
    assert {(one.act, one.note) for one in offered} == {("", "Keep the plan first; then it can be changed.")}


@pytest.mark.parametrize(
    ("status", "ends", "term"),
    [
        (pb.SUBSCRIPTION_STATUS_ACTIVE, False, "Renews on"),
        (pb.SUBSCRIPTION_STATUS_ACTIVE, True, "Ends on"),
        (pb.SUBSCRIPTION_STATUS_TRIALING, False, "First payment on"),
        (pb.SUBSCRIPTION_STATUS_PAST_DUE, False, "Period ends on"),
    ],
)
def test_the_end_of_the_period_is_told_by_what_happens_then(status, ends, term):
    found = seen(status, "professional", current_period_end=END, cancel_at_period_end=ends)
    assert (term, "16 December 2026, 09:00 UTC") in view.plan_box(found).facts


def test_who_has_not_paid_is_told_until_when_everything_works():
    [banner] = banners(seen(pb.SUBSCRIPTION_STATUS_PAST_DUE, "professional", grace_end_time=END))
    assert "Everything works until 16 December 2026, 09:00 UTC." in banner.text


def test_a_quota_that_is_handed_out_whole_is_used_up_whatever_was_counted_so_far():
    found = seen()
    meter = usage_pb.MeterUsage(
        meter="api_calls", used=9_990, reserved=10_000, limit=10_000, resets_at=at("2026-12-01T00:00:00Z")
    )
    found.meters = [meter]
    gauge = view.gauges(found)[0]
    assert (gauge.percent, gauge.level) == (100, "over")
    assert "refused until 1 December 2026, 00:00 UTC" in gauge.note


def test_a_limit_that_is_passed_is_told_by_how_much_and_no_limit_has_no_bar():
    found = seen()
    found.entitlement.stored.customers = 1_200
    found.entitlement.entitlement.limits.ClearField("max_users")
    customers, users = view.gauges(found)
    assert (customers.percent, customers.note) == (
        100,
        "200 more than the plan allows: nothing can be added.",
    )
    assert (users.limit, users.text) == (None, "0, no limit")


@pytest.mark.parametrize(
    ("found", "kind", "heading", "act"),
    [
        (
            seen(pb.SUBSCRIPTION_STATUS_PAST_DUE, "professional"),
            "warn",
            "The last payment failed",
            "portal",
        ),
        (
            seen(pb.SUBSCRIPTION_STATUS_PAST_DUE, "professional", plans_pb.PLAN_ACCESS_READ_ONLY),
            "fault",
            "Read-only: a payment is overdue",
            "portal",
        ),
        (
            seen(pb.SUBSCRIPTION_STATUS_PAUSED, "professional", plans_pb.PLAN_ACCESS_READ_ONLY),
            "fault",
            "Read-only: the subscription is paused",
            "portal",
        ),
        (seen(access=plans_pb.PLAN_ACCESS_NONE), "fault", "This organisation is suspended", ""),
        (
            seen(
                pb.SUBSCRIPTION_STATUS_ACTIVE,
                "professional",
                cancel_at_period_end=True,
                current_period_end=END,
            ),
            "warn",
            "The plan is cancelled",
            "",
        ),
        (
            seen(pb.SUBSCRIPTION_STATUS_TRIALING, "professional", trial_end=END),
            "info",
            "This is a trial",
            "portal",
        ),
        (
            seen(
                pb.SUBSCRIPTION_STATUS_ACTIVE,
                "enterprise",
                planned_plan="professional",
                planned_change_time=END,
            ),
            "info",
            "Changes to Professional",
            "keep",
        ),
        (seen(pb.SUBSCRIPTION_STATUS_INCOMPLETE), "warn", "The first payment is open", "portal"),
    ],
)
def test_each_state_has_one_banner_with_what_to_press(found, kind, heading, act):
    assert [(one.kind, one.heading, one.act) for one in banners(found)] == [(kind, heading, act)]


def test_a_plan_that_is_paid_and_within_its_limits_has_no_banner():
    assert banners(seen(pb.SUBSCRIPTION_STATUS_ACTIVE, "professional", current_period_end=END)) == []


@pytest.mark.parametrize(
    "address",
    [
        "https://checkout.stripe.com.evil.example/c",
        "https://checkout.stripe.com@evil.example/c",
        "http://checkout.stripe.com/c",
        "//checkout.stripe.com/c",
        "javascript:alert(1)",
    ],
)
def test_a_form_ends_on_the_payment_pages_alone(address):
    assert not PaymentPages("").has(address)
    assert PaymentPages("").has("https://checkout.stripe.com/c/pay/cs_1")
    assert PaymentPages("http://127.0.0.1:12111").origins == ("http://127.0.0.1:12111",)
