// Reads the types of the Rust crates and writes their schemas: `npm run schema`. With `--check` it compares.
//
// The Rust types are the definition of every format. Copying some 400 of them by hand would be the likeliest way to get
// one wrong, and to miss one that is new; `vectors/` then hold both to the same bytes.
//
// It understands what those files use of Rust: structs and enums that derive minicbor's `Encode` or `Decode`, newtypes
// by the crates' own macros, vocabularies, type aliases, and limits. It stops at what it does not understand.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const CRATES = join(HERE, '../../../crates');

/** What is read of each crate, and where it goes. A crate stands on those before it. */
const CRATES_READ = [
  {
    out: 'types.ts',
    about: 'Values of the ledger: commands, outcomes, blocks, and what clients and nodes say to each other.',
    source: 'crates/types/src',
    modules: [
      'id',
      'time',
      'access',
      'anchor',
      'block',
      'case',
      'challenge',
      'chart',
      'command',
      'credential',
      'genesis',
      'grant',
      'guardian',
      'link',
      'matching',
      'member',
      'motion',
      'outcome',
      'protocol',
      'proxy',
      'record',
      'set',
      'signoff',
      'validators',
      'wire',
    ],
  },
  {
    out: 'objects.ts',
    about: 'Sealed objects: capsules, seeds, escrows, words of cases, key files, dealings.',
    source: 'crates/crypto/src',
    modules: ['threshold', 'capsule', 'grant', 'keyfile', 'escrow', 'guardian', 'trustee', 'words', 'dealing'],
  },
  {
    out: 'proofs.ts',
    about: 'Proofs: paths in trees, certified headers, receipts, hand-overs.',
    source: 'crates/merkle/src',
    modules: ['tree', 'range', 'receipt', 'handover', 'anchor'],
  },
  {
    out: 'state.ts',
    about: 'The state: keys, and the entries under them.',
    source: 'crates/ledger/src',
    modules: ['consent/rule', 'state', 'state/changing'],
  },
];

/** Names that two modules use, as they are called here. */
const RENAMED = {
  'challenge::Finding': 'CustodyFinding',
  'signoff::Seat': 'SignOffSeat',
  'signoff::Of': 'ApproverOf',
  'dealing::SealedShare': 'DealtShare',
  'state::Member': 'MemberEntry',
  'state::Organisation': 'OrganisationEntry',
  'state::Chart': 'ChartEntry',
  'state::Group': 'GroupEntry',
  'state::Grant': 'GrantEntry',
  'state::Request': 'RequestEntry',
  'state::Proxy': 'ProxyEntry',
  'state::Case': 'CaseEntry',
  'state::Link': 'LinkEntry',
  'state::Motion': 'MotionEntry',
  'state::Credential': 'CredentialEntry',
  'state::Guardians': 'GuardiansEntry',
  'changing::Validators': 'ValidatorsEntry',
  'state::Emergency': 'EmergencyEntry',
  'state::Proposal': 'ProposalEntry',
  'state::Key': 'StateKey',
  'state::Value': 'StateValue',
  'state::Recovery': 'RecoveryEntry',
  'state::Subject': 'SubjectEntry',
  'state::LogLine': 'LogLineEntry',
  'state::Decided': 'CaseDecided',
  'changing::Opened': 'OpenedShares',
  'rule::Object': 'RuleObject',
  'consent::Object': 'RuleObject',
};

/** Types that stand in no encoding, or only help the Rust to read another one. */
const SKIPPED = new Set(['AnyPart', 'Seed']);

/** Types whose encoding Rust says by hand. */
const BY_HAND = {
  'id::Compartment': 'below(LIMITS.COMPARTMENTS)',
  'set::CompartmentSet': 'setOf(Compartment)',
  'merkle::Peaks': 'struct({ count: u64, peaks: list(Digest, LIMITS.PATH_STEPS_MAX) })',
};

/** What must hold of a value beside its form. */
const CHECKS = {
  Part: [
    '(it) => it.parts >= 2 && it.parts <= LIMITS.TRANSACTION_COMMANDS_MAX && it.place < it.parts',
    'there is no such place among the parts of a transaction',
  ],
};

const PRIMITIVES = { u8: 'u8', u16: 'u16', u32: 'u32', u64: 'u64', bool: 'bool' };

/** Limits that are derived in Rust by a function. */
const CONSTANTS = {
  // padded_len(4 + 8192), see `padding`.
  PLAIN_BYTES_MAX: 8704n,
};

const read = (path) => readFileSync(join(CRATES, '..', path), 'utf8').replace(/#\[cfg\(test\)\][^]*$/, '');

// Constants: every `const NAME: integer = expression;` of the files that are read.

function constantsOf(text, known) {
  const found = [];
  for (const [, name, expression] of text.matchAll(
    /^\s*(?:pub(?:\(crate\))? )?const ([A-Z][A-Z0-9_]*): (?:usize|u64|u32|u16|u8) =\s*([^;]*);/gm,
  )) {
    found.push([name, expression]);
  }
  for (let again = true; again;) {
    again = false;
    for (const [name, expression] of found) {
      if (known.has(name)) continue;
      const value = name in CONSTANTS ? CONSTANTS[name] : evaluate(expression, known);
      if (value === null) continue;
      known.set(name, value);
      again = true;
    }
  }
}

/** The value of an expression of numbers and known constants; nothing if it has anything else in it. */
function evaluate(expression, known) {
  let text = expression
    .replace(/ as (?:usize|u64|u32)/g, '')
    .replace(/(\d)_(?=\d)/g, '$1')
    .replace(/(\d)_(?=\d)/g, '$1')
    .replace(/\w+::LEN/g, '32')
    .replace(/(?:\w+::)+([A-Z][A-Z0-9_]*)/g, '$1');
  for (const name of new Set(text.match(/[A-Z][A-Z0-9_]*/g) ?? [])) {
    if (!known.has(name)) return null;
    text = text.replace(new RegExp(`\\b${name}\\b`, 'g'), `(${known.get(name)})`);
  }
  if (!/^[\d\s+*/()<-]+$/.test(text)) return null;
  return BigInt(Function(`"use strict"; return ${text.replace(/\d+/g, '$&n')}`)());
}

// Items: what a file defines.

/** The place after the bracket that closes the one at `at`. */
function closing(text, at) {
  const pairs = { '{': '}', '(': ')', '<': '>', '[': ']' };
  const [open, close] = [text[at], pairs[text[at]]];
  for (let depth = 0; at < text.length; at += 1) {
    if (text[at] === open) depth += 1;
    if (text[at] === close && (depth -= 1) === 0) return at + 1;
  }
  throw new Error('a bracket is not closed');
}

/** Splits at commas that stand in no bracket. */
function splitTop(text) {
  const parts = [''];
  let depth = 0;
  for (const character of text) {
    if ('([{<'.includes(character)) depth += 1;
    if (')]}>'.includes(character)) depth -= 1;
    if (character === ',' && depth === 0) parts.push('');
    else parts[parts.length - 1] += character;
  }
  return parts.map((it) => it.trim()).filter((it) => it !== '');
}

/** Blanks out attributes that say nothing here: their text may have commas and brackets. */
function withoutNoise(body) {
  let text = body;
  for (let at; (at = text.search(/#\[(?!n\()/)) >= 0;) text = text.slice(0, at) + text.slice(closing(text, at + 1));
  return text;
}

const docOf = (text) => [...text.matchAll(/^\s*\/\/\/ ?(.*)$/gm)].map(([, line]) => line).join('\n');
const withoutDoc = (text) => text.replace(/^\s*\/\/.*$/gm, '').trim();

/** A member of a struct or a variant: `/// doc #[n(0)] pub name: Type`. */
function fieldOf(text) {
  const bare = withoutDoc(text);
  const [, number, rest] =
    /^#\[n\((\d+)\)\]\s*(?:pub )?([^]*)$/.exec(bare) ?? fail(`a field without a number: ${bare}`);
  const named = /^([a-z_0-9]+)\s*:(?!:)\s*([^]*)$/.exec(rest);
  return { number: Number(number), name: named?.[1] ?? null, type: (named?.[2] ?? rest).trim(), doc: docOf(text) };
}

function fail(what) {
  throw new Error(what);
}

/** Docs of members hold commas; they are taken out before a body is cut, and put back. */
function members(body) {
  const docs = [];
  const masked = withoutNoise(
    body.replace(/^\s*\/\/\/.*$/gm, (line) => `\u0001${docs.push(line) - 1}\u0002`).replace(/^\s*\/\/(?!\/).*$/gm, ''),
  );
  return splitTop(masked).map((part) => part.replace(/\u0001(\d+)\u0002/g, (_, at) => `${docs[at]}\n`));
}

function fieldsOf(body) {
  const fields = members(body).map(fieldOf);
  fields.forEach((it, at) => it.number === at || fail(`field ${it.number} stands at place ${at}`));
  return fields;
}

function variantOf(text) {
  const bare = withoutDoc(text);
  const [, number, name, rest] = /^#\[n\((\d+)\)\]\s*(\w+)\s*([^]*)$/.exec(bare) ?? fail(`a variant: ${bare}`);
  const inner = rest === '' ? null : rest.slice(1, closing(rest, 0) - 1);
  return { number: Number(number), name, fields: inner === null ? [] : fieldsOf(inner), doc: docOf(text) };
}

function itemsOf(text, module) {
  const items = [];
  const add = (name, item) => SKIPPED.has(name) || items.push({ name, module, ...item });
  for (const [whole, doc, name, len] of text.matchAll(/^bytes_newtype!\(([^]*?)\n\s+(\w+), (\d+)\n\);/gm)) {
    add(name, { doc: docOf(doc), at: text.indexOf(whole), fixed: Number(len) });
  }
  for (const [whole, doc, name, of] of text.matchAll(/^number!\(([^]*?)\n\s+(\w+), (\w+)\n\);/gm)) {
    add(name, { doc: docOf(doc), at: text.indexOf(whole), alias: of });
  }
  for (const match of text.matchAll(/^vocabulary! \{/gm)) {
    const body = text.slice(match.index, closing(text, match.index + match[0].length - 1));
    const name = /^ {4}(\w+) \{$/m.exec(body)[1];
    const found = [...body.matchAll(/^\s*(\w+) = (\d+), "([^"]+)";/gm)].map(([, , number, word]) => [
      Number(number),
      word,
    ]);
    add(name, { doc: docOf(body.split(/^ {4}\w+ \{$/m)[0]), at: match.index, words: found });
  }
  for (const [whole, doc, name, of] of text.matchAll(/((?:^\s*\/\/\/.*\n)*)^pub type (\w+) = ([^;]+);/gm)) {
    add(name, { doc: docOf(doc), at: text.indexOf(whole), alias: of.trim() });
  }
  for (const match of text.matchAll(
    /((?:^\/\/\/.*\n)*)((?:^#\[[^]*?\]\n)+)^(?:pub(?:\(crate\))? )?(struct|enum) (\w+)(?:<[^>]*>)?\s*([({])/gm,
  )) {
    const [whole, doc, attributes, kind, name, open] = match;
    if (!/\b(?:Encode|Decode)\b/.test(attributes)) continue;
    const start = match.index + whole.length - 1;
    const body = text.slice(start + 1, closing(text, start) - 1);
    const at = match.index;
    if (/const N: usize/.test(whole)) continue;
    if (kind === 'enum') {
      const all = members(body).map(variantOf);
      const bare = /index_only/.test(attributes);
      add(name, {
        doc: docOf(doc),
        at,
        ...(bare ? { words: all.map((it) => [it.number, snake(it.name)]) } : { variants: all }),
      });
    } else if (/transparent/.test(attributes)) {
      add(name, { doc: docOf(doc), at, alias: fieldsOf(body)[0].type });
    } else {
      add(name, { doc: docOf(doc), at, fields: fieldsOf(body), tuple: open === '(' });
    }
  }
  return items.sort((one, other) => one.at - other.at);
}

/** From which modules a file takes its names. */
function importsOf(text) {
  const found = new Map();
  const walk = (path, tree) => {
    for (const part of splitTop(tree)) {
      const [, head, rest] = /^([\w:]+?)(?:::\{([^]*)\})?$/.exec(part) ?? fail(`an import: ${part}`);
      const steps = head.split('::').filter((it) => it !== '');
      if (rest !== undefined) walk([...path, ...steps], rest);
      else found.set(steps.at(-1), [...path, ...steps].slice(0, -1).at(-1) ?? '');
    }
  };
  for (const [, tree] of text.matchAll(/^(?:pub )?use ((?:crate|keepwell_\w+|super|changing)[^;]*);/gm)) {
    if (!tree.includes(' as ') && !tree.includes('*') && !tree.includes('self')) walk([], tree.replace(/\s+/g, ' '));
    else
      walk(
        [],
        tree
          .replace(/\s+/g, ' ')
          .replace(/\w+ as \w+/g, 'X')
          .replace(/\bself\b/g, 'X')
          .replace(/::\*/g, ''),
      );
  }
  return found;
}

const snake = (name) => name.replace(/(?<!^)([A-Z])/g, '_$1').toLowerCase();
const camel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

// Schemas: how items are written.

/** One crate's file, and the names that it gives to those after it. */
function crateFile(crate, known, { limits, constants }) {
  const modules = crate.modules.map((module) => {
    const text = read(`${crate.source}/${module}.rs`);
    return { module, text, imports: importsOf(text), items: itemsOf(text, module.split('/').at(-1)) };
  });
  const defined = new Map();
  for (const { items } of modules) {
    for (const item of items) {
      item.called = RENAMED[`${item.module}::${item.name}`] ?? item.name;
      if (defined.has(item.called))
        fail(`${item.called} is defined twice: name ${item.module}::${item.name} in RENAMED`);
      defined.set(item.called, item);
    }
  }
  const extra = handWritten(crate, defined);
  const used = new Set();
  const needs = new Map();
  const bodies = new Map();
  for (const { imports, items, text } of modules) {
    const local = new Map(limits);
    // A file's own constants come first; those of the files that it imports from serve for the rest.
    for (const [name, value] of constants) if (!text.includes(`const ${name}:`)) local.set(name, value);
    constantsOf(text, local);
    for (const item of items) {
      const wanted = new Set();
      const scope = { item, imports, items, defined, known, used, wanted, constants: local, limits };
      bodies.set(item.called, BY_HAND[`${item.module}::${item.name}`] ?? body(scope));
      needs.set(item.called, wanted);
    }
  }
  for (const [name, text] of extra) bodies.set(name, text);
  const ordered = inOrder([...defined.keys()], needs);
  return render(crate, ordered, defined, bodies, extra, known, used);
}

function handWritten(crate, defined) {
  const extra = new Map();
  if (crate.out === 'types.ts') {
    for (const name of ['Compartment']) extra.set(name, BY_HAND[`id::${name}`]);
    extra.set('CompartmentSet', BY_HAND['set::CompartmentSet']);
    defined.delete('CompartmentSet');
  }
  if (crate.out === 'proofs.ts') extra.set('Peaks', BY_HAND['merkle::Peaks']);
  for (const name of extra.keys()) defined.set(name, { called: name, name, module: '', doc: HAND_DOCS[name] });
  return extra;
}

const HAND_DOCS = {
  Compartment: 'A compartment of a chart, by its number.',
  CompartmentSet: 'A set of compartments.',
  Peaks: 'The peaks of a range: all that is needed to append to it and to know its root.',
};

function body(scope) {
  const { item } = scope;
  if (item.fixed !== undefined) return use(scope, 'fixed') + `('${item.called}', ${item.fixed})`;
  if (item.words !== undefined) {
    const all = item.words.map(([number, word]) => `  [${number}, '${word}'],\n`).join('');
    return `${use(scope, 'words')}(\n${all})`;
  }
  if (item.alias !== undefined) return typeOf(scope, item.alias);
  if (item.variants !== undefined) {
    const all = item.variants.map(
      (it) => `${comment(it.doc, '  ')}  [${it.number}, '${snake(it.name)}', ${fields(scope, it.fields, '  ')}],\n`,
    );
    return `${use(scope, 'variants')}(\n${all.join('')})`;
  }
  const made = fields(scope, item.fields, '');
  const check = CHECKS[item.name];
  if (check === undefined) return made;
  return `${use(scope, 'checked')}(\n  ${made.replaceAll('\n', '\n  ')},\n  ${mark(scope, check[0])},\n  '${check[1]}',\n)`;
}

function mark(scope, text) {
  if (text.includes('LIMITS.')) scope.used.add('LIMITS');
  return text;
}

/** The schema of fields: by name, or by place where they have none. */
function fields(scope, all, indent) {
  if (all.length === 0) return use(scope, 'unit');
  if (all[0].name === null) {
    const types = all.map((it) => typeOf(scope, it.type));
    if (types.length === 1) return `${use(scope, 'one')}(${types[0]})`;
    if (types.length === 2) return `${use(scope, 'pair')}(${types.join(', ')})`;
    return fail(`${scope.item.name}: ${types.length} fields without names`);
  }
  const lines = all.map(
    (it) => `${comment(it.doc, `${indent}  `)}${indent}  ${camel(it.name)}: ${typeOf(scope, it.type)},\n`,
  );
  return `${use(scope, 'struct')}({\n${lines.join('')}${indent}})`;
}

function use({ used }, name) {
  used.add(name);
  return name;
}

/** The schema of a Rust type. */
function typeOf(scope, given) {
  const type = given.replace(/\s+/g, ' ').trim();
  if (type in PRIMITIVES) return use(scope, PRIMITIVES[type]);
  const array = /^\[(.+); ([\w{} +]+)\]$/.exec(type);
  if (array) {
    const count = numberOf(scope, array[2]);
    return array[1] === 'u8'
      ? `${use(scope, 'fixed')}('${scope.item.called}', ${count})`
      : `${use(scope, 'exactly')}(${typeOf(scope, array[1])}, ${count})`;
  }
  const generic = /^(?:\w+::)*(\w+)<(.*)>$/.exec(type);
  if (generic) return genericOf(scope, generic[1], splitTop(generic[2]));
  return reference(scope, type);
}

function genericOf(scope, name, parameters) {
  switch (name) {
    case 'Option':
      return `${use(scope, 'option')}(${typeOf(scope, parameters[0])})`;
    case 'Box':
      return typeOf(scope, parameters[0]);
    case 'List':
      return `${use(scope, 'list')}(${typeOf(scope, parameters[0])}, ${numberOf(scope, parameters[1])})`;
    case 'Blob':
      return `${use(scope, 'blob')}(${numberOf(scope, parameters[0])})`;
    case 'Text':
      return `${use(scope, 'text')}(${numberOf(scope, parameters[0])})`;
    case 'Bytes':
      return `${use(scope, 'fixed')}('${parameters[0]} random bytes', ${parameters[0]})`;
    case 'Set':
      return `${use(scope, 'setOf')}(${reference(scope, parameters[0])})`;
    default:
      return fail(`${scope.item.name}: ${name}<..> is not known here`);
  }
}

/** A limit by its name, or what an expression comes to. */
function numberOf(scope, text) {
  const name = /^(?:\w+::)*([A-Z][A-Z0-9_]*)$/.exec(text)?.[1];
  if (name !== undefined && scope.limits.has(name)) {
    scope.used.add('LIMITS');
    return `LIMITS.${name}`;
  }
  const value = evaluate(text.replace(/[{}]/g, ''), scope.constants) ?? fail(`${scope.item.name}: what is ${text}?`);
  return value.toString().replace(/\B(?=(\d{3})+$)/g, '_');
}

/** Another item: of this file, else of where it is imported from. */
function reference(scope, type) {
  const name = type.split('::').at(-1);
  const own = scope.items.find((it) => it.name === name);
  let module = own?.module ?? (type.includes('::') ? type.split('::').at(-2) : scope.imports.get(name));
  if (module === undefined) fail(`${scope.item.module}::${scope.item.name}: where is ${type} from?`);
  const called = own?.called ?? RENAMED[`${module}::${name}`] ?? name;
  if (scope.defined.has(called)) scope.wanted.add(called);
  else if (scope.known.has(called)) scope.used.add(called);
  else fail(`${scope.item.module}::${scope.item.name}: ${called} is not defined`);
  return called;
}

/** Each item after those that it needs. */
function inOrder(names, needs) {
  const done = [];
  const visit = (name) => {
    if (done.includes(name)) return;
    if (name === 'CompartmentSet') visit('Compartment');
    for (const needed of needs.get(name) ?? []) visit(needed);
    if (!done.includes(name)) done.push(name);
  };
  names.forEach(visit);
  return done;
}

/** A doc comment: the first paragraph, with links to Rust as plain names. */
function comment(doc, indent = '') {
  // What Rust does with memory is of no concern here.
  const plain = doc
    .replace(' Erased from memory when dropped.', '')
    .split('\n\n')[0]
    .replace(/\[`([^`]+)`\](?:\([^)]*\))?/g, '`$1`')
    .replace(/\[([^\]]+)\]\([^)]*\)/g, '$1')
    .replace(/\s+/g, ' ')
    .trim();
  if (plain === '') return '';
  const line = `${indent}/** ${plain} */`;
  if (line.length <= 120) return `${line}\n`;
  const lines = [''];
  for (const word of plain.split(' ')) {
    if (`${indent} * ${lines.at(-1)} ${word}`.length > 119) lines.push('');
    lines[lines.length - 1] += `${lines.at(-1) === '' ? '' : ' '}${word}`;
  }
  return `${indent}/**\n${lines.map((it) => `${indent} * ${it}\n`).join('')}${indent} */\n`;
}

const COMBINATORS = [
  'below',
  'blob',
  'bool',
  'checked',
  'exactly',
  'fixed',
  'list',
  'one',
  'option',
  'pair',
  'setOf',
  'struct',
  'text',
  'u16',
  'u32',
  'u64',
  'u8',
  'unit',
  'variants',
  'words',
];

function render(crate, ordered, defined, bodies, extra, known, used) {
  for (const text of extra.values())
    for (const it of COMBINATORS) if (new RegExp(`\\b${it}\\b`).test(text)) used.add(it);
  if ([...extra.values()].some((it) => it.includes('LIMITS.'))) used.add('LIMITS');
  if (extra.has('Peaks')) used.add('Digest');
  const from = new Map();
  for (const name of used) if (known.has(name)) from.set(known.get(name), [...(from.get(known.get(name)) ?? []), name]);
  const combinators = COMBINATORS.filter((it) => used.has(it));
  let text = `/**\n * ${crate.about}\n *\n * Written by \`npm run schema\` out of \`${crate.source}\`, where each type is explained. Change that, not this.\n */\n\n`;
  text += imported([...combinators, 'type Of'], './encoding.js');
  if (used.has('LIMITS')) text += "import { LIMITS } from './limits.js';\n";
  for (const [file, names] of [...from].sort()) text += imported(names.sort(), `./${file.replace('.ts', '.js')}`);
  for (const name of ordered) {
    const item = defined.get(name);
    const doc = comment(item.doc);
    text += `\n${doc}export const ${name} = ${bodies.get(name)};\n`;
    text += `${doc}export type ${name} = Of<typeof ${name}>;\n`;
  }
  return { text, names: ordered };
}

function imported(names, from) {
  const line = `import { ${names.join(', ')} } from '${from}';\n`;
  if (line.length <= 121) return line;
  const lines = [''];
  for (const name of names) {
    if (`${lines.at(-1)} ${name},`.length > 117) lines.push('');
    lines[lines.length - 1] += `${lines.at(-1) === '' ? '' : ' '}${name},`;
  }
  return `import {\n${lines.map((it) => `  ${it}\n`).join('')}} from '${from}';\n`;
}

function limitsFile(constants) {
  const text = read('crates/types/src/limits.rs');
  const lines = [...text.matchAll(/((?:^\/\/\/.*\n)+)^pub const ([A-Z0-9_]+): (u64|usize|u32|u8)/gm)].map(
    ([, doc, name, type]) => {
      const value = constants
        .get(name)
        .toString()
        .replace(/\B(?=(\d{3})+$)/g, '_');
      // What is counted in 64 bits is compared with numbers of 64 bits.
      return `${comment(docOf(doc), '  ')}  ${name}: ${value}${type === 'u64' ? 'n' : ''},\n`;
    },
  );
  return `/**\n * Every limit of the ledger. Bytes are of the canonical encoding unless a line says otherwise.\n *\n * Written by \`npm run schema\` out of \`crates/types/src/limits.rs\`. Change that, not this.\n */\nexport const LIMITS = {\n${lines.join('')}} as const;\n`;
}

/**
 * What the ledger says to people when it refuses, by kind: `{name}` stands for a field, and of a time or a compartment it is
 * said that it is one.
 */
function rejectionsFile() {
  const text = read('crates/types/src/outcome.rs');
  const start = text.indexOf('pub enum Rejection {');
  const body = text.slice(start, closing(text, text.indexOf('{', start)));
  const found = [
    ...body.matchAll(/#\[error\(\s*"((?:[^"\\]|\\.)*)"[^]*?\)\]\s*([A-Z]\w*)(\([^]*?\)|\s*\{[^]*?\})?,\n/g),
  ];
  const lines = found.map(([, words, name, fields]) => `  ${snake(name)}: ${quoted(placed(words, fields ?? ''))},\n`);
  const kinds = itemsOf(text, 'outcome').find((it) => it.name === 'Rejection').variants.length;
  if (lines.length !== kinds) fail(`${lines.length} of ${kinds} rejections have a text`);
  return (
    '/**\n * What the ledger says to people when it refuses.\n *\n' +
    ' * Written by `npm run schema` out of `crates/types/src/outcome.rs`. Change that, not this.\n */\n' +
    `export const REJECTIONS = {\n${lines.join('')}} as const;\n`
  );
}

/** A text with the names of its fields as they are here; fields without names are counted. */
function placed(words, fields) {
  const typed = (name) => {
    const type = new RegExp(`\\b${name}: (\\w+)`).exec(fields)?.[1];
    return type === 'BlockTime' ? `{${camel(name)}:time}` : `{${camel(name)}}`;
  };
  return words
    .replace(/\\\s*\n\s*/g, '')
    .replace(/\{\}/g, '{compartment}')
    .replace(/\{(\w+)(?::\?)?\}/g, (_, name) => (/^\d/.test(name) ? `{${name}}` : typed(name)));
}

const quoted = (text) => `'${text.replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;

/** The text of each file that is written. */
export function files() {
  const constants = new Map();
  constantsOf(read('crates/types/src/limits.rs'), constants);
  const limits = new Map(constants);
  for (const crate of CRATES_READ)
    for (const module of crate.modules) constantsOf(read(`${crate.source}/${module}.rs`), constants);
  for (const module of ['body', 'seal', 'padding']) constantsOf(read(`crates/crypto/src/${module}.rs`), constants);
  const made = new Map([
    ['limits.ts', limitsFile(limits)],
    ['rejections.ts', rejectionsFile()],
  ]);
  const known = new Map();
  for (const crate of CRATES_READ) {
    const { text, names } = crateFile(crate, known, { limits, constants });
    made.set(crate.out, text);
    for (const name of names) known.set(name, crate.out);
  }
  return made;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const source = join(HERE, '../src');
  for (const [name, text] of files()) {
    const path = join(source, name);
    if (!process.argv.includes('--check')) writeFileSync(path, text);
    else if (readFileSync(path, 'utf8') !== text) fail(`${name} is not what the Rust says; run \`npm run schema\``);
  }
}
