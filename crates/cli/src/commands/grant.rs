//! `keepwell grant`: give, pass, keys, list, limit, revoke; request, answer, withdraw; team.

mod give;
mod keys;
mod limit;
mod request;

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use keepwell_client::{grant::Recipient, identity::Actor, verify::LogMark};
use keepwell_crypto::seal::SealingPublic;
use keepwell_types::{
    access::Purpose,
    command::Payload,
    encoding::List,
    grant::{Effect, GrantTerms, Grantee},
    id::{ChartId, MemberId, RequestId, TeamId},
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
};
use serde_json::json;

pub(crate) use self::keys::keys_of;
use self::{
    give::Give,
    keys::{Keys, Pass},
    limit::{Limit, Revoke},
    request::{Answer, Request},
};
use crate::{
    commands::{explain::Words, known_log},
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
  keepwell grant give --as ./ana --chart CHART --deny --organisation ORGANISATION --compartment 3
  keepwell grant give --as ./ana --chart CHART --team TEAM --compartment normal --onward
  keepwell grant keys --as ./ana --chart CHART --to MEMBER --compartment normal --letter carl.keys
  keepwell grant pass --as ./carl --chart CHART --to MEMBER --letter colleague.keys GRANT
  keepwell grant list --as ./ana CHART
  keepwell grant limit --as ./ana --chart CHART --days 7 GRANT
  keepwell grant revoke --as ./ana --chart CHART GRANT
  keepwell grant revoke --as ./ana --chart CHART --organisation ORGANISATION
  keepwell grant request --as ./clinician --chart CHART --compartment 3 --reason referral
  keepwell grant requests --as ./ana CHART
  keepwell grant answer --as ./ana --chart CHART REQUEST
  keepwell grant withdraw --as ./clinician --chart CHART REQUEST
  keepwell grant team --as ./ana --chart CHART --member MEMBER --member MEMBER
  keepwell grant revoke --as ./ana --chart CHART GRANT --dry-run")]
pub(crate) struct Grant {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Let a member, a role, an organisation, a care team, a group or everyone read compartments of a chart; or forbid it
    Give(Give),
    /// Pass a grant on that may be, as a grantee: to one member, with as much or less
    Pass(Pass),
    /// Write a letter with the keys of compartments to one reader, for grants that are not one member's
    Keys(Keys),
    /// Leave less of a grant, from the next block on
    Limit(Limit),
    /// List every grant that was ever given
    List {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// End a grant, or all that an organisation has, from the next block on
    Revoke(Revoke),
    /// Ask whoever controls a chart for a permission
    Request(Request),
    /// List who asked for what, and what became of it
    Requests {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// Answer a request: with what was asked for, with less, or with no
    Answer(Answer),
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
    /// The terms of a permission that begins now.
    fn terms(&self, grantee: Grantee, compartments: CompartmentSet, now: BlockTime) -> GrantTerms {
        let kinds: KindSet = self.kinds.iter().copied().collect();
        GrantTerms {
            effect: Effect::Allow,
            grantee,
            compartments,
            kinds: if kinds.is_empty() { KindSet::all() } else { kinds },
            records: List::new(),
            purposes: self.purposes.iter().copied().collect::<PurposeSet>(),
            window: Window { from: now, until: now.plus_ms(self.days.saturating_mul(DAY_MS)) },
            accesses_max: self.accesses,
            separate_consent: self.separate_consent,
            onward: false,
        }
    }
}

/// A member's public key
#[derive(Args)]
struct Key {
    /// The member's public key, as it hands it out; without it a node is asked. It is checked against
    /// the ledger
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Key {
    /// The member, to whom keys are sealed.
    async fn of(
        &self,
        session: &Session,
        actor: &Actor,
        member: MemberId,
    ) -> Result<Recipient, Failure> {
        let Some(path) = &self.key else {
            let key = session.client.member_key(actor, member).await?;
            return Ok(Recipient { member, key });
        };
        let bytes = fs::read(path).map_err(Failure::at(path))?;
        let key = SealingPublic::from_bytes(&bytes)
            .map_err(|error| Failure::Misused(format!("{}: {error}", path.display())))?;
        Ok(Recipient { member, key })
    }
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
            What::Give(it) => it.run(output),
            What::Pass(it) => it.run(output),
            What::Keys(it) => it.run(output),
            What::Limit(it) => it.run(output),
            What::List { who, chart } => list(&who.session()?, chart, output),
            What::Revoke(it) => it.run(output),
            What::Request(it) => it.run(output),
            What::Requests { who, chart } => request::list(&who.session()?, chart, output),
            What::Answer(it) => it.run(output),
            What::Withdraw { who, chart, request } => {
                request::withdraw(&who.session()?, chart, request, output)
            }
            What::Team { who, chart, team, members } => {
                self::team(who.session()?, chart, team, members, output)
            }
        }
    }
}

fn list(session: &Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let (grants, lines) = block_on(async {
        let grants = session.client.grants(&actor, chart, LogMark::START).await?;
        let words = Words { session, actor: &actor, chart };
        let mut lines = Vec::with_capacity(grants.len());
        for it in &grants {
            let terms = &it.entry.terms;
            let state = match it.entry.revoked_at {
                Some(at) => format!("revoked {at}"),
                None => format!("until {}", terms.window.until),
            };
            let effect = match terms.effect {
                Effect::Allow => "allows",
                Effect::Deny => "forbids",
            };
            let numbers: Vec<_> =
                terms.compartments.iter().map(|it| it.index().to_string()).collect();
            let whom = words.grantee(terms.grantee).await?;
            lines.push(format!(
                "{}  {effect} {whom}  compartments {}  {state}",
                it.grant,
                numbers.join(", ")
            ));
        }
        Ok((grants, lines))
    })?;
    let rows: Vec<_> =
        grants.iter().map(|it| json!({ "grant": it.grant, "entry": it.entry })).collect();
    output.result(&lines.join("\n"), &json!(rows));
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
