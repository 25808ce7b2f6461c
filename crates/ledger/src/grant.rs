//! Grants: given, limited and revoked by whoever controls the chart, or acts for its patient; passed on by a grantee, if the terms
//! say so.
//!
//! ```text
//!           give            revoke
//!  (none) --------> Given ----------> Revoked        limit: Given, with less
//!                     | pass
//!                     +-------> another, with as much or less, to one member
//! ```
//!
//! # Invariants
//!
//! * A grant id is used once in its chart. A revoked grant never revives; a patient who changes their
//!   mind gives another one.
//! * A grant of separate consent names only compartments that need it; any other grant names none of
//!   them: such consent is never bundled.
//! * A grant ends for good from the next command on, not from the next block on.
//! * What was passed on goes no further, and ends with what it comes from.
//! * Revoking from an organisation is one command, whatever was given to it and to whom of it.
//!
//! Not here: what grants mean together ([`crate::consent`]).

pub(crate) mod request;

use keepwell_types::{
    command::Payload,
    encoding::List,
    grant::{
        Answer, Effect, GrantAnswer, GrantGive, GrantLimit, GrantPass, GrantRevoke,
        GrantRevokeOrganisation, GrantTerms, Grantee,
    },
    id::{ChartId, Digest, GrantId, LogPosition},
    limits::{GRANTS_PER_SUBJECT_MAX, PASSED_ON_MAX},
    member::Party,
    outcome::Rejection,
    proxy::Power,
    set::CompartmentSet,
    time::BlockTime,
};

use crate::{
    consent::{self, Object},
    decide::{Case, Changes, Halt},
    record,
    signer::{Actor, known_member, known_organisation},
    state::{Chart, Cutoff, Grant, Key, Passed, Subject},
    team,
};

/// A grant that is to be.
pub(crate) struct Draft<'a> {
    chart: ChartId,
    grant: GrantId,
    terms: &'a GrantTerms,
    seeds: Digest,
    passed: Option<Passed>,
}

pub(crate) fn give(case: &Case<'_>, it: &GrantGive) -> Result<Changes, Halt> {
    let (actor, chart) = case.acting_with(it.chart, Power::Grant)?;
    actor.check_within(it.terms.compartments)?;
    actor.check_until(it.terms.window.until)?;
    let (grant, seeds) = (it.grant, it.seeds);
    add(case, chart, &Draft { chart: it.chart, grant, terms: &it.terms, seeds, passed: None })
}

/// A new grant, whoever makes it.
fn add(case: &Case<'_>, chart: &Chart, it: &Draft<'_>) -> Result<Changes, Halt> {
    if case.view.grant(it.chart, it.grant)?.is_some() {
        return Err(Rejection::GrantExists(it.grant).into());
    }
    check_terms(it.terms, case.now())?;
    check_separate_consent(chart, it.terms)?;
    check_names(case, it.chart, it.terms)?;
    check_onward(it)?;
    let key = Key::Subject(it.chart, it.terms.grantee);
    let mut subject = case.view.subject(it.chart, it.terms.grantee)?.cloned().unwrap_or_default();
    let max = GRANTS_PER_SUBJECT_MAX as u32;
    subject.grants.push(it.grant).map_err(|_| Rejection::TooManyGrants { max })?;
    let grant = it.entry(chart.separate_consent, case.now(), next_position(case, it.chart)?);
    Ok(Changes::NONE.put(Key::Grant(it.chart, it.grant), grant).put(key, subject))
}

impl<'a> Draft<'a> {
    /// The grant that an accepted command of this payload, signed by `by`, has made.
    pub(crate) fn of_accepted(payload: &'a Payload, by: Party) -> Option<Self> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other command makes a grant")]
        let (chart, grant, terms, seeds, from) = match payload {
            Payload::GrantGive(it) => (it.chart, it.grant, &it.terms, it.seeds, None),
            Payload::GrantPass(it) => (it.chart, it.grant, &it.terms, it.seeds, Some(it.from)),
            Payload::GrantAnswer(GrantAnswer { chart, answer, .. }) => match answer {
                Answer::Give { grant, terms, seeds } => (*chart, *grant, terms, *seeds, None),
                Answer::Refuse(_) => return None,
            },
            _ => return None,
        };
        let passed = match (from, by) {
            (Some(from), Party::Member(by)) => Some(Passed { from, by }),
            (Some(_) | None, _) => None,
        };
        Some(Self { chart, grant, terms, seeds, passed })
    }

    /// Its id.
    pub(crate) const fn id(&self) -> GrantId {
        self.grant
    }

    /// Its entry, in a chart with these compartments of separate consent.
    pub(crate) fn entry(
        &self,
        separate_consent: CompartmentSet,
        given_at: BlockTime,
        position: LogPosition,
    ) -> Grant {
        Grant {
            terms: self.terms.clone(),
            seeds: self.seeds,
            given_at,
            revoked_at: None,
            accesses_used: 0,
            counted: List::new(),
            object: Object::of(self.terms, separate_consent),
            position,
            passed: self.passed,
            passed_on: 0,
        }
    }
}

/// Where the outcome of this command will stand in the chart's log.
fn next_position(case: &Case<'_>, chart: ChartId) -> Result<LogPosition, Halt> {
    Ok(case.view.chart_log(chart)?.expect("a chart has a log").count)
}

pub(crate) fn pass(case: &Case<'_>, it: &GrantPass) -> Result<Changes, Halt> {
    let (actor, chart) = case.actor(it.chart)?;
    let ground = live(case, it.chart, it.from)?;
    let refused = Rejection::NotOnward(it.from);
    let Actor::Member { id: by, .. } = actor else { return Err(refused.into()) };
    let to_another = matches!(it.terms.grantee, Grantee::Member(to) if to != by);
    let may = ground.terms.onward
        && to_another
        && !it.terms.onward
        && it.terms.effect == Effect::Allow
        && it.terms.separate_consent == ground.terms.separate_consent
        && consent::reaches(case.view, it.chart, ground, by, case.now())?;
    if !may {
        return Err(refused.into());
    }
    if !is_within(&it.terms, &ground.terms) {
        return Err(Rejection::NotNarrower(it.from).into());
    }
    if ground.passed_on >= PASSED_ON_MAX {
        return Err(Rejection::PassedOnTooOften(it.from).into());
    }
    let passed = Some(Passed { from: it.from, by });
    let (grant, seeds) = (it.grant, it.seeds);
    let draft = Draft { chart: it.chart, grant, terms: &it.terms, seeds, passed };
    let ground = Grant { passed_on: ground.passed_on + 1, ..ground.clone() };
    Ok(add(case, chart, &draft)?.put(Key::Grant(it.chart, it.from), ground))
}

pub(crate) fn limit(case: &Case<'_>, it: &GrantLimit) -> Result<Changes, Halt> {
    let (actor, _) = case.acting_with(it.chart, Power::Revoke)?;
    let grant = live(case, it.chart, it.grant)?;
    actor.check_within(grant.terms.compartments)?;
    let terms = limited(&grant.terms, it);
    if !is_within(&terms, &grant.terms) {
        return Err(Rejection::NotNarrower(it.grant).into());
    }
    check_terms(&terms, case.now())?;
    Ok(Changes::NONE.put(Key::Grant(it.chart, it.grant), Grant { terms, ..grant.clone() }))
}

/// The terms that a limit leaves.
pub(crate) fn limited(terms: &GrantTerms, it: &GrantLimit) -> GrantTerms {
    GrantTerms {
        compartments: it.compartments,
        kinds: it.kinds,
        purposes: it.purposes,
        window: it.window,
        accesses_max: it.accesses_max,
        ..terms.clone()
    }
}

pub(crate) fn revoke(case: &Case<'_>, it: &GrantRevoke) -> Result<Changes, Halt> {
    let (actor, _) = case.actor_with(it.chart, Power::Revoke)?;
    let grant = live(case, it.chart, it.grant)?;
    // A prohibition is a grant too: ending it opens what it was about.
    actor.check_within(grant.terms.compartments)?;
    // Whoever passed a grant on may take that back; nothing else is a member's to revoke.
    let by_passer = |id| grant.passed.is_some_and(|passed| passed.by == id);
    if matches!(actor, Actor::Member { id, .. } if !by_passer(id)) {
        return Err(Rejection::NotController(it.chart).into());
    }
    let key = Key::Subject(it.chart, grant.terms.grantee);
    let subject = case.view.subject(it.chart, grant.terms.grantee)?;
    let mut subject = subject.expect("the subject of a live grant lists it").clone();
    subject.grants.retain(|id| *id != it.grant);
    let revoked = Grant { revoked_at: Some(case.now()), ..grant.clone() };
    let changes = Changes::NONE.put(Key::Grant(it.chart, it.grant), revoked);
    Ok(if subject == Subject::default() { changes.remove(key) } else { changes.put(key, subject) })
}

pub(crate) fn revoke_organisation(
    case: &Case<'_>,
    it: &GrantRevokeOrganisation,
) -> Result<Changes, Halt> {
    let (actor, _) = case.acting_with(it.chart, Power::Revoke)?;
    actor.check_within(CompartmentSet::all())?;
    known_organisation(case.view, it.organisation)?;
    let before = next_position(case, it.chart)?;
    Ok(Changes::NONE.put(Key::Cutoff(it.chart, it.organisation), Cutoff { before }))
}

/// The grant, if it was not revoked.
fn live<'a>(case: &Case<'a>, chart: ChartId, id: GrantId) -> Result<&'a Grant, Halt> {
    let grant = case.view.grant(chart, id)?.ok_or(Rejection::UnknownGrant(id))?;
    if grant.revoked_at.is_some() {
        return Err(Rejection::GrantEnded(id).into());
    }
    Ok(grant)
}

/// Whether the terms can ever do anything.
fn check_terms(terms: &GrantTerms, now: BlockTime) -> Result<(), Rejection> {
    let empty = terms.compartments.is_empty()
        || terms.kinds.is_empty()
        || terms.purposes.is_empty()
        || terms.window.is_empty()
        || terms.accesses_max == Some(0);
    if empty {
        return Err(Rejection::EmptyTerms);
    }
    if terms.window.until <= now {
        return Err(Rejection::WindowPassed { until: terms.window.until, now });
    }
    Ok(())
}

fn check_separate_consent(chart: &Chart, terms: &GrantTerms) -> Result<(), Rejection> {
    let misplaced = if terms.separate_consent {
        terms.compartments.without(chart.separate_consent)
    } else {
        terms.compartments.and(chart.separate_consent)
    };
    if misplaced.is_empty() { Ok(()) } else { Err(Rejection::SeparateConsent(misplaced)) }
}

/// Whether the grantee and the listed records exist: a rule about nobody or nothing, a prohibition
/// above all, would leave its giver in a false belief.
fn check_names(case: &Case<'_>, chart: ChartId, terms: &GrantTerms) -> Result<(), Halt> {
    match terms.grantee {
        Grantee::Member(id) => known_member(case.view, id).map(|_| ())?,
        Grantee::Role { organisation: id, .. } | Grantee::Organisation(id) => {
            known_organisation(case.view, id).map(|_| ())?;
        }
        Grantee::Team(id) => team::known(case.view, chart, id).map(|_| ())?,
        Grantee::Group(id) => {
            let group = case.view.group(id)?.ok_or(Rejection::UnknownGroup(id))?;
            if !group.purposes.includes(terms.purposes) {
                return Err(Rejection::NotOfGroup(id).into());
            }
        }
        Grantee::Everyone => {}
    }
    terms.records.iter().try_for_each(|name| record::named(case.view, chart, name).map(|_| ()))
}

/// Whether it could be passed on, if it says that it may: accesses of two readers are not counted for one.
fn check_onward(it: &Draft<'_>) -> Result<(), Rejection> {
    let counts = it.terms.effect == Effect::Deny || it.terms.accesses_max.is_some();
    if it.terms.onward && counts { Err(Rejection::NotOnward(it.grant)) } else { Ok(()) }
}

/// Whether `less` gives nothing that `more` does not, to whomever.
fn is_within(less: &GrantTerms, more: &GrantTerms) -> bool {
    let fewer_accesses = match (less.accesses_max, more.accesses_max) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(less), Some(more)) => less <= more,
    };
    let listed = less.records.iter().all(|name| more.records.contains(name));
    let fewer_records = more.records.is_empty() || (listed && !less.records.is_empty());
    more.compartments.includes(less.compartments)
        && more.kinds.includes(less.kinds)
        && more.purposes.includes(less.purposes)
        && more.window.from <= less.window.from
        && less.window.until <= more.window.until
        && fewer_accesses
        && fewer_records
}
