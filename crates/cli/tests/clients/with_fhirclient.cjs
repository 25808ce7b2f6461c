// fhirclient of SMART, in JavaScript: requests with references that it resolves, and pages that it follows.
const assert = require("node:assert/strict");
const { default: Client } = require("fhirclient/lib/Client");

const { BASE: serverUrl, TOKEN: access_token } = process.env;

async function main() {
  const client = new Client({}, { serverUrl, tokenResponse: { access_token } });
  const patient = await client.create({
    resourceType: "Patient",
    name: [{ family: "Fernández" }],
  });
  for (let beats = 60; beats < 65; beats += 1) {
    await client.create({
      resourceType: "Observation",
      status: "final",
      subject: { reference: `Patient/${patient.id}` },
      code: { coding: [{ system: "http://loinc.org", code: "8867-4" }] },
      valueQuantity: { value: beats, unit: "/min" },
    });
  }
  const query = `Observation?patient=${patient.id}&_count=2`;
  const all = await client.request(query, { pageLimit: 0, flat: true });
  assert.deepEqual(all.map((it) => it.valueQuantity.value).sort(), [60, 61, 62, 63, 64]);
  const [one] = await client.request(query, { resolveReferences: ["subject"], flat: true });
  assert.equal(one.subject.name[0].family, "Fernández");
  const patched = await client.patch(`Observation/${one.id}`, [
    { op: "replace", path: "/status", value: "amended" },
  ]);
  assert.equal(patched.status, "amended");
  await assert.rejects(client.request("Patient/nobody"), /404|nothing is here/);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
