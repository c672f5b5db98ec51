"""Replicas without Ray: a gRPC server in the test, and the little of Redis that the directory reads."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import grpc
import numpy as np
from redis.exceptions import ConnectionError as RedisConnectionError

from cohortlens.internal.v1 import inference_pb2 as pb
from cohortlens.internal.v1 import inference_pb2_grpc as rpc
from tests.fakes import inference as fake


class FakeRedis:
    """Keys and one channel; ``down`` makes every command fail."""

    def __init__(self):
        self.keys = {}
        self.down = False
        self._changes = asyncio.Event()

    def register(self, deployment, replica, address):
        record = {
            "deployment": deployment,
            "replica": replica,
            "address": address,
            "socket": "",
            "loaded": [],
        }
        self.keys[f"cl:replica:{deployment}:{replica}"] = json.dumps(record).encode()
        self._changes.set()

    def deregister(self, deployment, replica):
        del self.keys[f"cl:replica:{deployment}:{replica}"]
        self._changes.set()

    def stop(self):
        self.down = True
        self._changes.set()

    async def scan_iter(self, match, count):
        self._check()
        for key in list(self.keys):
            yield key

    async def mget(self, names):
        self._check()
        return [self.keys.get(name) for name in names]

    @asynccontextmanager
    async def pubsub(self):
        yield self

    async def subscribe(self, channel):
        self._check()

    async def get_message(self, ignore_subscribe_messages, timeout):
        self._check()
        try:
            async with asyncio.timeout(timeout):
                await self._changes.wait()
        except TimeoutError:
            return None
        self._changes.clear()
        self._check()
        return {"type": "message"}

    def _check(self):
        if self.down:
            raise RedisConnectionError("away")


class Replica(rpc.InferenceServiceServicer, rpc.TrainingServiceServicer):
    """One server that answers like ``FakeInferenceClient``; ``fail_with`` is the status of the next calls."""

    def __init__(self):
        self.fail_with = []
        self.gate = None
        self.calls = 0
        self.cancelled = 0
        self.loaded = []
        self.steps = []
        self.trained = []
        self.server = None
        self.address = ""

    async def start(self, address="127.0.0.1:0"):
        self.server = grpc.aio.server()
        rpc.add_InferenceServiceServicer_to_server(self, self.server)
        rpc.add_TrainingServiceServicer_to_server(self, self.server)
        port = self.server.add_insecure_port(address)
        self.address = f"127.0.0.1:{port}"
        await self.server.start()
        return self

    async def stop(self):
        await self.server.stop(None)

    async def Score(self, request, context):
        await self._admit(request, context)
        features = self._features(request)
        columns = fake.scores_of(request.target, features)
        return pb.ScoreResponse(
            columns=[
                pb.Column(name=name, values=values.astype("<f8").tobytes())
                for name, values in columns.items()
            ]
        )

    async def Explain(self, request, context):
        await self._admit(request, context)
        features = self._features(request)
        return pb.ExplainResponse(
            base_value=fake._BASE[request.target],
            contributions=fake.contributions(request.target, features).astype("<f8").tobytes(),
            values=np.exp(fake.log_values(request.target, features)).astype("<f8").tobytes(),
        )

    async def LoadModel(self, request, context):
        await self._admit(request, context)
        self.loaded.append(request.artifact_digest)
        return pb.LoadModelResponse(load_ms=1)

    async def Train(self, request, context):
        self.trained.append(request)
        for step in self.steps:
            if isinstance(step, pb.TrainResponse):
                yield step
            elif callable(step):
                await step()
            else:
                await context.abort(*step)

    async def _admit(self, request, context):
        self.calls += 1
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.fail_with:
            await context.abort(*self.fail_with.pop(0))
        if request.artifact_digest == fake.BAD_DIGEST:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "FEATURE_SCHEMA_MISMATCH: the model refuses"
            )

    @staticmethod
    def _features(request):
        shape = (request.features.rows, request.features.columns)
        return np.frombuffer(request.features.values, "<f4").reshape(shape)
