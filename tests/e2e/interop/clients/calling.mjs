// Calls the cases through a transport of Connect, in Node and in a page alike, and tells what came of each.
import { createFileRegistry, fromBinary, fromJson, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";

export function registryOf(bytes) {
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));
}

export async function callAll(transport, registry, cases) {
  const told = {};
  for (const one of cases) told[one.id] = await called(transport, registry, one);
  return told;
}

async function called(transport, registry, one) {
  const service = registry.getService(one.service);
  const method = service.methods.find((candidate) => candidate.name === one.method);
  const call = createClient(service, transport)[method.localName];
  const requests = one.requests.map((request) => fromJson(method.input, request, { registry }));
  const options = { headers: one.headers, timeoutMs: 20_000 };
  const messages = [];
  const tell = (reply) => messages.push(toJson(method.output, reply, { registry }));
  try {
    const asked = method.methodKind === "unary" || method.methodKind === "server_streaming";
    const reply = call(asked ? requests[0] : each(requests), options);
    if (method.methodKind === "unary" || method.methodKind === "client_streaming") tell(await reply);
    else for await (const message of reply) tell(message);
    return { messages };
  } catch (error) {
    return { messages, error: told(error) };
  }
}

async function* each(requests) {
  yield* requests;
}

function told(error) {
  if (!(error instanceof ConnectError)) throw error;
  const details = error.details.map((detail) => ({ type: detail.type, value: base64(detail.value) }));
  return { code: error.code, message: error.rawMessage, details };
}

function base64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}
