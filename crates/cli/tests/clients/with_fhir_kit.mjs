// fhir-kit-client: every interaction that it knows and the gateway serves.
import assert from "node:assert/strict";
import { Client } from "fhir-kit-client";

const { BASE: baseUrl, TOKEN: bearerToken } = process.env;

const client = new Client({ baseUrl, bearerToken });
const statement = await client.capabilityStatement();
assert.equal(statement.fhirVersion, "4.0.1");

const name = [{ family: "Nakamura" }];
const patient = await client.create({
  resourceType: "Patient",
  body: { resourceType: "Patient", name, identifier: [{ system: "urn:kit", value: "1" }] },
});
const { id } = patient;
assert.ok(id);
const weight = await client.create({
  resourceType: "Observation",
  body: {
    resourceType: "Observation",
    status: "final",
    subject: { reference: `Patient/${id}` },
    code: { coding: [{ system: "http://loinc.org", code: "29463-7" }] },
  },
});
const changed = await client.update({
  resourceType: "Observation",
  id: weight.id,
  body: { ...weight, status: "amended" },
});
assert.equal(changed.meta.versionId, "2");
const first = await client.vread({ resourceType: "Observation", id: weight.id, version: "1" });
assert.equal(first.status, "final");
const history = await client.history({ resourceType: "Observation", id: weight.id });
assert.equal(history.entry.length, 2);
const patched = await client.patch({
  resourceType: "Observation",
  id: weight.id,
  jsonPatch: [{ op: "replace", path: "/status", value: "final" }],
});
assert.equal(patched.meta.versionId, "3");

const found = await client.search({
  resourceType: "Observation",
  searchParams: { patient: id, _count: 1 },
});
assert.equal(found.entry.length, 1);
const entries = Array.from({ length: 4 }, () => ({
  request: { method: "POST", url: "Condition" },
  resource: { resourceType: "Condition", subject: { reference: `Patient/${id}` } },
}));
const body = { resourceType: "Bundle", type: "batch", entry: entries };
const batch = await client.batch({ body });
assert.ok(batch.entry.every((it) => it.response.status.startsWith("201")));
let page = await client.search({
  resourceType: "Condition",
  searchParams: { patient: id, _count: 3 },
});
const seen = page.entry.length;
page = await client.nextPage({ bundle: page });
assert.equal(seen + page.entry.length, 4);
const transaction = await client.transaction({ body: { ...body, type: "transaction" } });
assert.ok(transaction.entry.every((it) => it.response.status.startsWith("201")));

await assert.rejects(
  client.delete({ resourceType: "Observation", id: weight.id }),
  ({ response }) => response.status === 405,
);
await assert.rejects(
  client.read({ resourceType: "Patient", id: "nobody" }),
  ({ response }) => response.status === 404,
);
