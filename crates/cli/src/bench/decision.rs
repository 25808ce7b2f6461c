//! `keepwell bench decision`: what it costs to decide an access, in a chart with one grant and with ten thousand, and
//! for a reader of an organisation with one member and with ten thousand.
//!
//! What is timed is what a validator does for one access once its signature is verified: asking the state for what the
//! decision lacks, decoding that, and deciding; on one core. The state is in memory and answers at once: what a disk
//! takes is in `bench latency`.

use std::{collections::HashMap, time::Instant};

use clap::Args;
use keepwell_crypto::{
    command::{Verified, sign, verify},
    sign::SigningKey,
};
use keepwell_ledger::{
    BlockContext, Changes, Halt, Lacks, View, decide, decide_genesis,
    state::{ChartLog, Key, Value},
};
use keepwell_types::{
    access::{AccessOpen, Purpose, Target},
    chart::{ChartKeys, ChartOpen},
    command::{COMMAND_VERSION, Command, Payload},
    encoding::{List, Text},
    genesis::{EmergencyRule, OwnOrganisation, Parameters},
    grant::{Effect, GrantGive, GrantTerms, Grantee},
    id::{
        BlockId, ChainId, ChartId, CommandId, Compartment, Digest, GrantId, Height, LogPosition,
        MemberId, OrganisationId,
    },
    member::{Administrators, MemberEnrol, OrganisationAdmit, OrganisationKind, Party, Role},
    set::{CompartmentSet, KindSet, PurposeSet, RoleSet},
    time::{BlockTime, Window},
};
use serde::Serialize;

use super::{
    BenchError,
    figure::{Figure, Lines, median},
};

const HOSPITAL: OrganisationId = OrganisationId([1; 16]);
const CLINIC: OrganisationId = OrganisationId([2; 16]);
const CHART: ChartId = ChartId([3; 32]);
const CHAIN: ChainId = ChainId([7; 32]);
const NOW: BlockTime = BlockTime(1_795_000_000_000);
/// The many of both.
const MANY: u64 = 10_000;
/// Rounds in which each case is measured in turns.
const TURNS: usize = 20;

const PARAMETERS: Parameters = Parameters {
    own_organisation: OwnOrganisation::OptIn,
    custodians_min: 1,
    commands_per_minute_max: 100_000,
    notice: 1,
    licensed: KindSet::EMPTY,
    emergency: EmergencyRule::USUAL,
    recovery: None,
    sign_off: None,
    matching: None,
    epoch_blocks: None,
};

/// Decide accesses in charts with few and with many grants, of organisations with few and with many members
#[derive(Args, Clone, Debug)]
pub(super) struct Decision {
    /// Decisions in each turn
    #[arg(long, default_value_t = 500)]
    rounds: usize,
}

#[derive(Debug, Serialize)]
struct DecisionLine {
    grants: u64,
    members: u64,
    /// Median over the turns.
    decide_us: f64,
    /// Values of the state that one decision reads.
    reads: usize,
}

/// A ledger in memory.
struct Ledger {
    state: HashMap<Key, Vec<u8>>,
    height: u64,
}

fn key(what: u8, number: u64) -> SigningKey {
    let mut seed = [what; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_seed(&seed)
}

fn member(number: u64) -> MemberId {
    let mut id = [9; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    MemberId(id)
}

impl Ledger {
    /// A clinic with so many members, and a hospital's chart in which so many of them have a grant, the reader among
    /// them.
    fn new(grants: u64, members: u64) -> Self {
        let mut ledger = Self { state: HashMap::new(), height: 0 };
        for (organisation, kind) in
            [(HOSPITAL, OrganisationKind::Hospital), (CLINIC, OrganisationKind::Clinic)]
        {
            ledger.found(&Payload::OrganisationAdmit(OrganisationAdmit {
                organisation,
                kind,
                name: Text::from_string(kind.as_str().to_owned()).expect("short"),
                administrators: Administrators::one(key(1, 0).public()),
                custodian: Some(key(2, 0).public()),
            }));
        }
        for number in 0..members.max(grants) {
            let organisation = if number < members { CLINIC } else { HOSPITAL };
            ledger.found(&Payload::MemberEnrol(MemberEnrol {
                member: member(number),
                organisation,
                signing: key(3, number).public(),
                sealing: Digest([0; 32]),
                roles: RoleSet::EMPTY.with(Role::Clinician).with(Role::Registrar),
            }));
        }
        ledger.run(&command((Party::Member(member(0)), &key(3, 0)), 0, chart_open()));
        for number in 0..grants {
            let give = command((Party::Controller(CHART), &key(4, 0)), 1 + number, give(number));
            ledger.run(&give);
        }
        // Who executes a block keeps the logs; an access asks where its chart's ends.
        let log = ChartLog { count: LogPosition(1 + grants), ..ChartLog::EMPTY };
        ledger.state.insert(Key::ChartLog(CHART), Value::ChartLog(log).encode());
        ledger
    }

    fn context(&self) -> BlockContext {
        BlockContext {
            chain: CHAIN,
            parameters: PARAMETERS,
            height: Height(1 + self.height),
            time: NOW,
            parent: BlockId([0; 32]),
        }
    }

    fn found(&mut self, payload: &Payload) {
        let (changes, _) =
            self.decided(|view, block| decide_genesis(view, block, 0, payload)).expect("it founds");
        self.take(changes);
    }

    fn run(&mut self, command: &Verified) {
        self.height += 1;
        let (changes, _) =
            self.decided(|view, block| decide(view, block, 0, command)).expect("it is accepted");
        self.take(changes);
    }

    fn take(&mut self, changes: Changes) {
        for (key, value) in changes.writes {
            match value {
                Some(value) => self.state.insert(key, value.encode()),
                None => self.state.remove(&key),
            };
        }
    }

    /// Decides, loading what is lacking; says how many values were loaded.
    fn decided(
        &self,
        decide: impl Fn(&View, &BlockContext) -> Result<Changes, Halt>,
    ) -> Result<(Changes, usize), Halt> {
        let (mut view, block, mut reads) = (View::new(), self.context(), 0);
        loop {
            match decide(&view, &block) {
                Err(Halt::Lacks(Lacks(key))) => {
                    let value = self.state.get(&key);
                    view.load(key, value.map(|it| Value::decode(it).expect("what was encoded")));
                    reads += 1;
                }
                Ok(changes) => return Ok((changes, reads)),
                Err(refused) => return Err(refused),
            }
        }
    }

    /// Microseconds of one decision, over so many; and what it reads.
    fn measure(&self, access: &Verified, rounds: usize) -> (f64, usize) {
        let mut reads = 0;
        let begun = Instant::now();
        for _ in 0..rounds {
            let decided = self.decided(|view, block| decide(view, block, 0, access));
            let (changes, loaded) = decided.expect("the reader has a grant");
            std::hint::black_box(changes);
            reads = loaded;
        }
        (begun.elapsed().as_secs_f64() * 1e6 / rounds as f64, reads)
    }
}

fn command((party, key): (Party, &SigningKey), number: u64, payload: Payload) -> Verified {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let command = Command {
        version: COMMAND_VERSION,
        chain: CHAIN,
        id: CommandId(id),
        window: Window { from: NOW, until: NOW.plus_ms(60_000) },
        signers: List::from_vec(vec![party]).expect("one signer"),
        payload,
        part: None,
    };
    verify(sign(command, &[key])).expect("it was just signed")
}

fn chart_open() -> Payload {
    let keys =
        ChartKeys { signing: key(4, 0).public(), sealing: Digest([0; 32]), sheet: Digest([0; 32]) };
    Payload::ChartOpen(ChartOpen {
        chart: CHART,
        keys,
        separate_consent: CompartmentSet::from_bits(0xf000).expect("known compartments"),
        custodians: List::from_vec(vec![CLINIC]).expect("one custodian"),
        contributors: List::new(),
        claim: None,
    })
}

fn compartments() -> CompartmentSet {
    CompartmentSet::EMPTY.with(Compartment::new(1).expect("a compartment"))
}

fn give(number: u64) -> Payload {
    let mut grant = [0; 16];
    grant[..8].copy_from_slice(&number.to_be_bytes());
    Payload::GrantGive(GrantGive {
        chart: CHART,
        grant: GrantId(grant),
        terms: GrantTerms {
            effect: Effect::Allow,
            grantee: Grantee::Member(member(number)),
            compartments: compartments(),
            kinds: KindSet::all(),
            records: List::new(),
            purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
            window: Window { from: BlockTime(0), until: NOW.plus_ms(1_000_000) },
            accesses_max: None,
            separate_consent: false,
            onward: false,
        },
        seeds: Digest([0; 32]),
    })
}

fn access() -> Verified {
    let open = Payload::AccessOpen(AccessOpen {
        chart: CHART,
        target: Target::Compartments { compartments: compartments(), until: LogPosition(1) },
        purpose: Purpose::Treatment,
        reader_key: Digest([3; 32]),
        notice: 1,
    });
    command((Party::Member(member(0)), &key(3, 0)), u64::MAX, open)
}

impl Decision {
    /// As often as usual.
    pub(super) const USUAL: Self = Self { rounds: 500 };

    pub(super) fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let cases = [(1, 1), (MANY, 1), (1, MANY)];
        let ledgers = cases.map(|(grants, members)| Ledger::new(grants, members));
        let access = access();
        // In turns, so that a noisy neighbour slows each case alike.
        let mut took = [const { Vec::new() }; 3];
        let mut reads = [0; 3];
        for _ in 0..TURNS {
            for (at, ledger) in ledgers.iter().enumerate() {
                let (us, read) = ledger.measure(&access, self.rounds);
                took[at].push(us);
                reads[at] = read;
            }
        }
        let medians = took.map(|it| median(&it).unwrap_or_default());
        for (((grants, members), decide_us), reads) in cases.into_iter().zip(medians).zip(reads) {
            lines.put("decision", &DecisionLine { grants, members, decide_us, reads })?;
        }
        lines.figure(Figure::DecisionGrants, medians[1] / medians[0])?;
        lines.figure(Figure::DecisionMembers, medians[2] / medians[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_is_decided_and_reads_the_same() {
        let reads = [(1, 1), (20, 1), (1, 20)].map(|(grants, members)| {
            let (_, reads) = Ledger::new(grants, members).measure(&access(), 1);
            reads
        });
        assert!(reads[0] > 0 && reads.iter().all(|it| *it == reads[0]), "{reads:?}");
    }
}
