// What a TypeScript client writes against the generated types: it compiles only while the document describes it.
import type { components, operations, paths } from "./api.js";

type Predict = operations["AnalyticsService_Predict"];
type Body = NonNullable<Predict["requestBody"]>["content"]["application/json"];
type Reply = Predict["responses"][200]["content"]["application/json"];

export const asked: Body = { task: "PREDICTION_TASK_SPEND", customers: ["external:C-1001"], horizonDays: 180 };

export function first(reply: Reply): number | undefined {
  return reply.predictions?.[0]?.value;
}

// A 64-bit number is text.
export const seq: components["schemas"]["AuditEvent"]["seq"] = "1";

// @ts-expect-error there is no such task
export const wrong: Body = { task: "PREDICTION_TASK_WEATHER" };

export type Offer = paths["/api/v1/offers/{offer}"]["patch"]["parameters"]["path"]["offer"];
