//! Keys and values of the state are frozen: they are under the roots of every block.
//!
//! `KEEPWELL_VECTORS=write cargo test -p keepwell-ledger --test vectors` adds what is new; a line that
//! is there already is never rewritten in a release.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{env, fmt::Write as _, fs, path::PathBuf};

use keepwell_crypto::dealing::Commitments;
use keepwell_ledger::{consent::Object, state::*};
use keepwell_merkle::range::Peaks;
use keepwell_types::{
    DecodeError,
    access::{EmergencyReason, Finding, Purpose, RecordName},
    case::{CaseDecision, CaseKind, DenialGround},
    chart::{ChartKeys, ClaimTicket, KeysAhead},
    credential::CredentialKind,
    decode, encode,
    encoding::{Blob, List, Text},
    genesis::{CommitteeKeys, Validator},
    grant::{Effect, GrantTerms, Grantee},
    guardian::{Guardian, GuardianGroup, GuardianPlace, GuardianPolicy, RecoveryGround},
    id::*,
    limits::*,
    link::LinkReversal,
    member::{Administrators, OrganisationAdmit, OrganisationKind, Party, Role},
    motion::Act,
    proxy::ProxyTerms,
    record::{RecordKind, RedactionGround},
    set::{CompartmentSet, KindSet, PowerSet, PurposeSet, RestrictionSet, RoleSet},
    signoff::{ApprovalRule, Approver, AtLeast, Meaning, Need, Of, Seat, Step},
    time::{BlockTime, Window},
    validators::{self, Change, VALIDATOR_SIGNATURES, ValidatorCard, ValidatorSet},
};

const CHART: ChartId = ChartId([1; 32]);
const ORGANISATION: OrganisationId = OrganisationId([2; 16]);
const MEMBER: MemberId = MemberId([3; 16]);
const GRANT: GrantId = GrantId([4; 16]);
const MOTION: MotionId = MotionId([28; 16]);
const GROUP: GroupId = GroupId([21; 16]);
const CASE: CaseId = CaseId([26; 16]);
const TEAM: TeamId = TeamId([22; 16]);
const REQUEST: RequestId = RequestId([23; 16]);
const OPEN: OpenRequest = OpenRequest { request: REQUEST, until: TIME };
const DIGEST: Digest = Digest([5; 32]);
const KEY: PublicKey = PublicKey([6; 32]);
const RECORD: RecordId = RecordId([8; 32]);
const NAME: RecordName = RecordName { position: LogPosition(7), record: RECORD };
const COMMITMENT: Commitment = Commitment([9; 32]);
const LOCATION: Location = Location { height: Height(300), index: 1 };
const TIME: BlockTime = BlockTime(1_795_238_400_000);

fn list<T, const MAX: usize>(items: Vec<T>) -> List<T, MAX> {
    List::from_vec(items).unwrap()
}

fn keys() -> Vec<(&'static str, Key)> {
    let role = Grantee::Role { organisation: ORGANISATION, role: Role::Nurse };
    vec![
        ("history", Key::History),
        ("replay slot", Key::ReplaySlot(65_535)),
        ("quota members", Key::Quota(ORGANISATION, Account::Members)),
        ("quota charts", Key::Quota(ORGANISATION, Account::Charts)),
        ("quota administrator", Key::Quota(ORGANISATION, Account::Administrator)),
        ("organisations", Key::Organisations),
        ("organisation", Key::Organisation(ORGANISATION)),
        ("member", Key::Member(MEMBER)),
        ("chart", Key::Chart(CHART)),
        ("chart log", Key::ChartLog(CHART)),
        ("grant", Key::Grant(CHART, GRANT)),
        ("subject member", Key::Subject(CHART, Grantee::Member(MEMBER))),
        ("subject role", Key::Subject(CHART, role)),
        ("subject organisation", Key::Subject(CHART, Grantee::Organisation(ORGANISATION))),
        ("subject everyone", Key::Subject(CHART, Grantee::Everyone)),
        ("proposal", Key::Proposal(CHART, RECORD)),
        ("tag", Key::Tag(ORGANISATION, UniquenessTag([10; 32]))),
        ("record", Key::Record(CHART, LogPosition(7))),
        ("cutoff", Key::Cutoff(CHART, ORGANISATION)),
        ("teams", Key::Teams(CHART)),
        ("group", Key::Group(GROUP)),
        ("request", Key::Request(CHART, REQUEST)),
        ("open requests", Key::OpenRequests(CHART, ORGANISATION)),
        ("quota custodian", Key::Quota(ORGANISATION, Account::Custodian)),
        ("quota guardians", Key::Quota(ORGANISATION, Account::Guardians)),
        ("record state", Key::RecordState(CHART, RECORD)),
        ("credentials", Key::Credentials(MEMBER)),
        ("emergencies", Key::Emergencies(CHART)),
        ("case", Key::Case(CHART, CASE)),
        ("guardians", Key::Guardians(CHART)),
        ("recoveries", Key::Recoveries(CHART)),
        ("proxies", Key::Proxies(CHART)),
        ("subject team", Key::Subject(CHART, Grantee::Team(TEAM))),
        ("subject group", Key::Subject(CHART, Grantee::Group(GROUP))),
        ("use of emergencies", Key::EmergencyUse(ORGANISATION)),
        ("match quota", Key::MatchQuota(ORGANISATION)),
        ("link", Key::Link(LinkId([27; 16]))),
        ("motion", Key::Motion(MOTION)),
        ("open motions", Key::OpenMotions(ORGANISATION)),
        ("quota validators", Key::Quota(ORGANISATION, Account::Validators)),
        ("validators", Key::Validators),
        ("changing", Key::Changing),
        ("receiver", Key::Receiver(3)),
        ("dealt", Key::Dealt(4)),
        ("protocol", Key::Protocol),
    ]
}

fn values() -> Vec<(&'static str, Value)> {
    let mut history = Peaks::new();
    for number in 0..3 {
        let _ = history.push(Digest([number; 32]));
    }
    let spent = SpentId { id: CommandId([11; 16]), until: TIME };
    vec![
        ("history", history.into()),
        ("replay slot", ReplaySlot { spent: list(vec![spent]) }.into()),
        ("quota", Quota { minute: 29_920_640, used: 3 }.into()),
        ("organisations", Organisations { all: list(vec![ORGANISATION]), suspended: 0 }.into()),
        ("organisation", organisation(1).into()),
        ("member", member(1).into()),
        ("chart", chart(1).into()),
        ("chart log", ChartLog { count: LogPosition(8), head: DIGEST, lines: DIGEST }.into()),
        ("grant", grant(1).into()),
        ("subject", Subject { grants: list(vec![GRANT]) }.into()),
        ("proposal", proposal(2).into()),
        ("tag", TagOwner { chart: CHART, record: NAME }.into()),
        ("record", record().into()),
        ("cutoff", Cutoff { before: LogPosition(9) }.into()),
        ("teams", teams(1, 2).into()),
        ("group", Group { organisation: ORGANISATION, purposes: PurposeSet::all() }.into()),
        ("request", request(1).into()),
        ("open requests", OpenRequests { open: list(vec![OPEN]) }.into()),
        ("record state", record_state(1).into()),
        ("credentials", credentials(1).into()),
        ("emergencies", emergencies(1).into()),
        ("case", case(1).into()),
        ("guardians", guardians(2).into()),
        ("recoveries", recoveries(1).into()),
        ("proxies", proxies(1).into()),
        ("use of emergencies", emergency_use(1).into()),
        ("match quota", MatchQuota { period: 20_778, used: 60, total: 1_000 }.into()),
        ("link", link().into()),
        ("motion", motion(2).into()),
        ("open motions", OpenMotions { open: list(vec![MOTION]) }.into()),
        ("validators", validators(1).into()),
        ("changing", changing(1).into()),
        ("receiver", Receiver { receiving: Blob::from_vec(vec![30; 8]).unwrap() }.into()),
        ("dealt", dealt(2, 1).into()),
        ("protocol", ProtocolPlan { protocol: Protocol(2), next_from: Some(Height(9)) }.into()),
    ]
}

fn seats(count: usize, address: usize) -> List<validators::Seat, VALIDATORS_MAX> {
    let validator = Validator { organisation: ORGANISATION, consensus: KEY, release: KEY };
    let address = Some(Text::from_string("a".repeat(address)).unwrap());
    list(vec![validators::Seat { validator, address }; count])
}

fn committee(count: usize) -> CommitteeKeys {
    CommitteeKeys { threshold: 1, key: DIGEST, shares: list(vec![DIGEST; count]) }
}

fn validators(count: usize) -> Validators {
    let set = ValidatorSet {
        since: 3,
        seats: seats(count, ADDRESS_BYTES_MAX),
        committee: committee(count),
        matching: Some(committee(count)),
    };
    let barred = Barred { key: KEY, organisation: Some(ORGANISATION) };
    Validators { set, trustees: list(vec![barred; count.min(TRUSTEES_MAX)]) }
}

fn places(count: usize) -> Places {
    let mut places = Places::default();
    (1..=count as u16).for_each(|index| assert!(places.insert(index)));
    places
}

fn changing(count: usize) -> Changing {
    let ended = Some(Height(300));
    Changing {
        began: LOCATION,
        ready: places(count),
        dealt: places(count),
        checked: places(count),
        accused: places(count),
        confirmed: places(count),
        ended: Ended { receive: ended, deal: ended, check: ended, open: ended, confirm: ended },
        committee: Some(committee(count)),
        matching: Some(committee(count)),
        ..Changing::new(LOCATION, seats(count, ADDRESS_BYTES_MAX))
    }
}

/// A dealing of each key with so many commitments, and so many shares opened.
fn dealt(commitments: usize, opened: usize) -> Dealt {
    let points = vec![DIGEST; commitments];
    let commitments: Commitments =
        decode(&encode(&(4_u16, list::<_, VALIDATORS_MAX>(points))), 1 << 16).unwrap();
    let share = Opened { receiver: 3, share: Blob::from_vec(vec![31; 32]).unwrap() };
    let key = DealtKey {
        location: LOCATION,
        commitments,
        accusers: places(opened),
        opened: list(vec![share; opened]),
    };
    Dealt { release: Some(key.clone()), matching: Some(key) }
}

fn guardians(count: usize) -> Guardians {
    let guardians = [Guardian::Key(KEY), Guardian::Member(MEMBER)].into_iter().cycle();
    let group =
        GuardianGroup { guardians: list(guardians.take(count).collect()), approvals_min: 2 };
    let groups = list(vec![group; GUARDIAN_GROUPS_MAX]);
    let policy = GuardianPolicy { groups, groups_min: 1, executor: Some(KEY) };
    Guardians { policy, escrow: DIGEST }
}

fn recoveries(count: usize) -> Recoveries {
    let by = GuardianPlace { group: 1, place: 2 };
    let approval = RecoveryApproval { by, share: DIGEST };
    let recovery = Recovery {
        position: LogPosition(9),
        ground: RecoveryGround::Death,
        successor: KEY,
        sealing: DIGEST,
        approvals: list(vec![approval; count]),
        ready_at: Some(TIME),
        until: TIME,
    };
    Recoveries { open: list(vec![recovery; count]) }
}

fn proxies(count: usize) -> Proxies {
    let terms = ProxyTerms {
        powers: PowerSet::all(),
        compartments: CompartmentSet::all(),
        window: Window { from: BlockTime(1_000), until: TIME },
    };
    let proxy = Proxy { proxy: ProxyId([27; 16]), signing: KEY, sealing: DIGEST, terms };
    Proxies { all: list(vec![proxy; count]), of_age_at: Some(TIME) }
}

fn organisation(keys: usize) -> Organisation {
    let administrators = administrators(keys);
    Organisation {
        kind: OrganisationKind::Laboratory,
        name: Text::from_string("North Laboratory".into()).unwrap(),
        administrators: administrators.clone(),
        custodian: Some(KEY),
        suspended: true,
        expelled_at: Some(TIME),
        former: Some(FormerKeys { administrators, custodian: Some(KEY), until: TIME }),
    }
}

fn administrators(count: usize) -> Administrators {
    Administrators { keys: list(vec![KEY; count]), needed: 1 }
}

fn motion(approvals: usize) -> Motion {
    let administrators = administrators(approvals.min(ADMINISTRATORS_MAX));
    let act = Act::Admit(OrganisationAdmit {
        organisation: ORGANISATION,
        kind: OrganisationKind::Laboratory,
        name: Text::from_string("ä".repeat(NAME_BYTES_MAX / 2)).unwrap(),
        administrators,
        custodian: Some(KEY),
    });
    let approval = MotionApproval { organisation: ORGANISATION, key: KEY };
    let (organisation, until) = (ORGANISATION, TIME);
    Motion { organisation, act, until, approvals: list(vec![approval; approvals]) }
}

/// The motion with most to say, which all approved.
fn motion_to_change() -> Motion {
    let card = ValidatorCard {
        seat: seats(1, ADDRESS_BYTES_MAX)[0].clone(),
        signatures: list(vec![Signature([9; 64]); VALIDATOR_SIGNATURES]),
    };
    let joins = list(vec![card; JOINS_MAX]);
    let act = Act::Change(Change { joins, leaves: list(vec![KEY; VALIDATORS_MAX]) });
    Motion { act, ..motion(MOTION_APPROVALS_MAX) }
}

fn member(groups: usize) -> Member {
    Member {
        organisation: ORGANISATION,
        signing: KEY,
        sealing: DIGEST,
        roles: RoleSet::EMPTY.with(Role::Nurse),
        suspended: true,
        groups: list(vec![GROUP; groups]),
        former: Some(FormerKey { signing: KEY, until: TIME }),
    }
}

fn chart(named: usize) -> Chart {
    Chart {
        organisation: ORGANISATION,
        keys: ChartKeys { signing: KEY, sealing: DIGEST, sheet: DIGEST },
        epochs: core::array::from_fn(|at| Epoch(at as u32)),
        separate_consent: CompartmentSet::from_bits(0xf000).unwrap(),
        custodians: list(vec![ORGANISATION; named.min(CUSTODIANS_MAX)]),
        contributors: list(vec![ORGANISATION; named.min(CONTRIBUTORS_MAX)]),
        claim: Some(ClaimTicket { key: KEY, until: TIME }),
        claimed: false,
        emergency: CompartmentSet::from_bits(0b11).unwrap(),
        escrow: Some(DIGEST),
        seeds: Some(DIGEST),
        closed_at: (named > 1).then_some(TIME),
        taken: (named > 1).then_some(Taken { location: LOCATION, at: TIME }),
        ahead: (named > 1).then_some(KeysAhead { sheet: DIGEST, until: [Epoch(u32::MAX); 16] }),
    }
}

fn grant(named: usize) -> Grant {
    let terms = GrantTerms {
        effect: Effect::Deny,
        grantee: Grantee::Member(MEMBER),
        compartments: CompartmentSet::from_bits(0b101).unwrap(),
        kinds: KindSet::EMPTY.with(RecordKind::Result),
        records: list(vec![NAME; named.min(GRANT_RECORDS_MAX)]),
        purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
        window: Window { from: BlockTime(1_000), until: TIME },
        accesses_max: Some(3),
        separate_consent: false,
        onward: false,
    };
    Grant {
        terms,
        seeds: DIGEST,
        given_at: TIME,
        revoked_at: Some(TIME),
        accesses_used: 1,
        counted: list(vec![LogPosition(u64::MAX); named.min(COUNTED_ACCESSES_MAX)]),
        object: Object::Kinds,
        position: LogPosition(9),
        passed: Some(Passed { from: GRANT, by: MEMBER }),
        passed_on: 2,
    }
}

fn teams(teams: usize, members: usize) -> Teams {
    let team = Team { team: TEAM, members: list(vec![MEMBER; members]) };
    Teams { teams: list(vec![team; teams]) }
}

fn record_state(custodians: usize) -> RecordState {
    let (party, location) = (Party::Member(MEMBER), LOCATION);
    let approval = RedactionApproval { organisation: Some(ORGANISATION), party, location };
    let bound = Some(Bound { at: TIME, erase_until: TIME });
    let custodians = list(vec![ORGANISATION; custodians]);
    RecordState {
        newest: Some(Newest { position: LogPosition(9), version: Version(2) }),
        restrictions: RestrictionSet::all(),
        redaction: Some(Redaction {
            ground: RedactionGround::Order,
            approvals: list(vec![approval; 3]),
            bound,
            outstanding: list(custodians.to_vec()),
        }),
        custodians,
        uniqueness: Some(UniquenessTag([10; 32])),
        cases: list(vec![CASE]),
    }
}

fn credentials(count: usize) -> Credentials {
    let credential = Credential {
        credential: CredentialId([25; 16]),
        issuer: ORGANISATION,
        kind: CredentialKind::Specialty,
        scope: Text::from_string("US-CA".into()).unwrap(),
        window: Window { from: BlockTime(1_000), until: TIME },
        evidence: DIGEST,
        suspended: true,
        revoked_at: Some(TIME),
    };
    Credentials { all: list(vec![credential; count]) }
}

fn emergencies(count: usize) -> Emergencies {
    let emergency = Emergency {
        position: LogPosition(9),
        member: MEMBER,
        organisation: ORGANISATION,
        second: Some(MEMBER),
        compartments: CompartmentSet::from_bits(0b101).unwrap(),
        reason: EmergencyReason::Danger,
        open: Window { from: BlockTime(1_000), until: TIME },
        review_until: TIME,
        review: Some(Finding::Unjustified),
        location: (count > 1).then_some(LOCATION),
        closed: (count > 1).then_some(TIME),
    };
    Emergencies { all: list(vec![emergency; count]) }
}

fn emergency_use(count: usize) -> EmergencyUse {
    let max = if count > 1 { u32::MAX } else { 2 };
    let tally = Tally { broken: max, seconded: max, justified: max, unjustified: max };
    let waiting = Waiting { member: MEMBER, location: LOCATION, review_until: TIME };
    EmergencyUse {
        members: list(vec![MemberUse { member: MEMBER, tally }; count.min(EMERGENCY_MEMBERS_MAX)]),
        others: tally,
        waiting: list(vec![waiting; count]),
    }
}

fn case(named: usize) -> Case {
    let ground = DenialGround::AccurateAndComplete;
    let decision = CaseDecision::Deny { ground, statement: DIGEST };
    let statement = Statement { party: Party::Controller(CHART), statement: DIGEST };
    Case {
        kind: CaseKind::Amendment,
        record: Some(RECORD),
        opened_at: BlockTime(1_000),
        due: TIME,
        extended: true,
        decided: Some(Decided { decision, at: TIME }),
        statements: list(vec![statement; named.min(CASE_STATEMENTS_MAX)]),
        told: list(vec![ORGANISATION; named.min(CASE_TOLD_MAX)]),
        asked: None,
        put_off: None,
    }
}

fn link() -> Link {
    let side = LinkSide {
        organisation: ORGANISATION,
        member: MEMBER,
        commitment: COMMITMENT,
        at: BlockTime(1_000),
    };
    Link {
        proposed: side,
        with: ORGANISATION,
        confirmed: Some(side),
        approved: Some(LinkApproval { member: MEMBER, consent: Some(DIGEST), at: TIME }),
        until: TIME,
        since: Some(TIME),
        reversed: Some(LinkReversed {
            organisation: ORGANISATION,
            member: MEMBER,
            reason: LinkReversal::ConsentWithdrawn,
            withdrawal: Some(DIGEST),
            at: TIME,
        }),
    }
}

fn request(named: usize) -> Request {
    Request {
        member: MEMBER,
        organisation: ORGANISATION,
        terms: grant(named).terms,
        until: TIME,
        end: Some(RequestEnd::Given(GRANT)),
    }
}

fn proposal(parties: usize) -> Proposal {
    let approval =
        Approval { party: Party::Controller(CHART), location: LOCATION, seat: 127, time: TIME };
    let seat = Need::Seat(Seat {
        who: Approver::Role(Role::Nurse, Of::Organisation(ORGANISATION)),
        min: 1,
    });
    let root = Need::AtLeast(AtLeast { min: 2, branches: parties as u8 });
    let needs = [root].into_iter().chain(std::iter::repeat_n(seat, parties)).collect();
    let step = Step { meaning: Meaning::Review, needs: list(needs) };
    Proposal {
        rule: ApprovalRule { steps: list(vec![step]), within_ms: Some(86_400_000) },
        approvals: list(vec![approval; parties]),
        commitment: COMMITMENT,
        until: Some(TIME),
        final_at: Some(TIME),
        withdrawn_at: Some(TIME),
        organisation: ORGANISATION,
    }
}

fn record() -> RecordEntry {
    RecordEntry {
        record: RECORD,
        version: Version(1),
        compartment: Compartment::new(15).unwrap(),
        epoch: Epoch(2),
        kind: RecordKind::Imaging,
        commitment: COMMITMENT,
        sealed_bytes: 1 << 33,
        author: Party::Member(MEMBER),
        organisation: ORGANISATION,
        proposed: true,
        location: LOCATION,
        custodians: list(vec![ORGANISATION]),
        uniqueness: Some(UniquenessTag([10; 32])),
        original: RECORD,
    }
}

fn check_frozen(file: &str, lines: impl Iterator<Item = (&'static str, Vec<u8>)>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/ledger").join(file);
    let made = lines.fold(String::new(), |mut text, (name, bytes)| {
        writeln!(text, "{name}: {}", hex::encode(bytes)).unwrap();
        text
    });
    if env::var("KEEPWELL_VECTORS").is_ok_and(|it| it == "write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &made).unwrap();
    }
    let frozen = fs::read_to_string(&path).expect("the vectors are there");
    for (made, frozen) in made.lines().zip(frozen.lines()) {
        assert_eq!(made, frozen);
    }
    assert_eq!(made.lines().count(), frozen.lines().count());
}

#[test]
fn keys_are_frozen() {
    check_frozen("keys.txt", keys().into_iter().map(|(name, key)| (name, key.to_bytes().to_vec())));
}

#[test]
fn values_are_frozen() {
    check_frozen("values.txt", values().into_iter().map(|(name, value)| (name, value.encode())));
}

/// Each kind of value is in the vectors, in the order of its number, and decodes to what it was.
#[test]
fn every_value_has_a_vector() {
    for ((name, value), number) in values().into_iter().zip(0..) {
        let bytes = value.encode();
        let found = if bytes[1] == 0x18 { bytes[2] } else { bytes[1] };
        assert_eq!(found, number, "{name} keeps its number");
        assert_eq!(Value::decode(&bytes).as_ref(), Ok(&value), "{name}");
    }
}

#[test]
fn a_key_holds_one_kind_of_value() {
    for (name, key) in keys() {
        let held: Vec<_> =
            values().into_iter().filter(|(_, value)| key.holds(value)).map(|it| it.0).collect();
        assert_eq!(held.len(), 1, "{name}");
        assert!(name.starts_with(held[0]), "{name} holds {held:?}");
    }
}

#[test]
fn bytes_that_are_not_a_value_are_refused() {
    let quota = Value::from(Quota { minute: 1, used: 2 }).encode();
    assert_eq!(hex::encode(quota), "820281820102");
    for (fault, bytes) in [
        ("nothing", ""),
        ("cut off", "8202818201"),
        ("a kind that there is not", "82181981820102"),
        ("an entry of another kind", "820381820102"),
        ("a field too few", "8202818101"),
        ("a number that is too long", "82028182180102"),
        ("a list without a length", "8202819f0102ff"),
        ("something after it", "82028182010200"),
    ] {
        let bytes = hex::decode(bytes).unwrap();
        assert!(Value::decode(&bytes).is_err(), "{fault}");
    }
    let long = vec![0; STATE_VALUE_BYTES_MAX + 1];
    let len = STATE_VALUE_BYTES_MAX + 1;
    assert_eq!(Value::decode(&long), Err(DecodeError::TooLong { len, max: STATE_VALUE_BYTES_MAX }));
}

/// The largest value of each kind fits.
#[test]
fn no_value_outgrows_its_limit() {
    let spent = SpentId { id: CommandId([11; 16]), until: BlockTime(u64::MAX) };
    let largest: [(&str, Value); 23] = [
        ("replay slot", ReplaySlot { spent: list(vec![spent; REPLAY_IDS_PER_SLOT_MAX]) }.into()),
        (
            "organisations",
            Organisations { all: list(vec![ORGANISATION; ORGANISATIONS_MAX]), suspended: u32::MAX }
                .into(),
        ),
        ("chart", chart(usize::MAX).into()),
        ("grant", grant(usize::MAX).into()),
        ("subject", Subject { grants: list(vec![GRANT; GRANTS_PER_SUBJECT_MAX]) }.into()),
        ("proposal", proposal(APPROVERS_MAX).into()),
        ("member", member(MEMBER_GROUPS_MAX).into()),
        ("teams", teams(TEAMS_MAX, TEAM_MEMBERS_MAX).into()),
        ("request", request(usize::MAX).into()),
        ("record state", record_state(RECORD_CUSTODIANS_MAX).into()),
        ("credentials", credentials(CREDENTIALS_MAX).into()),
        ("emergencies", emergencies(EMERGENCIES_MAX).into()),
        ("case", case(usize::MAX).into()),
        ("guardians", guardians(GUARDIANS_MAX).into()),
        ("recoveries", recoveries(GUARDIANS_MAX).into()),
        ("proxies", proxies(PROXIES_MAX).into()),
        ("use of emergencies", emergency_use(EMERGENCIES_WAITING_MAX).into()),
        ("organisation", organisation(ADMINISTRATORS_MAX).into()),
        ("motion", motion(MOTION_APPROVALS_MAX).into()),
        ("motion to change", motion_to_change().into()),
        ("validators", validators(VALIDATORS_MAX).into()),
        ("changing", changing(RESHARE_VALIDATORS_MAX).into()),
        ("dealt", dealt(VALIDATORS_MAX, VALIDATORS_MAX).into()),
    ];
    for (name, value) in largest {
        let bytes = value.encode();
        assert!(bytes.len() <= STATE_VALUE_BYTES_MAX, "{name}: {} bytes", bytes.len());
        assert_eq!(Value::decode(&bytes), Ok(value), "{name}");
    }
}
