//! Histories of consent: charts in which rules are given and revoked at random while readers ask, and what each
//! access must then have come to, said once more and in another way than the ledger says it.
//!
//! # Invariants
//!
//! * What a history asks follows from its seed; in which order it is final, and whether it is, does not. So the model
//!   follows the chain.
//! * The model compares every rule with every other and remembers nothing else of them: it has no line in common with
//!   `keepwell_ledger::consent`.
//!
//! Not here: kinds, lists of records, counts, teams and stops, which the ledger's own properties have.

use std::collections::BTreeMap;

use keepwell_crypto::{command::sign, hash, sign::SigningKey};
use keepwell_types::{
    access::{AccessOpen, Purpose, Target},
    chart::{ChartKeys, ChartOpen},
    command::{COMMAND_VERSION, Command, Entry, Payload, SignedCommand},
    encoding::{List, Text},
    grant::{Effect, GrantGive, GrantRevoke, GrantRevokeOrganisation, GrantTerms, Grantee},
    id::{
        ChainId, ChartId, CommandId, Compartment, Digest, GrantId, LogPosition, MemberId,
        OrganisationId,
    },
    member::{Administrators, MemberEnrol, OrganisationAdmit, OrganisationKind, Party, Role},
    set::{CompartmentSet, KindSet, PurposeSet, RoleSet},
    time::{BlockTime, Window},
};

use crate::traffic::{CLINICIAN, HOSPITAL, key};

/// Whose members ask.
pub(crate) const CLINIC: OrganisationId = OrganisationId([0xc1; 16]);
pub(crate) const INSURER: OrganisationId = OrganisationId([0xc2; 16]);
/// Who asks: of which organisation, with which role and key.
const READERS: [(MemberId, OrganisationId, Role, u8); 3] = [
    (MemberId([0xa1; 16]), CLINIC, Role::Clinician, 21),
    (MemberId([0xa2; 16]), CLINIC, Role::Nurse, 22),
    (MemberId([0xa3; 16]), INSURER, Role::ClaimsAssessor, 23),
];
/// Whom a rule names, from one member to everyone.
const GRANTEES: [Grantee; 8] = [
    Grantee::Member(READERS[0].0),
    Grantee::Member(READERS[1].0),
    Grantee::Member(READERS[2].0),
    Grantee::Role { organisation: CLINIC, role: Role::Clinician },
    Grantee::Role { organisation: CLINIC, role: Role::Nurse },
    Grantee::Organisation(CLINIC),
    Grantee::Organisation(INSURER),
    Grantee::Everyone,
];
const PURPOSES: [Purpose; 2] = [Purpose::Treatment, Purpose::Payment];
const COMPARTMENTS: [u8; 2] = [5, 6];
/// Commands of one history.
const STEPS: u64 = 30;
/// How long a command may wait, in milliseconds.
const WINDOW_MS: u64 = 60_000;
/// Latest beginning of a rule, in milliseconds; it holds up to four times as long. Most begin, and some end, while a
/// history goes on.
const RULE_MS: u64 = 2_500;

/// Admits and enrols whoever asks.
pub fn founding() -> impl Iterator<Item = Payload> {
    let admit = |(organisation, kind, seed): (OrganisationId, OrganisationKind, u8)| {
        Payload::OrganisationAdmit(OrganisationAdmit {
            organisation,
            kind,
            name: Text::from_string(kind.as_str().to_owned()).expect("short"),
            administrators: Administrators::one(key(seed).public()),
            custodian: None,
        })
    };
    let enrol = |(member, organisation, role, seed): (MemberId, OrganisationId, Role, u8)| {
        Payload::MemberEnrol(MemberEnrol {
            member,
            organisation,
            signing: key(seed).public(),
            sealing: Digest([0; 32]),
            roles: RoleSet::EMPTY.with(role),
        })
    };
    let organisations =
        [(CLINIC, OrganisationKind::Clinic, 24), (INSURER, OrganisationKind::Insurer, 25)];
    organisations.into_iter().map(admit).chain(READERS.into_iter().map(enrol))
}

/// One history after the other, each in a chart of its own.
pub struct Histories {
    chain: ChainId,
    seed: u64,
    made: u64,
    controller: SigningKey,
}

impl Histories {
    /// Histories for `chain`; those of different seeds do not meet.
    pub fn new(chain: ChainId, seed: u64) -> Self {
        Self { chain, seed, made: 0, controller: key(26) }
    }

    /// The next command: of each history a chart first.
    pub fn next(&mut self, now: BlockTime) -> SignedCommand {
        let (history, step) = (self.made / STEPS, self.made % STEPS);
        let chart = ChartId(self.drawn("chart", history).0);
        let reader = READERS[self.draw("reader", 3)];
        let patient = (Party::Controller(chart), self.controller.clone());
        let (signer, payload) = match self.draw("step", 20) {
            _ if step == 0 => ((Party::Member(CLINICIAN), key(12)), self.chart_open(chart)),
            0..=8 => (patient, self.give(chart, step, now)),
            9..=10 => {
                let given = self.draw("which", step) as u64;
                let grant = self.grant(history, given);
                (patient, Payload::GrantRevoke(GrantRevoke { chart, grant }))
            }
            11 => {
                let organisation = [CLINIC, INSURER][self.draw("whose", 2)];
                let revoke = GrantRevokeOrganisation { chart, organisation };
                (patient, Payload::GrantRevokeOrganisation(revoke))
            }
            _ => ((Party::Member(reader.0), key(reader.3)), self.open(chart)),
        };
        let mut id = [0; 16];
        id.copy_from_slice(&self.drawn("id", self.made).0[..16]);
        self.made += 1;
        let from = BlockTime(now.0.saturating_sub(1_000));
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.chain,
            id: CommandId(id),
            window: Window { from, until: now.plus_ms(WINDOW_MS) },
            signers: List::from_vec(vec![signer.0]).expect("one signer"),
            payload,
            part: None,
        };
        sign(command, &[&signer.1])
    }

    fn drawn(&self, what: &str, number: u64) -> Digest {
        let (seed, number) = (self.seed.to_be_bytes(), number.to_be_bytes());
        hash::digest("keepwell/sim/history/v1", &[what.as_bytes(), &seed, &number])
    }

    /// A number below `below`, of this command.
    fn draw(&self, what: &str, below: u64) -> usize {
        let [a, b, ..] = self.drawn(what, self.made).0;
        (u64::from(u16::from_be_bytes([a, b])) % below.max(1)) as usize
    }

    fn grant(&self, history: u64, step: u64) -> GrantId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.drawn("grant", history * STEPS + step).0[..16]);
        GrantId(id)
    }

    fn chart_open(&self, chart: ChartId) -> Payload {
        Payload::ChartOpen(ChartOpen {
            chart,
            keys: ChartKeys {
                signing: self.controller.public(),
                sealing: Digest([0; 32]),
                sheet: Digest([0; 32]),
            },
            separate_consent: CompartmentSet::from_bits(0b1111).expect("known compartments"),
            custodians: List::from_vec(vec![HOSPITAL]).expect("one custodian"),
            contributors: List::new(),
            claim: None,
        })
    }

    fn give(&self, chart: ChartId, step: u64, now: BlockTime) -> Payload {
        let early = self.draw("early", 2) as u64;
        let from = now.plus_ms(early * self.draw("from", RULE_MS) as u64);
        let until = from.plus_ms(1 + self.draw("until", 4 * RULE_MS) as u64);
        Payload::GrantGive(GrantGive {
            chart,
            grant: self.grant(self.made / STEPS, step),
            terms: GrantTerms {
                effect: if self.draw("effect", 3) == 0 { Effect::Deny } else { Effect::Allow },
                grantee: GRANTEES[self.draw("grantee", 8)],
                compartments: compartments(1 + self.draw("compartments", 3)),
                kinds: KindSet::all(),
                records: List::new(),
                purposes: some(1 + self.draw("purposes", 3), &PURPOSES).collect::<PurposeSet>(),
                window: Window { from, until },
                accesses_max: None,
                separate_consent: false,
                onward: false,
            },
            seeds: Digest([0; 32]),
        })
    }

    fn open(&self, chart: ChartId) -> Payload {
        Payload::AccessOpen(AccessOpen {
            chart,
            target: Target::Compartments {
                compartments: compartments(1 + self.draw("compartments", 3)),
                until: LogPosition(1),
            },
            purpose: PURPOSES[self.draw("purpose", 2)],
            reader_key: Digest([3; 32]),
            notice: 1,
        })
    }
}

/// Those of `all` whose bits are set.
fn some<T: Copy>(bits: usize, all: &[T]) -> impl Iterator<Item = T> {
    all.iter().enumerate().filter(move |(place, _)| bits & 1 << place != 0).map(|(_, it)| *it)
}

fn compartments(bits: usize) -> CompartmentSet {
    let of = |index| Compartment::new(index).expect("a compartment");
    some(bits, &COMPARTMENTS).fold(CompartmentSet::EMPTY, |set, index| set.with(of(index)))
}

/// Who asks: of which organisation, with which role.
type Reader = (MemberId, OrganisationId, Role);

/// What the chain has said of each chart's rules so far.
#[derive(Default)]
pub struct Model {
    charts: BTreeMap<ChartId, Vec<Rule>>,
    /// Accesses that were checked, and how many of them were accepted.
    pub checked: (usize, usize),
}

struct Rule {
    grant: GrantId,
    terms: GrantTerms,
    revoked: bool,
    /// Organisations whose readers it does not reach any more.
    cut: Vec<OrganisationId>,
}

impl Rule {
    /// Whom it names: the less, the more of them.
    fn level(&self) -> usize {
        match self.terms.grantee {
            Grantee::Member(_) => 0,
            Grantee::Role { .. } | Grantee::Team(_) | Grantee::Group(_) => 1,
            Grantee::Organisation(_) => 2,
            Grantee::Everyone => 3,
        }
    }

    fn applies(
        &self,
        (member, organisation, role): Reader,
        purpose: Purpose,
        now: BlockTime,
    ) -> bool {
        let named = match self.terms.grantee {
            Grantee::Member(it) => it == member,
            Grantee::Role { organisation: of, role: it } => of == organisation && it == role,
            Grantee::Organisation(it) => it == organisation,
            Grantee::Everyone => true,
            Grantee::Team(_) | Grantee::Group(_) => false,
        };
        let denies = self.terms.effect == Effect::Deny;
        named
            && !self.revoked
            && (denies || !self.cut.contains(&organisation))
            && self.terms.purposes.contains(purpose)
            && self.terms.window.from <= now
            && now < self.terms.window.until
    }
}

/// Whether the nearest of the rules that apply all allow it, and there is one.
fn is_allowed(
    rules: &[Rule],
    compartment: Compartment,
    reader: Reader,
    purpose: Purpose,
    now: BlockTime,
) -> bool {
    let applies = |rule: &&Rule| {
        rule.terms.compartments.contains(compartment) && rule.applies(reader, purpose, now)
    };
    let applying: Vec<_> = rules.iter().filter(applies).collect();
    let Some(nearest) = applying.iter().map(|rule| rule.level()).min() else { return false };
    let mut deciding = applying.iter().filter(|rule| rule.level() == nearest);
    deciding.all(|rule| rule.terms.effect == Effect::Allow)
}

impl Model {
    /// Takes the next entry of the chain, at block time `now`. What the ledger said of an access is compared with what
    /// the rules so far say.
    pub fn take(&mut self, entry: &Entry, accepted: bool, now: BlockTime) -> Result<(), String> {
        let Entry::Signed(signed) = entry else { return Ok(()) };
        #[expect(clippy::wildcard_enum_match_arm, reason = "histories ask nothing else")]
        match &signed.command.payload {
            Payload::ChartOpen(it) if accepted && is_of_history(&it.keys) => {
                self.charts.insert(it.chart, Vec::new());
            }
            Payload::GrantGive(it) if accepted => {
                if let Some(rules) = self.charts.get_mut(&it.chart) {
                    let (grant, terms) = (it.grant, it.terms.clone());
                    rules.push(Rule { grant, terms, revoked: false, cut: Vec::new() });
                }
            }
            Payload::GrantRevoke(it) if accepted => {
                let rules = self.charts.get_mut(&it.chart).into_iter().flatten();
                rules.filter(|rule| rule.grant == it.grant).for_each(|rule| rule.revoked = true);
            }
            Payload::GrantRevokeOrganisation(it) if accepted => {
                let rules = self.charts.get_mut(&it.chart).into_iter().flatten();
                rules.for_each(|rule| rule.cut.push(it.organisation));
            }
            Payload::AccessOpen(it) => {
                let Some(rules) = self.charts.get(&it.chart) else { return Ok(()) };
                let Some(Party::Member(by)) = signed.command.signers.first() else { return Ok(()) };
                let Some(reader) = READERS.iter().find(|reader| reader.0 == *by) else {
                    return Ok(());
                };
                let Target::Compartments { compartments, .. } = it.target else { return Ok(()) };
                let reader = (reader.0, reader.1, reader.2);
                let expected = compartments
                    .iter()
                    .all(|compartment| is_allowed(rules, compartment, reader, it.purpose, now));
                if expected != accepted {
                    let id = signed.command.id;
                    return Err(format!(
                        "access {id} at {now}: the ledger said {accepted}, the rules say {expected}"
                    ));
                }
                self.checked.0 += 1;
                self.checked.1 += usize::from(accepted);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a chart is one of a history.
fn is_of_history(keys: &ChartKeys) -> bool {
    keys.signing == key(26).public()
}
