// Calls the cases with @grpc/grpc-js and @grpc/proto-loader; told on standard input, tells on output.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const { target, descriptors, cases } = JSON.parse(readFileSync(0, "utf8"));
const definition = loader.loadFileDescriptorSetFromBuffer(readFileSync(descriptors), { longs: String, enums: String });

async function called(one) {
  const Service = grpc.makeGenericClientConstructor(definition[one.service], one.service);
  const client = new Service(target, grpc.credentials.createInsecure());
  const method = definition[one.service][one.method];
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(one.headers)) metadata.set(name, value);
  const options = { deadline: Date.now() + 20_000 };
  const messages = [];
  // What a caller of grpc-js sees is an object; written again, the bytes can be compared.
  const tell = (reply) => messages.push(method.responseSerialize(reply).toString("base64"));
  try {
    await new Promise((resolve, reject) => {
      const ended = (error, reply) => (error ? reject(error) : resolve(tell(reply)));
      const call = method.requestStream
        ? client[one.method](metadata, options, ...(method.responseStream ? [] : [ended]))
        : client[one.method](one.requests[0], metadata, options, ...(method.responseStream ? [] : [ended]));
      if (method.responseStream) call.on("data", tell).on("error", reject).on("end", resolve);
      if (method.requestStream) {
        for (const request of one.requests) call.write(request);
        call.end();
      }
    });
    return { messages };
  } catch (error) {
    const [status] = error.metadata?.get("grpc-status-details-bin") ?? [];
    return { messages, error: { code: error.code, message: error.details, status: status?.toString("base64") } };
  } finally {
    client.close();
  }
}

const told = {};
for (const one of cases) told[one.id] = await called(one);
process.stdout.write(JSON.stringify(told), () => process.exit(0));
