//! The encoding of every command is frozen: a change that breaks old blocks breaks this test.
//!
//! `KEEPWELL_VECTORS=write cargo test -p keepwell-types --test vectors` adds what is new; a line that
//! is there already is never rewritten in a release.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use keepwell_types::{
    access::{
        AccessOpen, BreakGlass, EmergencyClose, EmergencyReason, EmergencyReview, EmergencySecond,
        Finding, Purpose, RecordName, Target,
    },
    anchor::AnchorAdd,
    block::{Certificate, HEADER_VERSION, Header, Round, SyncTarget, Vote},
    case::{
        CaseAcknowledge, CaseDecide, CaseDecision, CaseExtend, CaseKind, CaseOpen, CaseStatement,
        DenialGround,
    },
    chart::{
        ChartArrange, ChartClaim, ChartKeys, ChartOpen, ChartPrepare, ClaimTicket,
        CompartmentRotate,
    },
    command::{COMMAND_VERSION, Command, CommandSignature, Part, Payload, SignedCommand},
    credential::{CredentialIssue, CredentialKind, CredentialStanding},
    decode, encode,
    encoding::{Blob, List, Text},
    genesis::{CommitteeKeys, Validator},
    grant::{
        Answer, Effect, GrantAnswer, GrantGive, GrantLimit, GrantPass, GrantRequest, GrantRevoke,
        GrantRevokeOrganisation, GrantTerms, GrantWithdraw, Grantee, RefusalReason, RequestReason,
        TeamArrange,
    },
    guardian::{
        Guardian, GuardianGroup, GuardianPolicy, GuardianSet, RecoveryApprove, RecoveryEnd,
        RecoveryFinish, RecoveryGround, RecoveryStart,
    },
    id::*,
    link::{Confirmation, LinkConfirm, LinkPropose, LinkReversal, LinkReverse},
    matching::MatchEvaluate,
    member::{
        Administrators, GroupForm, MemberAssign, MemberEnrol, MemberRotate, MemberStanding,
        OrganisationAdmit, OrganisationKind, OrganisationRotate, OrganisationStanding, Party, Role,
    },
    motion::{Act, MotionApprove, MotionOpen, MotionWithdraw},
    outcome::{Outcome, Rejection, Verdict},
    protocol::Upgrade,
    proxy::{ChartClose, ChartMinor, ProxyAdd, ProxyEnd, ProxyTerms},
    record::{
        Amended, CustodyAcknowledgement, CustodyStatement, Label, RecordAdd, RecordApprove,
        RecordErased, RecordKeep, RecordKind, RecordRedact, RecordRestrict, RecordRetract,
        RecordWithdraw, RedactionGround,
    },
    set::{CompartmentSet, KindSet, PowerSet, PurposeSet, RestrictionSet, RoleSet},
    signoff::{ApprovalRule, Meaning},
    time::{BlockTime, Window},
    validators::{
        Change, Complaint, KeyUse, OpenShare, ReshareCheck, ReshareConfirm, ReshareDeal,
        ReshareOpen, ReshareReady, Seat, ValidatorCard, ValidatorSet,
    },
    wire::{
        AccessPage, CapsuleAnswer, CapsuleRequest, LogPage, MatchAnswer, MatchRequest, OpenedPage,
        PlacedReceipt, ReleaseAnswer, ReleaseItem, ReleaseRequest, Request, SeedTable,
        SeedTableLine, SignedRequest, StateProof, StoredBlock, StoredBlocks, TransactionParts,
        TransactionReceipts, TrusteeRequest,
    },
};

const CHART: ChartId = ChartId([1; 32]);
const ORGANISATION: OrganisationId = OrganisationId([2; 16]);
const MEMBER: MemberId = MemberId([3; 16]);
const GRANT: GrantId = GrantId([4; 16]);
const GROUP: GroupId = GroupId([21; 16]);
const REQUEST: RequestId = RequestId([23; 16]);
const CASE: CaseId = CaseId([26; 16]);
const PROXY: ProxyId = ProxyId([27; 16]);
const LINK: LinkId = LinkId([27; 16]);
const MOTION: MotionId = MotionId([28; 16]);
const CREDENTIAL: CredentialId = CredentialId([25; 16]);
const DIGEST: Digest = Digest([5; 32]);
const KEY: PublicKey = PublicKey([6; 32]);
const WINDOW: Window = Window { from: BlockTime(1_000), until: BlockTime(2_000) };
const NAME: RecordName = RecordName { position: LogPosition(7), record: RecordId([8; 32]) };
const KEYS: ChartKeys = ChartKeys { signing: KEY, sealing: DIGEST, sheet: DIGEST };

fn list<T, const MAX: usize>(items: Vec<T>) -> List<T, MAX> {
    List::from_vec(items).unwrap()
}

fn terms() -> GrantTerms {
    GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Role { organisation: ORGANISATION, role: Role::Clinician },
        compartments: CompartmentSet::from_bits(0b101).unwrap(),
        kinds: KindSet::EMPTY.with(RecordKind::Result),
        records: list(vec![NAME]),
        purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
        window: WINDOW,
        accesses_max: Some(3),
        separate_consent: false,
        onward: true,
    }
}

fn administrators() -> Administrators {
    Administrators { keys: list(vec![KEY, PublicKey([7; 32])]), needed: 2 }
}

fn organisation_rotate() -> OrganisationRotate {
    OrganisationRotate {
        organisation: ORGANISATION,
        administrators: administrators(),
        custodian: None,
        overlap_until: Some(BlockTime(9_000)),
    }
}

fn payloads() -> Vec<Payload> {
    vec![
        Payload::OrganisationAdmit(OrganisationAdmit {
            organisation: ORGANISATION,
            kind: OrganisationKind::Laboratory,
            name: Text::from_string("Labor Zürich".into()).unwrap(),
            administrators: administrators(),
            custodian: Some(KEY),
        }),
        Payload::OrganisationSuspend(OrganisationStanding { organisation: ORGANISATION }),
        Payload::OrganisationReinstate(OrganisationStanding { organisation: ORGANISATION }),
        Payload::MemberEnrol(MemberEnrol {
            member: MEMBER,
            organisation: ORGANISATION,
            signing: KEY,
            sealing: DIGEST,
            roles: RoleSet::EMPTY.with(Role::Nurse),
        }),
        Payload::MemberRotate(MemberRotate {
            member: MEMBER,
            signing: KEY,
            sealing: DIGEST,
            overlap_until: Some(BlockTime(9_000)),
        }),
        Payload::MemberAssign(MemberAssign {
            member: MEMBER,
            roles: RoleSet::all(),
            groups: list(vec![GROUP]),
        }),
        Payload::MemberSuspend(MemberStanding { member: MEMBER }),
        Payload::MemberReinstate(MemberStanding { member: MEMBER }),
        Payload::ChartOpen(ChartOpen {
            chart: CHART,
            keys: KEYS,
            separate_consent: CompartmentSet::from_bits(0b1111).unwrap(),
            custodians: list(vec![ORGANISATION]),
            contributors: list(vec![ORGANISATION]),
            claim: Some(ClaimTicket { key: KEY, until: BlockTime(9_000) }),
        }),
        Payload::ChartClaim(ChartClaim { chart: CHART, keys: KEYS, inherited: DIGEST }),
        Payload::ChartArrange(ChartArrange {
            chart: CHART,
            custodians: list(vec![ORGANISATION]),
            contributors: List::new(),
            claim: Some(ClaimTicket { key: KEY, until: BlockTime(9_000) }),
        }),
        Payload::CompartmentRotate(CompartmentRotate {
            chart: CHART,
            compartments: CompartmentSet::all(),
            sheet: DIGEST,
            seeds: DIGEST,
        }),
        Payload::RecordAdd(RecordAdd {
            chart: CHART,
            compartment: Compartment::new(9).unwrap(),
            epoch: Epoch(1),
            kind: RecordKind::Imaging,
            commitment: Commitment([9; 32]),
            sealed_bytes: 1 << 33,
            custody: list(vec![CustodyAcknowledgement {
                custodian: ORGANISATION,
                key: KEY,
                signature: Signature([10; 64]),
                until: BlockTime(9_000),
            }]),
            approval: Some(rule()),
            uniqueness: Some(UniquenessTag([11; 32])),
            amends: Some(Amended { record: NAME, version: Version(2) }),
        }),
        Payload::RecordApprove(RecordApprove {
            chart: CHART,
            record: NAME,
            commitment: Commitment([9; 32]),
            meaning: Meaning::Responsibility,
            seat: 3,
        }),
        Payload::GrantGive(GrantGive { chart: CHART, grant: GRANT, terms: terms(), seeds: DIGEST }),
        Payload::GrantLimit(GrantLimit {
            chart: CHART,
            grant: GRANT,
            compartments: CompartmentSet::EMPTY,
            kinds: KindSet::all(),
            purposes: PurposeSet::all(),
            window: WINDOW,
            accesses_max: None,
        }),
        Payload::GrantRevoke(GrantRevoke { chart: CHART, grant: GRANT }),
        Payload::AccessOpen(AccessOpen {
            chart: CHART,
            target: Target::Records(list(vec![NAME])),
            purpose: Purpose::BreakGlass,
            reader_key: DIGEST,
            notice: 1,
        }),
        Payload::AnchorAdd(AnchorAdd { root: DIGEST, documents: 1_000_000 }),
        Payload::GrantRevokeOrganisation(GrantRevokeOrganisation {
            chart: CHART,
            organisation: ORGANISATION,
        }),
        Payload::GrantPass(GrantPass {
            chart: CHART,
            from: GRANT,
            grant: GrantId([24; 16]),
            terms: GrantTerms { grantee: Grantee::Team(TeamId([22; 16])), ..terms() },
            seeds: DIGEST,
        }),
        Payload::GrantRequest(GrantRequest {
            chart: CHART,
            request: REQUEST,
            terms: GrantTerms { grantee: Grantee::Group(GROUP), ..terms() },
            reason: RequestReason::Referral,
            note: Some(DIGEST),
            until: BlockTime(9_000),
        }),
        Payload::GrantAnswer(GrantAnswer {
            chart: CHART,
            request: REQUEST,
            answer: Answer::Give { grant: GRANT, terms: terms(), seeds: DIGEST },
        }),
        Payload::GrantWithdraw(GrantWithdraw { chart: CHART, request: REQUEST }),
        Payload::TeamArrange(TeamArrange {
            chart: CHART,
            team: TeamId([22; 16]),
            members: list(vec![MEMBER]),
        }),
        Payload::GroupForm(GroupForm {
            group: GROUP,
            organisation: ORGANISATION,
            purposes: PurposeSet::all(),
        }),
        Payload::RecordRestrict(restrict()),
        Payload::RecordLift(restrict()),
        Payload::RecordRedact(RecordRedact {
            chart: CHART,
            record: NAME,
            ground: RedactionGround::PatientWish,
        }),
        Payload::RecordKeep(RecordKeep { chart: CHART, record: NAME }),
        Payload::RecordErased(RecordErased { chart: CHART, record: NAME }),
        Payload::ChartPrepare(ChartPrepare {
            chart: CHART,
            emergency: CompartmentSet::from_bits(0b11).unwrap(),
            escrow: DIGEST,
            ahead: None,
        }),
        Payload::BreakGlass(BreakGlass {
            chart: CHART,
            compartments: CompartmentSet::from_bits(0b1).unwrap(),
            reason: EmergencyReason::Danger,
            until: BlockTime(9_000),
        }),
        Payload::EmergencySecond(EmergencySecond { chart: CHART, emergency: NAME.position }),
        Payload::EmergencyReview(EmergencyReview {
            chart: CHART,
            emergency: NAME.position,
            finding: Finding::Unjustified,
        }),
        Payload::CredentialIssue(CredentialIssue {
            member: MEMBER,
            credential: CREDENTIAL,
            kind: CredentialKind::ControlledSubstance,
            scope: Text::from_string("US-CA".into()).unwrap(),
            window: WINDOW,
            evidence: DIGEST,
        }),
        Payload::CredentialSuspend(credential()),
        Payload::CredentialReinstate(credential()),
        Payload::CredentialRevoke(credential()),
        Payload::CaseOpen(CaseOpen {
            chart: CHART,
            case: CASE,
            kind: CaseKind::Amendment,
            record: Some(NAME),
            statement: Some(DIGEST),
        }),
        Payload::CaseDecide(CaseDecide {
            chart: CHART,
            case: CASE,
            decision: CaseDecision::Deny {
                ground: DenialGround::AccurateAndComplete,
                statement: DIGEST,
            },
        }),
        Payload::CaseExtend(CaseExtend { chart: CHART, case: CASE, statement: DIGEST }),
        Payload::CaseState(CaseStatement { chart: CHART, case: CASE, statement: DIGEST }),
        Payload::CaseAcknowledge(CaseAcknowledge { chart: CHART, case: CASE }),
        Payload::GuardianSet(GuardianSet {
            chart: CHART,
            policy: GuardianPolicy {
                groups: list(vec![GuardianGroup {
                    guardians: list(vec![Guardian::Key(KEY), Guardian::Member(MEMBER)]),
                    approvals_min: 2,
                }]),
                groups_min: 1,
                executor: Some(KEY),
            },
            escrow: DIGEST,
        }),
        Payload::RecoveryStart(RecoveryStart {
            chart: CHART,
            ground: RecoveryGround::Death,
            successor: KEY,
            sealing: DIGEST,
            share: DIGEST,
        }),
        Payload::RecoveryApprove(RecoveryApprove {
            chart: CHART,
            recovery: NAME.position,
            successor: KEY,
            share: DIGEST,
        }),
        Payload::RecoveryWithdraw(RecoveryEnd { chart: CHART, recovery: NAME.position }),
        Payload::RecoveryVeto(RecoveryEnd { chart: CHART, recovery: NAME.position }),
        Payload::RecoveryFinish(RecoveryFinish {
            chart: CHART,
            recovery: NAME.position,
            keys: KEYS,
            replaces: DIGEST,
            epochs: [Epoch(1); 16],
        }),
        Payload::ProxyAdd(ProxyAdd {
            chart: CHART,
            proxy: PROXY,
            signing: KEY,
            sealing: DIGEST,
            terms: ProxyTerms {
                powers: PowerSet::all(),
                compartments: CompartmentSet::all(),
                window: Window { from: BlockTime(1_000), until: BlockTime(9_000) },
            },
        }),
        Payload::ProxyEnd(ProxyEnd { chart: CHART, proxy: PROXY }),
        Payload::ChartMinor(ChartMinor { chart: CHART, until: BlockTime(9_000) }),
        Payload::ChartClose(ChartClose { chart: CHART }),
        Payload::EmergencyClose(EmergencyClose { chart: CHART, emergency: NAME.position }),
        Payload::RecordRetract(RecordRetract { chart: CHART, record: NAME }),
        Payload::RecordWithdraw(RecordWithdraw { chart: CHART, record: NAME }),
        Payload::MatchEvaluate(MatchEvaluate {
            programme: Text::from_string("regional-2026".into()).unwrap(),
            purpose: Purpose::Treatment,
            points: list(vec![DIGEST, Digest([28; 32])]),
            requester_key: DIGEST,
        }),
        Payload::LinkPropose(LinkPropose {
            link: LINK,
            with: ORGANISATION,
            commitment: Commitment([9; 32]),
            until: BlockTime(9_000),
        }),
        Payload::LinkConfirm(LinkConfirm {
            link: LINK,
            confirmation: Confirmation::Side(Commitment([9; 32])),
        }),
        Payload::LinkReverse(LinkReverse {
            link: LINK,
            reason: LinkReversal::ConsentWithdrawn,
            withdrawal: Some(DIGEST),
        }),
        Payload::OrganisationExpel(OrganisationStanding { organisation: ORGANISATION }),
        Payload::OrganisationRotate(organisation_rotate()),
        Payload::MotionOpen(MotionOpen {
            motion: MOTION,
            act: Act::Rotate(organisation_rotate()),
            until: BlockTime(9_000),
        }),
        Payload::MotionApprove(MotionApprove {
            motion: MOTION,
            act: Act::Expel(OrganisationStanding { organisation: ORGANISATION }),
        }),
        Payload::MotionWithdraw(MotionWithdraw { motion: MOTION }),
        Payload::ReshareReady(ReshareReady { change: BEGAN, receiving: blob(40, 8) }),
        Payload::ReshareDeal(ReshareDeal {
            change: BEGAN,
            key: KeyUse::Release,
            dealing: blob(41, 9),
        }),
        Payload::ReshareCheck(ReshareCheck {
            change: BEGAN,
            wrong: List::from_vec(vec![
                Complaint { key: KeyUse::Release, dealer: 2 },
                Complaint { key: KeyUse::Match, dealer: 1 },
            ])
            .unwrap(),
        }),
        Payload::ReshareOpen(ReshareOpen {
            change: BEGAN,
            shares: List::from_vec(vec![OpenShare {
                key: KeyUse::Match,
                receiver: 3,
                share: blob(42, 32),
            }])
            .unwrap(),
        }),
        Payload::ReshareConfirm(ReshareConfirm {
            change: BEGAN,
            release: blob(43, 64),
            matching: Some(blob(44, 64)),
        }),
    ]
}

const BEGAN: Location = Location { height: Height(300), index: 2 };

fn validator_card() -> ValidatorCard {
    let validator =
        Validator { organisation: ORGANISATION, consensus: KEY, release: PublicKey([16; 32]) };
    let address = Some(Text::from_string("192.0.2.1:7440".into()).unwrap());
    ValidatorCard {
        seat: Seat { validator, address },
        signatures: List::from_vec(vec![Signature([10; 64]), Signature([11; 64])]).unwrap(),
    }
}

fn validator_set() -> ValidatorSet {
    let keys = |byte| CommitteeKeys {
        threshold: 1,
        key: Digest([byte; 32]),
        shares: List::from_vec(vec![Digest([byte + 1; 32])]).unwrap(),
    };
    ValidatorSet {
        since: 7,
        seats: List::from_vec(vec![validator_card().seat]).unwrap(),
        committee: keys(1),
        matching: Some(keys(3)),
    }
}

/// A rule with each kind of party.
fn rule() -> ApprovalRule {
    let text = format!(
        "authorship: author; review: 2 of (patient, nurse@chart, 2 licence@author, member:{MEMBER}); \
         approval: any(administrator:{ORGANISATION}, clinician@{ORGANISATION}); within 14 days"
    );
    text.parse().unwrap()
}

fn credential() -> CredentialStanding {
    CredentialStanding { member: MEMBER, credential: CREDENTIAL }
}

fn restrict() -> RecordRestrict {
    RecordRestrict { chart: CHART, record: NAME, restrictions: RestrictionSet::all() }
}

fn vectors() -> BTreeMap<String, Vec<u8>> {
    let mut vectors: BTreeMap<_, _> =
        payloads().iter().map(|it| (it.name().to_owned(), encode(it))).collect();
    let label = Label {
        chain: ChainId([12; 32]),
        chart: CHART,
        record: NAME.record,
        version: Version(1),
        compartment: Compartment::new(15).unwrap(),
        epoch: Epoch(2),
        committee: CommitteeId([13; 32]),
        content: DIGEST,
        sealed_bytes: 4_096,
    };
    let statement = CustodyStatement {
        chain: ChainId([12; 32]),
        custodian: ORGANISATION,
        record: NAME.record,
        version: Version(1),
        commitment: Commitment([9; 32]),
        sealed_bytes: 4_096,
        until: BlockTime(9_000),
    };
    let header = Header {
        version: HEADER_VERSION,
        chain: ChainId([12; 32]),
        height: Height(300),
        parent: BlockId([14; 32]),
        time: BlockTime(1_795_238_400_000),
        payload: DIGEST,
        entries: 2,
        outcomes: DIGEST,
        state: DIGEST,
        history: DIGEST,
        sync: SyncTarget { root: DIGEST, start: 5, end: 900 },
        round: Round { epoch: 0, view: 301, parent_view: 300, leader: KEY },
        next: None,
    };
    let outcome = |verdict| Outcome {
        command: CommandDigest([15; 32]),
        location: Location { height: Height(300), index: 1 },
        time: BlockTime(1_795_238_400_000),
        verdict,
    };
    let arrange = Payload::ChartArrange(ChartArrange {
        chart: CHART,
        custodians: list(vec![ORGANISATION]),
        contributors: List::new(),
        claim: None,
    });
    vectors.insert("chart.arrange without a ticket".into(), encode(&arrange));
    vectors.insert("label".into(), encode(&label));
    vectors.insert("custody statement".into(), encode(&statement));
    vectors.insert("header".into(), encode(&header));
    vectors.insert("certificate".into(), encode(&certificate()));
    vectors.insert("outcome accepted".into(), encode(&outcome(Verdict::Accepted)));
    let rejected = |rejection| outcome(Verdict::Rejected(rejection));
    let ended = Rejection::CustodyEnded { custodian: ORGANISATION, until: BlockTime(9_000) };
    vectors.insert("outcome rejected".into(), encode(&rejected(ended)));
    let out_of_date = Rejection::LetterOutOfDate(CHART);
    vectors.insert("outcome rejected letter".into(), encode(&rejected(out_of_date)));
    for (name, party) in [
        ("party proxy", Party::Proxy(CHART, PROXY)),
        ("party guardian", Party::Guardian(CHART)),
        ("party successor", Party::Successor(CHART)),
        ("party validator", Party::Validator(ORGANISATION)),
    ] {
        vectors.insert(name.into(), encode(&party));
    }
    let too_soon = Rejection::RecoveryTooSoon { ready_at: BlockTime(9_000) };
    vectors.insert("outcome rejected recovery".into(), encode(&rejected(too_soon)));
    let too_many = Rejection::TooManyOrganisations { max: 23 };
    let no = GrantAnswer {
        chart: CHART,
        request: REQUEST,
        answer: Answer::Refuse(RefusalReason::TooMuch),
    };
    vectors.insert("grant.answer no".into(), encode(&Payload::GrantAnswer(no)));
    let not_open = Rejection::StepNotOpen { record: NAME.record, step: 2 };
    vectors.insert("outcome rejected step".into(), encode(&rejected(not_open)));
    vectors.insert("outcome rejected organisations".into(), encode(&rejected(too_many)));
    let officer = LinkConfirm { link: LINK, confirmation: Confirmation::Officer };
    vectors.insert("link.confirm officer".into(), encode(&Payload::LinkConfirm(officer)));
    let patient = LinkConfirm { link: LINK, confirmation: Confirmation::Patient(DIGEST) };
    vectors.insert("link.confirm patient".into(), encode(&Payload::LinkConfirm(patient)));
    let quota = Rejection::MatchQuota { organisation: ORGANISATION, max: 5_000, left: 3 };
    vectors.insert("outcome rejected match quota".into(), encode(&rejected(quota)));
    let leaves = List::from_vec(vec![KEY]).unwrap();
    let joins = List::from_vec(vec![validator_card()]).unwrap();
    vectors.insert("act change".into(), encode(&Act::Change(Change { joins, leaves })));
    let upgrade = |from| encode(&Act::Upgrade(Upgrade { to: Protocol(2), from }));
    vectors.insert("act upgrade".into(), upgrade(Some(Height(250_000))));
    vectors.insert("act upgrade called off".into(), upgrade(None));
    vectors.insert("validator card".into(), validator_card().encode());
    vectors.insert("validator set".into(), encode(&validator_set()));
    let ending = Header { next: Some(DIGEST), ..header.clone() };
    vectors.insert("header that ends an epoch".into(), encode(&ending));
    let under_way = Rejection::ChangeUnderWay { began: Height(300) };
    vectors.insert("outcome rejected change".into(), encode(&rejected(under_way)));
    let too_soon = Rejection::UpgradeTooSoon { from: Height(300), earliest: Height(4_100) };
    vectors.insert("outcome rejected upgrade".into(), encode(&rejected(too_soon)));
    vectors.insert("command of a transaction".into(), encode(&part(1)));
    vectors.extend(messages());
    vectors
}

/// A part of a transaction of three.
fn part(place: u16) -> Command {
    Command {
        version: COMMAND_VERSION,
        chain: ChainId([12; 32]),
        id: CommandId([13; 16]),
        window: WINDOW,
        signers: list(vec![Party::Member(MEMBER)]),
        payload: Payload::AnchorAdd(AnchorAdd { root: DIGEST, documents: 2 }),
        part: Some(Part::new(TransactionId([41; 16]), place, 3).unwrap()),
    }
}

fn blob<const MAX: usize>(byte: u8, len: usize) -> Blob<MAX> {
    Blob::from_vec(vec![byte; len]).unwrap()
}

fn certificate() -> Certificate {
    Certificate {
        epoch: 0,
        view: 301,
        parent_view: 300,
        block: BlockId([14; 32]),
        votes: list(vec![Vote { validator: 2, signature: Signature([10; 64]) }]),
    }
}

fn signed_part(place: u16) -> SignedCommand {
    let signature =
        CommandSignature { suite: Suite::One, key: KEY, signature: Signature([10; 64]) };
    SignedCommand { command: part(place), signatures: list(vec![signature]) }
}

/// What clients and nodes say to each other.
fn messages() -> BTreeMap<String, Vec<u8>> {
    let mut vectors = BTreeMap::new();
    let mut add = |name: &str, bytes| vectors.insert(format!("message {name}"), bytes);
    let command = CommandDigest([9; 32]);
    let request = Request {
        chain: ChainId([12; 32]),
        node: ORGANISATION,
        party: Party::Member(MEMBER),
        id: CommandId([13; 16]),
        at: BlockTime(9_000),
        target: Text::from_string("GET /v1/charts/01".into()).unwrap(),
        body: DIGEST,
    };
    let signature = Signature([10; 64]);
    let signed = SignedRequest { request, suite: Suite::One, key: KEY, signature };
    add("signed request", encode(&signed));
    let item = ReleaseItem { position: NAME.position, capsule: blob(30, 3) };
    let release = ReleaseRequest {
        chart: CHART,
        access: LogPosition(9),
        reader_key: blob(31, 2),
        items: list(vec![item]),
    };
    add("release request", encode(&release));
    let (encapsulated, sealed) = (blob(32, 2), blob(33, 2));
    let released = ReleaseAnswer { access: command, share: 3, encapsulated, sealed, signature };
    add("release answer", encode(&released));
    let capsules = CapsuleRequest { positions: list(vec![NAME.position, LogPosition(8)]) };
    add("capsule request", encode(&capsules));
    let capsules = CapsuleAnswer { capsules: list(vec![Some(blob(30, 3)), None]) };
    add("capsule answer", encode(&capsules));
    let placed = PlacedReceipt { position: NAME.position, receipt: blob(34, 2) };
    let opened = OpenedPage { next: LogPosition(8), records: list(vec![placed]) };
    add("opened page", encode(&opened));
    let (from, next) =
        (Location { height: Height(2), index: 1 }, Location { height: Height(3), index: 0 });
    let receipts = list(vec![blob(34, 2)]);
    add("access page", encode(&AccessPage { from, next, tip: Height(9), receipts }));
    let proof =
        || StateProof { certified: blob(35, 2), value: Some(blob(36, 2)), proof: blob(37, 2) };
    add("state proof", encode(&proof()));
    add("state proof of nothing", encode(&StateProof { value: None, ..proof() }));
    let certificate = Some(certificate());
    let stored = vec![
        StoredBlock { block: blob(38, 3), certificate },
        StoredBlock { block: blob(39, 2), certificate: None },
    ];
    add("stored blocks", encode(&StoredBlocks { blocks: list(stored) }));
    let page =
        LogPage { head: proof(), from: LogPosition(0), before: DIGEST, entries: list(vec![]) };
    add("log page", encode(&page));
    let (evaluation, requester_key) = (from, blob(31, 2));
    let points = list(vec![DIGEST]);
    add("match request", encode(&MatchRequest { evaluation, requester_key, points }));
    let (encapsulated, sealed) = (blob(32, 2), blob(33, 2));
    let evaluated = MatchAnswer { evaluation: command, share: 3, encapsulated, sealed, signature };
    add("match answer", encode(&evaluated));
    let trustee = TrusteeRequest {
        access: blob(34, 2),
        emergency: LogPosition(4),
        reader_key: blob(31, 2),
        escrow: blob(38, 2),
        chart: proof(),
        emergencies: proof(),
        member: proof(),
        organisation: proof(),
        credentials: proof(),
    };
    add("trustee request", encode(&trustee));
    let line = SeedTableLine { grant: GRANT, seeds: DIGEST };
    add("seed table", encode(&SeedTable { lines: list(vec![line]) }));
    let parts: TransactionParts = list((0..3).map(signed_part).collect());
    add("transaction", encode(&parts));
    let taken = TransactionReceipts { first: blob(34, 2), refused: None };
    add("transaction taken", encode(&taken));
    let refused = TransactionReceipts { refused: Some(blob(35, 2)), ..taken };
    add("transaction refused", encode(&refused));
    vectors
}

/// Each message decodes to what it was, and none that is cut off or too long does.
#[test]
fn messages_are_whole_or_refused() {
    fn check<T>(name: &str)
    where
        T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
    {
        let bytes = messages().remove(&format!("message {name}")).expect(name);
        let again = decode::<T>(&bytes, 1 << 16).map(|it| encode(&it));
        assert_eq!(again.as_ref(), Ok(&bytes), "{name}");
        for len in 0..bytes.len() {
            assert!(decode::<T>(&bytes[..len], 1 << 16).is_err(), "{name}: {len} bytes");
        }
        assert!(decode::<T>(&[&bytes[..], &[0]].concat(), 1 << 16).is_err(), "{name}: more");
        assert!(decode::<T>(&bytes, bytes.len() - 1).is_err(), "{name}: over the limit");
    }
    check::<SignedRequest>("signed request");
    check::<ReleaseRequest>("release request");
    check::<ReleaseAnswer>("release answer");
    check::<CapsuleRequest>("capsule request");
    check::<CapsuleAnswer>("capsule answer");
    check::<OpenedPage>("opened page");
    check::<AccessPage>("access page");
    check::<StateProof>("state proof");
    check::<StateProof>("state proof of nothing");
    check::<LogPage>("log page");
    check::<StoredBlocks>("stored blocks");
    check::<MatchRequest>("match request");
    check::<MatchAnswer>("match answer");
    check::<TrusteeRequest>("trustee request");
    check::<SeedTable>("seed table");
    check::<TransactionParts>("transaction");
    check::<TransactionReceipts>("transaction taken");
    check::<TransactionReceipts>("transaction refused");
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/types/encodings.txt")
}

#[test]
fn encodings_are_frozen() {
    let made = vectors().iter().fold(String::new(), |mut text, (name, bytes)| {
        writeln!(text, "{name}: {}", hex::encode(bytes)).unwrap();
        text
    });
    if std::env::var("KEEPWELL_VECTORS").is_ok_and(|it| it == "write") {
        fs::create_dir_all(path().parent().unwrap()).unwrap();
        fs::write(path(), &made).unwrap();
    }
    let frozen = fs::read_to_string(path()).expect("vectors/types/encodings.txt");
    for (made, frozen) in made.lines().zip(frozen.lines()) {
        assert_eq!(made, frozen);
    }
    assert_eq!(made.lines().count(), frozen.lines().count());
}

/// Each variant is in the vectors, and each vector decodes to what it was.
#[test]
fn every_command_has_a_vector() {
    let payloads = payloads();
    assert_eq!(payloads.len(), 71);
    for (number, payload) in payloads.iter().enumerate() {
        let bytes = encode(payload);
        assert_eq!(number_of(&bytes), number, "{} keeps its number", payload.name());
        assert_eq!(decode::<Payload>(&bytes, 1 << 16).as_ref(), Ok(payload));
    }
}

/// The number of a variant, which stands behind the head of its array.
fn number_of(bytes: &[u8]) -> usize {
    usize::from(if bytes[1] == 0x18 { bytes[2] } else { bytes[1] })
}

/// What has an end, or names what it comes from, is nothing without it.
#[test]
fn a_field_too_few_is_refused() {
    let claim = encode(&ChartClaim { chart: CHART, keys: KEYS, inherited: DIGEST });
    let statement = vectors().remove("custody statement").unwrap();
    let acknowledgement = encode(&CustodyAcknowledgement {
        custodian: ORGANISATION,
        key: KEY,
        signature: Signature([10; 64]),
        until: BlockTime(9_000),
    });
    // Arrays of fewer than 24 items begin with one byte, which counts them; the last field goes.
    let without =
        |bytes: &[u8], field: usize| [&[bytes[0] - 1], &bytes[1..bytes.len() - field]].concat();
    assert!(decode::<ChartClaim>(&claim, 1 << 16).is_ok());
    assert!(decode::<ChartClaim>(&without(&claim, 34), 1 << 16).is_err());
    assert!(decode::<CustodyStatement>(&statement, 1 << 16).is_ok());
    assert!(decode::<CustodyStatement>(&without(&statement, 3), 1 << 16).is_err());
    assert!(decode::<CustodyAcknowledgement>(&acknowledgement, 1 << 16).is_ok());
    assert!(decode::<CustodyAcknowledgement>(&without(&acknowledgement, 3), 1 << 16).is_err());
}
