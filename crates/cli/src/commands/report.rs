//! `keepwell report`: for patients, who looked, what was disclosed, and all that is held; for privacy officers, what was
//! refused, what was an emergency, what is unusual, and how far a stolen key reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::{
    explain::{About, Subject},
    identity::Actor,
    report::{
        accounting::{ACCOUNTED_MS, Scope, Suspension, check_suspensions},
        blast::{Blast, Harbour, Incident, Lost, blast},
        cases::{Clock, is_free},
        officer::{Act, Acts, Did},
        unusual::{Hint, Relations, Thresholds, Unusual, unusual},
    },
    verify::LogMark,
};
use keepwell_ledger::consent::Decision;
use keepwell_types::{
    access::{Purpose, Target},
    case::{CaseDecision, CaseKind},
    id::{ChartId, Compartment, GrantId, MemberId},
    member::{Party, Role},
    set::{CompartmentSet, PurposeSet},
    time::{BlockTime, Window},
};

use crate::{
    commands::{explain::Words, export::Export, known_log, remember_log},
    failure::Failure,
    instant::instant,
    looked::{write_accounting, write_looked, write_missing},
    output::Output,
    page::{Column, To},
    profile::{As, Session},
    runtime::block_on,
};

/// Bytes of a file of suspensions or relations.
const LIST_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Own charts whose rules a blast-radius report reads.
const CHARTS_MAX: usize = 256;

/// Report who looked, what was disclosed, what is held, and what is unusual
#[derive(Args)]
#[command(after_help = "Examples, for a patient:
  keepwell report looked --as ./ana CHART --format html --to looked.html
  keepwell report accounting --as ./ana CHART --from 2025-01-01 --until 2026-01-01
  keepwell report cases --as ./ana CHART
  keepwell report export --as ./ana CHART --to ./everything
Examples, for a privacy officer:
  keepwell report accesses --as ./officer --from 2026-11-01 --compare --format csv
  keepwell report refused --as ./officer --from 2026-11-01
  keepwell report emergencies --as ./officer --from 2026-11-01
  keepwell report unusual --as ./officer --from 2026-11-01 --relations household.csv
  keepwell report blast-radius --as ./officer --member MEMBER --since 2026-11-20T08:00:00Z --unlocked")]
pub(crate) struct Report {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Who looked: every access to a chart with organisation, role, purpose, what, when, by which grant, and its proof
    Looked {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
        #[command(flatten)]
        to: To,
    },
    /// The accounting of disclosures of a chart (45 CFR 164.528)
    Accounting(Accounting),
    /// What a patient asked for by right, with the clock of each
    Cases {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
        #[command(flatten)]
        to: To,
    },
    /// Everything that is held about a patient in a chart, as one folder
    Export(Export),
    /// Everything that the officer's organisation answers for
    Accesses(Answered),
    /// What was refused in the organisation's charts, and to its members
    Refused(Answered),
    /// Emergencies, and which wait for a review
    Emergencies(Answered),
    /// What is unusual, as hints for a person who looks
    Unusual(UnusualOnes),
    /// How far a stolen key or device reached, whether it was secured, and whom to tell by when
    BlastRadius(BlastRadius),
}

/// What is accounted for
#[derive(Args)]
struct Accounting {
    #[command(flatten)]
    who: As,
    /// The chart
    chart: ChartId,
    /// Disclosures from this instant on; six years back unless given
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: Option<BlockTime>,
    /// ... and before this one; now unless given
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<BlockTime>,
    /// List what need not be accounted for, too, and why it need not
    #[arg(long)]
    all: bool,
    /// Put disclosures to one recipient for one purpose together
    #[arg(long)]
    summary: bool,
    /// A grant that is an authorisation under 45 CFR 164.508; may be given several times
    #[arg(long = "authorised", value_name = "GRANT")]
    authorised: Vec<GrantId>,
    /// Suspensions that agencies have asked for, as JSON: see docs/reports.md
    #[arg(long, value_name = "FILE", requires = "missing")]
    suspensions: Option<PathBuf>,
    /// A new file for what is left out under them: for the organisation, never for the patient
    #[arg(long, value_name = "FILE")]
    missing: Option<PathBuf>,
    #[command(flatten)]
    to: To,
}

/// Of which time
#[derive(Args)]
struct Answered {
    #[command(flatten)]
    who: As,
    /// From this instant on
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: BlockTime,
    /// Before this instant; now unless given
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<BlockTime>,
    /// Read the logs of the organisation's own charts, too, to find what a node left out
    #[arg(long)]
    compare: bool,
    #[command(flatten)]
    to: To,
}

/// From where on something is unusual
#[derive(Args)]
struct UnusualOnes {
    #[command(flatten)]
    answered: Answered,
    /// Lines of `member,chart,relation`: charts of a member's household, or of colleagues
    #[arg(long, value_name = "FILE")]
    relations: Option<PathBuf>,
    /// How many times the usual number of charts on a day is unusual
    #[arg(long, default_value_t = Thresholds::USUAL.times)]
    times: usize,
    /// Charts on a day below which nothing is
    #[arg(long, default_value_t = Thresholds::USUAL.charts_min)]
    charts_min: usize,
    /// Charts that are many at once ...
    #[arg(long, default_value_t = Thresholds::USUAL.burst_charts)]
    burst_charts: usize,
    /// ... within so many minutes
    #[arg(long, default_value_t = Thresholds::USUAL.burst_ms / 60_000)]
    burst_minutes: u64,
    /// Refusals within an hour that are many
    #[arg(long, default_value_t = Thresholds::USUAL.refusals)]
    refusals: usize,
}

/// What was lost, and what is known of it
#[derive(Args)]
struct BlastRadius {
    #[command(flatten)]
    who: As,
    /// The member whose key or device it was
    #[arg(long, required_unless_present_any = ["custody", "validator"])]
    member: Option<MemberId>,
    /// What a custodian stores was lost, or a copy of it
    #[arg(long, conflicts_with_all = ["member", "validator"])]
    custody: bool,
    /// A validator's host was lost
    #[arg(long, conflicts_with = "member")]
    validator: bool,
    /// First instant at which it may have been in other hands
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    since: BlockTime,
    /// When it was discovered; now unless given
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    discovered: Option<BlockTime>,
    /// What unlocks it (passphrase, operator's key) may have been with it
    #[arg(long)]
    unlocked: bool,
    /// Opened records may have been kept on it
    #[arg(long)]
    plaintext: bool,
    /// Read the logs of the organisation's own charts, too, to find what a node left out
    #[arg(long)]
    compare: bool,
    #[command(flatten)]
    to: To,
}

impl Report {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Looked { who, chart, to } => looked(who.session()?, chart, &to, *output),
            What::Accounting(it) => it.run(*output),
            What::Cases { who, chart, to } => cases(&who.session()?, chart, &to, *output),
            What::Export(it) => it.run(*output),
            What::Accesses(it) => it.run(*output, "What the organisation answers for", |_| true),
            What::Refused(it) => it.run(*output, "What was refused", |act| act.refused.is_some()),
            What::Emergencies(it) => it.emergencies(*output),
            What::Unusual(it) => it.run(*output),
            What::BlastRadius(it) => it.run(*output),
        }
    }
}

fn looked(mut session: Session, chart: ChartId, to: &To, output: Output) -> Result<(), Failure> {
    let known = known_log(&session, chart)?;
    let proven = block_on(async {
        let actor = session.actor(chart)?;
        Ok(session.client.looks(&actor, chart, known).await?)
    })?;
    let facts = [
        ("Chart", chart.to_string()),
        ("Complete at block", proven.header.header().height.to_string()),
        ("Entries in the log", proven.mark.count.to_string()),
        ("Head of the log", proven.mark.head.to_string()),
    ];
    let mut page = to.begin(output, "Who looked", &facts)?;
    let names = |it| named(&session, chart, it);
    write_looked(&mut page, &proven.looks, &names)?;
    page.end(&[
        format!("{} accesses, refused ones included. The list is complete: it was checked against the head of the chart's log, proven at a certified block.", proven.looks.looks.len()),
        "Each line is proven by its receipt: `keepwell receipt --height BLOCK --index ENTRY --to FILE`, then `keepwell verify`, which needs no node.".into(),
        "By which rule follows from the grants in the log and from who the reader is today.".into(),
    ])?;
    remember_log(&mut session, chart, proven.mark)
}

/// Compartments by their names, where they are known.
fn named(session: &Session, chart: ChartId, compartments: CompartmentSet) -> String {
    let meanings = session.meanings(chart);
    let name = |it: Compartment| {
        let known = meanings.and_then(|known| known.name(it));
        known.map_or_else(|| it.index().to_string(), str::to_owned)
    };
    compartments.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl Accounting {
    fn run(self, output: Output) -> Result<(), Failure> {
        let mut session = self.who.session()?;
        let suspensions = self.suspensions.as_deref().map(read_suspensions).transpose()?;
        let suspensions = suspensions.unwrap_or_default();
        let known = known_log(&session, self.chart)?;
        let (proven, organisation, cases) = block_on(async {
            let actor = session.actor(self.chart)?;
            let proven = session.client.looks(&actor, self.chart, known).await?;
            let organisation = proven.looks.organisation;
            let organisation = session.client.organisation(&actor, organisation).await?;
            let cases = session.client.case_clocks(&actor, self.chart, LogMark::START).await?;
            Ok((proven, organisation, cases))
        })?;
        let now = proven.header.header().time;
        let from = self.from.unwrap_or(BlockTime(now.0.saturating_sub(ACCOUNTED_MS)));
        // What stands in the newest block is of now.
        let window = Window { from, until: self.until.unwrap_or(now.plus_ms(1)) };
        let authorised: BTreeSet<_> = self.authorised.iter().copied().collect();
        let scope = Scope {
            window,
            now,
            all: self.all,
            authorised: &authorised,
            suspensions: &suspensions,
        };
        let facts = [
            ("Chart", self.chart.to_string()),
            ("Accounting by", organisation.name.to_string()),
            ("From", window.from.to_string()),
            ("Before", window.until.to_string()),
            ("Complete at block", proven.header.header().height.to_string()),
            ("Head of the log", proven.mark.head.to_string()),
        ];
        let title = "Accounting of disclosures (45 CFR 164.528)";
        let mut page = self.to.begin(output, title, &facts)?;
        let names = |it| named(&session, self.chart, it);
        let looks = &proven.looks;
        let mut notes = write_accounting(&mut page, looks, &scope, &names, self.summary, |_| {})?;
        let accountings = cases.iter().filter(|it| it.entry.kind == CaseKind::Accounting);
        for case in accountings {
            let free = if is_free(&cases, case) {
                "free of charge"
            } else {
                "not the first within twelve months"
            };
            notes.push(format!(
                "Asked for in case {}: {}; {free}.",
                case.case,
                clock(case.clock(now))
            ));
        }
        notes.push("Complete: it was checked against the head of the chart's log. Each line is proven by the receipt of its block and entry.".into());
        page.end(&notes)?;
        if let Some(path) = &self.missing {
            let mut missing = Vec::new();
            keepwell_client::report::accounting::account(
                looks,
                &scope,
                |_, _| {},
                |look| missing.push(look),
            );
            write_missing(path, looks, &missing, &suspensions)?;
        }
        remember_log(&mut session, self.chart, proven.mark)
    }
}

fn read_suspensions(path: &Path) -> Result<Vec<Suspension>, Failure> {
    let text = read_list(path)?;
    let all: Vec<Suspension> = serde_json::from_str(&text).map_err(|error| {
        Failure::Misused(format!("{}: {error}; docs/reports.md shows the form", path.display()))
    })?;
    check_suspensions(&all)
        .map_err(|error| Failure::Misused(format!("{}: {error}", path.display())))?;
    Ok(all)
}

/// Reads a file of the user's that is not absurdly large.
fn read_list(path: &Path) -> Result<String, Failure> {
    let bytes = fs::metadata(path).map_err(Failure::at(path))?.len();
    if bytes > LIST_BYTES_MAX {
        return Err(Failure::Misused(format!(
            "{} has {bytes} bytes and a list {LIST_BYTES_MAX} at most; split it",
            path.display()
        )));
    }
    fs::read_to_string(path).map_err(Failure::at(path))
}

/// A clock in words.
fn clock(clock: Clock) -> String {
    match clock {
        Clock::Answered => "answered in time".into(),
        Clock::AnsweredLate => "answered late".into(),
        Clock::Due(days) => format!("{days} days left"),
        Clock::Late(days) => format!("LATE by {days} days"),
    }
}

fn cases(session: &Session, chart: ChartId, to: &To, output: Output) -> Result<(), Failure> {
    let known = known_log(session, chart)?;
    let (cases, now) = block_on(async {
        let actor = session.actor(chart)?;
        let cases = session.client.case_clocks(&actor, chart, known).await?;
        Ok((cases, session.client.tip().await?.header().time))
    })?;
    let facts = [("Chart", chart.to_string()), ("At", now.to_string())];
    let mut page = to.begin(output, "Cases and their clocks", &facts)?;
    page.table("Cases", &CASES)?;
    for case in &cases {
        let entry = &case.entry;
        let answer = match entry.decided.as_ref().map(|it| it.decision) {
            None => String::new(),
            Some(CaseDecision::Accept) => "accepted".into(),
            Some(CaseDecision::Deny { ground, .. }) if ground.is_reviewable() => {
                format!("denied: {ground}; it can be reviewed by another professional")
            }
            Some(CaseDecision::Deny { ground, .. }) => format!("denied: {ground}"),
        };
        let free = match entry.kind {
            CaseKind::Accounting if is_free(&cases, case) => "free",
            CaseKind::Accounting => "a fee may be asked",
            CaseKind::Access | CaseKind::Amendment | CaseKind::Erasure | CaseKind::Restriction => {
                ""
            }
        };
        page.row(&[
            case.case.to_string(),
            entry.kind.to_string(),
            entry.opened_at.to_string(),
            entry.due.to_string(),
            if entry.extended { "yes".into() } else { "no".into() },
            clock(case.clock(now)),
            answer,
            free.into(),
        ])?;
    }
    page.end(&["The list is complete: it comes from the chart's whole log.".into()])
}

const CASES: [Column; 8] = [
    ("case", "Case"),
    ("kind", "Kind"),
    ("opened", "Opened"),
    ("due", "Due"),
    ("extended", "Extended"),
    ("clock", "Clock"),
    ("answer", "Answer"),
    ("fee", "Fee"),
];

/// What a privacy officer's session has fetched.
struct Office {
    session: Session,
    actor: Actor,
    acts: Acts,
    now: BlockTime,
}

impl Answered {
    fn fetch(&self) -> Result<Office, Failure> {
        let session = self.who.session()?;
        fetch(session, self.from, self.until, self.compare)
    }

    fn run(self, output: Output, title: &str, shows: impl Fn(&Act) -> bool) -> Result<(), Failure> {
        let office = self.fetch()?;
        let mut page = self.to.begin(output, title, &office.facts())?;
        page.table("Acts", &ACTS)?;
        for act in office.acts.acts.iter().filter(|act| shows(act)) {
            page.row(&office.row(act))?;
        }
        page.end(&office.notes())
    }

    fn emergencies(self, output: Output) -> Result<(), Failure> {
        let office = self.fetch()?;
        let is_emergency = |act: &&Act| {
            let broken =
                matches!(act.did, Did::BreakGlass { .. } | Did::Second { .. } | Did::Review { .. });
            let read = matches!(act.did, Did::Open { purpose: Purpose::BreakGlass, .. });
            broken || read
        };
        let charts: BTreeSet<_> = office
            .acts
            .acts
            .iter()
            .filter(|act| matches!(act.did, Did::BreakGlass { .. }) && act.refused.is_none())
            .filter_map(|act| act.did.chart())
            .collect();
        let state = block_on(async {
            let mut state = BTreeMap::new();
            for chart in charts {
                let found = office.session.client.emergencies_of(&office.actor, chart).await?;
                state.insert(chart, found);
            }
            Ok(state)
        })?;
        let mut page = self.to.begin(output, "Emergencies", &office.facts())?;
        page.table("What happened", &ACTS)?;
        for act in office.acts.acts.iter().filter(is_emergency) {
            page.row(&office.row(act))?;
        }
        page.table("What the ledger has of them now", &EMERGENCIES)?;
        for (chart, emergencies) in &state {
            for it in emergencies.iter().filter(|it| it.organisation == office.acts.organisation) {
                let review = match it.review {
                    Some(finding) => finding.to_string(),
                    None if it.review_until <= office.now => "LATE".into(),
                    None => "waits".into(),
                };
                page.row(&[
                    chart.to_string(),
                    it.position.to_string(),
                    it.member.to_string(),
                    it.reason.to_string(),
                    it.open.from.to_string(),
                    it.open.until.to_string(),
                    it.second.map_or_else(|| "nobody".into(), |id| id.to_string()),
                    it.review_until.to_string(),
                    review,
                ])?;
            }
        }
        page.end(&office.notes())
    }
}

const EMERGENCIES: [Column; 9] = [
    ("chart", "Chart"),
    ("position", "Position"),
    ("member", "Member"),
    ("reason", "Reason"),
    ("from", "Open from"),
    ("until", "Until"),
    ("second", "Who agreed"),
    ("review_until", "Review due"),
    ("review", "Review"),
];

const ACTS: [Column; 8] = [
    ("time", "When"),
    ("organisation", "Organisation"),
    ("who", "Who"),
    ("did", "What"),
    ("purpose", "For"),
    ("chart", "Chart"),
    ("decision", "Decision"),
    ("proof", "Proof: block/entry"),
];

fn fetch(
    session: Session,
    from: BlockTime,
    until: Option<BlockTime>,
    compare: bool,
) -> Result<Office, Failure> {
    let (actor, organisation) = {
        let member = session.member()?;
        (member.actor(), member.organisation())
    };
    let (acts, now) = block_on(async {
        let now = session.client.tip().await?.header().time;
        let window = Window { from, until: until.unwrap_or(now.plus_ms(1)) };
        let acts = session.client.acts(&actor, organisation, window, compare).await?;
        Ok((acts, now))
    })?;
    if let Some((chart, at)) = acts.hidden.first() {
        return Err(Failure::Misused(format!(
            "the node left out {} entries, the first at block {} entry {} of chart {chart}, which stands in that chart's log: report its operator, and ask another node",
            acts.hidden.len(),
            at.height,
            at.index
        )));
    }
    Ok(Office { session, actor, acts, now })
}

impl Office {
    fn facts(&self) -> [(&'static str, String); 4] {
        [
            ("Organisation", self.acts.organisation.to_string()),
            ("From", self.acts.window.from.to_string()),
            ("Before", self.acts.window.until.to_string()),
            ("Up to block", self.acts.tip.to_string()),
        ]
    }

    fn notes(&self) -> Vec<String> {
        let own = match self.acts.compared {
            Some(charts) => format!("Compared with the complete logs of the {charts} own charts that are named here: nothing of them was left out. An own chart that no line names was not compared."),
            None => "That nothing was left out is the node's word; --compare checks it for the organisation's own charts.".into(),
        };
        vec![
            format!("{} acts in all. Each line is proven by its receipt: no node can invent or alter one.", self.acts.acts.len()),
            own,
            "What its members did in charts of other organisations is complete by the node's word alone.".into(),
        ]
    }

    fn row(&self, act: &Act) -> [String; 8] {
        let (organisation, who) = match self.acts.member(act) {
            Some((id, Some(is))) => {
                let roles: Vec<_> = is.roles.iter().map(Role::as_str).collect();
                (is.organisation_name.clone(), format!("{id} ({})", roles.join(", ")))
            }
            Some((id, None)) => (String::new(), format!("{id} (not a member)")),
            None => (String::new(), party(act.by).into()),
        };
        let (did, purpose) = did(&act.did);
        let chart = act.did.chart().map_or_else(String::new, |it| it.to_string());
        let decision = match &act.refused {
            None => "accepted".into(),
            Some(refused) => format!("REFUSED: {refused}"),
        };
        let proof = format!("{}/{}", act.location.height, act.location.index);
        [act.time.to_string(), organisation, who, did, purpose, chart, decision, proof]
    }
}

const fn party(party: Party) -> &'static str {
    match party {
        Party::Member(_) => "a member",
        Party::Controller(_) => "whoever controls the chart",
        Party::Claimant(_) => "whoever claims the chart",
        Party::Administrator(_) => "the organisation's administrator",
        Party::Custodian(_) => "a custodian",
        Party::Proxy(..) => "a proxy of the patient",
        Party::Guardian(_) => "a guardian of the chart",
        Party::Successor(_) => "a successor of the chart's keys",
        Party::Validator(_) => "a validator",
    }
}

/// What was done, and what for.
fn did(did: &Did) -> (String, String) {
    match did {
        Did::Open { purpose, target, .. } => {
            let what = match target {
                Target::Records(names) => format!("asked for {} records", names.len()),
                Target::Compartments { compartments, until } => {
                    let numbers: Vec<_> =
                        compartments.iter().map(|it| it.index().to_string()).collect();
                    format!("asked for compartments {} up to {until}", numbers.join(", "))
                }
            };
            (what, purpose.to_string())
        }
        Did::BreakGlass { reason, until, .. } => {
            (format!("broke the glass: {reason}, until {until}"), Purpose::BreakGlass.to_string())
        }
        Did::Second { emergency, .. } => {
            (format!("agreed to the emergency at {emergency}"), String::new())
        }
        Did::Review { emergency, finding, .. } => {
            (format!("reviewed the emergency at {emergency}: {finding}"), String::new())
        }
        Did::Suspend(member) => (format!("suspended member {member}"), String::new()),
        Did::Reinstate(member) => (format!("reinstated member {member}"), String::new()),
        Did::Rotate { member, overlap_until: None } => {
            (format!("gave member {member} new keys"), String::new())
        }
        Did::Rotate { member, overlap_until: Some(until) } => (
            format!("gave member {member} new keys; those before count until {until}"),
            String::new(),
        ),
    }
}

impl UnusualOnes {
    fn run(self, output: Output) -> Result<(), Failure> {
        let relations = match &self.relations {
            None => Relations::default(),
            Some(path) => Relations::read(&read_list(path)?)
                .map_err(|error| Failure::Misused(format!("{}: {error}", path.display())))?,
        };
        let thresholds = Thresholds {
            times: self.times,
            charts_min: self.charts_min,
            burst_charts: self.burst_charts,
            burst_ms: self.burst_minutes.saturating_mul(60_000),
            refusals: self.refusals,
            ..Thresholds::USUAL
        };
        let office = self.answered.fetch()?;
        let hints = unusual(&office.acts.acts, &thresholds, &relations);
        let mut page = self.answered.to.begin(output, "What is unusual", &office.facts())?;
        page.table("Hints", &HINTS)?;
        for hint in &hints {
            page.row(&office.hint(hint))?;
        }
        let mut notes = vec!["A hint is no finding: whoever treats many has many charts. A member is compared with its own other days in this time.".into()];
        notes.extend(office.notes());
        page.end(&notes)
    }
}

const HINTS: [Column; 4] =
    [("since", "Since"), ("member", "Member"), ("organisation", "Organisation"), ("hint", "Hint")];

impl Office {
    fn hint(&self, hint: &Hint) -> [String; 4] {
        let organisation = self.acts.members.get(&hint.member).and_then(Option::as_ref);
        let organisation = organisation.map_or_else(String::new, |it| it.organisation_name.clone());
        let what = match &hint.what {
            Unusual::FarFromUsual { charts, usual } => {
                format!("{charts} different charts on that day; on its other days {usual}")
            }
            Unusual::ManyAtOnce { charts, until } => {
                format!("{charts} different charts in a short time, until {until}")
            }
            Unusual::Related { chart, relation } => format!("chart {chart} is of: {relation}"),
            Unusual::RefusedOften { times, until } => {
                format!("refused {times} times within an hour, until {until}")
            }
        };
        [hint.from.to_string(), hint.member.to_string(), organisation, what]
    }
}

impl BlastRadius {
    fn run(self, output: Output) -> Result<(), Failure> {
        let lost = match (self.member, self.custody) {
            (Some(member), _) => Lost::Key(member),
            (None, true) => Lost::Custody,
            (None, false) => Lost::Validator,
        };
        let office = fetch(self.who.session()?, self.since, None, self.compare)?;
        let incident = Incident {
            lost,
            since: self.since,
            discovered: self.discovered.unwrap_or(office.now),
            unlocked: self.unlocked,
            plaintext: self.plaintext,
        };
        let blast = blast(&office.acts, incident);
        let releasable = match self.member {
            Some(member) => block_on(office.releasable(member))?,
            None => Vec::new(),
        };
        let mut page = self.to.begin(output, "Blast radius", &facts_of(&blast))?;
        page.table("Opened with the key in that time", &ACTS)?;
        for act in &blast.opened {
            page.row(&office.row(act))?;
        }
        page.table("Tried and refused in that time", &ACTS)?;
        for act in &blast.refused {
            page.row(&office.row(act))?;
        }
        page.table("What its rules would allow in own charts, as they are now", &RELEASABLE)?;
        for row in &releasable {
            page.row(row)?;
        }
        page.table("Whom to tell", &TELL)?;
        for chart in &blast.charts {
            let of = office.acts.charts.get(chart).copied().flatten();
            let of = of.map_or_else(String::new, |it| it.to_string());
            page.row(&[
                chart.to_string(),
                of,
                "the patient, through the chart's organisation".into(),
            ])?;
        }
        page.table("Risk assessment (45 CFR 164.402(2))", &FACTORS)?;
        for row in factors(&blast) {
            page.row(&row)?;
        }
        let mut notes = notes_of(&blast);
        notes.extend(office.notes());
        page.end(&notes)
    }
}

const RELEASABLE: [Column; 3] =
    [("chart", "Chart"), ("compartments", "Compartments"), ("purposes", "For")];
const TELL: [Column; 3] =
    [("chart", "Chart"), ("organisation", "Its organisation"), ("whom", "Whom")];
const FACTORS: [Column; 2] = [("factor", "Factor"), ("shown", "What the ledger shows")];

impl Office {
    /// What the rules of own charts would allow a member, whether it is suspended by now or not.
    async fn releasable(&self, member: MemberId) -> Result<Vec<[String; 3]>, Failure> {
        let mut rows = Vec::new();
        for chart in self.acts.own_charts().take(CHARTS_MAX) {
            let client = &self.session.client;
            let mut rules = client.rules(&self.actor, chart, LogMark::START).await?;
            let (mut compartments, mut purposes) = (CompartmentSet::EMPTY, PurposeSet::EMPTY);
            for compartment in Compartment::all() {
                for purpose in PurposeSet::all().iter() {
                    let about = About::Compartment(compartment, None);
                    let subject = Subject::Member(member);
                    let why = rules.explain(subject, about, purpose, None).await?;
                    let allowed = |it: &keepwell_client::explain::Explained| {
                        matches!(it.trace.decision, Decision::Allowed(_))
                    };
                    if why.traces.iter().any(allowed) {
                        compartments = compartments.with(compartment);
                        purposes = purposes.with(purpose);
                    }
                }
            }
            if !compartments.is_empty() {
                let words = Words { session: &self.session, actor: &self.actor, chart };
                let names = words.compartments(compartments);
                let purposes: Vec<_> = purposes.iter().map(Purpose::as_str).collect();
                rows.push([chart.to_string(), names, purposes.join(" ")]);
            }
        }
        Ok(rows)
    }
}

fn facts_of(blast: &Blast<'_>) -> Vec<(&'static str, String)> {
    let lost = match blast.incident.lost {
        Lost::Key(member) => format!("the key or device of member {member}"),
        Lost::Custody => "what a custodian stores".into(),
        Lost::Validator => "a validator's host".into(),
    };
    let harbour = match blast.harbour {
        Harbour::Holds => "holds: what was lost was secured",
        Harbour::DoesNotHold => "DOES NOT HOLD",
        Harbour::NotShown => "not shown yet",
    };
    let ended = match (blast.incident.lost, blast.ended) {
        (_, Some(ended)) => ended.to_string(),
        (Lost::Key(_), None) => "STILL IN FORCE".into(),
        (Lost::Custody | Lost::Validator, None) => "nothing to take out of force".into(),
    };
    vec![
        ("Lost", lost),
        ("Since", blast.incident.since.to_string()),
        ("Discovered", blast.incident.discovered.to_string()),
        ("Out of force", ended),
        ("Safe harbour (45 CFR 164.402)", harbour.into()),
        ("Evidence", blast.evidence.join("; ")),
    ]
}

/// The four factors, as far as the ledger has them; the rest is for a person [B2].
fn factors(blast: &Blast<'_>) -> [[String; 2]; 4] {
    let opened = blast.opened.len();
    let seen = match opened {
        0 => "the ledger has no accepted access with it in that time".into(),
        _ => format!(
            "{opened} accesses, of {} charts; what was released cannot be called back",
            blast.charts.len()
        ),
    };
    let mitigated = match blast.ended {
        Some(ended) => format!("nothing is released for the key since {ended}"),
        None => "for the organisation to say".into(),
    };
    [
        [
            "1. Nature and extent of what it concerns".into(),
            "compartments and kinds as listed; what they say is sealed".into(),
        ],
        ["2. Who had it".into(), "for the organisation to say".into()],
        ["3. Whether it was acquired or viewed".into(), seen],
        ["4. How far it is mitigated".into(), mitigated],
    ]
}

/// What is due, if the safe harbour does not hold [B3].
fn notes_of(blast: &Blast<'_>) -> Vec<String> {
    let due = blast.notice_due();
    let mut notes = match blast.harbour {
        Harbour::Holds => {
            vec!["No notice is due for what was secured. Keep this report six years.".into()]
        }
        Harbour::NotShown => {
            vec![format!("Until it is shown, count on a notice to each patient by {due}.")]
        }
        Harbour::DoesNotHold => {
            let others = match blast.is_large() {
                true => {
                    "500 charts or more are concerned: the Secretary and prominent media are told by then, too (164.406, 164.408(b))"
                }
                false => {
                    "fewer than 500 charts are concerned: they go into the yearly log, to the Secretary within 60 days after the year's end (164.408(c))"
                }
            };
            vec![format!(
                "Each patient is told without delay, by {due} at the latest (164.404). {others}. Keep this report six years."
            )]
        }
    };
    notes.push("A patient may have several charts and nothing links them: there are at most as many patients as charts.".into());
    notes.push("In charts of other organisations what the rules would have allowed is for those organisations to ask.".into());
    notes
}
