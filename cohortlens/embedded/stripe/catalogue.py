"""Products and prices."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from cohortlens.embedded.stripe import forms, listing
from cohortlens.embedded.stripe.blanks import Object, blank
from cohortlens.embedded.stripe.faults import Refusal, required
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.routing import Call, Route, route

INTERVALS = ("day", "week", "month", "year")
_PRODUCT = "name description active metadata statement_descriptor unit_label url tax_code"
_PRODUCT_TEXTS = ("name", "description", "statement_descriptor", "unit_label", "url", "tax_code")


def create_product(call: Call) -> Object:
    """Make a product, under an identifier of the caller's choice if given."""
    provider, params = call.provider, call.params
    forms.needed(params, "name")
    given = forms.text(params, "id")
    if given is not None and provider.store.any(given) is not None:
        raise Refusal("Product already exists.", code="resource_already_exists", param="id")
    made = provider.make("product", id=given, **_product_values(params, {}))
    made["updated"] = made["created"]
    provider.store.add(made)
    provider.emit("product.created", made)
    return made


def update_product(call: Call) -> Object:
    """Change a product."""
    provider, product = call.provider, call.provider.get("product", call.id)
    values = _product_values(call.params, product)
    if "default_price" in call.params:
        price = forms.text(call.params, "default_price")
        values["default_price"] = price and provider.get("price", price, "default_price")["id"]
    return provider.change(product, "product.updated", **values, updated=provider.now())


def read_product(call: Call) -> Object:
    """One product."""
    return call.provider.get("product", call.id)


def delete_product(call: Call) -> Object:
    """Delete a product that has no prices."""
    provider, product = call.provider, call.provider.get("product", call.id)
    if any(price["product"] == call.id for price in provider.store.newest("price")):
        raise Refusal("This product cannot be deleted because it has one or more user-created prices.")
    provider.store.remove(call.id)
    provider.emit("product.deleted", product)
    return {"id": call.id, "object": "product", "deleted": True}


def list_products(call: Call) -> Object:
    """Products, the newest first."""
    params, wanted = call.params, forms.rows(call.params, "ids")
    found = (
        one
        for one in call.provider.store.newest("product")
        if _is_active(one, params)
        and (not wanted or one["id"] in wanted)
        and listing.within(params, "created", one["created"])
    )
    return listing.page(found, params, call.path)


def search_products(call: Call) -> Object:
    """Products that a query finds."""
    return listing.search(call.provider.store.newest("product"), call.params, call.path)


def create_price(call: Call) -> Object:
    """Make a price; a lookup key is taken from another one only when asked to."""
    provider, params = call.provider, call.params
    product = _product_of(call)
    amount = _amount(params)
    recurring = _recurring(provider, params)
    made = provider.make(
        "price",
        currency=forms.needed(params, "currency").lower(),
        product=product,
        unit_amount=amount,
        unit_amount_decimal=str(amount),
        recurring=recurring,
        type="one_time" if recurring is None else "recurring",
        nickname=forms.text(params, "nickname"),
        active=forms.flag(params, "active", default=True),
        tax_behavior=forms.text(params, "tax_behavior") or "unspecified",
        metadata=forms.metadata(params),
    )
    made["lookup_key"] = _lookup_key(provider, params, made["id"])
    provider.store.add(made)
    provider.emit("price.created", made)
    return made


def update_price(call: Call) -> Object:
    """Change what may change of a price; its amount may not."""
    provider, price, params = call.provider, call.provider.get("price", call.id), call.params
    values: dict[str, Any] = {}
    if "active" in params:
        values["active"] = forms.flag(params, "active")
    if "nickname" in params:
        values["nickname"] = forms.text(params, "nickname")
    if "metadata" in params:
        values["metadata"] = forms.metadata(params, price["metadata"])
    if "lookup_key" in params:
        values["lookup_key"] = _lookup_key(provider, params, price["id"])
    return provider.change(price, "price.updated", **values)


def read_price(call: Call) -> Object:
    """One price."""
    return call.provider.get("price", call.id)


def list_prices(call: Call) -> Object:
    """Prices, the newest first."""
    params, keys = call.params, forms.rows(call.params, "lookup_keys")
    product, kind = forms.text(params, "product"), forms.text(params, "type")
    recurring = forms.tree(params, "recurring")
    found = (
        one
        for one in call.provider.store.newest("price")
        if _is_active(one, params)
        and (not keys or one["lookup_key"] in keys)
        and product in {None, one["product"]}
        and kind in {None, one["type"]}
        and all((one["recurring"] or {}).get(name) == value for name, value in recurring.items())
        and listing.within(params, "created", one["created"])
    )
    return listing.page(found, params, call.path)


def search_prices(call: Call) -> Object:
    """Prices that a query finds."""
    return listing.search(call.provider.store.newest("price"), call.params, call.path)


def plan_of(price: Object) -> Object:
    """The older form of a recurring price, which subscription items still show."""
    recurring = price["recurring"]
    return blank(
        "plan",
        id=price["id"],
        active=price["active"],
        amount=price["unit_amount"],
        amount_decimal=price["unit_amount_decimal"],
        created=price["created"],
        currency=price["currency"],
        interval=recurring["interval"],
        interval_count=recurring["interval_count"],
        metadata=price["metadata"],
        meter=recurring["meter"],
        nickname=price["nickname"],
        product=price["product"],
        usage_type=recurring["usage_type"],
    )


def _product_values(params: dict[str, Any], before: Object) -> Object:
    values: Object = {name: forms.text(params, name) for name in _PRODUCT_TEXTS if name in params}
    if "active" in params:
        values["active"] = forms.flag(params, "active")
    if "metadata" in params:
        values["metadata"] = forms.metadata(params, before.get("metadata"))
    return values


def _product_of(call: Call) -> str:
    given = forms.tree(call.params, "product_data")
    if given:
        return str(create_product(Call(call.provider, "", (), given))["id"])
    identifier = forms.needed(call.params, "product")
    return str(call.provider.get("product", identifier, "product")["id"])


def _amount(params: dict[str, Any]) -> int:
    whole = forms.number(params, "unit_amount")
    if whole is None:
        try:
            decimal = Decimal(forms.text(params, "unit_amount_decimal") or "x")
        except InvalidOperation:
            raise required("unit_amount") from None
        whole = int(decimal)
        if whole != decimal:
            raise Refusal(
                "Invalid decimal: this local stand-in takes whole minor units", param="unit_amount_decimal"
            )
    if whole < 0:
        raise Refusal(f"Invalid non-negative integer: {whole}", param="unit_amount")
    return whole


def _recurring(provider: Provider, params: dict[str, Any]) -> Object | None:
    given = forms.tree(params, "recurring")
    if not given:
        return None
    interval = forms.choice(given, "interval", INTERVALS, "")
    meter = forms.text(given, "meter")
    if meter is not None:
        provider.get("billing.meter", meter, "recurring[meter]")
    return {
        "interval": interval,
        "interval_count": forms.number(given, "interval_count", 1),
        "meter": meter,
        "trial_period_days": None,
        "usage_type": forms.choice(given, "usage_type", ("licensed", "metered"), "licensed"),
    }


def _lookup_key(provider: Provider, params: dict[str, Any], owner: str) -> str | None:
    key = forms.text(params, "lookup_key")
    for price in provider.store.newest("price") if key else ():
        if price["lookup_key"] == key and price["id"] != owner:
            if not forms.flag(params, "transfer_lookup_key"):
                raise Refusal(
                    f"A price (`{price['id']}`) already uses that lookup key.",
                    param="lookup_key",
                    code="resource_already_exists",
                )
            provider.change(price, "price.updated", lookup_key=None)
    return key


def _is_active(one: Object, params: dict[str, Any]) -> bool:
    return "active" not in params or one["active"] == forms.flag(params, "active")


_LIST = f"{listing.PARAMS} active created"
ROUTES: list[Route] = [
    route("GET", "/v1/products/search", search_products, "query limit page"),
    route("POST", "/v1/products", create_product, f"id {_PRODUCT}"),
    route("GET", "/v1/products", list_products, f"ids {_LIST}"),
    route("GET", "/v1/products/{id}", read_product),
    route("POST", "/v1/products/{id}", update_product, f"default_price {_PRODUCT}"),
    route("DELETE", "/v1/products/{id}", delete_product),
    route("GET", "/v1/prices/search", search_prices, "query limit page"),
    route(
        "POST",
        "/v1/prices",
        create_price,
        "currency product product_data unit_amount unit_amount_decimal recurring nickname active metadata"
        " lookup_key transfer_lookup_key tax_behavior",
    ),
    route("GET", "/v1/prices", list_prices, f"lookup_keys product type currency recurring {_LIST}"),
    route("GET", "/v1/prices/{id}", read_price),
    route("POST", "/v1/prices/{id}", update_price, "active nickname metadata lookup_key transfer_lookup_key"),
]
