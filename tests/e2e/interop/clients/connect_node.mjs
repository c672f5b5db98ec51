// Calls the cases with @connectrpc/connect-node, in each of its protocols; told on standard input, tells on output.
import { readFileSync } from "node:fs";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { callAll, registryOf } from "./calling.mjs";

const { http, grpc, descriptors, protocol, cases } = JSON.parse(readFileSync(0, "utf8"));
const transports = {
  "connect-json": () => createConnectTransport({ baseUrl: http, httpVersion: "1.1", useBinaryFormat: false, useHttpGet: true }),
  "connect-proto": () => createConnectTransport({ baseUrl: http, httpVersion: "2", useBinaryFormat: true }),
  "grpc-web": () => createGrpcWebTransport({ baseUrl: http, httpVersion: "1.1" }),
  grpc: () => createGrpcTransport({ baseUrl: grpc }),
};
const told = await callAll(transports[protocol](), registryOf(readFileSync(descriptors)), cases);
process.stdout.write(JSON.stringify(told), () => process.exit(0));
