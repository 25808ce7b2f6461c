//! `keepwell explain`: why someone may read something, or may not; and who may.

use clap::Args;
use keepwell_client::{
    explain::{About, Changed, Explanation, MayRead, Rules, Subject, Trial},
    identity::Actor,
};
use keepwell_ledger::consent::{Decision, Fared, Origin};
use keepwell_types::{
    access::{Purpose, Target},
    grant::{Effect, Grantee},
    id::{ChartId, GroupId, LogPosition, MemberId, OrganisationId},
    member::{Party, Role},
    outcome::Rejection,
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::BlockTime,
};

use crate::{
    commands::{compartment, known_log},
    failure::Failure,
    instant::instant,
    output::Output,
    page::{Column, To},
    profile::{As, Session},
    runtime::block_on,
};

/// Say why someone may read something, or may not; or who may read it now
///
/// The answer is the ledger's own rule, applied by this program to values that nodes had to prove.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell explain --as ./ana --chart CHART --member MEMBER --record 12
  keepwell explain --as ./ana --chart CHART --member MEMBER --compartment normal --purpose HPAYMT
  keepwell explain --as ./ana --chart CHART --organisation ORGANISATION --role nurse --compartment 3
  keepwell explain --as ./ana --chart CHART --member MEMBER --record 12 --at 2027-01-01
  keepwell explain --as ./ana --chart CHART --who --record 12
  keepwell explain --as ./ana --chart CHART --who --compartment psychiatry --format html --to who.html")]
pub(crate) struct Explain {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// A member
    #[arg(long, group = "subject")]
    member: Option<MemberId>,
    /// Whoever is of this organisation and is named by nothing else
    #[arg(long, group = "subject")]
    organisation: Option<OrganisationId>,
    /// ... and has this role there
    #[arg(long, requires = "organisation")]
    role: Option<Role>,
    /// Whoever is in this group and is named by nothing else
    #[arg(long, group = "subject")]
    group: Option<GroupId>,
    /// Whoever is of any other organisation
    #[arg(long, group = "subject")]
    everyone: bool,
    /// Everyone who may
    #[arg(long = "who", group = "subject")]
    all: bool,
    /// The record at this position of the chart's log, as `record list` shows it
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["compartment", "kind"])]
    record: Option<u64>,
    /// Any record of this compartment: its name or number
    #[arg(long, required_unless_present = "record")]
    compartment: Option<String>,
    /// Only records of this kind
    #[arg(long)]
    kind: Option<RecordKind>,
    /// What for; may be given several times with --who, where it is all purposes unless given. Else TREAT
    #[arg(long = "purpose")]
    purposes: Vec<Purpose>,
    /// At another instant than now, under the rules of now
    #[arg(long, value_name = "INSTANT", value_parser = instant, conflicts_with = "all")]
    at: Option<BlockTime>,
    #[command(flatten)]
    to: To,
}

impl Explain {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let session = self.who.session()?;
        block_on(async {
            let actor = session.actor(self.chart)?;
            let known = known_log(&session, self.chart)?;
            let mut rules = session.client.rules(&actor, self.chart, known).await?;
            let about = self.about(&session)?;
            if self.all {
                return self.who_may(&session, &actor, &mut rules, about, *output).await;
            }
            let subject = self.subject()?;
            let purpose = match self.purposes[..] {
                [] => Purpose::Treatment,
                [purpose] => purpose,
                _ => return Err(Failure::Misused("name one purpose, or ask --who".into())),
            };
            let why = rules.explain(subject, about, purpose, self.at).await?;
            let words = Words { session: &session, actor: &actor, chart: self.chart };
            self.print(&words, &rules, (subject, purpose, about), &why, *output).await
        })
    }

    fn subject(&self) -> Result<Subject, Failure> {
        match (self.member, self.organisation, self.role, self.group, self.everyone) {
            (Some(member), ..) => Ok(Subject::Member(member)),
            (_, Some(organisation), Some(role), ..) => Ok(Subject::Role { organisation, role }),
            (_, Some(organisation), None, ..) => Ok(Subject::Organisation(organisation)),
            (_, _, _, Some(group), _) => Ok(Subject::Group(group)),
            (_, _, _, _, true) => Ok(Subject::Everyone),
            (None, None, _, None, false) => Err(Failure::Misused(
                "say whose reading is meant: --member, --organisation (with --role), --group, --everyone; or ask --who".into(),
            )),
        }
    }

    fn about(&self, session: &Session) -> Result<About, Failure> {
        match (self.record, &self.compartment) {
            (Some(position), _) => Ok(About::Record(LogPosition(position))),
            (None, Some(word)) => {
                Ok(About::Compartment(compartment(session, self.chart, word)?, self.kind))
            }
            (None, None) => Err(Failure::Misused("name a --record or a --compartment".into())),
        }
    }

    async fn print(
        &self,
        words: &Words<'_>,
        rules: &Rules<'_>,
        (subject, purpose, about): (Subject, Purpose, About),
        why: &Explanation,
        output: Output,
    ) -> Result<(), Failure> {
        let mut facts = vec![
            ("Chart", self.chart.to_string()),
            ("Who", words.subject(subject).await?),
            ("What", words.about(about)),
            ("For", purpose.to_string()),
            ("At", why.time.to_string()),
        ];
        if let Some(barred) = &why.barred {
            facts.push(("Barred", format!("may not act at all: {barred}")));
        }
        let mut page = self.to.begin(output, "Why someone may read, or may not", &facts)?;
        for explained in &why.traces {
            let trace = &explained.trace;
            let name = format!("{}: {}", kinds(explained.kinds), verdict(trace.decision));
            page.table(&name, &RULES)?;
            let mut place = 0;
            for stop in &trace.stops {
                let fared = if stop.stops { "stops" } else { "does not stop" };
                let text = stop.to_string();
                let what = text.split(": ").next().unwrap_or_default().to_owned();
                page.row(&["-".into(), "hard stop".into(), String::new(), what, fared.into()])?;
            }
            for step in &trace.steps {
                place += 1;
                let effect = if step.effect == Effect::Allow { "allows" } else { "forbids" };
                let to = words.grantee(step.grantee).await?;
                let fared = fared(step.fared);
                page.row(&[place.to_string(), step.origin.to_string(), effect.into(), to, fared])?;
            }
        }
        page.end(&[proven(rules)])
    }

    async fn who_may(
        &self,
        session: &Session,
        actor: &Actor,
        rules: &mut Rules<'_>,
        about: About,
        output: Output,
    ) -> Result<(), Failure> {
        let purposes: PurposeSet = match self.purposes.is_empty() {
            true => PurposeSet::all(),
            false => self.purposes.iter().copied().collect(),
        };
        let who = rules.who(about, purposes).await?;
        let words = Words { session, actor, chart: self.chart };
        let facts = [
            ("Chart", self.chart.to_string()),
            ("What", words.about(about)),
            ("At", who.time.to_string()),
        ];
        let mut page = self.to.begin(output, "Who may read this now", &facts)?;
        page.table("May read", &READERS)?;
        for reader in &who.readers {
            page.row(&words.reader(reader).await?)?;
        }
        page.table(
            "May write, and reads only what is granted to it",
            &[("organisation", "Organisation")],
        )?;
        for organisation in &who.contributors {
            page.row(&[words.organisation(*organisation).await?])?;
        }
        page.end(&[
            format!("{} were looked at: everyone whom the chart's log, its grants and its care teams name.", who.examined),
            "Not verified, because the ledger lists no organisation's members: who is of an organisation, has a role there or is in a group. What is said of one holds for each of them who is named nowhere else.".into(),
            proven(rules),
        ])
    }
}

const RULES: [Column; 5] = [
    ("place", "#"),
    ("rule", "Rule"),
    ("effect", "Effect"),
    ("about", "Whom it names, or why"),
    ("fared", "How it fared"),
];
const READERS: [Column; 5] =
    [("who", "Who"), ("purposes", "For"), ("kinds", "Kinds"), ("by", "By"), ("note", "Note")];

/// What the answer rests on.
fn proven(rules: &Rules<'_>) -> String {
    let proven = rules.proven();
    format!(
        "Verified by this program: the whole log of the chart, and each value of the state that the rule reads, proven at blocks {} to {}. The rule is the ledger's own.",
        proven.from, proven.until
    )
}

fn verdict(decision: Decision) -> String {
    match decision {
        Decision::Allowed(origin) => format!("allowed by {origin}"),
        Decision::Refused(refusal) => format!("refused: {}", Rejection::from(refusal)),
    }
}

fn fared(fared: Fared) -> String {
    match fared {
        Fared::Decides => "decides".into(),
        Fared::Overruled => "overruled by one that comes before it".into(),
        Fared::Misses(refusal) => format!("does not apply: {}", Rejection::from(refusal)),
    }
}

/// Kinds in words.
pub(crate) fn kinds(kinds: KindSet) -> String {
    if kinds == KindSet::all() {
        return "all kinds".into();
    }
    kinds.iter().map(RecordKind::as_str).collect::<Vec<_>>().join(", ")
}

/// Rules in words.
pub(crate) fn origins<'a>(by: impl IntoIterator<Item = &'a Origin>) -> String {
    by.into_iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What identifiers stand for, as far as it is known here.
pub(crate) struct Words<'a> {
    pub(crate) session: &'a Session,
    pub(crate) actor: &'a Actor,
    pub(crate) chart: ChartId,
}

impl Words<'_> {
    /// Compartments by their names where they are known here.
    pub(crate) fn compartments(&self, compartments: CompartmentSet) -> String {
        let meanings = self.session.meanings(self.chart);
        let name = |it: keepwell_types::id::Compartment| {
            let known = meanings.and_then(|known| known.name(it));
            known.map_or_else(|| it.index().to_string(), str::to_owned)
        };
        compartments.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn about(&self, about: About) -> String {
        match about {
            About::Record(position) => format!("the record at position {position}"),
            About::Compartment(compartment, kind) => {
                let name = self.compartments(CompartmentSet::EMPTY.with(compartment));
                let kind = kind.map_or("any record", RecordKind::as_str);
                format!("{kind} in compartment {name}")
            }
        }
    }

    /// An organisation's name and id.
    pub(crate) async fn organisation(&self, id: OrganisationId) -> Result<String, Failure> {
        let entry = self.session.client.organisation(self.actor, id).await?;
        Ok(format!("{} ({id})", entry.name))
    }

    async fn subject(&self, subject: Subject) -> Result<String, Failure> {
        Ok(match subject {
            Subject::Controller => "whoever controls the chart".into(),
            Subject::Member(id) => format!("member {id}"),
            Subject::Role { organisation, role } => {
                format!("a {role} of {}", self.organisation(organisation).await?)
            }
            Subject::Group(id) => format!("a member of group {id}"),
            Subject::Organisation(id) => format!("a member of {}", self.organisation(id).await?),
            Subject::Everyone => "a member of any other organisation".into(),
        })
    }

    /// Whom a grant names.
    pub(crate) async fn grantee(&self, grantee: Grantee) -> Result<String, Failure> {
        Ok(match grantee {
            Grantee::Member(id) => format!("member {id}"),
            Grantee::Role { organisation, role } => {
                format!("each {role} of {}", self.organisation(organisation).await?)
            }
            Grantee::Organisation(id) => self.organisation(id).await?,
            Grantee::Everyone => "everyone".into(),
            Grantee::Team(id) => format!("care team {id}"),
            Grantee::Group(id) => format!("group {id}"),
        })
    }

    async fn reader(&self, reader: &MayRead) -> Result<[String; 5], Failure> {
        let mut who = self.subject(reader.subject).await?;
        if let (Subject::Member(_), Some(organisation)) = (reader.subject, reader.organisation) {
            who = format!("{who} of {}", self.organisation(organisation).await?);
        }
        let purposes = match reader.purposes == PurposeSet::all() {
            true => "all purposes".into(),
            false => reader.purposes.iter().map(Purpose::as_str).collect::<Vec<_>>().join(" "),
        };
        let note = match &reader.barred {
            Some(barred) => format!("may not act now: {barred}"),
            None => String::new(),
        };
        Ok([who, purposes, kinds(reader.kinds), origins(&reader.by), note])
    }

    /// Prints what a change would do, and does not do it.
    pub(crate) fn trial(
        &self,
        rules: &Rules<'_>,
        trial: &Trial,
        to: &To,
        output: Output,
    ) -> Result<(), Failure> {
        if let Some(refused) = &trial.refused {
            return Err(Failure::Misused(format!(
                "the ledger would refuse this, and nothing was sent: {refused}"
            )));
        }
        let facts = [("Chart", self.chart.to_string()), ("At", trial.time.to_string())];
        let mut page = to.begin(output, "What this change would do; nothing was sent", &facts)?;
        page.table("Past accesses that would be decided otherwise now", &CHANGED)?;
        for changed in &trial.changed {
            page.row(&self.changed(changed))?;
        }
        let mut notes = vec![format!(
            "{} accesses stand in the log. Each different one was asked for again, as of now, under the rules as they are and as they would be: {} would be decided otherwise, {} as now.",
            trial.accesses,
            trial.changed.len(),
            trial.unchanged
        )];
        if trial.left_out > 0 {
            notes.push(format!("The {} oldest different ones were not tried.", trial.left_out));
        }
        notes.push(proven(rules));
        page.end(&notes)
    }

    fn changed(&self, changed: &Changed) -> [String; 6] {
        let who = match changed.reader {
            Party::Member(id) => format!("member {id}"),
            Party::Controller(_) => "whoever controls the chart".into(),
            Party::Proxy(_, proxy) => format!("proxy {proxy}"),
            other @ (Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_)) => format!("{other:?}"),
        };
        let what = match &changed.target {
            Target::Records(names) => {
                let positions: Vec<_> = names.iter().map(|it| it.position.to_string()).collect();
                format!("records at {}", positions.join(", "))
            }
            Target::Compartments { compartments, .. } => self.compartments(*compartments),
        };
        let (turn, why) = match changed.gains {
            true => ("gains", format!("by {}; now: {}", origins(&changed.by), changed.refused)),
            false => ("loses", format!("{}; now by {}", changed.refused, origins(&changed.by))),
        };
        let times = format!("{} times, last {}", changed.times, changed.last);
        [turn.into(), who, changed.purpose.to_string(), what, times, why]
    }
}

const CHANGED: [Column; 6] = [
    ("turn", "Would"),
    ("who", "Who"),
    ("purpose", "For"),
    ("what", "What"),
    ("asked", "Asked for"),
    ("why", "Why"),
];
