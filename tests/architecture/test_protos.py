"""Every public RPC carries a policy and an HTTP rule; stubs import in both environments."""

import subprocess
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from cohortlens.v1 import analytics_pb2, auth_pb2, billing_pb2, common_pb2, customers_pb2, models_pb2

ROOT = Path(__file__).resolve().parents[2]
FILES = (auth_pb2, billing_pb2, customers_pb2, analytics_pb2, models_pb2)
METHODS = [m for f in FILES for s in f.DESCRIPTOR.services_by_name.values() for m in s.methods]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.full_name)
def test_an_rpc_has_a_policy_and_an_http_rule(method):
    policy = method.GetOptions().Extensions[common_pb2.policy]
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    assert policy.access != common_pb2.ACCESS_UNSPECIFIED
    assert policy.rate_class != common_pb2.RATE_CLASS_UNSPECIFIED
    path = getattr(rule, rule.WhichOneof("pattern"))
    assert path.startswith(("/api/v1/", "/oauth2/", "/.well-known/"))


def test_public_messages_use_no_float():
    floats = [
        f"{message.full_name}.{field.name}"
        for file in FILES
        for message in file.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if field.type == field.TYPE_FLOAT
    ]
    assert floats == []


def test_no_request_names_a_tenant_but_a_choice_among_own_ones_and_calls_of_the_platform():
    named = [
        m.input_type.full_name + "." + f.name
        for m in METHODS
        for f in m.input_type.fields
        if "tenant" in f.name and f.type == f.TYPE_STRING
    ]
    # Among the caller's own tenants; staff of the platform name the one they act on.
    assert sorted(named) == [
        f"cohortlens.v1.{request}Request.tenant"
        for request in (
            "CreateSession",
            "DecideAuthorization",
            "OverrideEntitlement",
            "ReconcileSubscription",
            "ResumeTenant",
            "SuspendTenant",
            "SwitchTenant",
            "UndeleteTenant",
        )
    ]


def test_the_descriptor_image_describes_the_committed_stubs():
    image = descriptor_pb2.FileDescriptorSet.FromString(
        (ROOT / "cohortlens" / "descriptors.binpb").read_bytes()
    )
    by_name = {f.name: f for f in image.file}
    for file in FILES:
        described = by_name[file.DESCRIPTOR.name]
        assert described.source_code_info.location, "comments must travel with the image"
        stub = descriptor_pb2.FileDescriptorProto()
        file.DESCRIPTOR.CopyToProto(stub)
        bare = descriptor_pb2.FileDescriptorProto()
        bare.CopyFrom(described)
        for proto in (bare, stub):
            proto.ClearField("source_code_info")
            _drop_json_names(proto.message_type)
            _drop_json_names_of(proto.extension)
        assert bare.SerializeToString(deterministic=True) == stub.SerializeToString(deterministic=True)


def _drop_json_names(messages):
    for message in messages:
        _drop_json_names_of(message.field)
        _drop_json_names(message.nested_type)


def _drop_json_names_of(fields):
    for field in fields:
        field.ClearField("json_name")


@pytest.mark.parametrize("environment", [".venv", ".venv-workers"])
def test_every_stub_imports_in_both_environments(environment):
    stubs = [
        ".".join(p.relative_to(ROOT).with_suffix("").parts)
        for folder in ("cohortlens/v1", "cohortlens/internal/v1", "cohortlens/oip")
        for p in sorted((ROOT / folder).glob("*_pb2*.py"))
    ]
    assert len(stubs) > 10
    run = subprocess.run(
        [ROOT / environment / "bin" / "python", "-W", "error", "-c", "import " + ", ".join(stubs)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_an_image_message_can_be_built_from_the_pool():
    pool = descriptor_pool.DescriptorPool()
    image = descriptor_pb2.FileDescriptorSet.FromString(
        (ROOT / "cohortlens" / "descriptors.binpb").read_bytes()
    )
    for file in image.file:
        pool.Add(file)
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("cohortlens.v1.FeatureVector"))
    assert list(message(values=[1.5, 2]).values) == [1.5, 2.0]
