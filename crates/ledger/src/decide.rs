//! Deciding one command: what it is decided from, the match over all commands, and what comes of it.

use alloc::vec::Vec;

use keepwell_crypto::command::Verified;
use keepwell_types::{
    command::Payload,
    genesis::Parameters,
    id::{BlockId, ChainId, Height, Location},
    outcome::Rejection,
    time::BlockTime,
};
use thiserror::Error;

use crate::{
    access, anchor, case, chart, compartment, credential, emergency, grant, guardian, link,
    matching, member, motion, organisation, proxy, record, recovery, reshare,
    signer::Authority,
    state::{Key, RecordEntry, Value},
    team,
    view::{Lacks, View},
};

/// What all commands of a block are decided under.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlockContext {
    /// The consortium.
    pub chain: ChainId,
    /// What it has chosen, from its genesis file.
    pub parameters: Parameters,
    /// The block's height; 1 is the block of the genesis entries.
    pub height: Height,
    /// The block's time.
    pub time: BlockTime,
    /// The block before it.
    pub parent: BlockId,
}

/// Why deciding stopped short of changes.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Halt {
    /// A key must be loaded first; nothing is decided.
    #[error(transparent)]
    Lacks(#[from] Lacks),
    /// The command is refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// What an accepted command changes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Keys with their new values, or with nothing; no key twice.
    pub writes: Vec<(Key, Option<Value>)>,
    /// The record that the command added.
    pub record: Option<RecordEntry>,
}

impl Changes {
    /// No change: what was asked is done by the entry itself.
    pub(crate) const NONE: Self = Self { writes: Vec::new(), record: None };

    pub(crate) fn put(mut self, key: Key, entry: impl Into<Value>) -> Self {
        self.writes.push((key, Some(entry.into())));
        self
    }

    pub(crate) fn remove(mut self, key: Key) -> Self {
        self.writes.push((key, None));
        self
    }

    /// Both changes, which have no key in common.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.writes.extend(other.writes);
        self
    }
}

/// One command, where it stands, and the state that it is decided against.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) view: &'a View,
    pub(crate) block: &'a BlockContext,
    pub(crate) location: Location,
    pub(crate) authority: Authority<'a>,
}

/// Decides the command at place `index` of a block, against the state before it.
pub fn decide(
    view: &View,
    block: &BlockContext,
    index: u32,
    command: &Verified,
) -> Result<Changes, Halt> {
    let location = Location { height: block.height, index };
    let case = Case { view, block, location, authority: Authority::Signed(command) };
    case.decide(&command.command().payload)
}

/// Decides the genesis entry at place `index` of block 1.
pub fn decide_genesis(
    view: &View,
    block: &BlockContext,
    index: u32,
    payload: &Payload,
) -> Result<Changes, Halt> {
    let location = Location { height: block.height, index };
    Case { view, block, location, authority: Authority::Genesis }.decide(payload)
}

impl<'a> Case<'a> {
    fn decide(&self, payload: &'a Payload) -> Result<Changes, Halt> {
        match payload {
            Payload::OrganisationAdmit(it) => organisation::admit(self, it),
            Payload::OrganisationSuspend(it) => organisation::suspend(self, it),
            Payload::OrganisationReinstate(it) => organisation::reinstate(self, it),
            Payload::MemberEnrol(it) => member::enrol(self, it),
            Payload::MemberRotate(it) => member::rotate(self, it),
            Payload::MemberAssign(it) => member::assign(self, it),
            Payload::MemberSuspend(it) => member::suspend(self, it),
            Payload::MemberReinstate(it) => member::reinstate(self, it),
            Payload::ChartOpen(it) => chart::open(self, it),
            Payload::ChartClaim(it) => chart::claim(self, it),
            Payload::ChartArrange(it) => chart::arrange(self, it),
            Payload::CompartmentRotate(it) => compartment::rotate(self, it),
            Payload::RecordAdd(it) => record::add(self, it),
            Payload::RecordApprove(it) => record::signoff::approve(self, it),
            Payload::GrantGive(it) => grant::give(self, it),
            Payload::GrantLimit(it) => grant::limit(self, it),
            Payload::GrantRevoke(it) => grant::revoke(self, it),
            Payload::AccessOpen(it) => access::open(self, it),
            Payload::AnchorAdd(it) => anchor::add(self, it),
            Payload::GrantRevokeOrganisation(it) => grant::revoke_organisation(self, it),
            Payload::GrantPass(it) => grant::pass(self, it),
            Payload::GrantRequest(it) => grant::request::ask(self, it),
            Payload::GrantAnswer(it) => grant::request::answer(self, it),
            Payload::GrantWithdraw(it) => grant::request::withdraw(self, it),
            Payload::TeamArrange(it) => team::arrange(self, it),
            Payload::GroupForm(it) => member::form_group(self, it),
            Payload::RecordRestrict(it) => record::restriction::restrict(self, it),
            Payload::RecordLift(it) => record::restriction::lift(self, it),
            Payload::RecordRedact(it) => record::redaction::redact(self, it),
            Payload::RecordKeep(it) => record::redaction::keep(self, it),
            Payload::RecordErased(it) => record::redaction::erased(self, it),
            Payload::ChartPrepare(it) => emergency::prepare(self, it),
            Payload::BreakGlass(it) => emergency::break_glass(self, it),
            Payload::EmergencySecond(it) => emergency::second(self, it),
            Payload::EmergencyReview(it) => emergency::review(self, it),
            Payload::CredentialIssue(it) => credential::issue(self, it),
            Payload::CredentialSuspend(it) => credential::suspend(self, it),
            Payload::CredentialReinstate(it) => credential::reinstate(self, it),
            Payload::CredentialRevoke(it) => credential::revoke(self, it),
            Payload::CaseOpen(it) => case::open(self, it),
            Payload::CaseDecide(it) => case::decide(self, it),
            Payload::CaseExtend(it) => case::extend(self, it),
            Payload::CaseState(it) => case::state(self, it),
            Payload::CaseAcknowledge(it) => case::acknowledge(self, it),
            Payload::GuardianSet(it) => guardian::set(self, it),
            Payload::RecoveryStart(it) => recovery::start(self, it),
            Payload::RecoveryApprove(it) => recovery::approve(self, it),
            Payload::RecoveryWithdraw(it) => recovery::withdraw(self, it),
            Payload::RecoveryVeto(it) => recovery::veto(self, it),
            Payload::RecoveryFinish(it) => recovery::finish(self, it),
            Payload::ProxyAdd(it) => proxy::add(self, it),
            Payload::ProxyEnd(it) => proxy::end(self, it),
            Payload::ChartMinor(it) => proxy::minor(self, it),
            Payload::ChartClose(it) => chart::close(self, it),
            Payload::EmergencyClose(it) => emergency::close(self, it),
            Payload::RecordRetract(it) => record::signoff::retract(self, it),
            Payload::RecordWithdraw(it) => record::signoff::withdraw(self, it),
            Payload::MatchEvaluate(it) => matching::evaluate(self, it),
            Payload::LinkPropose(it) => link::propose(self, it),
            Payload::LinkConfirm(it) => link::confirm(self, it),
            Payload::LinkReverse(it) => link::reverse(self, it),
            Payload::OrganisationExpel(it) => organisation::expel(self, it),
            Payload::OrganisationRotate(it) => organisation::rotate(self, it),
            Payload::MotionOpen(it) => motion::open(self, it),
            Payload::MotionApprove(it) => motion::approve(self, it),
            Payload::MotionWithdraw(it) => motion::withdraw(self, it),
            Payload::ReshareReady(it) => reshare::ready(self, it),
            Payload::ReshareDeal(it) => reshare::deal(self, it),
            Payload::ReshareCheck(it) => reshare::check(self, it),
            Payload::ReshareOpen(it) => reshare::open(self, it),
            Payload::ReshareConfirm(it) => reshare::confirm(self, it),
        }
    }

    pub(crate) const fn now(&self) -> BlockTime {
        self.block.time
    }
}
