"""Blank objects of payments; see ``blanks``."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
ADDRESS: Object = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def shape(kind: str, nulls: str, **values: Any) -> Object:
    """A blank object: its kind, the names of what is null, and the rest."""
    return {"id": None, "object": kind, **dict.fromkeys(nulls.split()), **values}


PAYMENTS: tuple[Object, ...] = (
    shape(
        "payment_method",
        "created customer card customer_account",
        allow_redisplay="unspecified",
        billing_details={
            "address": ADDRESS,
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        livemode=False,
        metadata={},
        type="card",
    ),
    shape(
        "payment_intent",
        "amount application application_fee_amount automatic_payment_methods canceled_at"
        " cancellation_reason client_secret created currency customer description last_payment_error"
        " latest_charge next_action on_behalf_of payment_method payment_method_configuration_details"
        " processing receipt_email review setup_future_usage shipping statement_descriptor"
        " statement_descriptor_suffix status transfer_data transfer_group source"
        " excluded_payment_method_types customer_account managed_payments",
        amount_capturable=0,
        amount_details={"tip": {}},
        amount_received=0,
        capture_method="automatic",
        confirmation_method="automatic",
        livemode=False,
        metadata={},
        payment_method_options={},
        payment_method_types=["card"],
    ),
    shape(
        "setup_intent",
        "application automatic_payment_methods cancellation_reason client_secret created customer"
        " description flow_directions last_setup_error latest_attempt mandate next_action on_behalf_of"
        " payment_method payment_method_configuration_details single_use_mandate"
        " excluded_payment_method_types",
        livemode=False,
        metadata={},
        payment_method_options={},
        payment_method_types=["card"],
        status="succeeded",
        usage="off_session",
    ),
    shape(
        "charge",
        "amount application application_fee application_fee_amount balance_transaction"
        " calculated_statement_descriptor created currency customer description"
        " failure_balance_transaction failure_code failure_message on_behalf_of outcome payment_intent"
        " payment_method payment_method_details receipt_email receipt_number receipt_url refunds review"
        " shipping source_transfer statement_descriptor statement_descriptor_suffix status"
        " transfer_data transfer_group source",
        amount_captured=0,
        amount_refunded=0,
        billing_details={
            "address": ADDRESS,
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        captured=True,
        disputed=False,
        fraud_details={},
        livemode=False,
        metadata={},
        paid=False,
        refunded=False,
    ),
    shape(
        "refund",
        "amount balance_transaction charge created currency payment_intent reason receipt_number"
        " source_transfer_reversal transfer_reversal customer customer_account payment_method",
        destination_details={"card": {"type": "refund"}, "type": "card"},
        metadata={},
        status="succeeded",
    ),
    shape(
        "dispute",
        "amount charge created currency payment_intent reason status",
        balance_transactions=[],
        enhanced_eligibility_types=[],
        evidence={},
        evidence_details={
            "due_by": None,
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "enhanced_eligibility": {},
        },
        is_charge_refundable=False,
        livemode=False,
        metadata={},
        payment_method_details={
            "card": {
                "brand": "visa",
                "case_type": "chargeback",
                "network_reason_code": "10.4",
                "network": "visa",
            },
            "type": "card",
        },
    ),
    shape("radar.early_fraud_warning", "charge created", actionable=True, fraud_type="misc", livemode=False),
)
