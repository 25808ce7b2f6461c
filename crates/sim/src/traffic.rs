//! A client that keeps asking: commands of several families, signed for real, from a seed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use keepwell_crypto::{
    command::{record_id, sign},
    custody::sign_custody,
    sign::SigningKey,
};
use keepwell_types::{
    access::{AccessOpen, Purpose, Target},
    anchor::AnchorAdd,
    chart::{ChartKeys, ChartOpen},
    command::{COMMAND_VERSION, Command, Part, Payload, SignedCommand},
    encoding::{List, Text},
    genesis::{EmergencyRule, OwnOrganisation, Parameters},
    grant::{Effect, GrantGive, GrantTerms, Grantee},
    id::{
        ChainId, ChartId, CommandId, Commitment, Compartment, Digest, Epoch, GrantId, LogPosition,
        MemberId, OrganisationId, TransactionId, Version,
    },
    member::{Administrators, MemberEnrol, OrganisationAdmit, OrganisationKind, Party, Role},
    outcome::Outcome,
    record::{CustodyAcknowledgement, CustodyStatement, RecordAdd, RecordKind},
    set::{CompartmentSet, KindSet, PurposeSet, RoleSet},
    time::{BlockTime, Window},
};

/// The one organisation.
pub const HOSPITAL: OrganisationId = OrganisationId([1; 16]);
/// Its one member.
pub const CLINICIAN: MemberId = MemberId([2; 16]);
/// How long a command may wait, in milliseconds.
const WINDOW_MS: u64 = 60_000;
/// Every so many requests are a transaction.
const TRANSACTION_EVERY: u64 = 9;

/// Commands that were acknowledged, with the outcome that the client was told.
#[derive(Clone, Default)]
pub struct Acknowledged(Arc<Mutex<BTreeMap<CommandId, Outcome>>>);

impl Acknowledged {
    /// All of them.
    pub fn all(&self) -> MutexGuard<'_, BTreeMap<CommandId, Outcome>> {
        self.0.lock().expect("nobody panics while holding this lock")
    }
}

/// What makes commands. Two of the same seed make the same.
pub struct Traffic {
    chain: ChainId,
    seed: u64,
    asked: u64,
    made: u64,
    clinician: SigningKey,
    custodian: SigningKey,
    controller: SigningKey,
    chart: ChartId,
    records: u64,
}

pub(crate) fn key(name: u8) -> SigningKey {
    SigningKey::from_seed(&[name; 32])
}

/// The entries of block 1.
pub fn founding() -> Vec<Payload> {
    let admit = OrganisationAdmit {
        organisation: HOSPITAL,
        kind: OrganisationKind::Hospital,
        name: Text::from_string("Hospital".into()).expect("short"),
        administrators: Administrators::one(key(10).public()),
        custodian: Some(key(11).public()),
    };
    let enrol = MemberEnrol {
        member: CLINICIAN,
        organisation: HOSPITAL,
        signing: key(12).public(),
        sealing: Digest([0; 32]),
        roles: RoleSet::EMPTY.with(Role::Clinician),
    };
    vec![Payload::OrganisationAdmit(admit), Payload::MemberEnrol(enrol)]
}

/// What the consortium has chosen.
pub const PARAMETERS: Parameters = Parameters {
    own_organisation: OwnOrganisation::OptOut,
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

impl Traffic {
    /// Traffic for `chain`; clients with different seeds do not meet.
    pub fn new(chain: ChainId, seed: u64) -> Self {
        let mut chart = [0; 32];
        chart[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            chain,
            seed,
            asked: 0,
            made: 0,
            clinician: key(12),
            custodian: key(11),
            controller: key(13),
            chart: ChartId(chart),
            records: 0,
        }
    }

    /// What is asked next: first a chart, then records, grants, accesses and anchors in turn, one command each; now and
    /// then a transaction, of which every other one has a part in the middle that is refused.
    pub fn next(&mut self, now: BlockTime) -> Vec<SignedCommand> {
        let asked = self.asked;
        self.asked += 1;
        if asked % TRANSACTION_EVERY == TRANSACTION_EVERY - 1 {
            return self.transaction(now, (asked / TRANSACTION_EVERY) % 2 == 1);
        }
        let (id, window) = self.begin(now);
        let (party, payload) = match asked % 5 {
            _ if asked == 0 => (Party::Member(CLINICIAN), self.chart_open()),
            0 | 1 => (Party::Member(CLINICIAN), self.record_add(id, window.until)),
            2 => (Party::Controller(self.chart), self.grant_give(now)),
            3 => (Party::Member(CLINICIAN), self.access_open()),
            _ => (Party::Member(CLINICIAN), self.anchor_add(self.made)),
        };
        vec![self.sign((id, window), party, payload, None)]
    }

    /// A record, an anchor and a record; with a `fault` an anchor of nothing.
    fn transaction(&mut self, now: BlockTime, fault: bool) -> Vec<SignedCommand> {
        let mut transaction = [0; 16];
        transaction[..8].copy_from_slice(&self.seed.to_be_bytes());
        transaction[8..].copy_from_slice(&self.asked.to_be_bytes());
        let part = |place| Part::new(TransactionId(transaction), place, 3).expect("one of three");
        (0..3)
            .map(|place| {
                let (id, window) = self.begin(now);
                let payload = match place {
                    1 => self.anchor_add(if fault { 0 } else { self.made }),
                    _ => self.record_add(id, window.until),
                };
                self.sign((id, window), Party::Member(CLINICIAN), payload, Some(part(place)))
            })
            .collect()
    }

    /// The id and window of the next command.
    fn begin(&mut self, now: BlockTime) -> (CommandId, Window) {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.seed.to_be_bytes());
        id[8..].copy_from_slice(&self.made.to_be_bytes());
        self.made += 1;
        let from = BlockTime(now.0.saturating_sub(1_000));
        (CommandId(id), Window { from, until: now.plus_ms(WINDOW_MS) })
    }

    fn sign(
        &self,
        (id, window): (CommandId, Window),
        party: Party,
        payload: Payload,
        part: Option<Part>,
    ) -> SignedCommand {
        let key = match party {
            Party::Controller(_) => &self.controller,
            Party::Member(_)
            | Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Proxy(..)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => &self.clinician,
        };
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.chain,
            id,
            window,
            signers: List::from_vec(vec![party]).expect("one signer"),
            payload,
            part,
        };
        sign(command, &[key])
    }

    fn chart_open(&self) -> Payload {
        Payload::ChartOpen(ChartOpen {
            chart: self.chart,
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

    fn record_add(&mut self, id: CommandId, until: BlockTime) -> Payload {
        let record = record_id(&self.chain, &self.chart, Party::Member(CLINICIAN), id, until);
        let mut commitment = [7; 32];
        commitment[..8].copy_from_slice(&self.records.to_be_bytes());
        self.records += 1;
        let statement = CustodyStatement {
            chain: self.chain,
            custodian: HOSPITAL,
            record,
            version: Version(1),
            commitment: Commitment(commitment),
            sealed_bytes: 1_000,
            until,
        };
        let acknowledgement = CustodyAcknowledgement {
            custodian: HOSPITAL,
            key: self.custodian.public(),
            signature: sign_custody(&self.custodian, &statement),
            until,
        };
        Payload::RecordAdd(RecordAdd {
            chart: self.chart,
            compartment: Compartment::new(5).expect("a compartment"),
            epoch: Epoch(0),
            kind: RecordKind::Result,
            commitment: Commitment(commitment),
            sealed_bytes: 1_000,
            custody: List::from_vec(vec![acknowledgement]).expect("one custodian"),
            approval: None,
            uniqueness: None,
            amends: None,
        })
    }

    fn grant_give(&self, now: BlockTime) -> Payload {
        let mut grant = [0; 16];
        grant[..8].copy_from_slice(&self.made.to_be_bytes());
        let mut grantee = [0; 16];
        grantee[..8].copy_from_slice(&self.made.to_be_bytes());
        Payload::GrantGive(GrantGive {
            chart: self.chart,
            grant: GrantId(grant),
            terms: GrantTerms {
                effect: Effect::Allow,
                grantee: Grantee::Member(MemberId(grantee)),
                compartments: CompartmentSet::EMPTY
                    .with(Compartment::new(5).expect("a compartment")),
                kinds: KindSet::all(),
                records: List::new(),
                purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
                window: Window { from: BlockTime(0), until: now.plus_ms(1_000_000) },
                accesses_max: None,
                separate_consent: false,
                onward: false,
            },
            seeds: Digest([0; 32]),
        })
    }

    fn access_open(&self) -> Payload {
        Payload::AccessOpen(AccessOpen {
            chart: self.chart,
            target: Target::Compartments {
                compartments: CompartmentSet::EMPTY
                    .with(Compartment::new(5).expect("a compartment")),
                until: LogPosition(1),
            },
            purpose: Purpose::Treatment,
            reader_key: Digest([3; 32]),
            notice: 1,
        })
    }

    fn anchor_add(&self, documents: u64) -> Payload {
        Payload::AnchorAdd(AnchorAdd { root: Digest([9; 32]), documents })
    }
}
