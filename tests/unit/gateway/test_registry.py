"""The table of methods: nothing is served whose access or route nobody has stated."""

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool

from cohortlens.v1 import analytics_pb2, auth_pb2, common_pb2, customers_pb2, models_pb2
from gateway.registry import MethodTable, MethodTableInvalid, Policy, RateClass

PUBLIC_API = [one.DESCRIPTOR for one in (analytics_pb2, auth_pb2, customers_pb2, models_pb2)]


def file_of(name, *methods):
    """A file with one service; each method is (name, access, class, has an HTTP rule)."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"tests/{name}.proto",
        package=f"tests.{name}",
        syntax="proto3",
        dependency=["cohortlens/v1/common.proto", "google/api/annotations.proto"],
    )
    file.message_type.add(name="Empty")
    service = file.service.add(name="Things")
    for method, access, rate_class, has_rule in methods:
        added = service.method.add(
            name=method, input_type=f".tests.{name}.Empty", output_type=f".tests.{name}.Empty"
        )
        policy = added.options.Extensions[common_pb2.policy]
        policy.access, policy.rate_class = access, rate_class
        if has_rule:
            added.options.Extensions[annotations_pb2.http].get = f"/api/v1/{method.lower()}"
    return descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


def test_every_rpc_of_the_public_api_has_a_policy_and_a_route():
    table = MethodTable()
    table.add_public_api(PUBLIC_API)
    assert {method.service for method in table} == {
        f"cohortlens.v1.{name}Service" for name in ("Analytics", "Auth", "Customers", "Models")
    }
    for method in table:
        assert method.policy.public or method.policy.scopes or method.service.endswith("AuthService")


def test_an_rpc_without_policy_or_route_refuses_the_start_and_names_each():
    file = file_of(
        "bare",
        ("Good", common_pb2.ACCESS_PUBLIC, common_pb2.RATE_CLASS_READ, True),
        ("NoAccess", common_pb2.ACCESS_UNSPECIFIED, common_pb2.RATE_CLASS_READ, True),
        ("NoClass", common_pb2.ACCESS_TOKEN, common_pb2.RATE_CLASS_UNSPECIFIED, True),
        ("NoRoute", common_pb2.ACCESS_TOKEN, common_pb2.RATE_CLASS_READ, False),
        ("Nothing", common_pb2.ACCESS_UNSPECIFIED, common_pb2.RATE_CLASS_UNSPECIFIED, False),
    )
    with pytest.raises(MethodTableInvalid) as caught:
        MethodTable().add_public_api([file])
    assert caught.value.faults == [
        "tests/bare.proto: tests.bare.Things.NoAccess has no policy that states its access",
        "tests/bare.proto: tests.bare.Things.NoClass has no policy that states its rate class",
        "tests/bare.proto: tests.bare.Things.NoRoute has no google.api.http rule",
        "tests/bare.proto: tests.bare.Things.Nothing has no google.api.http rule",
        "tests/bare.proto: tests.bare.Things.Nothing has no policy that states its access",
    ]


@pytest.mark.parametrize(
    ("access", "scopes", "words"),
    [
        (common_pb2.ACCESS_PUBLIC, ["customers.read"], "is public and names a scope"),
        (common_pb2.ACCESS_PLATFORM, [], "names no scope platform"),
        (common_pb2.ACCESS_PLATFORM, ["users.read"], "names no scope platform"),
        (common_pb2.ACCESS_TOKEN, ["platform.keys"], "only the staff of the platform has"),
    ],
)
def test_a_policy_that_contradicts_itself_refuses_the_start(access, scopes, words):
    name = f"odd{access}{len(scopes)}{'x'.join(scopes).replace('.', '')}"
    file = file_of(name, ("Odd", access, common_pb2.RATE_CLASS_READ, True))
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    proto.name, proto.package = f"tests/{name}_2.proto", f"tests.{name}_2"
    proto.service[0].method[0].options.Extensions[common_pb2.policy].scopes.extend(scopes)
    method = proto.service[0].method[0]
    method.input_type = method.output_type = f".tests.{name}_2.Empty"
    with pytest.raises(MethodTableInvalid, match=words):
        MethodTable().add_public_api([descriptor_pool.Default().AddSerializedFile(proto.SerializeToString())])


def test_every_option_of_a_policy_reaches_the_chain():
    file = file_of("full", ("All", common_pb2.ACCESS_PLATFORM, common_pb2.RATE_CLASS_PLATFORM, True))
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    proto.name, proto.package = "tests/full_2.proto", "tests.full_2"
    method = proto.service[0].method[0]
    method.input_type = method.output_type = ".tests.full_2.Empty"
    declared = method.options.Extensions[common_pb2.policy]
    declared.scopes.append("platform.keys")
    declared.feature, declared.audit_action, declared.never_shed = "drift", "platform.keys.read", True
    declared.meter, declared.cost, declared.open_read_only = "api_calls", 5, True
    declared.errors.append("KEY_TOO_YOUNG")
    table = MethodTable()
    table.add_public_api([descriptor_pool.Default().AddSerializedFile(proto.SerializeToString())])
    (policy,) = (one.policy for one in table)
    assert policy == Policy(
        public=False,
        rate_class=RateClass.PLATFORM,
        scopes=("platform.keys",),
        feature="drift",
        errors=("KEY_TOO_YOUNG",),
        platform=True,
        audit_action="platform.keys.read",
        never_shed=True,
        meter="api_calls",
        cost=5,
        open_read_only=True,
    )


def test_rows_of_a_request_are_the_items_of_the_lists_that_count():
    table = MethodTable()
    table.add_public_api(PUBLIC_API)
    predict = table.get("/cohortlens.v1.AnalyticsService/Predict")
    assert predict.rows(predict.input_class(customers=["a", "b"], vectors=[{}])) == 3
    assert predict.rows(predict.input_class()) == 1


def test_every_rate_class_of_the_protos_is_known_here():
    numbers = {value.number for value in common_pb2.RateClass.DESCRIPTOR.values} - {0}
    assert numbers == {int(one) for one in RateClass}


def test_deadlines_follow_the_class_and_the_shape_of_the_call():
    table = MethodTable()
    table.add_public_api(PUBLIC_API)
    limits = {
        method.policy.rate_class: (method.default_deadline_s, method.max_deadline_s)
        for method in table
        if not method.server_streaming
    }
    assert limits[RateClass.READ] == (5, 30)
    assert limits[RateClass.INFERENCE] == (5, 60)
    assert limits[RateClass.BULK] == (30, 300)
    for method in table:
        if method.server_streaming:
            assert (method.default_deadline_s, method.max_deadline_s) == (300, 3600)


def test_a_service_added_by_hand_must_state_every_policy():
    file = file_of("hand", ("Only", common_pb2.ACCESS_PUBLIC, common_pb2.RATE_CLASS_READ, True))
    with pytest.raises(KeyError, match="Only"):
        MethodTable().add_service(file.services_by_name["Things"], {})
