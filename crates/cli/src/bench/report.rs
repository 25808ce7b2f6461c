//! `keepwell bench report`: an accounting over a million accesses, from the entries of a log to a page.
//!
//! Entries are made one by one, as a walk over a log hands them on, and dropped once they were taken: what is kept of
//! each is what a report keeps. Making an entry and hashing it into the head of the log, which a node's pages cost as
//! well, are in the time; the network is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, BufWriter, Write},
    time::Instant,
};

use clap::Args;
use keepwell_client::{
    report::{
        accounting::Scope,
        looks::{Gathering, ReaderIs},
    },
    verify::LogLine,
};
use keepwell_ledger::state::{Chart, Key, Member, Value};
use keepwell_merkle::chart_log;
use keepwell_types::{
    access::{AccessOpen, Purpose, Target},
    chart::ChartKeys,
    command::{COMMAND_VERSION, Command, Entry, Payload, SignedCommand},
    encoding::List,
    genesis::{EmergencyRule, OwnOrganisation, Parameters},
    grant::{Effect, GrantGive, GrantTerms, Grantee},
    id::{
        ChainId, ChartId, CommandDigest, CommandId, Digest, Epoch, GrantId, Height, Location,
        LogPosition, MemberId, OrganisationId, PublicKey,
    },
    limits::COMPARTMENTS,
    member::{OrganisationKind, Party, Role},
    outcome::{Outcome, Verdict},
    set::{CompartmentSet, KindSet, PurposeSet, RoleSet},
    time::{BlockTime, Window},
};
use serde::Serialize;

use super::{
    BenchError,
    figure::{Figure, Lines},
};
use crate::{
    looked::write_accounting,
    page::{Format, Page},
};

const CHART: ChartId = ChartId([0xc0; 32]);
const CHAIN: ChainId = ChainId([7; 32]);
const START: BlockTime = BlockTime(1_795_000_000_000);
/// Readers, each of an organisation that is not the chart's.
const READERS: u8 = 200;
/// Accesses at which the accounting is judged.
const USUAL_ACCESSES: u64 = 1_000_000;
const MIB: f64 = 1024.0 * 1024.0;

/// Account for a million accesses of one chart: time and memory
#[derive(Args, Clone, Debug)]
pub(super) struct Report {
    /// Accesses; with another number there is no figure
    #[arg(long, default_value_t = USUAL_ACCESSES)]
    pub(super) accesses: u64,
}

#[derive(Debug, Serialize)]
struct ReportLine {
    accesses: u64,
    seconds: f64,
    resident_mib: f64,
    page_bytes: u64,
}

impl Report {
    pub(super) fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let started = Instant::now();
        let mut gathering = Gathering::default();
        let mut head = chart_log::EMPTY;
        for line in log(self.accesses) {
            head = chart_log::extend(head, line.position, &line.outcome);
            gathering.take(line);
        }
        let members: BTreeMap<_, _> = gathering.members().map(|id| (id, Some(reader()))).collect();
        let load = |key: &Key| matches!(key, Key::Member(_)).then(|| Value::Member(member()));
        let looks = gathering.finish((CHART, chart()), PARAMETERS, members, load);
        let window = Window { from: BlockTime(0), until: BlockTime(u64::MAX) };
        let authorised = BTreeSet::new();
        let scope =
            Scope { window, now: START, all: true, authorised: &authorised, suspensions: &[] };
        let mut counted = Counted(0);
        let out = BufWriter::with_capacity(64 * 1024, &mut counted);
        let page = Page::begin(out, Format::Html, "Accounting", &[("Head", head.to_string())]);
        let mut page = page?;
        let failed = |failure: crate::failure::Failure| {
            BenchError::System(io::Error::other(failure.to_string()))
        };
        let names = |_| "normal".to_owned();
        let notes = write_accounting(&mut page, &looks, &scope, &names, false, |_| {});
        page.end(&notes.map_err(failed)?).map_err(failed)?;
        let seconds = started.elapsed().as_secs_f64();
        let resident_mib = peak_bytes()? as f64 / MIB;
        let (accesses, page_bytes) = (self.accesses, counted.0);
        lines.put("report", &ReportLine { accesses, seconds, resident_mib, page_bytes })?;
        if accesses != USUAL_ACCESSES {
            return Ok(());
        }
        lines.figure(Figure::ReportSeconds, seconds)?;
        lines.figure(Figure::ReportMemoryMib, resident_mib)
    }
}

const PARAMETERS: Parameters = Parameters {
    own_organisation: OwnOrganisation::OptIn,
    custodians_min: 2,
    commands_per_minute_max: 6_000,
    notice: 1,
    licensed: KindSet::EMPTY,
    emergency: EmergencyRule::USUAL,
    sign_off: None,
    recovery: None,
    matching: None,
    epoch_blocks: None,
};

/// A grant for everyone, then accesses, one a second.
fn log(accesses: u64) -> impl Iterator<Item = LogLine> {
    let terms = GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Everyone,
        compartments: CompartmentSet::all(),
        kinds: KindSet::all(),
        records: List::new(),
        purposes: PurposeSet::all(),
        window: Window { from: START, until: BlockTime(u64::MAX) },
        accesses_max: None,
        separate_consent: false,
        onward: false,
    };
    let give = GrantGive { chart: CHART, grant: GrantId([1; 16]), terms, seeds: Digest([0; 32]) };
    let first = line(0, Party::Controller(CHART), Payload::GrantGive(give));
    std::iter::once(first).chain((1..=accesses).map(access))
}

fn access(position: u64) -> LogLine {
    let reader = MemberId([(position % u64::from(READERS)) as u8 + 1; 16]);
    let purposes = [Purpose::Treatment, Purpose::Research, Purpose::Legal, Purpose::PublicHealth];
    let open = AccessOpen {
        chart: CHART,
        target: Target::Compartments {
            compartments: CompartmentSet::all(),
            until: LogPosition(position),
        },
        purpose: purposes[(position % 4) as usize],
        reader_key: Digest([2; 32]),
        notice: 1,
    };
    line(position, Party::Member(reader), Payload::AccessOpen(open))
}

fn line(position: u64, by: Party, payload: Payload) -> LogLine {
    let time = START.plus_ms(position * 1_000);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&position.to_le_bytes());
    let command = Command {
        version: COMMAND_VERSION,
        chain: CHAIN,
        id: CommandId(id),
        window: Window { from: START, until: time.plus_ms(60_000) },
        signers: List::from_vec(vec![by]).unwrap_or_default(),
        payload,
        part: None,
    };
    let outcome = Outcome {
        location: Location { height: Height(position + 2), index: 0 },
        time,
        command: CommandDigest([3; 32]),
        verdict: Verdict::Accepted,
    };
    let entry = Entry::Signed(SignedCommand { command, signatures: List::new() });
    LogLine { position: LogPosition(position), entry, outcome }
}

fn reader() -> ReaderIs {
    ReaderIs {
        organisation: OrganisationId([9; 16]),
        organisation_name: "Meridian Telehealth".into(),
        kind: OrganisationKind::Clinic,
        roles: RoleSet::EMPTY.with(Role::Clinician),
    }
}

fn member() -> Member {
    Member {
        organisation: OrganisationId([9; 16]),
        signing: PublicKey([0; 32]),
        sealing: Digest([0; 32]),
        roles: RoleSet::EMPTY.with(Role::Clinician),
        suspended: false,
        groups: List::new(),
        former: None,
    }
}

fn chart() -> Chart {
    Chart {
        organisation: OrganisationId([8; 16]),
        keys: ChartKeys {
            signing: PublicKey([0; 32]),
            sealing: Digest([0; 32]),
            sheet: Digest([0; 32]),
        },
        epochs: [Epoch(0); COMPARTMENTS],
        separate_consent: CompartmentSet::EMPTY,
        custodians: List::new(),
        contributors: List::new(),
        claim: None,
        claimed: true,
        emergency: CompartmentSet::EMPTY,
        escrow: None,
        seeds: None,
        closed_at: None,
        taken: None,
        ahead: None,
    }
}

/// Counts what is written.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most memory that this process ever had.
fn peak_bytes() -> Result<u64, BenchError> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1_024).ok_or(BenchError::Kernel("status"))
}
