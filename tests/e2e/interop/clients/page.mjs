// Calls the cases from a page of another site: with @connectrpc/connect-web, and with nothing but fetch.
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { callAll, registryOf } from "./calling.mjs";

async function fetched(http, one) {
  const { verb, path, body } = one.http;
  const answer = await fetch(http + path, { method: verb, headers: one.headers, body: body ?? undefined });
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const text = btoa(bytes.reduce((held, byte) => held + String.fromCharCode(byte), ""));
  return { status: answer.status, type: answer.headers.get("content-type"), body: text };
}

const calls = {
  "connect-json": (http, registry, cases) =>
    callAll(createConnectTransport({ baseUrl: http, useHttpGet: true }), registry, cases),
  "connect-proto": (http, registry, cases) =>
    callAll(createConnectTransport({ baseUrl: http, useBinaryFormat: true }), registry, cases),
  "grpc-web": (http, registry, cases) => callAll(createGrpcWebTransport({ baseUrl: http }), registry, cases),
  fetch: async (http, _, cases) => {
    const told = {};
    for (const one of cases) told[one.id] = await fetched(http, one);
    return told;
  },
};

window.called = async ({ http, protocol, cases }) => {
  const bytes = new Uint8Array(await (await fetch("/descriptors.binpb")).arrayBuffer());
  return calls[protocol](http, registryOf(bytes), cases);
};
