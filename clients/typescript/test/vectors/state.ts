/** `vectors/ledger/keys.txt`: where entries of the state stand in its database. */

import * as k from '../../src/index.js';
import { type Case, same } from './check.js';

const filled = (len: number, byte: number): Uint8Array => new Uint8Array(len).fill(byte);
const chart = k.ChartId.of(filled(32, 1));
const organisation = k.OrganisationId.of(filled(16, 2));
const member = k.MemberId.of(filled(16, 3));
const grant = k.GrantId.of(filled(16, 4));
const record = k.RecordId.of(filled(32, 8));

/** The keys that a client asks for; each line of the file is looked up by its name. */
const KEYS: readonly (readonly [string, k.StateKey])[] = [
  ['history', { kind: 'history' }],
  ['replay slot', { kind: 'replay_slot', value: 65_535 }],
  ['quota members', { kind: 'quota', value: [organisation, 'members'] }],
  ['organisations', { kind: 'organisations' }],
  ['organisation', { kind: 'organisation', value: organisation }],
  ['member', { kind: 'member', value: member }],
  ['chart', { kind: 'chart', value: chart }],
  ['chart log', { kind: 'chart_log', value: chart }],
  ['grant', { kind: 'grant', value: [chart, grant] }],
  ['subject member', { kind: 'subject', value: [chart, { kind: 'member', value: member }] }],
  ['subject organisation', { kind: 'subject', value: [chart, { kind: 'organisation', value: organisation }] }],
  ['subject everyone', { kind: 'subject', value: [chart, { kind: 'everyone' }] }],
  ['proposal', { kind: 'proposal', value: [chart, record] }],
  ['record', { kind: 'record', value: [chart, 7n] }],
  ['cutoff', { kind: 'cutoff', value: [chart, organisation] }],
  ['teams', { kind: 'teams', value: chart }],
  ['open requests', { kind: 'open_requests', value: [chart, organisation] }],
  ['record state', { kind: 'record_state', value: [chart, record] }],
  ['credentials', { kind: 'credentials', value: member }],
  ['emergencies', { kind: 'emergencies', value: chart }],
  ['guardians', { kind: 'guardians', value: chart }],
  ['recoveries', { kind: 'recoveries', value: chart }],
  ['proxies', { kind: 'proxies', value: chart }],
  ['validators', { kind: 'validators' }],
  ['receiver', { kind: 'receiver', value: 3 }],
  ['protocol', { kind: 'protocol' }],
];

export const STATE: Case = {
  name: 'ledger/keys.txt',
  async run(load) {
    const lines = (await load('ledger/keys.txt')).split('\n').map((line) => line.split(': ') as [string, string]);
    const byName = new Map(lines);
    for (const [name, key] of KEYS) same(k.stateKey(key), byName.get(name), name);
  },
};
