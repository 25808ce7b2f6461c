//! Records: added and amended by authors, and approved where a rule of the consortium or of the author asks for it.
//!
//! ```text
//!        add                          add            as the rule says: see [`signoff`]
//!  (none) ---> Final           (none) ---> Proposed ----------------------------------> Final
//!     without a rule              with one
//!
//!  amend: another version beside the ones so far; which is the newest is in the record's state
//! ```
//!
//! # Invariants
//!
//! * A record is added only after enough of the chart's custodians have acknowledged that they store
//!   it, and while they promise to: nothing on the ledger names what nobody has.
//! * An amendment changes nothing of the versions before it. It is by the organisation that they are from,
//!   follows the newest, and two that follow the same one do not both enter.
//!
//! Not here: the entry itself, which stands in the chart's log and not in the state; sign-off ([`signoff`]),
//! restrictions ([`restriction`]) and redaction ([`redaction`]).

pub(crate) mod redaction;
pub(crate) mod restriction;
pub(crate) mod signoff;

use keepwell_crypto::{
    command::{Verified, record_id_of},
    custody::version_of,
};
use keepwell_types::{
    access::RecordName,
    encoding::List,
    id::{ChartId, MemberId, OrganisationId, RecordId},
    limits::SEALED_BYTES_MAX,
    member::{Party, Role},
    outcome::Rejection,
    proxy::Power,
    record::{Amended, CustodyAcknowledgement, RecordAdd, RecordKind},
    set::{CompartmentSet, RoleSet},
};

use crate::{
    chart::{check_custodian_count, check_not_closed},
    credential::check_licensed,
    decide::{Case, Changes, Halt},
    signer::{Actor, Authority, organisation_in_standing},
    state::{Chart, Key, Newest, RecordEntry, RecordState, TagOwner},
    view::View,
};

/// Who may author for their organisation; the first is named where none of them is there.
const AUTHORS: [Role; 6] = [
    Role::Clinician,
    Role::Nurse,
    Role::Pharmacist,
    Role::LaboratoryScientist,
    Role::Registrar,
    Role::Gateway,
];

pub(crate) fn add(case: &Case<'_>, it: &RecordAdd) -> Result<Changes, Halt> {
    let (actor, chart) = case.actor_with(it.chart, Power::Write)?;
    check_not_closed(it.chart, chart)?;
    actor.check_within(CompartmentSet::EMPTY.with(it.compartment))?;
    let Authority::Signed(command) = case.authority else {
        return Err(Rejection::WrongSigners.into());
    };
    let organisation = authoring_organisation(actor, chart)?;
    if let Actor::Member { id, .. } = actor {
        check_licence(case, it.kind, id)?;
    }
    check_seal(chart, it)?;
    check_custody(case, chart, &it.custody)?;
    let proposal = signoff::propose(case, (actor, chart), it, organisation)?;
    let mut entry = entry_of(case, command, it, actor.party(it.chart), organisation)?;
    entry.proposed = proposal.is_some();
    let mut changes = match it.amends {
        None => Changes::NONE,
        Some(amended) => {
            let last = named(case.view, it.chart, &amended.record)?;
            actor.check_within(CompartmentSet::EMPTY.with(last.compartment))?;
            amend(case, it.chart, amended, &mut entry)?
        }
    };
    if let Some(tag) = it.uniqueness {
        if case.view.tag(organisation, tag)?.is_some() {
            return Err(Rejection::TagTaken(tag).into());
        }
        let log = case.view.chart_log(it.chart)?.expect("a chart has a log");
        let record = RecordName { position: log.count, record: entry.record };
        changes = changes.put(Key::Tag(organisation, tag), TagOwner { chart: it.chart, record });
    }
    if let Some(proposal) = proposal {
        changes = changes.put(Key::Proposal(it.chart, entry.record), proposal);
    }
    changes.record = Some(entry);
    Ok(changes)
}

/// What an amendment changes, beside adding its version.
fn amend(
    case: &Case<'_>,
    chart: ChartId,
    amended: Amended,
    entry: &mut RecordEntry,
) -> Result<Changes, Halt> {
    let last = named(case.view, chart, &amended.record)?;
    let (record, original) = (last.record, last.original);
    let mut state = state_of(case.view, chart, original)?;
    if state.is_redacted() {
        return Err(Rejection::Redacted(record).into());
    }
    let newest = state.newest.map_or(last.version, |newest| newest.version);
    let follows = newest == last.version && newest.0.checked_add(1) == Some(amended.version.0);
    if !follows {
        return Err(Rejection::NotNewest { record, newest }.into());
    }
    let of_patient = |party| matches!(party, Party::Controller(_) | Party::Proxy(..));
    let same_author = last.organisation == entry.organisation
        && of_patient(last.author) == of_patient(entry.author);
    // What is unique is the record, whatever its version.
    if !same_author || last.kind != entry.kind || entry.uniqueness.is_some() {
        return Err(Rejection::NotAmendable(record).into());
    }
    for custodian in last.custodians.iter().chain(entry.custodians.iter()) {
        if !state.custodians.contains(custodian) {
            state.custodians.push(*custodian).map_err(|_| Rejection::TooLarge)?;
        }
    }
    let position = case.view.chart_log(chart)?.expect("a chart has a log").count;
    state.newest = Some(Newest { position, version: entry.version });
    state.uniqueness = state.uniqueness.or(last.uniqueness);
    entry.original = original;
    Ok(Changes::NONE.put(Key::RecordState(chart, original), state))
}

/// What has happened so far to the record whose first version is `original`.
pub(crate) fn state_of(
    view: &View,
    chart: ChartId,
    original: RecordId,
) -> Result<RecordState, Halt> {
    Ok(view.record_state(chart, original)?.cloned().unwrap_or_default())
}

/// Whether the member may sign records of this kind in this consortium.
fn check_licence(case: &Case<'_>, kind: RecordKind, member: MemberId) -> Result<(), Halt> {
    if case.block.parameters.licensed.contains(kind) {
        check_licensed(case, member)?;
    }
    Ok(())
}

/// The record that a command names, if it stands where the command says.
pub(crate) fn named<'a>(
    view: &'a View,
    chart: ChartId,
    name: &RecordName,
) -> Result<&'a RecordEntry, Halt> {
    let entry = view.record(chart, name.position)?.filter(|entry| entry.record == name.record);
    Ok(entry.ok_or(Rejection::UnknownRecord(name.record))?)
}

/// The organisation that a record is added for, if it and the member may author in the chart.
fn authoring_organisation(actor: Actor<'_>, chart: &Chart) -> Result<OrganisationId, Rejection> {
    let Actor::Member { member, .. } = actor else { return Ok(chart.organisation) };
    if member.roles.and(RoleSet::from_iter(AUTHORS)).is_empty() {
        return Err(Rejection::RoleMissing(AUTHORS[0]));
    }
    let id = member.organisation;
    if id != chart.organisation && !chart.contributors.contains(&id) {
        return Err(Rejection::NotContributor(id));
    }
    Ok(id)
}

fn check_seal(chart: &Chart, it: &RecordAdd) -> Result<(), Rejection> {
    let current = chart.epoch(it.compartment);
    if it.epoch != current {
        let (compartment, given) = (it.compartment, it.epoch);
        return Err(Rejection::WrongEpoch { compartment, given, current });
    }
    if it.sealed_bytes == 0 || it.sealed_bytes > SEALED_BYTES_MAX {
        return Err(Rejection::RecordSize { sealed_bytes: it.sealed_bytes });
    }
    Ok(())
}

/// Whether enough of the chart's custodians acknowledge, each with its own key and still. That they
/// signed is part of what [`Verified`] says.
fn check_custody(
    case: &Case<'_>,
    chart: &Chart,
    custody: &[CustodyAcknowledgement],
) -> Result<(), Halt> {
    for (place, by) in custody.iter().enumerate() {
        let again = custody[..place].iter().any(|earlier| earlier.custodian == by.custodian);
        if again || !chart.custodians.contains(&by.custodian) {
            return Err(Rejection::NotCustodian(by.custodian).into());
        }
        let organisation = organisation_in_standing(case.view, by.custodian)?;
        if !organisation.has_custodian(&by.key, case.now()) {
            return Err(Rejection::CustodianKey(by.custodian).into());
        }
        if by.until <= case.now() {
            let (custodian, until) = (by.custodian, by.until);
            return Err(Rejection::CustodyEnded { custodian, until }.into());
        }
    }
    Ok(check_custodian_count(case, custody.len())?)
}

fn entry_of(
    case: &Case<'_>,
    command: &Verified,
    it: &RecordAdd,
    author: Party,
    organisation: OrganisationId,
) -> Result<RecordEntry, Rejection> {
    let custodians = it.custody.iter().map(|by| by.custodian).collect();
    let record = record_id_of(command.command()).expect("the command adds a record and is signed");
    Ok(RecordEntry {
        record,
        original: record,
        version: version_of(it),
        compartment: it.compartment,
        epoch: it.epoch,
        kind: it.kind,
        commitment: it.commitment,
        sealed_bytes: it.sealed_bytes,
        author,
        organisation,
        proposed: false,
        location: case.location,
        custodians: List::from_vec(custodians).map_err(|_| Rejection::TooLarge)?,
        uniqueness: it.uniqueness,
    })
}
