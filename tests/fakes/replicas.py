"""Replicas without Ray or models: both lanes served in the test, and the little of Redis the directory reads.

The frame socket is served by the replica's own code, which loads in this environment too.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
from redis.exceptions import ConnectionError as RedisConnectionError

from cohortlens.contracts.hosts import host_identity
from cohortlens.core.errors import Code, CohortLensError
from cohortlens.internal.v1 import inference_pb2 as pb
from cohortlens.internal.v1 import inference_pb2_grpc as rpc
from tests.fakes import inference as fake
from workers.deployments import codec
from workers.deployments.frames import FrameServer


class FakeRedis:
    """Keys and one channel; ``down`` makes every command fail."""

    def __init__(self):
        self.keys = {}
        self.down = False
        self._changes = asyncio.Event()

    def register(self, deployment, replica, **changes):
        """Register a ``Replica`` under its name."""
        record = {
            "deployment": deployment,
            "replica": replica.name,
            "address": replica.address,
            "socket": "",
            "frame_socket": replica.frame_socket,
            "host": host_identity(),
            "loaded": [],
        } | changes
        self.keys[f"cl:replica:{deployment}:{replica.name}"] = json.dumps(record).encode()
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


class Told(CohortLensError):
    """A fault with the code and the words of a status."""

    def __init__(self, status, details):
        reason, _, message = details.partition(": ")
        super().__init__(message, reason=reason)
        self.code = Code(status.value[0])


class Replica(rpc.InferenceServiceServicer, rpc.TrainingServiceServicer):
    """One replica that answers like ``FakeInferenceClient``; ``fail_with`` is the status of the next calls.

    ``framed`` says whether it also serves the frame socket.
    """

    framed = False

    def __init__(self, name="one"):
        self.name = name
        self.fail_with = []
        self.gate = None
        self.calls = 0
        self.frame_calls = 0
        self.cancelled = 0
        self.loaded = []
        self.steps = []
        self.trained = []
        self.server = None
        self.frames = None
        self.address = ""
        self.frame_socket = ""

    async def start(self, address="127.0.0.1:0"):
        self.server = grpc.aio.server()
        rpc.add_InferenceServiceServicer_to_server(self, self.server)
        rpc.add_TrainingServiceServicer_to_server(self, self.server)
        port = self.server.add_insecure_port(address)
        self.address = f"127.0.0.1:{port}"
        await self.server.start()
        if self.framed:
            await self.start_frames()
        return self

    async def start_frames(self):
        if not self.frame_socket:
            # Not pytest's own folder: the kernel's limit on the path of a socket is short.
            self.frame_socket = f"{tempfile.mkdtemp(prefix='clf-')}/{self.name}.frames"
        self.frames = FrameServer(Framed(self), Path(self.frame_socket))
        await self.frames.start()

    async def stop_frames(self):
        if self.frames is not None:
            await self.frames.stop(0)
            self.frames = None
            shutil.rmtree(Path(self.frame_socket).parent, ignore_errors=True)

    async def stop(self):
        await self.stop_frames()
        await self.server.stop(None)

    async def Score(self, request, context):
        await self._through(context, self.admit(request))
        columns = self.scores(request)
        return pb.ScoreResponse(
            columns=[
                pb.Column(name=name, values=values.astype("<f8").tobytes())
                for name, values in columns.items()
            ]
        )

    async def Explain(self, request, context):
        await self._through(context, self.admit(request))
        found = self.attributions(request)
        return codec.explanation(found)

    async def LoadModel(self, request, context):
        await self._through(context, self.admit(request))
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

    async def admit(self, request):
        self.calls += 1
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        self.refuse(request)

    def refuse(self, request):
        if self.fail_with:
            raise Told(*self.fail_with.pop(0))
        if request.artifact_digest == fake.BAD_DIGEST:
            raise Told(grpc.StatusCode.INVALID_ARGUMENT, "FEATURE_SCHEMA_MISMATCH: the model refuses")

    def scores(self, request):
        return fake.scores_of(request.target, self._features(request))

    def attributions(self, request):
        features = self._features(request)
        return fake.attributions(request.target, features)

    @staticmethod
    async def _through(context, work):
        try:
            await work
        except Told as fault:
            await context.abort(
                next(one for one in grpc.StatusCode if one.value[0] == fault.code),
                f"{fault.reason}: {fault.message}",
            )

    @staticmethod
    def _features(request):
        shape = (request.features.rows, request.features.columns)
        return np.frombuffer(request.features.values, "<f4").reshape(shape)


class Framed:
    """The same replica as ``workers.deployments.inference.Inference``; scores at once while no gate is set."""

    def __init__(self, fake_replica):
        self._fake = fake_replica
        self.replica = fake_replica.name

    def score_now(self, request, waited_s):
        if self._fake.gate is not None:
            return None
        self._fake.calls += 1
        self._fake.frame_calls += 1
        self._fake.refuse(request)
        return self._fake.scores(request)

    async def score(self, request, waited_s):
        self._fake.frame_calls += 1
        await self._fake.admit(request)
        return self._fake.scores(request)

    async def explain(self, request, waited_s):
        self._fake.frame_calls += 1
        await self._fake.admit(request)
        return self._fake.attributions(request)

    async def load(self, digest):
        await self._fake.admit(pb.LoadModelRequest(artifact_digest=digest))
        self._fake.loaded.append(digest)
        return 1.0

    async def status(self, request):
        return pb.GetStatusResponse(replica=self.replica)
