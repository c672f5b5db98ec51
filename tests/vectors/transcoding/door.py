"""An HTTP door over services made at run time, with the real chain before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool

from gateway.http.routes import RouteTable
from gateway.http.transcoding import HttpDoor
from gateway.interceptors.access import AccessStep
from gateway.interceptors.authn import AuthnStep
from gateway.interceptors.chain import ORDER, Chain, MethodTable
from gateway.interceptors.errors import ErrorsStep
from gateway.interceptors.fairness import ShareLimits
from gateway.interceptors.observe import ObserveStep
from gateway.interceptors.request_id import RequestIdStep
from gateway.interceptors.share import ShareStep
from gateway.interceptors.shed import Load, ShedStep
from gateway.interceptors.validate import ValidateStep
from gateway.registry import Policy, RateClass


def http_options(method: Any) -> Any:
    """The HTTP rule of a method of any pool, read by the types of the default one."""
    raw = descriptor_pb2.MethodOptions.FromString(method.GetOptions().SerializeToString())
    return raw.Extensions[annotations_pb2.http]


async def passing(call: Any, proceed: Any) -> None:
    """A step that does nothing."""
    await proceed(call)


def chain_of(table: MethodTable, servicers: Mapping[str, Any], authenticate: Any = None) -> Chain:
    """The chain over these servicers; what needs a database or limits is left out of it."""

    async def nobody(token: str, *, strict: bool = False) -> Any:
        raise AssertionError("a public method was authenticated")

    load = Load()
    steps = dict.fromkeys(ORDER, passing) | {
        "request_id": RequestIdStep(),
        "observe": ObserveStep(),
        "errors": ErrorsStep(),
        "access": AccessStep(None),
        "shed": ShedStep(load),
        "authn": AuthnStep(authenticate or nobody),
        "share": ShareStep(load, ShareLimits()),
        "validate": ValidateStep(table),
    }
    return Chain(table, servicers, steps)


def door_for(pool: DescriptorPool, services: Sequence[str], servicer: Any, **codecs: Any) -> HttpDoor:
    """An HttpDoor over all methods of ``services`` (full names), every one public."""
    table, routes = MethodTable(), RouteTable(**codecs)
    for name in services:
        descriptor = pool.FindServiceByName(name)
        policy = Policy(public=True, rate_class=RateClass.PUBLIC)
        table.add_service(descriptor, {method.name: policy for method in descriptor.methods})
    for method in table:
        routes.add(method, http_options(method.descriptor))
    chain = chain_of(table, dict.fromkeys(services, servicer))
    return HttpDoor(chain, routes, {})
