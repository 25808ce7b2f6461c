//! `keepwell grant`: give, pass, keys, list, limit, revoke; request, answer, withdraw; team.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::{
    grant::{Recipient, Rotated},
    identity::{Actor, Seeds},
    key_letter::KeyLetter,
    request::ListedRequest,
    verify::LogMark,
};
use keepwell_crypto::seal::SealingPublic;
use keepwell_ledger::state::RequestEnd;
use keepwell_types::{
    access::{Purpose, RecordName},
    command::Payload,
    encoding::List,
    grant::{
        Effect, GrantGive, GrantLimit, GrantRevoke, GrantRevokeOrganisation, GrantTerms, Grantee,
        RefusalReason, RequestReason,
    },
    id::{ChartId, Digest, GrantId, GroupId, MemberId, OrganisationId, RequestId, TeamId},
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
    fn terms(&self, to: MemberId, compartments: CompartmentSet, now: BlockTime) -> GrantTerms {
        self.terms_for(Grantee::Member(to), compartments, now)
    }

    /// The terms of a permission that begins now.
    fn terms_for(
        &self,
        grantee: Grantee,
        compartments: CompartmentSet,
        now: BlockTime,
    ) -> GrantTerms {
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

/// Whom a rule is for
#[derive(Args)]
struct Whom {
    /// For a member
    #[arg(long, value_name = "MEMBER", group = "grantee")]
    to: Option<MemberId>,
    /// For an organisation
    #[arg(long, group = "grantee")]
    organisation: Option<OrganisationId>,
    /// ... whoever has this role there
    #[arg(long, requires = "organisation")]
    role: Option<Role>,
    /// For a care team
    #[arg(long, group = "grantee")]
    team: Option<TeamId>,
    /// For a group of an organisation's, such as a tumour board
    #[arg(long, group = "grantee")]
    group: Option<GroupId>,
    /// For everyone
    #[arg(long, group = "grantee")]
    everyone: bool,
}

impl Whom {
    fn grantee(&self) -> Result<Grantee, Failure> {
        let Self { to, organisation, role, team, group, everyone } = *self;
        let organisation = organisation.map(|organisation| match role {
            Some(role) => Grantee::Role { organisation, role },
            None => Grantee::Organisation(organisation),
        });
        let named = [
            to.map(Grantee::Member),
            organisation,
            team.map(Grantee::Team),
            group.map(Grantee::Group),
            everyone.then_some(Grantee::Everyone),
        ];
        named.into_iter().flatten().next().ok_or_else(|| {
            Failure::Misused(
                "say for whom: --to, --organisation (with --role), --team, --group or --everyone"
                    .into(),
            )
        })
    }
}

/// A rule that is given
#[derive(Args)]
struct Give {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    #[command(flatten)]
    whom: Whom,
    /// A prohibition; else a permission
    #[arg(long)]
    deny: bool,
    /// The member's public key, as it hands it out; without it a node is asked. It is checked against
    /// the ledger
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A key agent of the organisation, who is to have the keys for its readers
    #[arg(long, value_name = "MEMBER", requires = "organisation")]
    agent: Option<MemberId>,
    /// Which compartments: names or numbers; may be given several times
    #[arg(long = "compartment", required = true)]
    compartments: Vec<String>,
    /// Only this record of them, by its place in the log; may be given several times
    #[arg(long = "record", value_name = "POSITION")]
    records: Vec<u64>,
    #[command(flatten)]
    what_for: For,
    /// The grantee may pass it on, to one member each time
    #[arg(long, conflicts_with = "deny")]
    onward: bool,
    /// Give nothing: say which past accesses would be decided otherwise
    #[arg(long)]
    dry_run: bool,
}

/// What is left of a grant
#[derive(Args)]
struct Limit {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// Only these compartments of it: names or numbers; may be given several times
    #[arg(long = "compartment")]
    compartments: Vec<String>,
    #[command(flatten)]
    less: Less,
    /// Limit nothing: say which past accesses would be decided otherwise
    #[arg(long)]
    dry_run: bool,
    /// The grant
    grant: GrantId,
}

/// Less than a grant has
#[derive(Args)]
struct Less {
    /// Only records of these kinds; may be given several times
    #[arg(long = "kind")]
    kinds: Vec<RecordKind>,
    /// Only for these purposes; may be given several times
    #[arg(long = "purpose")]
    purposes: Vec<Purpose>,
    /// For so many more days, if it does not end before
    #[arg(long)]
    days: Option<u64>,
    /// At most so many accesses, those so far included
    #[arg(long)]
    accesses: Option<u32>,
}

impl Less {
    /// What is left of `terms` in these compartments; in all of its own, if none are named.
    fn of(&self, terms: &GrantTerms, named: CompartmentSet, now: BlockTime) -> GrantTerms {
        let kinds: KindSet = self.kinds.iter().copied().collect();
        let purposes: PurposeSet = self.purposes.iter().copied().collect();
        let mut less = terms.clone();
        less.compartments = if named.is_empty() { less.compartments } else { named };
        less.kinds = if kinds.is_empty() { less.kinds } else { kinds };
        less.purposes = if purposes.is_empty() { less.purposes } else { purposes };
        if let Some(days) = self.days {
            let until = now.plus_ms(days.saturating_mul(DAY_MS));
            less.window.until = less.window.until.min(until);
        }
        less.accesses_max = self.accesses.or(less.accesses_max);
        less
    }
}

/// A grant that is passed on
#[derive(Args)]
struct Pass {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// To which member
    #[arg(long, value_name = "MEMBER")]
    to: MemberId,
    /// The member's public key, as it hands it out; without it a node is asked. It is checked against
    /// the ledger
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Only these compartments of it, by their numbers; may be given several times
    #[arg(long = "compartment")]
    compartments: Vec<String>,
    #[command(flatten)]
    less: Less,
    /// Where the letter with the keys is written, for the member
    #[arg(long, value_name = "FILE")]
    letter: PathBuf,
    /// The letter with which one's own keys came, if they came with one
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
    /// The grant that is passed on
    grant: GrantId,
}

/// A letter with keys
#[derive(Args)]
struct Keys {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// To which member
    #[arg(long, value_name = "MEMBER")]
    to: MemberId,
    /// The member's public key, as it hands it out; without it a node is asked. It is checked against
    /// the ledger
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Of which compartments: names or numbers; may be given several times
    #[arg(long = "compartment", required_unless_present = "grant")]
    compartments: Vec<String>,
    /// The grant that brought the keys, for a key agent who hands them to its organisation's readers
    #[arg(long, conflicts_with = "compartments")]
    grant: Option<GrantId>,
    /// Where the letter is written
    #[arg(long, value_name = "FILE")]
    letter: PathBuf,
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
            What::Give(it) => it.run(output),
            What::Pass(it) => it.run(output),
            What::Keys(it) => it.run(output),
            What::Limit(it) => it.run(output),
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

impl Give {
    /// What is given.
    async fn terms(
        &self,
        session: &Session,
        actor: &Actor,
        now: BlockTime,
    ) -> Result<GrantTerms, Failure> {
        let grantee = self.whom.grantee()?;
        let compartments = compartments(session, self.chart, &self.compartments)?;
        let terms = self.what_for.terms_for(grantee, compartments, now);
        let records = named(session, actor, self.chart, &self.records).await?;
        let effect = if self.deny { Effect::Deny } else { Effect::Allow };
        Ok(GrantTerms { effect, records, onward: self.onward, ..terms })
    }

    /// To whom keys are sealed, if to anyone.
    async fn recipient(
        &self,
        session: &Session,
        actor: &Actor,
    ) -> Result<Option<Recipient>, Failure> {
        let Some(member) = self.agent.or(self.whom.to).filter(|_| !self.deny) else {
            return Ok(None);
        };
        let key = public_key(session, actor, member, self.key.as_deref()).await?;
        Ok(Some(Recipient { member, key }))
    }

    fn run(self, output: &Output) -> Result<(), Failure> {
        let (mut session, chart) = (self.who.session()?, self.chart);
        let holder = session.holder(chart)?;
        let actor = holder.actor();
        if self.dry_run {
            let terms = block_on(async {
                let now = session.client.tip().await?.header().time;
                self.terms(&session, &actor, now).await
            })?;
            let give = Payload::GrantGive(given(chart, terms));
            return dry_run(&session, chart, &To::usual(), *output, |_| give);
        }
        let meanings = session.meanings(chart).cloned().unwrap_or_default();
        let (given, with_keys) = block_on(async {
            let now = session.client.tip().await?.header().time;
            let terms = self.terms(&session, &actor, now).await?;
            let to = self.recipient(&session, &actor).await?;
            let given = session.client.give_grant(&holder, terms, to.as_ref(), &meanings).await?;
            Ok((given, to.is_some()))
        })?;
        session.remember()?;
        let (grant, at) = (given.grant, given.decided.outcome().location);
        let next = match (self.deny, with_keys, self.agent) {
            (true, ..) => {
                "; whoever had keys keeps them, and nothing is released against it".into()
            }
            (false, true, None) => String::new(),
            (false, true, Some(agent)) => format!(
                "; key agent {agent} hands the keys to each reader (`keepwell grant keys --grant {grant}`)"
            ),
            (false, false, _) => {
                "; write each of its readers a letter with the keys (`keepwell grant keys`)".into()
            }
        };
        output.result(
            &format!("grant {grant} is in force from block {}{next}", at.height),
            &json!({ "grant": grant, "height": at.height, "terms": given.notice.terms }),
        );
        Ok(())
    }
}

/// The records at these places of a chart's log.
async fn named<const MAX: usize>(
    session: &Session,
    actor: &Actor,
    chart: ChartId,
    places: &[u64],
) -> Result<List<RecordName, MAX>, Failure> {
    if places.is_empty() {
        return Ok(List::new());
    }
    let records = session.client.records(actor, chart, LogMark::START).await?;
    let name = |place: &u64| {
        let record = records.iter().find(|it| it.name.position.0 == *place);
        let none = || Failure::Misused(format!("no record stands at position {place}"));
        record.map(|it| it.name).ok_or_else(none)
    };
    let names = places.iter().map(name).collect::<Result<_, _>>()?;
    List::from_vec(names).map_err(|error| Failure::Misused(format!("the records: {error}")))
}

impl Limit {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let (mut session, chart, grant) = (self.who.session()?, self.chart, self.grant);
        let holder = session.holder(chart)?;
        let fewer = compartments(&session, chart, &self.compartments)?;
        let (before, left) = block_on(async {
            let now = session.client.tip().await?.header().time;
            let entry = session.client.grant(&holder.actor(), chart, grant).await?;
            let left = self.less.of(&entry.terms, fewer, now);
            Ok((entry.terms, left))
        })?;
        let limit = GrantLimit {
            chart,
            grant,
            compartments: left.compartments,
            kinds: left.kinds,
            purposes: left.purposes,
            window: left.window,
            accesses_max: left.accesses_max,
        };
        if self.dry_run {
            let limit = Payload::GrantLimit(limit);
            return dry_run(&session, chart, &To::usual(), *output, |_| limit);
        }
        let gone = before.compartments.without(left.compartments);
        let (height, rotated) = block_on(async {
            let decided = session.client.limit_grant(&holder, limit).await?;
            let moves = before.effect == Effect::Allow && !gone.is_empty();
            let rotated = match moves && holder.is_controller() {
                true => Some(session.client.rotate_compartments(&holder, gone).await?),
                false => None,
            };
            Ok((decided.outcome().location.height, rotated))
        })?;
        session.remember()?;
        output.result(
            &format!("grant {grant} has less from block {height} on. {}", remains(rotated.as_ref())),
            &json!({ "grant": grant, "height": height, "terms": left, "left_behind": left_behind(rotated.as_ref(), *output) }),
        );
        Ok(())
    }
}

impl Pass {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let (session, chart) = (self.who.session()?, self.chart);
        let member = session.member()?;
        let fewer = compartments(&session, chart, &self.compartments)?;
        let (grant, height) = block_on(async {
            let (client, actor) = (&session.client, member.actor());
            let key = public_key(&session, &actor, self.to, self.key.as_deref()).await?;
            let to = Recipient { member: self.to, key };
            let from = client.grant(&actor, chart, self.grant).await?;
            let now = client.tip().await?.header().time;
            let mut terms = self.less.of(&from.terms, fewer, now);
            (terms.grantee, terms.onward) = (Grantee::Member(self.to), false);
            terms.window.from = terms.window.from.max(now);
            let held = keys_of(&session, chart, Some(self.grant), self.with.as_deref()).await?;
            let seeds = held.within(terms.compartments);
            let none = Default::default();
            // The letter is there before the grant counts: nobody is named who cannot read.
            let letter = client.write_keys(&actor, chart, &to, &seeds, &none).await?;
            fs::write(&self.letter, letter.encode()).map_err(Failure::at(&self.letter))?;
            let (grant, decided) = client.pass_grant(&actor, (chart, self.grant), terms).await?;
            Ok((grant, decided.outcome().location.height))
        })?;
        output.result(
            &format!(
                "grant {grant} is in force from block {height}, for member {}, who opens with the letter in {}",
                self.to,
                self.letter.display()
            ),
            &json!({ "grant": grant, "height": height, "letter": self.letter }),
        );
        Ok(())
    }
}

impl Keys {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let (session, chart) = (self.who.session()?, self.chart);
        let actor = session.actor(chart)?;
        let wanted = compartments(&session, chart, &self.compartments)?;
        let meanings = session.meanings(chart).cloned().unwrap_or_default();
        let seeds = block_on(async {
            let key = public_key(&session, &actor, self.to, self.key.as_deref()).await?;
            let to = Recipient { member: self.to, key };
            let seeds = match self.grant {
                Some(_) => keys_of(&session, chart, self.grant, None).await?,
                None => session.own_seeds(chart, wanted).await?,
            };
            let letter = session.client.write_keys(&actor, chart, &to, &seeds, &meanings).await?;
            fs::write(&self.letter, letter.encode()).map_err(Failure::at(&self.letter))?;
            Ok(seeds.len())
        })?;
        output.result(
            &format!(
                "{} has the keys for member {}: it opens for nobody else, and permits nothing by itself",
                self.letter.display(),
                self.to
            ),
            &json!({ "letter": self.letter, "to": self.to, "keys": seeds }),
        );
        Ok(())
    }
}

/// The keys that a reader has: by a letter, or with a grant.
pub(crate) async fn keys_of(
    session: &Session,
    chart: ChartId,
    grant: Option<GrantId>,
    letter: Option<&Path>,
) -> Result<Seeds, Failure> {
    let member = session.member()?;
    if let Some(path) = letter {
        let bytes = fs::read(path).map_err(Failure::at(path))?;
        let letter = KeyLetter::decode(&bytes)?;
        if letter.chart() != chart {
            return Err(Failure::Misused(format!(
                "the letter in {} is for chart {}",
                path.display(),
                letter.chart()
            )));
        }
        return Ok(letter.open(member)?.0);
    }
    let grant = grant.ok_or_else(|| {
        Failure::Misused("name the grant with --grant, or the letter with --letter".into())
    })?;
    let (actor, key) = (member.actor(), member.sealing());
    let (_, seeds) = session.client.accept_grant(&actor, &key, (chart, grant), None).await?;
    Ok(seeds)
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
            "grant {grant} does not open what is added from now on: its grantee got no new keys; give it again, or write its readers new letters with keys, if they shall read on"
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
