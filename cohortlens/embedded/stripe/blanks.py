"""Blank objects: every key that Stripe publishes for a resource, with the value an object has without it."""

from __future__ import annotations

import copy
from typing import Any

from cohortlens.embedded.stripe.payment_blanks import ADDRESS, PAYMENTS, Object, shape

_AUTOMATIC_TAX: Object = {"enabled": False, "liability": None, "disabled_reason": None}
__all__ = ["ADDRESS", "Object", "blank"]
_PAYMENT_OPTIONS: Object = {
    "payment_method_options": None,
    "payment_method_types": None,
}


_BLANKS: dict[str, Object] = {
    str(one["object"]): one
    for one in (
        *PAYMENTS,
        shape(
            "customer",
            "created currency default_source description discount email invoice_prefix name phone shipping"
            " test_clock address",
            balance=0,
            delinquent=False,
            invoice_settings={
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            livemode=False,
            metadata={},
            next_invoice_sequence=1,
            preferred_locales=[],
            tax_exempt="none",
        ),
        shape(
            "product",
            "created default_price description name package_dimensions shippable statement_descriptor"
            " tax_code unit_label updated url",
            active=True,
            images=[],
            livemode=False,
            marketing_features=[],
            metadata={},
            type="service",
        ),
        shape(
            "price",
            "created currency custom_unit_amount lookup_key nickname product recurring tiers_mode"
            " transform_quantity type unit_amount unit_amount_decimal",
            active=True,
            billing_scheme="per_unit",
            livemode=False,
            metadata={},
            tax_behavior="unspecified",
        ),
        shape(
            "plan",
            "amount amount_decimal created currency interval interval_count meter nickname product tiers_mode"
            " transform_usage trial_period_days",
            active=True,
            billing_scheme="per_unit",
            livemode=False,
            metadata={},
            usage_type="licensed",
        ),
        shape(
            "checkout.session",
            "after_expiration allow_promotion_codes amount_subtotal amount_total billing_address_collection"
            " cancel_url client_reference_id client_secret consent consent_collection created currency"
            " customer customer_creation customer_details customer_email expires_at invoice invoice_creation"
            " locale mode payment_intent payment_link payment_method_collection"
            " payment_method_configuration_details recovered_from saved_payment_method_options setup_intent"
            " shipping_address_collection shipping_cost submit_type subscription success_url url"
            " collected_information permissions wallet_options origin_context"
            " currency_conversion customer_account integration_identifier managed_payments",
            automatic_tax={"enabled": False, "liability": None, "status": None, "provider": None},
            adaptive_pricing={"enabled": False},
            custom_fields=[],
            custom_text=dict.fromkeys(
                ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
            ),
            discounts=[],
            livemode=False,
            metadata={},
            payment_method_options={},
            payment_method_types=["card"],
            payment_status="unpaid",
            phone_number_collection={"enabled": False},
            shipping_options=[],
            status="open",
            total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            ui_mode="hosted_page",
        ),
        shape(
            "item",
            "amount_subtotal amount_total currency description price quantity metadata adjustable_quantity",
            amount_discount=0,
            amount_tax=0,
        ),
        shape(
            "subscription",
            "application application_fee_percent billing_cycle_anchor billing_cycle_anchor_config cancel_at"
            " canceled_at created currency customer days_until_due default_payment_method default_source"
            " description ended_at items latest_invoice next_pending_invoice_item_invoice on_behalf_of"
            " pause_collection pending_invoice_item_interval pending_setup_intent pending_update schedule"
            " start_date status test_clock transfer_data trial_end trial_start billing_thresholds"
            " customer_account managed_payments billing_schedules",
            automatic_tax=_AUTOMATIC_TAX,
            billing_mode={"type": "classic", "flexible": None},
            cancel_at_period_end=False,
            cancellation_details=dict.fromkeys(("comment", "feedback", "reason")),
            collection_method="charge_automatically",
            default_tax_rates=[],
            discounts=[],
            invoice_settings={
                "account_tax_ids": None,
                "issuer": {"type": "self"},
                "custom_fields": None,
                "description": None,
                "footer": None,
            },
            livemode=False,
            metadata={},
            payment_settings={**_PAYMENT_OPTIONS, "save_default_payment_method": "off"},
            trial_settings={"end_behavior": {"missing_payment_method": "create_invoice"}},
        ),
        shape(
            "subscription_item",
            "created price quantity subscription plan current_period_end current_period_start"
            " billing_thresholds",
            discounts=[],
            metadata={},
            tax_rates=[],
        ),
        shape(
            "subscription_schedule",
            "application canceled_at completed_at created current_phase customer released_at"
            " released_subscription status subscription test_clock customer_account",
            billing_mode={"type": "classic", "flexible": None},
            default_settings={
                "application_fee_percent": None,
                "automatic_tax": _AUTOMATIC_TAX,
                "billing_cycle_anchor": "automatic",
                "billing_thresholds": None,
                "collection_method": "charge_automatically",
                "default_payment_method": None,
                "description": None,
                "invoice_settings": {
                    "account_tax_ids": None,
                    "days_until_due": None,
                    "issuer": {"type": "self"},
                    "custom_fields": None,
                    "description": None,
                    "footer": None,
                },
                "on_behalf_of": None,
                "transfer_data": None,
            },
            end_behavior="release",
            livemode=False,
            metadata={},
            phases=[],
        ),
        shape(
            "invoice",
            "account_tax_ids application created currency custom_fields customer customer_address"
            " customer_email customer_name customer_phone customer_shipping default_payment_method"
            " default_source description due_date effective_at ending_balance footer from_invoice"
            " hosted_invoice_url invoice_pdf last_finalization_error latest_revision lines"
            " next_payment_attempt number on_behalf_of period_end period_start receipt_number rendering"
            " shipping_cost shipping_details statement_descriptor subscription test_clock"
            " webhooks_delivered_at automatically_finalizes_at customer_account parent",
            account_country="US",
            account_name="Local stand-in",
            amount_due=0,
            amount_overpaid=0,
            amount_paid=0,
            amount_remaining=0,
            amount_shipping=0,
            attempt_count=0,
            attempted=False,
            auto_advance=True,
            automatic_tax={**_AUTOMATIC_TAX, "status": None, "provider": None},
            billing_reason="manual",
            collection_method="charge_automatically",
            customer_tax_exempt="none",
            customer_tax_ids=[],
            default_tax_rates=[],
            discounts=[],
            issuer={"type": "self"},
            livemode=False,
            metadata={},
            payment_settings={**_PAYMENT_OPTIONS, "default_mandate": None},
            post_payment_credit_notes_amount=0,
            pre_payment_credit_notes_amount=0,
            starting_balance=0,
            status="draft",
            status_transitions=dict.fromkeys(
                ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
            ),
            subtotal=0,
            subtotal_excluding_tax=0,
            total=0,
            total_discount_amounts=[],
            total_excluding_tax=0,
            total_pretax_credit_amounts=[],
            total_taxes=[],
        ),
        shape(
            "line_item",
            "amount currency description invoice period quantity subscription parent pricing subtotal"
            " quantity_decimal",
            discount_amounts=[],
            discountable=True,
            discounts=[],
            livemode=False,
            metadata={},
            pretax_credit_amounts=[],
            taxes=[],
        ),
        shape(
            "invoice_payment",
            "amount_paid amount_requested created currency invoice payment",
            is_default=True,
            livemode=False,
            status="open",
            status_transitions={"canceled_at": None, "paid_at": None},
        ),
        shape(
            "event",
            "api_version created data type",
            livemode=False,
            pending_webhooks=0,
            request={"id": None, "idempotency_key": None},
        ),
        shape(
            "webhook_endpoint",
            "api_version application created description url",
            enabled_events=[],
            livemode=False,
            metadata={},
            status="enabled",
        ),
        shape(
            "test_helpers.test_clock",
            "created deletes_after frozen_time name",
            livemode=False,
            status="ready",
            status_details={},
        ),
        shape(
            "billing.meter",
            "created display_name event_name event_time_window updated",
            customer_mapping={"event_payload_key": "stripe_customer_id", "type": "by_id"},
            default_aggregation={"formula": "sum"},
            livemode=False,
            status="active",
            status_transitions={"deactivated_at": None},
            value_settings={"event_payload_key": "value"},
        ),
        shape("billing.meter_event_summary", "aggregated_value end_time meter start_time", livemode=False),
        shape(
            "billing_portal.session",
            "configuration created customer flow locale on_behalf_of return_url url customer_account",
            livemode=False,
        ),
        shape(
            "billing_portal.configuration",
            "application created default_return_url updated name",
            active=True,
            business_profile=dict.fromkeys(("headline", "privacy_policy_url", "terms_of_service_url")),
            features={},
            is_default=False,
            livemode=False,
            login_page={"enabled": False, "url": None},
            metadata={},
        ),
        # The next two have no identifier of their own.
        {
            "object": "billing.meter_event",
            "livemode": False,
            **dict.fromkeys(("created", "event_name", "identifier", "payload", "timestamp")),
        },
        {
            "object": "billing.meter_event_adjustment",
            "livemode": False,
            "status": "complete",
            "type": "cancel",
            **dict.fromkeys(("cancel", "event_name")),
        },
    )
}


def blank(kind: str, **values: Any) -> Object:
    """A new object of a kind with some values.

    Raises:
        KeyError: A value that objects of the kind do not have.
    """
    made = copy.deepcopy(_BLANKS[kind])
    if unknown := values.keys() - made.keys():
        raise KeyError(f"{kind} has no {sorted(unknown)}")
    return made | values
