//! `keepwell grant`: give, list, revoke; request, answer, withdraw; team; dry-run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::{
    grant::{Recipient, Rotated},
    identity::Actor,
    request::ListedRequest,
    verify::LogMark,
};
use keepwell_crypto::seal::SealingPublic;
use keepwell_ledger::state::RequestEnd;
use keepwell_types::{
    access::Purpose,
    command::Payload,
    encoding::List,
    grant::{
        Effect, GrantGive, GrantRevoke, GrantRevokeOrganisation, GrantTerms, Grantee,
        RefusalReason, RequestReason,
    },
    id::{ChartId, Digest, GrantId, MemberId, OrganisationId, RequestId, TeamId},
    member::Role,
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
};
use serde_json::json;

use crate::{
    commands::{compartments, explain::Words, known_log},
    failure::Failure,
    output::Output,
    page::To,
    profile::{As, Session},
    runtime::block_on,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Give, list or revoke permissions; ask for one, or answer
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell grant give --as ./ana --chart CHART --to MEMBER --compartment normal --purpose TREAT --days 30
  keepwell grant list --as ./ana CHART
  keepwell grant revoke --as ./ana --chart CHART GRANT
  keepwell grant revoke --as ./ana --chart CHART --organisation ORGANISATION
  keepwell grant request --as ./clinician --chart CHART --compartment 3 --reason referral
  keepwell grant requests --as ./ana CHART
  keepwell grant answer --as ./ana --chart CHART REQUEST
  keepwell grant withdraw --as ./clinician --chart CHART REQUEST
  keepwell grant team --as ./ana --chart CHART --member MEMBER --member MEMBER
  keepwell grant revoke --as ./ana --chart CHART GRANT --dry-run
  keepwell grant dry-run --as ./ana --chart CHART --deny --organisation ORGANISATION --compartment normal")]
pub(crate) struct Grant {
    #[command(subcommand)]
    what: What,
}

/// What a permission is for
#[derive(Args)]
struct For {
    /// Only records of these kinds; all kinds where none is given
    #[arg(long = "kind")]
    kinds: Vec<RecordKind>,
    /// What for; may be given several times
    #[arg(long = "purpose", default_value = "TREAT")]
    purposes: Vec<Purpose>,
    /// For how many days
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// At most so many accesses
    #[arg(long)]
    accesses: Option<u32>,
    /// Consent to compartments that need their own
    #[arg(long)]
    separate_consent: bool,
}

impl For {
    /// The terms of a permission of a member that begins now.
    fn terms(self, to: MemberId, compartments: CompartmentSet, now: BlockTime) -> GrantTerms {
        self.terms_for(Grantee::Member(to), compartments, now)
    }

    /// The terms of a permission that begins now.
    fn terms_for(
        self,
        grantee: Grantee,
        compartments: CompartmentSet,
        now: BlockTime,
    ) -> GrantTerms {
        let kinds = self.kinds;
        GrantTerms {
            effect: Effect::Allow,
            grantee,
            compartments,
            kinds: if kinds.is_empty() { KindSet::all() } else { kinds.into_iter().collect() },
            records: List::new(),
            purposes: self.purposes.into_iter().collect::<PurposeSet>(),
            window: Window { from: now, until: now.plus_ms(self.days.saturating_mul(DAY_MS)) },
            accesses_max: self.accesses,
            separate_consent: self.separate_consent,
            onward: false,
        }
    }
}

#[derive(Subcommand)]
enum What {
    /// Let a member read compartments of a chart
    Give {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// The member
        #[arg(long, value_name = "MEMBER")]
        to: MemberId,
        /// The member's public key, as it hands it out; without it a node is asked. It is checked against
        /// the ledger
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Which compartments: names or numbers; may be given several times
        #[arg(long = "compartment", required = true)]
        compartments: Vec<String>,
        #[command(flatten)]
        what_for: For,
        /// Give nothing: say which past accesses would be decided otherwise
        #[arg(long)]
        dry_run: bool,
    },
    /// List every grant that was ever given
    List {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// End a grant, or all that an organisation has, from the next block on
    Revoke {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// Everything that was granted so far, for every reader of this organisation
        #[arg(long, conflicts_with = "grant")]
        organisation: Option<OrganisationId>,
        /// The grant
        #[arg(required_unless_present = "organisation")]
        grant: Option<GrantId>,
        /// Revoke nothing: say which past accesses would be decided otherwise
        #[arg(long)]
        dry_run: bool,
    },
    /// Ask whoever controls a chart for a permission
    Request {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// Which compartments, by their numbers; may be given several times
        #[arg(long = "compartment", required = true)]
        compartments: Vec<String>,
        /// Why
        #[arg(long, default_value = "treatment")]
        reason: RequestReason,
        /// Days that the request waits for an answer
        #[arg(long, default_value_t = 14)]
        wait_days: u64,
        #[command(flatten)]
        what_for: For,
    },
    /// List who asked for what, and what became of it
    Requests {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// Answer a request: with what was asked for, with less, or with no
    Answer {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// The asker's public key, as it hands it out; without it a node is asked. It is checked against
        /// the ledger
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Only these compartments of those asked for; may be given several times
        #[arg(long = "compartment")]
        compartments: Vec<String>,
        /// For fewer days than were asked for
        #[arg(long)]
        days: Option<u64>,
        /// Refuse, for this reason
        #[arg(long, value_name = "REASON", conflicts_with_all = ["key", "compartments", "days"])]
        refuse: Option<RefusalReason>,
        /// The request
        request: RequestId,
    },
    /// Ask no longer
    Withdraw {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// The request
        request: RequestId,
    },
    /// Say who is in a care team of a chart; without members it is no more
    Team {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// The team; a new one without it
        #[arg(long)]
        team: Option<TeamId>,
        /// Who is in it; may be given several times
        #[arg(long = "member", value_name = "MEMBER")]
        members: Vec<MemberId>,
    },
    /// Say which past accesses a new permission or prohibition would decide otherwise; nothing is sent
    DryRun(DryRun),
}

/// A rule that is tried out
#[derive(Args)]
struct DryRun {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// A prohibition; else a permission
    #[arg(long)]
    deny: bool,
    /// For a member
    #[arg(long, group = "grantee")]
    member: Option<MemberId>,
    /// For an organisation
    #[arg(long, group = "grantee")]
    organisation: Option<OrganisationId>,
    /// ... whoever has this role there
    #[arg(long, requires = "organisation")]
    role: Option<Role>,
    /// For a care team
    #[arg(long, group = "grantee")]
    team: Option<TeamId>,
    /// For everyone
    #[arg(long, group = "grantee")]
    everyone: bool,
    /// Which compartments: names or numbers; may be given several times
    #[arg(long = "compartment", required = true)]
    compartments: Vec<String>,
    #[command(flatten)]
    what_for: For,
    #[command(flatten)]
    to: To,
}

impl DryRun {
    fn grantee(&self) -> Result<Grantee, Failure> {
        match (self.member, self.organisation, self.role, self.team, self.everyone) {
            (Some(member), ..) => Ok(Grantee::Member(member)),
            (_, Some(organisation), Some(role), ..) => Ok(Grantee::Role { organisation, role }),
            (_, Some(organisation), None, ..) => Ok(Grantee::Organisation(organisation)),
            (_, _, _, Some(team), _) => Ok(Grantee::Team(team)),
            (_, _, _, _, true) => Ok(Grantee::Everyone),
            (None, None, _, None, false) => Err(Failure::Misused(
                "say for whom: --member, --organisation (with --role), --team or --everyone".into(),
            )),
        }
    }

    fn run(self, output: Output) -> Result<(), Failure> {
        let session = self.who.session()?;
        let grantee = self.grantee()?;
        let compartments = compartments(&session, self.chart, &self.compartments)?;
        let (what_for, deny) = (self.what_for, self.deny);
        dry_run(&session, self.chart, &self.to, output, |now| {
            let effect = if deny { Effect::Deny } else { Effect::Allow };
            let terms = GrantTerms { effect, ..what_for.terms_for(grantee, compartments, now) };
            Payload::GrantGive(given(self.chart, terms))
        })
    }
}

/// A grant that is given to nobody: its id is nobody's, and nothing is sealed for it.
fn given(chart: ChartId, terms: GrantTerms) -> GrantGive {
    GrantGive { chart, grant: GrantId([0xff; 16]), terms, seeds: Digest([0; 32]) }
}

/// Says what a command of the chart's controller would change, and sends nothing.
fn dry_run(
    session: &Session,
    chart: ChartId,
    to: &To,
    output: Output,
    command: impl FnOnce(BlockTime) -> Payload,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let known = known_log(session, chart)?;
    block_on(async {
        let actor = holder.actor();
        let mut rules = session.client.rules(&actor, chart, known).await?;
        let payload = command(rules.time());
        let trial = rules.dry_run(&holder, payload).await?;
        Words { session, actor: &actor, chart }.trial(&rules, &trial, to, output)
    })
}

impl Grant {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Give { who, chart, to, compartments: words, what_for, dry_run: true, .. } => {
                let session = who.session()?;
                let compartments = compartments(&session, chart, &words)?;
                dry_run(&session, chart, &To::usual(), *output, |now| {
                    Payload::GrantGive(given(chart, what_for.terms(to, compartments, now)))
                })
            }
            What::Give { who, chart, to, key, compartments: words, what_for, dry_run: false } => {
                give(who.session()?, chart, to, key.as_deref(), (&words, what_for), output)
            }
            What::List { who, chart } => list(&who.session()?, chart, output),
            What::Revoke { who, chart, organisation, grant, dry_run: true } => {
                let payload = match (organisation, grant) {
                    (Some(organisation), _) => {
                        Payload::GrantRevokeOrganisation(GrantRevokeOrganisation {
                            chart,
                            organisation,
                        })
                    }
                    (None, Some(grant)) => Payload::GrantRevoke(GrantRevoke { chart, grant }),
                    (None, None) => return Err(nothing_named()),
                };
                dry_run(&who.session()?, chart, &To::usual(), *output, |_| payload)
            }
            What::Revoke { who, chart, organisation, grant, dry_run: false } => {
                let session = who.session()?;
                match (organisation, grant) {
                    (Some(organisation), _) => {
                        revoke_organisation(session, chart, organisation, output)
                    }
                    (None, Some(grant)) => revoke(session, chart, grant, output),
                    (None, None) => Err(nothing_named()),
                }
            }
            What::Request { who, chart, compartments: words, reason, wait_days, what_for } => {
                request(&who.session()?, chart, &words, reason, wait_days, what_for, output)
            }
            What::Requests { who, chart } => requests(&who.session()?, chart, output),
            What::Answer { who, chart, key, compartments: words, days, refuse, request } => {
                let session = who.session()?;
                match refuse {
                    Some(reason) => self::refuse(session, chart, request, reason, output),
                    None => answer(session, chart, request, key.as_deref(), (&words, days), output),
                }
            }
            What::Withdraw { who, chart, request } => {
                withdraw(&who.session()?, chart, request, output)
            }
            What::Team { who, chart, team, members } => {
                self::team(who.session()?, chart, team, members, output)
            }
            What::DryRun(it) => it.run(*output),
        }
    }
}

fn nothing_named() -> Failure {
    Failure::Misused("name the grant that ends, or the organisation with --organisation".into())
}

/// A member's public key: from a file, or as a node has it.
async fn public_key(
    session: &Session,
    actor: &Actor,
    member: MemberId,
    path: Option<&Path>,
) -> Result<SealingPublic, Failure> {
    let Some(path) = path else {
        return Ok(session.client.member_key(actor, member).await?);
    };
    let bytes = fs::read(path).map_err(Failure::at(path))?;
    SealingPublic::from_bytes(&bytes)
        .map_err(|error| Failure::Misused(format!("{}: {error}", path.display())))
}

fn give(
    mut session: Session,
    chart: ChartId,
    to: MemberId,
    key: Option<&Path>,
    (words, what_for): (&[String], For),
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let compartments = compartments(&session, chart, words)?;
    let meanings = session.meanings(chart).cloned().unwrap_or_default();
    let given = block_on(async {
        let now = session.client.tip().await?.header().time;
        let terms = what_for.terms(to, compartments, now);
        let key = public_key(&session, &holder.actor(), to, key).await?;
        let recipient = Recipient { member: to, key };
        Ok(session.client.give_grant(&holder, terms, Some(&recipient), &meanings).await?)
    })?;
    session.remember()?;
    let at = given.decided.outcome().location;
    output.result(
        &format!("grant {} is in force from block {}", given.grant, at.height),
        &json!({ "grant": given.grant, "height": at.height, "terms": given.notice.terms }),
    );
    Ok(())
}

fn list(session: &Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let grants =
        block_on(async { Ok(session.client.grants(&actor, chart, LogMark::START).await?) })?;
    let lines: Vec<_> = grants
        .iter()
        .map(|it| {
            let terms = &it.entry.terms;
            let state = match it.entry.revoked_at {
                Some(at) => format!("revoked {at}"),
                None => format!("until {}", terms.window.until),
            };
            format!("{}  {:?} {:?}  {state}", it.grant, terms.effect, terms.grantee)
        })
        .collect();
    let rows: Vec<_> =
        grants.iter().map(|it| json!({ "grant": it.grant, "entry": it.entry })).collect();
    output.result(&lines.join("\n"), &json!(rows));
    Ok(())
}

fn revoke(
    mut session: Session,
    chart: ChartId,
    grant: GrantId,
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let (ended, rotated) = block_on(async {
        let client = &session.client;
        let entry = client.grant(&holder.actor(), chart, grant).await?;
        // An earlier try may have been cut off before it came to the keys.
        let ended = match entry.revoked_at {
            Some(at) => at,
            None => client.revoke_grant(&holder, grant).await?.outcome().time,
        };
        // A prohibition gave no keys, and a proxy has none to give new ones from.
        let rotated = match entry.terms.effect {
            Effect::Allow if holder.is_controller() => {
                Some(client.rotate_compartments(&holder, entry.terms.compartments).await?)
            }
            Effect::Allow | Effect::Deny => None,
        };
        Ok((ended, rotated))
    })?;
    session.remember()?;
    output.result(
        &format!("grant {grant} has ended: nothing is opened with it after {ended}. {}", remains(rotated.as_ref())),
        &json!({ "grant": grant, "ended": ended, "left_behind": left_behind(rotated.as_ref(), *output) }),
    );
    Ok(())
}

fn revoke_organisation(
    mut session: Session,
    chart: ChartId,
    organisation: OrganisationId,
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let (decided, rotated) = block_on(async {
        let client = &session.client;
        let grants = client.grants(&holder.actor(), chart, LogMark::START).await?;
        let given = grants.iter().filter(|it| it.entry.terms.effect == Effect::Allow);
        let compartments: CompartmentSet =
            given.flat_map(|it| it.entry.terms.compartments.iter()).collect();
        let decided = client.revoke_organisation(&holder, organisation).await?;
        let rotated = match compartments.is_empty() || !holder.is_controller() {
            true => None,
            false => Some(client.rotate_compartments(&holder, compartments).await?),
        };
        Ok((decided, rotated))
    })?;
    session.remember()?;
    let at = decided.outcome().location;
    output.result(
        &format!("all that organisation {organisation} was granted has ended: none of its readers opens anything after block {} with what was given before it. {}", at.height, remains(rotated.as_ref())),
        &json!({ "organisation": organisation, "height": at.height, "left_behind": left_behind(rotated.as_ref(), *output) }),
    );
    Ok(())
}

/// What revoking does and cannot do. Without new keys, what is added opens with the old ones for whoever may.
const fn remains(rotated: Option<&Rotated>) -> &'static str {
    match rotated {
        Some(_) => REMAINS,
        None => {
            "What was opened before stays known to whoever opened it; `keepwell audit` lists that."
        }
    }
}

const REMAINS: &str = "What is added from now on is sealed to new keys, which whoever else reads on has got. What was opened before stays known to whoever opened it; `keepwell audit` lists that.";

/// The grants whose grantees have no new keys; people are warned of them.
fn left_behind(rotated: Option<&Rotated>, output: Output) -> Vec<GrantId> {
    let left_behind = rotated.map_or_else(Vec::new, |rotated| rotated.left_behind.clone());
    for grant in &left_behind {
        output.warn(&format!(
            "grant {grant} does not open what is added from now on: its grantee got no new keys; give it again, if it shall read on"
        ));
    }
    left_behind
}

fn request(
    session: &Session,
    chart: ChartId,
    words: &[String],
    reason: RequestReason,
    wait_days: u64,
    what_for: For,
    output: &Output,
) -> Result<(), Failure> {
    let actor = session.member()?.actor();
    let member = session.member()?.member();
    let compartments = compartments(session, chart, words)?;
    let (request, decided) = block_on(async {
        let now = session.client.tip().await?.header().time;
        let terms = what_for.terms(member, compartments, now);
        let until = now.plus_ms(wait_days.saturating_mul(DAY_MS));
        Ok(session.client.request_grant(&actor, chart, terms, reason, until).await?)
    })?;
    let at = decided.outcome().location;
    output.result(
        &format!("request {request} waits for the patient's answer, since block {}", at.height),
        &json!({ "request": request, "height": at.height }),
    );
    Ok(())
}

fn requests(session: &Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let (requests, now) = block_on(async {
        let requests = session.client.requests(&actor, chart, LogMark::START).await?;
        Ok((requests, session.client.tip().await?.header().time))
    })?;
    let lines: Vec<_> = requests.iter().map(|it| line_of(it, now)).collect();
    let rows: Vec<_> = requests
        .iter()
        .map(|it| json!({ "by": it.member, "at": it.at, "asked": it.asked, "end": it.end }))
        .collect();
    output.result(&lines.join("\n"), &json!(rows));
    Ok(())
}

fn line_of(request: &ListedRequest, now: BlockTime) -> String {
    let asked = &request.asked;
    let state = match request.end {
        Some(RequestEnd::Given(grant)) => format!("answered with grant {grant}"),
        Some(RequestEnd::Refused(reason)) => format!("refused: {reason}"),
        Some(RequestEnd::Withdrawn) => "withdrawn".into(),
        None if request.waits(now) => format!("waits until {}", asked.until),
        None => format!("waited in vain until {}", asked.until),
    };
    let numbers: Vec<_> =
        asked.terms.compartments.iter().map(|it| it.index().to_string()).collect();
    format!(
        "{}  {}  member {} for {}: compartments {} until {}  {state}",
        asked.request,
        request.at,
        request.member,
        asked.reason,
        numbers.join(", "),
        asked.terms.window.until
    )
}

fn answer(
    mut session: Session,
    chart: ChartId,
    request: RequestId,
    key: Option<&Path>,
    (words, days): (&[String], Option<u64>),
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let fewer = compartments(&session, chart, words)?;
    let meanings = session.meanings(chart).cloned().unwrap_or_default();
    let given = block_on(async {
        let entry = session.client.request(&holder.actor(), chart, request).await?;
        let now = session.client.tip().await?.header().time;
        let mut terms = entry.terms;
        terms.compartments = if fewer.is_empty() { terms.compartments } else { fewer };
        if let Some(days) = days {
            let until = now.plus_ms(days.saturating_mul(DAY_MS));
            terms.window.until = terms.window.until.min(until);
        }
        let key = public_key(&session, &holder.actor(), entry.member, key).await?;
        let to = Recipient { member: entry.member, key };
        Ok(session.client.grant_request(&holder, request, terms, &to, &meanings).await?)
    })?;
    session.remember()?;
    let at = given.decided.outcome().location;
    output.result(
        &format!(
            "request {request} is answered: grant {} is in force from block {}",
            given.grant, at.height
        ),
        &json!({ "request": request, "grant": given.grant, "height": at.height, "terms": given.notice.terms }),
    );
    Ok(())
}

fn refuse(
    mut session: Session,
    chart: ChartId,
    request: RequestId,
    reason: RefusalReason,
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let decided =
        block_on(async { Ok(session.client.refuse_request(&holder, request, reason).await?) })?;
    session.remember()?;
    let at = decided.outcome().location;
    output.result(
        &format!("request {request} is refused in block {}", at.height),
        &json!({ "request": request, "height": at.height, "reason": reason }),
    );
    Ok(())
}

fn withdraw(
    session: &Session,
    chart: ChartId,
    request: RequestId,
    output: &Output,
) -> Result<(), Failure> {
    let actor = session.member()?.actor();
    let decided =
        block_on(async { Ok(session.client.withdraw_request(&actor, chart, request).await?) })?;
    let at = decided.outcome().location;
    output.result(
        &format!("request {request} is withdrawn in block {}", at.height),
        &json!({ "request": request, "height": at.height }),
    );
    Ok(())
}

fn team(
    mut session: Session,
    chart: ChartId,
    team: Option<TeamId>,
    members: Vec<MemberId>,
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let count = members.len();
    let (team, decided) =
        block_on(async { Ok(session.client.arrange_team(&holder, team, members).await?) })?;
    session.remember()?;
    let at = decided.outcome().location;
    output.result(
        &format!("care team {team} has {count} members from block {}", at.height),
        &json!({ "team": team, "members": count, "height": at.height }),
    );
    Ok(())
}
