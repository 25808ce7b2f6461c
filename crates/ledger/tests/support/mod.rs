//! A ledger on its own: blocks of commands written as lines of text, by actors with names.
//!
//! ```text
//! time    who signs    command  what, to or on      details                 verdict
//! t5      rex          open     c1                  claim=t100              ok
//! t5+1    code:c1+wallet:c1  claim  c1                                      ok
//! ```
//!
//! Lines with the same time share a block. `t5+1` is one millisecond after second 5. Who signs is a
//! member (`drey`), an administrator (the organisation's name), a controller (`c1`), a holder of a
//! one-time code (`code:c1`, `code:c1:new`), a guardian with a key for a chart (`@ann`, `@ann/c2`), whoever is to
//! control a chart (`next:phone`), a proxy (`proxy:cara`), a custodian (`custodian:lab`), a new key (`wallet:c1`,
//! `new:drey`), or several of them (`a+b`); with `!` they sign with a key that is not theirs. A verdict is `ok` or the name of the refusal; behind `~` it is
//! why nobody answers for the command, so that no block may have it.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod script;

use std::collections::BTreeMap;

use keepwell_crypto::{
    command::{Verified, sign, verify},
    hash,
    sign::SigningKey,
};
use keepwell_ledger::{
    BlockContext, Lacks, View,
    execute::{ApplyError, CheckedEntry, Executed, Execution, Inadmissible, keys_of},
    state::{Key, RecordEntry, Value},
};
use keepwell_types::{
    access::RecordName,
    command::{COMMAND_VERSION, Command, Entry, Payload, SignedCommand},
    encoding::{List, Text},
    genesis::{EmergencyRule, Genesis, OwnOrganisation, Parameters, RecoveryRule},
    id::*,
    member::{Administrators, MemberEnrol, OrganisationAdmit, OrganisationKind, Party, Role},
    outcome::{Outcome, Verdict},
    set::{KindSet, RoleSet},
    time::{BlockTime, Window},
};

pub(crate) use script::{Line, lines};

pub(crate) const CHAIN: ChainId = ChainId([7; 32]);
/// Second 0 of scripts: the beginning of a minute.
pub(crate) const START: BlockTime = BlockTime(1_800_000_000_000);
pub(crate) const ORGANISATIONS: [&str; 4] = ["hospital", "clinic", "lab", "insurer"];
/// Members with their organisations and roles.
pub(crate) const MEMBERS: [(&str, &str, Role); 10] = [
    ("rex", "hospital", Role::Registrar),
    ("drey", "hospital", Role::Clinician),
    ("nora", "hospital", Role::Nurse),
    ("carl", "clinic", Role::Clinician),
    ("cleo", "clinic", Role::Nurse),
    ("lena", "lab", Role::LaboratoryScientist),
    ("ivy", "insurer", Role::ClaimsAssessor),
    ("hugh", "hospital", Role::PrivacyOfficer),
    ("cora", "clinic", Role::PrivacyOfficer),
    ("lara", "lab", Role::PrivacyOfficer),
];
/// A chart of the hospital, controlled by its patient from the start.
pub(crate) const CHART: &str = "t0 rex open c1 ok";

pub(crate) const PARAMETERS: Parameters = Parameters {
    own_organisation: OwnOrganisation::OptIn,
    custodians_min: 2,
    commands_per_minute_max: 1_000,
    notice: 1,
    licensed: KindSet::EMPTY,
    emergency: EmergencyRule { delay_ms: 5_000, open_ms_max: 60_000, review_ms: 100_000 },
    recovery: Some(RecoveryRule { delay_ms: 10_000 }),
    sign_off: None,
    matching: None,
    epoch_blocks: None,
};

/// Runs a script on a new ledger and compares every verdict.
pub(crate) fn check(script: &str) -> World {
    check_with(PARAMETERS, script)
}

/// Runs a script on a new ledger that has the chart `c1`.
pub(crate) fn check_chart(script: &str) -> World {
    let mut world = check(CHART);
    world.run(script);
    world
}

pub(crate) fn check_with(parameters: Parameters, script: &str) -> World {
    let mut world = World::new(parameters);
    world.run(script);
    world
}

/// A ledger with its state, as a node would keep both.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) parameters: Parameters,
    /// The state after the last block that ended, encoded.
    pub(crate) state: BTreeMap<Key, Vec<u8>>,
    pub(crate) records: BTreeMap<(ChartId, LogPosition), RecordEntry>,
    /// Keys that were loaded since this was cleared.
    pub(crate) loaded: Vec<Key>,
    pub(crate) height: Height,
    pub(crate) time: BlockTime,
    pub(crate) parent: BlockId,
    pub(crate) block: Option<Execution>,
    pub(crate) last: Option<Executed>,
    /// Entries of the open block.
    pub(crate) entries: Vec<Entry>,
    /// The logs of all charts, as nodes keep them.
    pub(crate) log: Vec<(ChartId, LogPosition, Entry, Outcome)>,
    /// Records by name: where they stand and what they commit to.
    pub(crate) named: BTreeMap<String, (RecordName, Commitment)>,
    /// Where emergencies began.
    pub(crate) emergencies: BTreeMap<String, LogPosition>,
    /// Where recoveries were started.
    pub(crate) recoveries: BTreeMap<String, LogPosition>,
    /// Seeds of keys that were changed.
    pub(crate) seeds: BTreeMap<Party, String>,
    pub(crate) last_command: Option<Verified>,
    pub(crate) commands: u64,
}

impl World {
    /// The ledger after block 1, in a consortium that has no validators on record.
    pub(crate) fn new(parameters: Parameters) -> Self {
        let mut world = Self::empty(parameters);
        world.begin(BlockTime(START.0 - 1));
        world.admit_all();
        world
    }

    /// The ledger after block 1, with the validators of this genesis file.
    pub(crate) fn founded(genesis: &Genesis) -> Self {
        let mut world = Self::empty(genesis.parameters.clone());
        world.begin(BlockTime(START.0 - 1));
        world.block = Some(Execution::founding(world.context(), genesis));
        world.admit_all();
        world
    }

    /// Executes block 1, which is open.
    fn admit_all(&mut self) {
        for (payload, index) in genesis().into_iter().zip(0..) {
            let outcome = self.apply(&CheckedEntry::genesis(payload, index)).unwrap();
            assert_eq!(outcome.verdict, Verdict::Accepted);
        }
        self.end();
    }

    fn empty(parameters: Parameters) -> Self {
        Self {
            parameters,
            state: BTreeMap::new(),
            records: BTreeMap::new(),
            loaded: Vec::new(),
            height: Height(0),
            time: BlockTime(START.0 - 60_000),
            parent: BlockId([0; 32]),
            block: None,
            last: None,
            entries: Vec::new(),
            log: Vec::new(),
            named: BTreeMap::new(),
            emergencies: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            seeds: BTreeMap::new(),
            last_command: None,
            commands: 0,
        }
    }

    pub(crate) fn run(&mut self, script: &str) {
        for line in lines(script) {
            let verdict = self.run_line(&line);
            assert_eq!(verdict, line.expected, "in the line\n    {}", line.text);
        }
        self.end();
    }

    fn run_line(&mut self, line: &Line) -> String {
        self.at(line.time);
        let command = match line.verb.as_str() {
            "repeat" => self.last_command.clone().expect("there is a command to repeat"),
            _ => verify(line.command(self)).expect("scripts sign well, if with wrong keys"),
        };
        self.last_command = Some(command.clone());
        match self.submit(command) {
            Ok(Outcome { verdict: Verdict::Accepted, .. }) => {
                line.note_accepted(self);
                "ok".into()
            }
            Ok(Outcome { verdict: Verdict::Rejected(rejection), .. }) => name_of(&rejection),
            Err(Inadmissible::Signer(why)) => format!("~{}", name_of(&why)),
            Err(inadmissible) => name_of(&inadmissible),
        }
    }

    /// Applies a command in the open block.
    pub(crate) fn submit(&mut self, command: Verified) -> Result<Outcome, Inadmissible> {
        self.apply(&CheckedEntry::Signed(command))
    }

    /// Signs `payload` as of now.
    pub(crate) fn sign(
        &mut self,
        signers: &[(Party, SigningKey)],
        payload: Payload,
    ) -> SignedCommand {
        self.commands += 1;
        let mut id = [0; 16];
        id.copy_from_slice(&hashed("command", &self.commands.to_string())[..16]);
        let window = Window { from: self.time, until: self.time.plus_ms(60_000) };
        sign_as(
            Command {
                version: COMMAND_VERSION,
                chain: CHAIN,
                id: CommandId(id),
                window,
                signers: List::from_vec(signers.iter().map(|(party, _)| *party).collect()).unwrap(),
                payload,
                part: None,
            },
            signers,
        )
    }

    /// Ends the open block if it is of another time, and begins one.
    pub(crate) fn at(&mut self, time: BlockTime) {
        if self.block.is_some() && self.time != time {
            self.end();
        }
        if self.block.is_none() {
            self.begin(time);
        }
    }

    pub(crate) fn context(&self) -> BlockContext {
        BlockContext {
            chain: CHAIN,
            parameters: self.parameters.clone(),
            height: self.height,
            time: self.time,
            parent: self.parent,
        }
    }

    fn begin(&mut self, time: BlockTime) {
        assert!(self.time < time, "block time strictly increases");
        self.height = Height(self.height.0 + 1);
        self.time = time;
        self.block = Some(Execution::new(self.context()));
    }

    pub(crate) fn apply(&mut self, entry: &CheckedEntry) -> Result<Outcome, Inadmissible> {
        Ok(self.apply_unit(std::slice::from_ref(entry))?.remove(0))
    }

    /// Applies an entry or a transaction in the open block.
    pub(crate) fn apply_unit(
        &mut self,
        unit: &[CheckedEntry],
    ) -> Result<Vec<Outcome>, Inadmissible> {
        let mut block = self.block.take().expect("a block is open");
        for key in unit.iter().flat_map(keys_of) {
            self.load(key, |key, value| block.load(key, value));
        }
        let result = loop {
            match block.apply_unit(unit) {
                Ok(outcomes) => break Ok(outcomes.to_vec()),
                Err(ApplyError::Inadmissible(reason)) => break Err(reason),
                Err(ApplyError::Lacks(key)) => {
                    self.load(key, |key, value| block.load(key, value));
                }
            }
        };
        self.block = Some(block);
        if result.is_ok() {
            self.entries.extend(unit.iter().map(|entry| match entry {
                CheckedEntry::Genesis { payload, .. } => Entry::Genesis(payload.clone()),
                CheckedEntry::Signed(command) => Entry::Signed(command.signed().clone()),
            }));
        }
        result
    }

    /// Ends the open block, if there is one, and takes its changes over.
    pub(crate) fn end(&mut self) {
        let Some(mut block) = self.block.take() else { return };
        let executed = loop {
            match block.finish() {
                Ok(executed) => break executed,
                Err((unfinished, key)) => {
                    block = unfinished;
                    self.load(key, |key, value| block.load(key, value));
                }
            }
        };
        for (key, value) in &executed.changes {
            match value {
                Some(value) => self.state.insert(*key, value.encode()),
                None => self.state.remove(key),
            };
        }
        let entries = std::mem::take(&mut self.entries);
        for leaf in &executed.leaves {
            let place = leaf.line.location.index as usize;
            let (entry, outcome) = (entries[place].clone(), executed.outcomes[place].clone());
            self.log.push((leaf.chart, leaf.position, entry, outcome));
            if let Some(record) = &leaf.line.record {
                self.records.insert((leaf.chart, leaf.position), record.clone());
            }
        }
        self.parent = BlockId(hashed("block", &self.height.to_string()));
        self.last = Some(executed);
    }

    fn load(&mut self, key: Key, mut into: impl FnMut(Key, Option<Value>)) {
        self.loaded.push(key);
        into(key, self.stored(&key));
    }

    /// What a node would answer for `key`.
    pub(crate) fn stored(&self, key: &Key) -> Option<Value> {
        if let Key::Record(chart, position) = key {
            return self.records.get(&(*chart, *position)).cloned().map(Value::Record);
        }
        self.state.get(key).map(|bytes| Value::decode(bytes).unwrap())
    }

    /// Asks the state after the last block; `lacks` says which key an error asks for.
    pub(crate) fn ask<T, E>(
        &self,
        question: impl Fn(&View) -> Result<T, E>,
        lacks: impl Fn(&E) -> Option<Lacks>,
    ) -> Result<T, E> {
        let mut view = View::new();
        loop {
            match question(&view) {
                Ok(answer) => return Ok(answer),
                Err(error) => match lacks(&error) {
                    Some(Lacks(key)) => view.load(key, self.stored(&key)),
                    None => return Err(error),
                },
            }
        }
    }

    /// The entry of a record by name, with its position.
    pub(crate) fn record(&self, chart: &str, name: &str) -> (LogPosition, RecordEntry) {
        let position = self.named[name].0.position;
        (position, self.records[&(chart_id(chart), position)].clone())
    }

    /// Where an emergency began; one that does not exist has a place too.
    pub(crate) fn emergency(&self, name: &str) -> LogPosition {
        self.emergencies.get(name).copied().unwrap_or(LogPosition(u64::MAX))
    }

    /// Where a recovery was started; one that does not exist has a place too.
    pub(crate) fn recovery(&self, name: &str) -> LogPosition {
        self.recoveries.get(name).copied().unwrap_or(LogPosition(u64::MAX))
    }

    /// How a record is named in commands; one that does not exist has a name too.
    pub(crate) fn name(&self, name: &str) -> RecordName {
        self.named.get(name).map_or(
            RecordName { position: LogPosition(0), record: RecordId(hashed("record", name)) },
            |(name, _)| *name,
        )
    }
}

pub(crate) fn genesis() -> Vec<Payload> {
    let organisations = ORGANISATIONS.iter().map(|name| admit(name, *name != "insurer"));
    let members = MEMBERS.iter().map(|(name, organisation, role)| {
        Payload::MemberEnrol(MemberEnrol {
            member: member_id(name),
            organisation: organisation_id(organisation),
            signing: key(&format!("member:{name}")).public(),
            sealing: Digest(hashed("sealing", name)),
            roles: RoleSet::EMPTY.with(*role),
        })
    });
    organisations.chain(members).collect()
}

pub(crate) fn admit(name: &str, custodian: bool) -> Payload {
    Payload::OrganisationAdmit(OrganisationAdmit {
        organisation: organisation_id(name),
        kind: match name {
            "insurer" => OrganisationKind::Insurer,
            "medboard" | "otherboard" => OrganisationKind::LicensingBoard,
            _ => OrganisationKind::Hospital,
        },
        name: Text::from_string(name.into()).unwrap(),
        administrators: Administrators::one(key(&format!("administrator:{name}")).public()),
        custodian: custodian.then(|| key(&format!("custodian:{name}")).public()),
    })
}

pub(crate) fn sign_as(command: Command, signers: &[(Party, SigningKey)]) -> SignedCommand {
    sign(command, &signers.iter().map(|(_, key)| key).collect::<Vec<_>>())
}

pub(crate) fn key(seed: &str) -> SigningKey {
    SigningKey::from_seed(&hashed("key", seed))
}

pub(crate) fn hashed(what: &str, name: &str) -> [u8; 32] {
    hash::digest("keepwell/ledger/test/v1", &[what.as_bytes(), name.as_bytes()]).0
}

fn hashed_16(what: &str, name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hashed(what, name)[..16]);
    bytes
}

pub(crate) fn organisation_id(name: &str) -> OrganisationId {
    OrganisationId(hashed_16("organisation", name))
}

pub(crate) fn member_id(name: &str) -> MemberId {
    MemberId(hashed_16("member", name))
}

pub(crate) fn grant_id(name: &str) -> GrantId {
    GrantId(hashed_16("grant", name))
}

pub(crate) fn request_id(name: &str) -> RequestId {
    RequestId(hashed_16("request", name))
}

pub(crate) fn team_id(name: &str) -> TeamId {
    TeamId(hashed_16("team", name))
}

pub(crate) fn group_id(name: &str) -> GroupId {
    GroupId(hashed_16("group", name))
}

pub(crate) fn motion_id(name: &str) -> MotionId {
    MotionId(hashed_16("motion", name))
}

pub(crate) fn case_id(name: &str) -> CaseId {
    CaseId(hashed_16("case", name))
}

pub(crate) fn link_id(name: &str) -> LinkId {
    LinkId(hashed_16("link", name))
}

pub(crate) fn credential_id(name: &str) -> CredentialId {
    CredentialId(hashed_16("credential", name))
}

pub(crate) fn proxy_id(name: &str) -> ProxyId {
    ProxyId(hashed_16("proxy", name))
}

pub(crate) fn chart_id(name: &str) -> ChartId {
    ChartId(hashed("chart", name))
}

/// The name of a refusal's variant, in snake case.
pub(crate) fn name_of(refusal: &impl std::fmt::Debug) -> String {
    let text = format!("{refusal:?}");
    let variant = text.split(|it: char| !it.is_ascii_alphanumeric()).next().unwrap_or_default();
    variant.chars().enumerate().fold(String::new(), |mut name, (place, letter)| {
        if letter.is_ascii_uppercase() && place > 0 {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
        name
    })
}
