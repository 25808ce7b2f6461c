// A person opens an app in Chromium, alone and out of a system, and the app reads what it may by `fhirclient`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const { BASE, APP_PORT, PATIENT, OTHER, LAUNCH, CHROMIUM } = process.env;
const app = `http://127.0.0.1:${APP_PORT}`;
const client = createRequire(import.meta.url).resolve('fhirclient/build/fhir-client.js');
const page = (script) =>
  `<!doctype html><meta charset="utf-8"><script src="/fhir-client.js"></script><pre id="result"></pre><script>${script}</script>`;
const asks = (more) => `FHIR.oauth2.authorize({
  clientId: 'growth', redirectUri: '${app}/', pkceMode: 'required', ${more}
}).catch((error) => { result.textContent = String(error); });`;
const reads = `FHIR.oauth2.ready().then(async (client) => {
  const refused = (path) => client.request(path).then(() => 200, (error) => error.statusCode ?? error.status ?? String(error));
  const found = await client.request('Observation?patient=' + client.patient.id + '&_count=5');
  const first = found.entry[0].resource;
  return {
    patient: client.patient.id,
    patientRead: (await client.patient.read()).id,
    subject: first.subject.reference,
    again: (await client.request('Observation/' + first.id)).id === first.id,
    user: client.getIdToken().sub,
    other: await refused('Patient/${OTHER}'),
    others: ((await client.request('Observation?patient=${OTHER}')).entry ?? []).length,
  };
}).then((told) => { result.textContent = JSON.stringify(told); }, (error) => { result.textContent = String(error); });`;
const files = {
  '/fhir-client.js': ['text/javascript', readFileSync(client)],
  '/alone.html': ['text/html', page(asks(`iss: '${BASE}', scope: 'openid launch/patient patient/*.rs'`))],
  '/launch.html': ['text/html', page(asks(`scope: 'openid launch patient/*.rs'`))],
  '/': ['text/html', page(reads)],
};
const server = createServer((request, response) => {
  const [kind, body] = files[request.url.split('?')[0]] ?? [null, ''];
  response.writeHead(kind ? 200 : 404, { 'content-type': kind ?? 'text/plain' }).end(body);
}).listen(Number(APP_PORT), '127.0.0.1');

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
try {
  for (const [url, needsPatient] of [
    [`${app}/alone.html`, true],
    [`${app}/launch.html?iss=${encodeURIComponent(BASE)}&launch=${LAUNCH}`, false],
  ]) {
    const context = await browser.newContext();
    const tab = await context.newPage();
    const said = [];
    tab.on('console', (it) => said.push(it.text()));
    await tab.goto(url);
    await tab.fill('input[name=login]', 'ana');
    await tab.fill('input[name=password]', 'x');
    await tab.click('button[type=submit]');
    await tab.click('button[type=submit]');
    await tab.waitForURL(`${BASE}/auth/callback*`);
    assert.equal(await tab.locator('input[name=patient]').count(), needsPatient ? 1 : 0);
    if (needsPatient) await tab.fill('input[name=patient]', PATIENT);
    await tab.click('button[value=allow]');
    const result = tab.locator('#result:not(:empty)');
    const text = await result.textContent({ timeout: 60_000 }).catch((error) => {
      throw new Error(`${tab.url()}: ${said.join('; ')}: ${error}`);
    });
    const told = JSON.parse(text);
    assert.equal(told.patient, PATIENT);
    assert.equal(told.patientRead, PATIENT);
    assert.ok(told.subject.endsWith(PATIENT), told.subject);
    assert.equal(told.again, true);
    assert.match(told.user, /^[0-9a-f]{64}$/);
    assert.equal(told.other, 404);
    assert.equal(told.others, 0);
    await context.close();
  }
} finally {
  await browser.close();
  server.close();
}
