//! Errors, split by whose fault they are; each says what to do next.
//!
//! ```text
//! Usage     the caller            Node      a node that does not answer, or refuses
//! File      this computer         Proof     a node whose answer does not hold
//! Key       who holds which key   Custody   custodians, named with the record
//! Ledger    the rules said no     Release   validators, named where they are at fault
//!                                 Trustees  trustees, named where they are at fault
//! ```

use keepwell_crypto::{
    escrow::EscrowFault,
    grant::SEEDS_MAX,
    matching::EvaluationRefusal,
    release::{CollectError, ShareFault},
    sd_jwt::SdJwtError,
    seal::{OpenError, SealError},
    threshold::TooFewShares,
    trustee::AnswerFault,
};
use keepwell_types::{
    id::{
        CaseId, ChartId, Compartment, Digest, Epoch, GrantId, GroupId, LinkId, Location,
        LogPosition, MemberId, OrganisationId, RecordId, RequestId,
    },
    limits::{
        CREDENTIAL_SCOPE_BYTES_MAX, NAME_BYTES_MAX, TEAM_MEMBERS_MAX, TRANSACTION_BYTES_MAX,
        TRANSACTION_COMMANDS_MAX,
    },
    outcome::Rejection,
    signoff::Meaning,
    wire::SEED_TABLE_MAX,
};
use thiserror::Error;

use crate::{
    identity::FileError,
    node::{Endpoint, NodeError, NodeFault},
    verify::ProofError,
};

/// What went wrong, by whose fault.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The caller's.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// Files of this computer.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key that is missing or does not fit.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A node that does not answer, or refuses.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A node whose answer does not hold.
    #[error(transparent)]
    Proof(Box<ProofError>),
    /// Every node that was asked could not answer.
    #[error("no node could answer: {}", list(.0))]
    NoNode(Vec<ClientError>),
    /// The rules said no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Custodians.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// Validators.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// Trustees.
    #[error(transparent)]
    Trustees(#[from] TrusteeError),
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl From<ProofError> for ClientError {
    fn from(error: ProofError) -> Self {
        Self::Proof(Box::new(error))
    }
}

impl ClientError {
    /// Whether another node, or the same one in a moment, may answer.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Node(error) => error.fault.may_pass(),
            Self::Proof(error) => error.fault.is_lateness(),
            Self::Usage(_)
            | Self::File(_)
            | Self::Key(_)
            | Self::NoNode(_)
            | Self::Ledger(_)
            | Self::Custody(_)
            | Self::Trustees(_)
            | Self::Release(_) => false,
        }
    }
}

/// What the caller did wrong.
#[derive(Debug, Error)]
pub enum UsageError {
    /// No node was named.
    #[error("no node is named; give the address of at least one")]
    NoNodes,
    /// Not an address.
    #[error(
        "{url} is not the address of a node; it looks like https://node.example.org:7441#sha256=KEY, as the node's operator has it, or like http://127.0.0.1:7441 on this computer"
    )]
    Address {
        /// What was given.
        url: String,
    },
    /// An address that is not of this computer.
    #[error(
        "{url} is not an address of this computer, and requests would travel in the open; ask the node's operator for its address that begins with https://"
    )]
    NotLoopback {
        /// What was given.
        url: String,
    },
    /// The system has no list of authorities.
    #[error(
        "this computer has no list of certificate authorities that can be used ({reason}); install one (ca-certificates), or name the node's key in its address (#sha256=...)"
    )]
    NoAuthorities {
        /// Why.
        reason: String,
    },
    /// No address is known.
    #[error("no address is known of a node of organisation {0}; add one")]
    NoAddress(OrganisationId),
    /// The chart is not on the ledger.
    #[error("chart {0} is not on the ledger; check its id")]
    NoSuchChart(ChartId),
    /// The organisation is not on the ledger.
    #[error("organisation {0} is not on the ledger; check its id")]
    NoSuchOrganisation(OrganisationId),
    /// The member is not on the ledger.
    #[error("member {0} is not on the ledger; check its id, or ask its organisation to enrol it")]
    NoSuchMember(MemberId),
    /// The grant is not on the ledger.
    #[error("grant {0} is not in this chart; check its id")]
    NoSuchGrant(GrantId),
    /// No record at that position has a sign-off.
    #[error("no record at position {0} needs approvals; see `keepwell record list`")]
    NotProposed(LogPosition),
    /// No seat of the rule is one that the signer could take with this meaning.
    #[error(
        "the sign-off has no free seat where this signer could say {0}; see its rule with `keepwell record signatures`"
    )]
    NoSeat(Meaning),
    /// Nobody could speak for the organisation, or one could for two.
    #[error(
        "an organisation has one to eight administrators' keys, none twice, of which at least one and at most all must sign"
    )]
    UnsoundAdministrators,
    /// More parties than can sign one command.
    #[error("at most 16 parties sign one command; let administrators approve a motion instead")]
    TooManySigners,
    /// More commands than one transaction has, or none.
    #[error(
        "a transaction has 1 to {TRANSACTION_COMMANDS_MAX} commands and these are {given}; send them in several"
    )]
    TransactionCommands {
        /// How many there are.
        given: usize,
    },
    /// More bytes than one transaction has.
    #[error(
        "the commands have {given} bytes, and those of one transaction {TRANSACTION_BYTES_MAX} at most; send them in several"
    )]
    TransactionBytes {
        /// How many they have.
        given: usize,
    },
    /// The group is not on the ledger.
    #[error("group {0} is not on the ledger; check its id, or ask its organisation to form it")]
    NoSuchGroup(GroupId),
    /// No record stands there.
    #[error(
        "no record stands at position {0} of this chart's log; `keepwell record list` shows where records stand"
    )]
    NoSuchRecord(LogPosition),
    /// A command that is not about grants or care teams.
    #[error(
        "only what is given, limited or revoked in a chart, and its care teams, can be tried out"
    )]
    NotForTrial,
    /// No node has the member's public key.
    #[error(
        "no node has the public key of member {0}; ask the member for its file, or its organisation to publish it"
    )]
    NoMemberKey(MemberId),
    /// The request is not on the ledger.
    #[error("request {0} is not in this chart; check its id")]
    NoSuchRequest(RequestId),
    /// The case is not on the ledger.
    #[error("case {0} is not in this chart; see `keepwell case list`")]
    NoSuchCase(CaseId),
    /// Who is to answer is of another organisation.
    #[error(
        "member {0} is not of the chart's organisation, which has to answer; name a privacy officer of it"
    )]
    NotOfChart(MemberId),
    /// The case is about the chart as a whole.
    #[error(
        "case {0} is about no record, so that a statement could go with none; answer in another way"
    )]
    NoRecordOfCase(CaseId),
    /// A credential that does not count.
    #[error("the credential does not count: {0}")]
    Credential(#[from] SdJwtError),
    /// A credential without an end.
    #[error(
        "the credential says no end (exp), and what a board issues has one; ask for one with an end"
    )]
    EndlessCredential,
    /// A nonce that was not drawn for this member.
    #[error(
        "the nonce was not drawn for member {0}; draw one with `keepwell credential ask`, and ask the holder again"
    )]
    OtherNonce(MemberId),
    /// Where a credential holds is written too long.
    #[error(
        "where or for what a credential holds is written in {CREDENTIAL_SCOPE_BYTES_MAX} bytes at most, such as US-CA"
    )]
    Scope,
    /// More grants in force than a rotation has room for.
    #[error(
        "a rotation seals keys for {SEED_TABLE_MAX} grants at most; revoke some that are not needed"
    )]
    TooManyGrantees,
    /// Too many members for a care team.
    #[error("a care team has {TEAM_MEMBERS_MAX} members at most; arrange two of them")]
    TooManyInTeam,
    /// The wallet has no such chart.
    #[error("this wallet or key agent has no chart {0}; claim it, or use the one that has it")]
    UnknownChart(ChartId),
    /// The wallet has the chart already.
    #[error("this wallet has chart {0} already")]
    ChartKnown(ChartId),
    /// No compartment is called so.
    #[error("no compartment of this chart is called {name}; it has: {}", .known.join(", "))]
    NoSuchMeaning {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Meanings that do not fit the compartments of a chart.
    #[error(
        "a chart has 16 compartments, 4 of them for separate consent, and each has one name of at most 64 bytes; the names given do not fit"
    )]
    Meanings,
    /// Too many custodians or contributors.
    #[error("a chart names 8 custodians and 16 contributors at most")]
    Arrangement,
    /// The content is not as long as was said.
    #[error("the content has {} bytes than the {expected} that were announced; it changed while it was read", if *.more { "more" } else { "fewer" })]
    ContentLength {
        /// Announced.
        expected: u64,
        /// Whether there is more.
        more: bool,
    },
    /// The content could not be read.
    #[error("the content cannot be read: {0}")]
    Content(#[source] std::io::Error),
    /// What was opened could not be written.
    #[error("what was opened cannot be written: {0}")]
    Output(#[source] std::io::Error),
    /// Nothing could be sealed so.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A stretch that is not in the record.
    #[error("the record has {content_bytes} bytes; bytes {from} to {until} are not in it")]
    Range {
        /// Length of the record's content.
        content_bytes: u64,
        /// First byte asked for.
        from: u64,
        /// First byte not asked for.
        until: u64,
    },
    /// More names than one command carries.
    #[error(
        "{given} records are named and one access or grant names {max} at most; name compartments instead"
    )]
    TooManyRecords {
        /// Given.
        given: usize,
        /// Allowed.
        max: usize,
    },
    /// More seeds than one grant carries.
    #[error(
        "the compartments have more than {} epochs together; grant fewer compartments at once",
        SEEDS_MAX
    )]
    TooManyEpochs,
    /// The public key given for a member is not the one on the ledger.
    #[error(
        "the key given for the grantee is not the one on the ledger; get the key from the grantee again"
    )]
    OtherGranteeKey,
    /// A member's grant without its key, or one that is to be sealed to somebody else.
    #[error(
        "the key of a grant is sealed to its member, or to a key agent of its organisation; name that one"
    )]
    NoGranteeKey,
    /// The consortium has no trustees.
    #[error("this consortium's genesis file names no trustees: nothing can be left to emergencies")]
    NoTrustees,
    /// A name that does not fit.
    #[error("a trustee's public name has at most {NAME_BYTES_MAX} bytes; choose a shorter one")]
    TrusteeName,
    /// Nothing was left.
    #[error("chart {0} leaves nothing to emergencies; ask whoever controls it for a grant")]
    NotPrepared(ChartId),
    /// Only members break the glass.
    #[error("only a member opens in an emergency; act as the clinician who broke the glass")]
    NotAMember,
    /// Nothing could be shared out so.
    #[error("the keys cannot be shared out among the trustees: {0}")]
    Escrow(EscrowFault),
    /// A folder of no documents.
    #[error("there are no documents to anchor; name a folder with files in it")]
    NoDocuments,
    /// The same document path twice, or too many documents.
    #[error("an anchor has 1 to {max} documents, not {given}")]
    TooManyDocuments {
        /// Given.
        given: u64,
        /// Allowed.
        max: u64,
    },
    /// The wallet acts in the chart, and does not control it.
    #[error("this wallet is a proxy in chart {0}, and only whoever controls it does this")]
    NotController(ChartId),
    /// An offer that cannot be used here.
    #[error(
        "the offer was changed, or made for another chart or consortium; ask for one for chart {0}"
    )]
    Offer(ChartId),
    /// Guardians who can never approve together.
    #[error(
        "the guardians can never approve together, are too many, or one is named twice: name 1 to 4 groups of 16 guardians in all, and numbers that they can reach"
    )]
    Guardians,
    /// Nobody guards the chart, or not with these keys.
    #[error(
        "chart {0} has no guardians, or not with these keys; its patient names them with `keepwell guardian set`"
    )]
    NoGuardians(ChartId),
    /// No recovery waits for these keys.
    #[error(
        "no recovery of chart {0} waits for these keys; a guardian starts one with `keepwell recover start`"
    )]
    NoRecovery(ChartId),
    /// No key for matching.
    #[error("this consortium has no matching: its genesis file names no committee for it")]
    NoMatching,
    /// Tokens of different programmes say nothing of each other.
    #[error(
        "the tokens are of programme {theirs} and yours of {ours}; compare those of one programme and purpose, in one consortium"
    )]
    OtherProgramme {
        /// Of one's own tokens.
        ours: String,
        /// Of the others.
        theirs: String,
    },
    /// More persons than one book or sheet has.
    #[error("a book of tokens has {max} persons at most; begin another one")]
    TooManyPersons {
        /// The limit.
        max: usize,
    },
    /// More links, or more about one link, than one book has.
    #[error("the book of links has room for {max} of these and no more; begin another book")]
    BookFull {
        /// The limit.
        max: usize,
    },
    /// A letter for someone else, or one that was changed.
    #[error(
        "this is no letter of that kind to you, or it was changed on its way; ask whoever wrote it for another"
    )]
    Letter,
    /// More than a letter carries.
    #[error("a letter carries {max} bytes at most; send less in one")]
    LetterTooLong {
        /// The limit.
        max: usize,
    },
    /// Whoever wrote a letter may not act.
    #[error(
        "member {0}, who wrote this letter, is suspended; ask the organisation who acts for it"
    )]
    SuspendedWriter(MemberId),
    /// The link is not on the ledger.
    #[error("link {0} is not on the ledger; check its id")]
    NoSuchLink(LinkId),
    /// The link is not in the book.
    #[error("link {0} is not in this book of links; name the book of whoever confirmed it")]
    UnknownLink(LinkId),
    /// The book has the link already, with another chart.
    #[error(
        "link {0} is in this book already, with another chart or organisation; reverse it if that was wrong"
    )]
    LinkKnown(LinkId),
    /// What a letter says of a link is not what the ledger has of it.
    #[error(
        "what the letter says of link {0} is not what the ledger commits to; do not confirm it, and tell whoever wrote it"
    )]
    LinkMismatch(LinkId),
    /// A consent for something else, or by another key.
    #[error(
        "the file is no word of the patient about link {0}, or not signed with the key of that chart; ask the patient for another"
    )]
    NotThePatient(LinkId),
    /// Bytes that are not the file that was asked for.
    #[error("this is not {what}: {error}")]
    NotA {
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        error: keepwell_types::DecodeError,
    },
}

/// A key that is missing, or does not fit.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum KeyError {
    /// No seed opens the record.
    #[error("you hold no key of compartment {} at epoch {epoch}; ask the patient for a grant of it", .compartment.index())]
    NoSeed {
        /// The compartment.
        compartment: Compartment,
        /// The generation of its key.
        epoch: Epoch,
    },
    /// The seeds of a grant do not open.
    #[error(
        "the sealed keys of grant {grant} do not open with your key under the terms you were given: the terms were changed, or the grant is not for you ({error})"
    )]
    Seeds {
        /// The grant.
        grant: GrantId,
        /// How they fail.
        error: OpenError,
    },
    /// A grant whose keys go by letter.
    #[error(
        "grant {0} brings no keys with it: ask whoever gave it for a letter with them (`keepwell grant keys`), and open with that"
    )]
    GrantWithoutKeys(GrantId),
    /// The capsule does not open.
    #[error(
        "the capsule of record {record} does not open with the key of its compartment: its author sealed it to another key ({error})"
    )]
    Capsule {
        /// The record.
        record: RecordId,
        /// How it fails.
        error: OpenError,
    },
    /// A record that is sealed as its author sealed it, and wrong.
    #[error(
        "record {record} was sealed wrongly by its author's software ({error}); ask the author to add it again"
    )]
    Author {
        /// The record.
        record: RecordId,
        /// What is wrong.
        error: OpenError,
    },
    /// The key of a case is not for whoever asks.
    #[error(
        "the words of case {case} are not sealed to you ({error}): they were handed to others, or the chart was claimed since; ask the patient to open the case again and to name you"
    )]
    Case {
        /// The case.
        case: CaseId,
        /// How it fails.
        error: OpenError,
    },
    /// What guardians hold together cannot be had.
    #[error("what the guardians hold cannot be opened: {0}")]
    Escrow(EscrowFault),
    /// The letter does not open with the wallet's keys.
    #[error(
        "the letter is for other keys than this wallet's; the patient seals one to the offer that you made"
    )]
    ProxyLetter,
    /// The letter does not open with the code.
    #[error(
        "the claim letter does not open with this code; check the code, and that both are for one chart"
    )]
    Letter,
    /// The sheet is the one on the ledger, and its epochs are not: the fault of whoever controls the chart.
    #[error("the key sheet has compartment {} at epoch {given}, the ledger at {expected}; the chart's controller must publish the right sheet", .compartment.index())]
    SheetEpoch {
        /// The compartment.
        compartment: Compartment,
        /// The sheet's.
        given: Epoch,
        /// The ledger's.
        expected: Epoch,
    },
    /// The key sheet on the ledger is not made of the holder's keys at the epochs on the ledger.
    #[error(
        "the ledger commits chart {0} to another key sheet than yours: a compartment was rotated after the claim letter was written; rotate all compartments, which publishes a new sheet"
    )]
    StaleSheet(ChartId),
    /// The code is not the one on the ledger.
    #[error(
        "the code is not the one that chart {0} can be claimed with, or it was claimed already; ask the organisation for a new one"
    )]
    ClaimCode(ChartId),
}

/// What the rules of the ledger refused. The refusal stands on the ledger.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LedgerError {
    /// A command.
    #[error("refused: {rejection} (entry {} of block {})", .at.index, .at.height)]
    Rejected {
        /// Why.
        rejection: Rejection,
        /// Where the refusal stands.
        at: Location,
    },
    /// A part of a transaction, and with it all others.
    #[error("command {place} of the transaction refused, counted from 0, and nothing of it took effect: {rejection} (entry {} of block {})", .at.index, .at.height)]
    RejectedPart {
        /// Which one, counted from 0.
        place: usize,
        /// Why.
        rejection: Rejection,
        /// Where the refusal stands.
        at: Location,
    },
    /// The entry is not where the node should have shown it.
    #[error(
        "the command is final and its place in the chart's log is not shown to you; ask the chart's organisation"
    )]
    NoPosition,
}

/// What is wrong with what custodians store or serve.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum CustodyError {
    /// Too few custodians took an object.
    #[error("{stored} custodians stored {object} and {needed} must: {}; try again, or name other custodians for the chart", list(.faults))]
    TooFew {
        /// The object.
        object: SealedObject,
        /// How many did.
        stored: usize,
        /// How many must.
        needed: usize,
        /// Why others did not.
        faults: Vec<CustodyFault>,
    },
    /// No custodian could give an object.
    #[error("no custodian gave {object} as it was sealed: {}", list(.faults))]
    Unreadable {
        /// The object.
        object: SealedObject,
        /// What each one did.
        faults: Vec<CustodyFault>,
    },
}

/// What lies at custodians.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SealedObject {
    /// A record's body and capsule.
    Record(RecordId),
    /// A chart's key sheet.
    Sheet(Digest),
    /// The seeds of a grant.
    Seeds(Digest),
    /// Words of a case.
    Words(Digest),
    /// What guardians hold, or a share of it.
    Shares(Digest),
    /// What a chart leaves to emergencies.
    Escrow(Digest),
}

impl std::fmt::Display for SealedObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record(record) => write!(f, "record {record}"),
            Self::Sheet(digest) => write!(f, "key sheet {digest}"),
            Self::Seeds(digest) => write!(f, "sealed keys {digest}"),
            Self::Words(digest) => write!(f, "sealed words {digest}"),
            Self::Shares(digest) => write!(f, "guardians' shares {digest}"),
            Self::Escrow(digest) => write!(f, "the keys left to emergencies, {digest}"),
        }
    }
}

/// What one custodian did with one object.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("custodian {custodian}, {object}: {problem}")]
pub struct CustodyFault {
    /// The custodian.
    pub custodian: OrganisationId,
    /// The object.
    pub object: SealedObject,
    /// What it did.
    pub problem: CustodyProblem,
}

/// What is wrong with what a custodian stores or serves.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum CustodyProblem {
    /// It could not be asked, or it refused.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// No address is known.
    #[error("no address of it is known")]
    NoAddress,
    /// It says that it stored something else.
    #[error(
        "it says that it stored something else than it was sent; its disk or its software is at fault"
    )]
    OtherContent,
    /// Its acknowledgement is not by its key on the ledger, or over something else.
    #[error(
        "its acknowledgement is not signed with its key on the ledger, or is for another object"
    )]
    Acknowledgement,
    /// What it gave is not what the ledger names.
    #[error("it gave something else than the ledger names")]
    OtherObject,
    /// It has no capsule of the record.
    #[error("it has no capsule of the record, and without one its body is noise")]
    NoCapsule,
    /// Its capsule is not the one on the ledger.
    #[error("its capsule is not the one that the ledger commits to")]
    Capsule,
    /// The capsule is the one on the ledger, and was made for something else: the author's fault.
    #[error("the author committed a capsule that was made for another record")]
    ForeignCapsule,
    /// The header of the body.
    #[error("the header of the body is damaged ({0})")]
    Header(OpenError),
    /// A part of the body.
    #[error("chunk {index} of the body is damaged or was replaced")]
    Chunk {
        /// Which, counted from 0.
        index: u32,
    },
    /// The body is shorter than the label says.
    #[error("the body ends in chunk {index}")]
    CutOff {
        /// Which, counted from 0.
        index: u32,
    },
}

/// Why validators did not release.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ReleaseError {
    /// Too few good shares.
    #[error("{shares}: {}", list(.faults))]
    TooFew {
        /// How many were good.
        shares: TooFewShares,
        /// What the others did.
        faults: Vec<ValidatorFault>,
    },
    /// The request itself.
    #[error(transparent)]
    Request(#[from] CollectError),
    /// The request of an evaluation itself.
    #[error(transparent)]
    Evaluation(#[from] EvaluationRefusal),
}

/// What one validator did with a request for a release.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("validator of organisation {organisation}: {problem}")]
pub struct ValidatorFault {
    /// Whose validator.
    pub organisation: OrganisationId,
    /// What it did.
    pub problem: ValidatorProblem,
}

impl ValidatorFault {
    /// Whether the validator's own signature shows that it lied.
    pub fn is_proven(&self) -> bool {
        match &self.problem {
            ValidatorProblem::Share(fault) => fault.culprit().is_some(),
            ValidatorProblem::Node(_)
            | ValidatorProblem::NoAddress
            | ValidatorProblem::Garbled(_) => false,
        }
    }
}

/// What is wrong with a validator's answer.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ValidatorProblem {
    /// It could not be asked, or it refused.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// No address is known.
    #[error("no address of it is known")]
    NoAddress,
    /// Not an answer.
    #[error("{0} sent something that is not an answer")]
    Garbled(Endpoint),
    /// An answer that does not count.
    #[error(transparent)]
    Share(#[from] ShareFault),
}

/// Why trustees did not give the keys that were left to an emergency.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TrusteeError {
    /// Too few good answers.
    #[error("{have} trustees gave their shares and {need} must: {}", list(.faults))]
    TooFew {
        /// How many did.
        have: usize,
        /// How many must.
        need: usize,
        /// What the others did.
        faults: Vec<TrusteeFault>,
    },
    /// Good shares that give no keys.
    #[error("what the chart leaves to emergencies cannot be opened: {0}")]
    Escrow(EscrowFault),
}

/// What one trustee did with a request.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("trustee {trustee} ({name}): {problem}")]
pub struct TrusteeFault {
    /// Which, counted from 1 in the order of the genesis file.
    pub trustee: u16,
    /// Its public name.
    pub name: String,
    /// What it did.
    pub problem: TrusteeProblem,
}

impl TrusteeFault {
    /// Whether the trustee's own signature shows that it lied.
    pub const fn is_proven(&self) -> bool {
        match &self.problem {
            TrusteeProblem::Answer(fault) => fault.culprit().is_some(),
            TrusteeProblem::NoAddress | TrusteeProblem::Node(_) => false,
        }
    }
}

/// What is wrong with a trustee's answer.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TrusteeProblem {
    /// No address is known.
    #[error("no address of it is known; add one to the profile")]
    NoAddress,
    /// It could not be asked, or it refused.
    #[error(transparent)]
    Node(NodeFault),
    /// An answer that does not count.
    #[error(transparent)]
    Answer(#[from] AnswerFault),
}
