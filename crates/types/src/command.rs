//! Commands: what a signer asks of the ledger.
//!
//! ```text
//! SignedCommand = [command, [signature, ...]]        signatures[i] is by command.signers[i]
//! Command       = [version, chain, id, window, [signer, ...], payload, part]     without a part, six items
//! Part          = [transaction, place, parts]
//! ```
//!
//! A command is single-use: its random id is remembered until its window has passed, and after that
//! the window refuses it. So a busy signer is never serialised, and nothing is remembered for ever.
//!
//! Commands of one first signer can be the parts of a *transaction*: they are decided in one block, one after the other,
//! and take effect all or none. Each is a command like any other and has an outcome of its own. Whoever signs two parts
//! for one place of one transaction leaves open which of them is meant: who signs anew draws a new id.

use alloc::vec::Vec;

use minicbor::{Decode, Decoder, Encode, decode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    access::{AccessOpen, BreakGlass, EmergencyClose, EmergencyReview, EmergencySecond},
    anchor::AnchorAdd,
    case::{CaseAcknowledge, CaseDecide, CaseExtend, CaseOpen, CaseStatement},
    chart::{ChartArrange, ChartClaim, ChartOpen, ChartPrepare, CompartmentRotate},
    credential::{CredentialIssue, CredentialStanding},
    encoding::{DecodeError, List},
    grant::{
        Answer, GrantAnswer, GrantGive, GrantLimit, GrantPass, GrantRequest, GrantRevoke,
        GrantRevokeOrganisation, GrantTerms, GrantWithdraw, TeamArrange,
    },
    guardian::{GuardianSet, RecoveryApprove, RecoveryEnd, RecoveryFinish, RecoveryStart},
    id::{ChainId, ChartId, CommandId, GrantId, PublicKey, Signature, Suite, TransactionId},
    limits::{
        COMMAND_BYTES_MAX, COMMAND_WINDOW_MS_MAX, SEALED_BYTES_MAX, SIGNERS_MAX,
        TRANSACTION_COMMANDS_MAX, UPLOAD_BYTES_PER_MS,
    },
    link::{LinkConfirm, LinkPropose, LinkReverse},
    matching::MatchEvaluate,
    member::{
        GroupForm, MemberAssign, MemberEnrol, MemberRotate, MemberStanding, OrganisationAdmit,
        OrganisationRotate, OrganisationStanding, Party,
    },
    motion::{MotionApprove, MotionOpen, MotionWithdraw},
    proxy::{ChartClose, ChartMinor, ProxyAdd, ProxyEnd},
    record::{
        RecordAdd, RecordApprove, RecordErased, RecordKeep, RecordRedact, RecordRestrict,
        RecordRetract, RecordWithdraw,
    },
    time::Window,
    validators::{ReshareCheck, ReshareConfirm, ReshareDeal, ReshareOpen, ReshareReady},
};

/// The one version of commands.
pub const COMMAND_VERSION: u8 = 1;

/// What is asked, one variant for each command of each family.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Admit an organisation.
    #[n(0)]
    OrganisationAdmit(#[n(0)] OrganisationAdmit),
    /// Suspend an organisation.
    #[n(1)]
    OrganisationSuspend(#[n(0)] OrganisationStanding),
    /// Reinstate an organisation.
    #[n(2)]
    OrganisationReinstate(#[n(0)] OrganisationStanding),
    /// Enrol a member.
    #[n(3)]
    MemberEnrol(#[n(0)] MemberEnrol),
    /// Change a member's keys.
    #[n(4)]
    MemberRotate(#[n(0)] MemberRotate),
    /// Change a member's roles.
    #[n(5)]
    MemberAssign(#[n(0)] MemberAssign),
    /// Suspend a member.
    #[n(6)]
    MemberSuspend(#[n(0)] MemberStanding),
    /// Reinstate a member.
    #[n(7)]
    MemberReinstate(#[n(0)] MemberStanding),
    /// Open a chart.
    #[n(8)]
    ChartOpen(#[n(0)] ChartOpen),
    /// Claim a chart.
    #[n(9)]
    ChartClaim(#[n(0)] ChartClaim),
    /// Say who stores and writes a chart.
    #[n(10)]
    ChartArrange(#[n(0)] ChartArrange),
    /// Move compartments to their next epoch.
    #[n(11)]
    CompartmentRotate(#[n(0)] CompartmentRotate),
    /// Add a record.
    #[n(12)]
    RecordAdd(#[n(0)] RecordAdd),
    /// Approve a proposed record.
    #[n(13)]
    RecordApprove(#[n(0)] RecordApprove),
    /// Give a grant.
    #[n(14)]
    GrantGive(#[n(0)] GrantGive),
    /// Limit a grant.
    #[n(15)]
    GrantLimit(#[n(0)] GrantLimit),
    /// Revoke a grant.
    #[n(16)]
    GrantRevoke(#[n(0)] GrantRevoke),
    /// Open records.
    #[n(17)]
    AccessOpen(#[n(0)] AccessOpen),
    /// Anchor documents.
    #[n(18)]
    AnchorAdd(#[n(0)] AnchorAdd),
    /// End all that was granted to an organisation.
    #[n(19)]
    GrantRevokeOrganisation(#[n(0)] GrantRevokeOrganisation),
    /// Pass a grant on.
    #[n(20)]
    GrantPass(#[n(0)] GrantPass),
    /// Ask for a grant.
    #[n(21)]
    GrantRequest(#[n(0)] GrantRequest),
    /// Answer a request.
    #[n(22)]
    GrantAnswer(#[n(0)] GrantAnswer),
    /// Ask no longer.
    #[n(23)]
    GrantWithdraw(#[n(0)] GrantWithdraw),
    /// Say who is in a care team.
    #[n(24)]
    TeamArrange(#[n(0)] TeamArrange),
    /// Form a group of members.
    #[n(25)]
    GroupForm(#[n(0)] GroupForm),
    /// Restrict a record.
    #[n(26)]
    RecordRestrict(#[n(0)] RecordRestrict),
    /// Lift restrictions of a record.
    #[n(27)]
    RecordLift(#[n(0)] RecordRestrict),
    /// Approve a record's redaction.
    #[n(28)]
    RecordRedact(#[n(0)] RecordRedact),
    /// Take that back.
    #[n(29)]
    RecordKeep(#[n(0)] RecordKeep),
    /// Say that a redacted record is destroyed.
    #[n(30)]
    RecordErased(#[n(0)] RecordErased),
    /// Say what is left to emergencies.
    #[n(31)]
    ChartPrepare(#[n(0)] ChartPrepare),
    /// Break the glass.
    #[n(32)]
    BreakGlass(#[n(0)] BreakGlass),
    /// Agree to that.
    #[n(33)]
    EmergencySecond(#[n(0)] EmergencySecond),
    /// Review it.
    #[n(34)]
    EmergencyReview(#[n(0)] EmergencyReview),
    /// Issue a credential.
    #[n(35)]
    CredentialIssue(#[n(0)] CredentialIssue),
    /// Suspend a credential.
    #[n(36)]
    CredentialSuspend(#[n(0)] CredentialStanding),
    /// Reinstate a credential.
    #[n(37)]
    CredentialReinstate(#[n(0)] CredentialStanding),
    /// Revoke a credential.
    #[n(38)]
    CredentialRevoke(#[n(0)] CredentialStanding),
    /// Open a case.
    #[n(39)]
    CaseOpen(#[n(0)] CaseOpen),
    /// Decide a case.
    #[n(40)]
    CaseDecide(#[n(0)] CaseDecide),
    /// Take more time for a case.
    #[n(41)]
    CaseExtend(#[n(0)] CaseExtend),
    /// Make a statement in a case.
    #[n(42)]
    CaseState(#[n(0)] CaseStatement),
    /// Say that one was told of a case.
    #[n(43)]
    CaseAcknowledge(#[n(0)] CaseAcknowledge),
    /// Say who guards a chart.
    #[n(44)]
    GuardianSet(#[n(0)] GuardianSet),
    /// Vouch for new keys of a chart.
    #[n(45)]
    RecoveryStart(#[n(0)] RecoveryStart),
    /// Vouch for the same.
    #[n(46)]
    RecoveryApprove(#[n(0)] RecoveryApprove),
    /// Vouch no longer.
    #[n(47)]
    RecoveryWithdraw(#[n(0)] RecoveryEnd),
    /// End a recovery.
    #[n(48)]
    RecoveryVeto(#[n(0)] RecoveryEnd),
    /// Take control with the new keys.
    #[n(49)]
    RecoveryFinish(#[n(0)] RecoveryFinish),
    /// Let someone act for the patient.
    #[n(50)]
    ProxyAdd(#[n(0)] ProxyAdd),
    /// End that.
    #[n(51)]
    ProxyEnd(#[n(0)] ProxyEnd),
    /// Say until when the patient is a minor.
    #[n(52)]
    ChartMinor(#[n(0)] ChartMinor),
    /// Close a chart.
    #[n(53)]
    ChartClose(#[n(0)] ChartClose),
    /// End an emergency.
    #[n(54)]
    EmergencyClose(#[n(0)] EmergencyClose),
    /// Take an approval of a proposed record back.
    #[n(55)]
    RecordRetract(#[n(0)] RecordRetract),
    /// Propose a record no longer.
    #[n(56)]
    RecordWithdraw(#[n(0)] RecordWithdraw),
    /// Evaluate blinded points for matching.
    #[n(57)]
    MatchEvaluate(#[n(0)] MatchEvaluate),
    /// Propose a link.
    #[n(58)]
    LinkPropose(#[n(0)] LinkPropose),
    /// Confirm a link.
    #[n(59)]
    LinkConfirm(#[n(0)] LinkConfirm),
    /// Reverse a link.
    #[n(60)]
    LinkReverse(#[n(0)] LinkReverse),
    /// Expel an organisation.
    #[n(61)]
    OrganisationExpel(#[n(0)] OrganisationStanding),
    /// Give an organisation new keys.
    #[n(62)]
    OrganisationRotate(#[n(0)] OrganisationRotate),
    /// Make a motion.
    #[n(63)]
    MotionOpen(#[n(0)] MotionOpen),
    /// Approve a motion.
    #[n(64)]
    MotionApprove(#[n(0)] MotionApprove),
    /// Take a motion back.
    #[n(65)]
    MotionWithdraw(#[n(0)] MotionWithdraw),
    /// Be ready to be dealt to.
    #[n(66)]
    ReshareReady(#[n(0)] ReshareReady),
    /// Deal a share anew.
    #[n(67)]
    ReshareDeal(#[n(0)] ReshareDeal),
    /// Say which shares are wrong.
    #[n(68)]
    ReshareCheck(#[n(0)] ReshareCheck),
    /// Open a share.
    #[n(69)]
    ReshareOpen(#[n(0)] ReshareOpen),
    /// Say that one has new shares.
    #[n(70)]
    ReshareConfirm(#[n(0)] ReshareConfirm),
}

impl Payload {
    /// The grant that the command gives, in answer to a request or by passing on included, and the terms that are
    /// signed.
    pub const fn given_grant(&self) -> Option<(GrantId, &GrantTerms)> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other command gives a grant")]
        match self {
            Self::GrantGive(it) => Some((it.grant, &it.terms)),
            Self::GrantPass(it) => Some((it.grant, &it.terms)),
            Self::GrantAnswer(GrantAnswer {
                answer: Answer::Give { grant, terms, .. }, ..
            }) => Some((*grant, terms)),
            _ => None,
        }
    }

    /// The chart that the command touches, if it touches one.
    pub const fn chart(&self) -> Option<ChartId> {
        match self {
            Self::OrganisationAdmit(_)
            | Self::OrganisationSuspend(_)
            | Self::OrganisationReinstate(_)
            | Self::OrganisationExpel(_)
            | Self::OrganisationRotate(_)
            | Self::MotionOpen(_)
            | Self::MotionApprove(_)
            | Self::MotionWithdraw(_)
            | Self::ReshareReady(_)
            | Self::ReshareDeal(_)
            | Self::ReshareCheck(_)
            | Self::ReshareOpen(_)
            | Self::ReshareConfirm(_)
            | Self::MemberEnrol(_)
            | Self::MemberRotate(_)
            | Self::MemberAssign(_)
            | Self::MemberSuspend(_)
            | Self::MemberReinstate(_)
            | Self::AnchorAdd(_)
            | Self::GroupForm(_)
            | Self::CredentialIssue(_)
            | Self::CredentialSuspend(_)
            | Self::CredentialReinstate(_)
            | Self::CredentialRevoke(_)
            | Self::MatchEvaluate(_)
            | Self::LinkPropose(_)
            | Self::LinkConfirm(_)
            | Self::LinkReverse(_) => None,
            Self::ChartOpen(it) => Some(it.chart),
            Self::ChartClaim(it) => Some(it.chart),
            Self::ChartArrange(it) => Some(it.chart),
            Self::CompartmentRotate(it) => Some(it.chart),
            Self::RecordAdd(it) => Some(it.chart),
            Self::RecordApprove(it) => Some(it.chart),
            Self::GrantGive(it) => Some(it.chart),
            Self::GrantLimit(it) => Some(it.chart),
            Self::GrantRevoke(it) => Some(it.chart),
            Self::AccessOpen(it) => Some(it.chart),
            Self::GrantRevokeOrganisation(it) => Some(it.chart),
            Self::GrantPass(it) => Some(it.chart),
            Self::GrantRequest(it) => Some(it.chart),
            Self::GrantAnswer(it) => Some(it.chart),
            Self::GrantWithdraw(it) => Some(it.chart),
            Self::TeamArrange(it) => Some(it.chart),
            Self::RecordRestrict(it) | Self::RecordLift(it) => Some(it.chart),
            Self::RecordRedact(it) => Some(it.chart),
            Self::RecordKeep(it) => Some(it.chart),
            Self::RecordErased(it) => Some(it.chart),
            Self::ChartPrepare(it) => Some(it.chart),
            Self::BreakGlass(it) => Some(it.chart),
            Self::EmergencySecond(it) => Some(it.chart),
            Self::EmergencyReview(it) => Some(it.chart),
            Self::CaseOpen(it) => Some(it.chart),
            Self::CaseDecide(it) => Some(it.chart),
            Self::CaseExtend(it) => Some(it.chart),
            Self::CaseState(it) => Some(it.chart),
            Self::CaseAcknowledge(it) => Some(it.chart),
            Self::GuardianSet(it) => Some(it.chart),
            Self::RecoveryStart(it) => Some(it.chart),
            Self::RecoveryApprove(it) => Some(it.chart),
            Self::RecoveryWithdraw(it) | Self::RecoveryVeto(it) => Some(it.chart),
            Self::RecoveryFinish(it) => Some(it.chart),
            Self::ProxyAdd(it) => Some(it.chart),
            Self::ProxyEnd(it) => Some(it.chart),
            Self::ChartMinor(it) => Some(it.chart),
            Self::ChartClose(it) => Some(it.chart),
            Self::EmergencyClose(it) => Some(it.chart),
            Self::RecordRetract(it) => Some(it.chart),
            Self::RecordWithdraw(it) => Some(it.chart),
        }
    }

    /// The command's name, as the documents and the interfaces write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OrganisationAdmit(_) => "organisation.admit",
            Self::OrganisationSuspend(_) => "organisation.suspend",
            Self::OrganisationReinstate(_) => "organisation.reinstate",
            Self::MemberEnrol(_) => "member.enrol",
            Self::MemberRotate(_) => "member.rotate",
            Self::MemberAssign(_) => "member.assign",
            Self::MemberSuspend(_) => "member.suspend",
            Self::MemberReinstate(_) => "member.reinstate",
            Self::ChartOpen(_) => "chart.open",
            Self::ChartClaim(_) => "chart.claim",
            Self::ChartArrange(_) => "chart.arrange",
            Self::CompartmentRotate(_) => "compartment.rotate",
            Self::RecordAdd(it) => match it.amends {
                None => "record.add",
                Some(_) => "record.amend",
            },
            Self::RecordApprove(_) => "record.approve",
            Self::GrantGive(_) => "grant.give",
            Self::GrantLimit(_) => "grant.limit",
            Self::GrantRevoke(_) => "grant.revoke",
            Self::AccessOpen(_) => "access.open",
            Self::AnchorAdd(_) => "anchor.add",
            Self::GrantRevokeOrganisation(_) => "grant.revoke_organisation",
            Self::GrantPass(_) => "grant.pass",
            Self::GrantRequest(_) => "grant.request",
            Self::GrantAnswer(_) => "grant.answer",
            Self::GrantWithdraw(_) => "grant.withdraw",
            Self::TeamArrange(_) => "team.arrange",
            Self::GroupForm(_) => "group.form",
            Self::RecordRestrict(_) => "record.restrict",
            Self::RecordLift(_) => "record.lift",
            Self::RecordRedact(_) => "record.redact",
            Self::RecordKeep(_) => "record.keep",
            Self::RecordErased(_) => "record.erased",
            Self::ChartPrepare(_) => "chart.prepare",
            Self::BreakGlass(_) => "access.break_glass",
            Self::EmergencySecond(_) => "access.second",
            Self::EmergencyReview(_) => "access.review",
            Self::CredentialIssue(_) => "credential.issue",
            Self::CredentialSuspend(_) => "credential.suspend",
            Self::CredentialReinstate(_) => "credential.reinstate",
            Self::CredentialRevoke(_) => "credential.revoke",
            Self::CaseOpen(_) => "case.open",
            Self::CaseDecide(_) => "case.decide",
            Self::CaseExtend(_) => "case.extend",
            Self::CaseState(_) => "case.state",
            Self::CaseAcknowledge(_) => "case.acknowledge",
            Self::GuardianSet(_) => "guardian.set",
            Self::RecoveryStart(_) => "recovery.start",
            Self::RecoveryApprove(_) => "recovery.approve",
            Self::RecoveryWithdraw(_) => "recovery.withdraw",
            Self::RecoveryVeto(_) => "recovery.veto",
            Self::RecoveryFinish(_) => "recovery.finish",
            Self::ProxyAdd(_) => "proxy.add",
            Self::ProxyEnd(_) => "proxy.end",
            Self::ChartMinor(_) => "chart.minor",
            Self::ChartClose(_) => "chart.close",
            Self::EmergencyClose(_) => "access.close",
            Self::RecordRetract(_) => "record.retract",
            Self::RecordWithdraw(_) => "record.withdraw",
            Self::MatchEvaluate(_) => "match.evaluate",
            Self::LinkPropose(_) => "link.propose",
            Self::LinkConfirm(_) => "link.confirm",
            Self::LinkReverse(_) => "link.reverse",
            Self::OrganisationExpel(_) => "organisation.expel",
            Self::OrganisationRotate(_) => "organisation.rotate",
            Self::MotionOpen(_) => "motion.open",
            Self::MotionApprove(_) => "motion.approve",
            Self::MotionWithdraw(_) => "motion.withdraw",
            Self::ReshareReady(_) => "reshare.ready",
            Self::ReshareDeal(_) => "reshare.deal",
            Self::ReshareCheck(_) => "reshare.check",
            Self::ReshareOpen(_) => "reshare.open",
            Self::ReshareConfirm(_) => "reshare.confirm",
        }
    }
}

/// What is signed.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Command {
    /// [`COMMAND_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The consortium it is for.
    #[n(1)]
    pub chain: ChainId,
    /// Random, and used once.
    #[n(2)]
    pub id: CommandId,
    /// Block times at which it may be decided; at most [`Payload::window_ms_max`] of them.
    #[n(3)]
    pub window: Window,
    /// Who signs: first whoever acts, then whoever else the command needs.
    #[n(4)]
    pub signers: List<Party, SIGNERS_MAX>,
    /// What is asked.
    #[n(5)]
    pub payload: Payload,
    /// Of which transaction it is a part; a command on its own is of none.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// Which part of which transaction a command is. One that exists has a place among 2 to [`TRANSACTION_COMMANDS_MAX`].
#[derive(Clone, Copy, Debug, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(try_from = "AnyPart")]
pub struct Part {
    #[n(0)]
    transaction: TransactionId,
    #[n(1)]
    place: u16,
    #[n(2)]
    parts: u16,
}

/// No part of any transaction.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "there is no place {place} among {parts}: a transaction has 2 to {TRANSACTION_COMMANDS_MAX} parts, whose places count from 0"
)]
pub struct NotAPart {
    /// The place, counted from 0.
    pub place: u16,
    /// How many there would be.
    pub parts: u16,
}

impl Part {
    /// The part at `place` of a transaction of so many `parts`, counted from 0.
    pub const fn new(transaction: TransactionId, place: u16, parts: u16) -> Result<Self, NotAPart> {
        if parts < 2 || parts as usize > TRANSACTION_COMMANDS_MAX || place >= parts {
            return Err(NotAPart { place, parts });
        }
        Ok(Self { transaction, place, parts })
    }

    /// The transaction.
    pub const fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// Where it stands, counted from 0.
    pub const fn place(&self) -> u16 {
        self.place
    }

    /// How many there are, this one included.
    pub const fn parts(&self) -> u16 {
        self.parts
    }
}

/// A part as it was written, whatever it says.
#[derive(Decode, Deserialize)]
struct AnyPart {
    #[n(0)]
    transaction: TransactionId,
    #[n(1)]
    place: u16,
    #[n(2)]
    parts: u16,
}

impl TryFrom<AnyPart> for Part {
    type Error = NotAPart;

    fn try_from(AnyPart { transaction, place, parts }: AnyPart) -> Result<Self, NotAPart> {
        Self::new(transaction, place, parts)
    }
}

impl<'b, C> Decode<'b, C> for Part {
    fn decode(d: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let any: AnyPart = d.decode_with(context)?;
        any.try_into().map_err(|_| decode::Error::message("no place among the parts").at(at))
    }
}

impl Payload {
    /// How long the window of a command that asks this may be, in milliseconds of block time.
    ///
    /// A record's id follows from its command's window, so the window begins before the body is sent and ends
    /// after it: it may be the longer, the more there is to send.
    pub const fn window_ms_max(&self) -> u64 {
        if let Self::RecordAdd(it) = self {
            return window_ms_max_of(it.sealed_bytes);
        }
        COMMAND_WINDOW_MS_MAX
    }
}

/// How long the window may be of the command that adds a body of so many sealed bytes.
pub const fn window_ms_max_of(sealed_bytes: u64) -> u64 {
    // No body is larger, whatever the command claims.
    let sealed_bytes =
        if sealed_bytes < SEALED_BYTES_MAX { sealed_bytes } else { SEALED_BYTES_MAX };
    COMMAND_WINDOW_MS_MAX + sealed_bytes / UPLOAD_BYTES_PER_MS
}

/// One signer's signature over a command.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CommandSignature {
    /// The algorithms.
    #[n(0)]
    pub suite: Suite,
    /// The key. The ledger checks that it is the signer's at the height of execution.
    #[n(1)]
    pub key: PublicKey,
    /// The signature over the command's digest.
    #[n(2)]
    pub signature: Signature,
}

/// A command with the signatures of its signers, in their order.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct SignedCommand {
    /// What is signed.
    #[n(0)]
    pub command: Command,
    /// By whom.
    #[n(1)]
    pub signatures: List<CommandSignature, SIGNERS_MAX>,
}

impl SignedCommand {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::decode(bytes, COMMAND_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        crate::encode(self)
    }
}

/// What a block carries: entries of the genesis file in block 1, signed commands after it.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// An entry of the genesis file, authorised by everyone who accepts that file.
    #[n(0)]
    Genesis(#[n(0)] Payload),
    /// A signed command.
    #[n(1)]
    Signed(#[n(0)] SignedCommand),
}

impl Entry {
    /// What is asked.
    pub const fn payload(&self) -> &Payload {
        match self {
            Self::Genesis(payload) => payload,
            Self::Signed(signed) => &signed.command.payload,
        }
    }
}
