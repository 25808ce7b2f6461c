//! The commands of a run: charts to write in, and records to add, signed before any clock starts.
//!
//! A command here is what a hospital sends for one record: who adds what kind of record to which chart
//! and compartment, within which time, the 32-byte commitment to what was sealed, and each custodian's
//! signed acknowledgement that it stores it. No sealed object lies behind the commitment: the ledger
//! cannot tell, and what sealing and storing cost is measured by `bench seal`.

use std::thread;

use keepwell_client::identity::Actor;
use keepwell_crypto::{
    command::{record_id, sign},
    custody::{FIRST_VERSION, sign_custody},
    hash::digest,
    sign::SigningKey,
};
use keepwell_node::clock::Clock;
use keepwell_types::{
    chart::{ChartKeys, ChartOpen},
    command::{COMMAND_VERSION, Command, Payload, SignedCommand},
    encoding::List,
    id::{ChainId, ChartId, CommandId, Commitment, Compartment, Digest, Epoch, OrganisationId},
    record::{CustodyAcknowledgement, CustodyStatement, RecordAdd, RecordKind},
    set::CompartmentSet,
    time::{BlockTime, Window},
};

use super::{BenchError, fleet::Fleet, http::post};

const DOMAIN: &str = "keepwell/bench/workload/v1";
/// How far before now a window begins: the chain's time may lag the clock.
const WINDOW_BEFORE_MS: u64 = 10_000;
/// How long a window is; a little less than the longest.
const WINDOW_MS: u64 = 590_000;
/// Bytes of the sealed object that each record speaks of.
const SEALED_BYTES: u64 = 16_488;
/// The compartment of all records: an ordinary one.
const COMPARTMENT: u8 = 5;

/// A command as it goes over the wire, and what is checked afterwards.
pub(super) struct Prepared {
    /// The whole request.
    pub request: Vec<u8>,
    /// The command's id.
    pub id: CommandId,
    /// Bytes of the signed command.
    pub command_bytes: u32,
}

/// Who writes for one organisation.
struct Author {
    actor: Actor,
    /// The organisation's custodian, and those after it.
    custodians: Vec<(OrganisationId, SigningKey)>,
}

/// Makes commands. Every command it makes is another.
pub(super) struct Workload {
    chain: ChainId,
    authors: Vec<Author>,
    /// One list of charts for each organisation.
    charts: Vec<Vec<ChartId>>,
    seed: [u8; 16],
    made: u64,
}

impl Workload {
    /// `charts` charts, spread over the organisations of `fleet`; `custodians` acknowledge each record.
    pub(super) fn new(fleet: &Fleet, charts: usize, custodians: usize) -> Self {
        let count = fleet.nodes.len();
        let custodian = |at: usize| {
            let node = &fleet.nodes[at % count];
            (node.organisation, node.custodian.clone())
        };
        let authors = fleet.nodes.iter().enumerate().map(|(index, node)| Author {
            actor: node.identity.actor(),
            custodians: (index..index + custodians.min(count)).map(custodian).collect(),
        });
        let chart = |number: usize| {
            ChartId(digest(DOMAIN, &[b"chart", &fleet.chain.0, &number.to_le_bytes()]).0)
        };
        let mut by_organisation = vec![Vec::new(); count];
        (0..charts.max(count)).for_each(|at| by_organisation[at % count].push(chart(at)));
        let mut seed = [0; 16];
        seed.copy_from_slice(&digest(DOMAIN, &[b"seed", &fleet.chain.0]).0[..16]);
        Self {
            chain: fleet.chain,
            authors: authors.collect(),
            charts: by_organisation,
            seed,
            made: 0,
        }
    }

    /// Signatures in one command, those of custodians included.
    pub(super) fn signatures(&self) -> usize {
        1 + self.authors[0].custodians.len()
    }

    /// The charts of each organisation.
    pub(super) fn charts(&self) -> &[Vec<ChartId>] {
        &self.charts
    }

    /// The commands that open all charts, for each organisation.
    pub(super) fn open_charts(&mut self) -> Result<Vec<Vec<Prepared>>, BenchError> {
        let first = self.number(self.charts.iter().map(Vec::len).sum::<usize>() as u64);
        let window = window();
        let mut number = first;
        let mut all = Vec::with_capacity(self.authors.len());
        for (author, charts) in self.authors.iter().zip(&self.charts) {
            let mut own = Vec::with_capacity(charts.len());
            for chart in charts {
                let payload = Payload::ChartOpen(self.chart_open(author, *chart)?);
                own.push(self.prepare(author, self.id(number), window, payload)?);
                number += 1;
            }
            all.push(own);
        }
        Ok(all)
    }

    /// `count` commands that add records, spread evenly over the organisations and their charts. They
    /// can be sent for nine minutes.
    pub(super) fn records(&mut self, count: usize) -> Result<Vec<Vec<Prepared>>, BenchError> {
        let organisations = self.authors.len();
        let each = count.div_ceil(organisations);
        let first = self.number((each * organisations) as u64);
        let window = window();
        let this = &*self;
        (0..organisations)
            .map(|organisation| {
                let first = first + (organisation * each) as u64;
                let make = |at: usize| this.record(organisation, first + at as u64, at, window);
                on_all_cores(each, &make)
            })
            .collect()
    }

    /// Takes `count` numbers that no command has had.
    fn number(&mut self, count: u64) -> u64 {
        let first = self.made;
        self.made += count;
        first
    }

    /// Ids look random, so that they spread over the slots in which they are remembered.
    fn id(&self, number: u64) -> CommandId {
        let mut id = [0; 16];
        let digest = digest(DOMAIN, &[b"id", &self.seed, &number.to_le_bytes()]);
        id.copy_from_slice(&digest.0[..16]);
        CommandId(id)
    }

    fn record(
        &self,
        organisation: usize,
        number: u64,
        at: usize,
        window: Window,
    ) -> Result<Prepared, BenchError> {
        let author = &self.authors[organisation];
        let charts = &self.charts[organisation];
        let (id, chart) = (self.id(number), charts[at % charts.len()]);
        let commitment =
            Commitment(digest(DOMAIN, &[b"commitment", &self.seed, &number.to_le_bytes()]).0);
        let record = record_id(&self.chain, &chart, author.actor.party(), id, window.until);
        let acknowledge = |(custodian, key): &(OrganisationId, SigningKey)| {
            let statement = CustodyStatement {
                chain: self.chain,
                custodian: *custodian,
                record,
                version: FIRST_VERSION,
                commitment,
                sealed_bytes: SEALED_BYTES,
                until: window.until,
            };
            CustodyAcknowledgement {
                custodian: *custodian,
                key: key.public(),
                signature: sign_custody(key, &statement),
                until: window.until,
            }
        };
        let payload = Payload::RecordAdd(RecordAdd {
            chart,
            compartment: compartment(),
            epoch: Epoch(0),
            kind: RecordKind::ALL[at % RecordKind::ALL.len()],
            commitment,
            sealed_bytes: SEALED_BYTES,
            custody: List::from_vec(author.custodians.iter().map(acknowledge).collect())?,
            approval: None,
            uniqueness: None,
            amends: None,
        });
        self.prepare(author, id, window, payload)
    }

    fn chart_open(&self, author: &Author, chart: ChartId) -> Result<ChartOpen, BenchError> {
        let controller = SigningKey::from_seed(&digest(DOMAIN, &[b"controller", &chart.0]).0);
        let custodians = author.custodians.iter().map(|(custodian, _)| *custodian).collect();
        Ok(ChartOpen {
            chart,
            // Nobody opens these records, so nothing is sealed to these keys.
            keys: ChartKeys {
                signing: controller.public(),
                sealing: Digest([0; 32]),
                sheet: Digest([0; 32]),
            },
            separate_consent: (0..4).filter_map(Compartment::new).collect::<CompartmentSet>(),
            custodians: List::from_vec(custodians)?,
            contributors: List::new(),
            claim: None,
        })
    }

    fn prepare(
        &self,
        author: &Author,
        id: CommandId,
        window: Window,
        payload: Payload,
    ) -> Result<Prepared, BenchError> {
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.chain,
            id,
            window,
            signers: List::from_vec(vec![author.actor.party()])?,
            payload,
            part: None,
        };
        let bytes = SignedCommand::encode(&sign(command, &[author.actor.key()]));
        Ok(Prepared {
            request: post("/v1/commands", &bytes),
            id,
            command_bytes: bytes.len() as u32,
        })
    }
}

fn compartment() -> Compartment {
    Compartment::new(COMPARTMENT).expect("charts have sixteen compartments")
}

fn window() -> Window {
    let from = BlockTime(Clock.now().0.saturating_sub(WINDOW_BEFORE_MS));
    Window { from, until: from.plus_ms(WINDOW_MS) }
}

/// `make(0), make(1), ...`, made by a thread for each core.
fn on_all_cores<T: Send>(
    count: usize,
    make: &(impl Fn(usize) -> Result<T, BenchError> + Sync),
) -> Result<Vec<T>, BenchError> {
    let threads = thread::available_parallelism()?.get();
    let share = count.div_ceil(threads).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = (0..count)
            .step_by(share)
            .map(|from| {
                let part = from..count.min(from + share);
                scope.spawn(move || part.map(make).collect::<Result<Vec<_>, _>>())
            })
            .collect();
        let mut made = Vec::with_capacity(count);
        for part in parts {
            made.extend(part.join().expect("a signing thread does not panic")?);
        }
        Ok(made)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cores_keep_the_order() {
        for count in [0, 1, 2, 7, 100] {
            let made = on_all_cores(count, &|at| Ok(at)).unwrap();
            assert_eq!(made, (0..count).collect::<Vec<_>>());
        }
    }
}
