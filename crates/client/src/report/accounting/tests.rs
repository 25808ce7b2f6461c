//! Accountings over small logs: what is listed, what is not and why.

use keepwell_ledger::state::{Chart, Key, Member, Value};
use keepwell_types::{
    access::{AccessOpen, Target},
    chart::{ChartClaim, ChartKeys},
    command::{COMMAND_VERSION, Command, Entry, Payload, SignedCommand},
    encoding::List,
    genesis::{EmergencyRule, OwnOrganisation, Parameters},
    grant::{Effect, GrantGive, GrantTerms, Grantee},
    id::{
        ChainId, ChartId, CommandDigest, CommandId, Digest, Epoch, Height, Location, LogPosition,
        MemberId, PublicKey,
    },
    limits::COMPARTMENTS,
    member::OrganisationKind,
    outcome::{Outcome, Rejection, Verdict},
    set::{CompartmentSet, KindSet, PurposeSet, RoleSet},
};

use super::{
    super::looks::{Gathering, ReaderIs},
    *,
};
use crate::verify::LogLine;

const CHART: ChartId = ChartId([0xc0; 32]);
const HOSPITAL: OrganisationId = OrganisationId([1; 16]);
const AGENCY: OrganisationId = OrganisationId([2; 16]);
const SPONSOR: OrganisationId = OrganisationId([3; 16]);
const GRANT: GrantId = GrantId([7; 16]);
const NOW: BlockTime = BlockTime(1_000 * DAY_MS);

const fn member_of(organisation: OrganisationId) -> MemberId {
    MemberId(organisation.0)
}

fn line(position: u64, time: BlockTime, by: Party, payload: Payload, refused: bool) -> LogLine {
    let command = Command {
        version: COMMAND_VERSION,
        chain: ChainId([7; 32]),
        id: CommandId([position as u8; 16]),
        window: Window { from: time, until: time.plus_ms(1) },
        signers: List::from_vec(vec![by]).unwrap(),
        payload,
        part: None,
    };
    let rejected = Verdict::Rejected(Rejection::NotGranted);
    let outcome = Outcome {
        location: Location { height: Height(position + 2), index: 0 },
        time,
        command: CommandDigest([3; 32]),
        verdict: if refused { rejected } else { Verdict::Accepted },
    };
    let entry = Entry::Signed(SignedCommand { command, signatures: List::new() });
    LogLine { position: LogPosition(position), entry, outcome }
}

fn open(purpose: Purpose) -> Payload {
    let target =
        Target::Compartments { compartments: CompartmentSet::all(), until: LogPosition(1) };
    Payload::AccessOpen(AccessOpen {
        chart: CHART,
        target,
        purpose,
        reader_key: Digest([2; 32]),
        notice: 1,
    })
}

fn give() -> Payload {
    let terms = GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Everyone,
        compartments: CompartmentSet::all(),
        kinds: KindSet::all(),
        records: List::new(),
        purposes: PurposeSet::all(),
        window: Window { from: BlockTime(0), until: BlockTime(u64::MAX) },
        accesses_max: None,
        separate_consent: false,
        onward: false,
    };
    Payload::GrantGive(GrantGive { chart: CHART, grant: GRANT, terms, seeds: Digest([0; 32]) })
}

fn claim() -> Payload {
    let keys = chart().keys;
    Payload::ChartClaim(ChartClaim { chart: CHART, keys, inherited: Digest([0; 32]) })
}

fn chart() -> Chart {
    Chart {
        organisation: HOSPITAL,
        keys: ChartKeys {
            signing: PublicKey([0; 32]),
            sealing: Digest([0; 32]),
            sheet: Digest([0; 32]),
        },
        epochs: [Epoch(0); COMPARTMENTS],
        separate_consent: CompartmentSet::EMPTY,
        custodians: List::new(),
        contributors: List::new(),
        claim: None,
        claimed: true,
        emergency: CompartmentSet::EMPTY,
        escrow: None,
        seeds: None,
        closed_at: None,
        taken: None,
        ahead: None,
    }
}

fn looks(lines: impl IntoIterator<Item = LogLine>) -> Looks {
    let mut gathering = Gathering::default();
    lines.into_iter().for_each(|line| gathering.take(line));
    let is = |id: MemberId| ReaderIs {
        organisation: OrganisationId(id.0),
        organisation_name: "an organisation".into(),
        kind: OrganisationKind::Hospital,
        roles: RoleSet::EMPTY,
    };
    let readers = gathering.members().map(|id| (id, Some(is(id)))).collect();
    let parameters = Parameters {
        own_organisation: OwnOrganisation::OptIn,
        custodians_min: 2,
        commands_per_minute_max: 6_000,
        notice: 1,
        licensed: KindSet::EMPTY,
        emergency: EmergencyRule::USUAL,
        sign_off: None,
        recovery: None,
        matching: None,
        epoch_blocks: None,
    };
    let load = |key: &Key| {
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other key is asked for")]
        match key {
            Key::Member(id) => Some(Value::Member(Member {
                organisation: OrganisationId(id.0),
                signing: PublicKey([0; 32]),
                sealing: Digest([0; 32]),
                roles: RoleSet::EMPTY,
                suspended: false,
                groups: List::new(),
                former: None,
            })),
            _ => None,
        }
    };
    gathering.finish((CHART, chart()), parameters, readers, load)
}

/// A grant for everyone, then these accesses, a day apart from day 10 on.
fn story(accesses: &[(Party, Purpose, bool)]) -> Looks {
    let controller = Party::Controller(CHART);
    let rules = [
        line(0, BlockTime(DAY_MS), controller, give(), false),
        line(1, BlockTime(2 * DAY_MS), controller, open(Purpose::Operations), false),
        line(2, BlockTime(3 * DAY_MS), controller, claim(), false),
    ];
    let accesses = (3..).zip(accesses).map(|(position, (by, purpose, refused))| {
        line(position, BlockTime((position + 7) * DAY_MS), *by, open(*purpose), *refused)
    });
    looks(rules.into_iter().chain(accesses))
}

fn scope<'a>(authorised: &'a BTreeSet<GrantId>, suspensions: &'a [Suspension]) -> Scope<'a> {
    let window = Window { from: BlockTime(0), until: NOW };
    Scope { window, now: NOW, all: false, authorised, suspensions }
}

/// Positions that are listed, and the totals.
fn listed(looks: &Looks, scope: &Scope<'_>) -> (Vec<u64>, Totals) {
    let mut positions = Vec::new();
    let totals = account(looks, scope, |_, it| positions.push(it.look.position.0), |_| {});
    (positions, totals)
}

fn suspended(from: u64, until: u64, oral: bool) -> Suspension {
    let window = Window { from: BlockTime(from), until: BlockTime(until) };
    Suspension { recipient: AGENCY, window, oral, statement: String::new() }
}

#[test]
fn p7_what_the_rule_excludes_is_left_out_and_counted_by_its_ground() {
    let (agency, inside) = (Party::Member(member_of(AGENCY)), Party::Member(member_of(HOSPITAL)));
    let looks = story(&[
        (agency, Purpose::Treatment, false),
        (agency, Purpose::Coordination, false),
        (agency, Purpose::BreakGlass, false),
        (agency, Purpose::Payment, false),
        (agency, Purpose::Operations, false),
        (agency, Purpose::FamilyRequest, false),
        (inside, Purpose::Research, false),
        (Party::Controller(CHART), Purpose::PatientRequest, false),
        (agency, Purpose::Legal, true),
        (agency, Purpose::Legal, false),
        (agency, Purpose::Research, false),
        (agency, Purpose::PublicHealth, false),
    ]);
    let none = BTreeSet::new();
    let (positions, totals) = listed(&looks, &scope(&none, &[]));
    assert_eq!(positions, [12, 13, 14]);
    let expected = BTreeMap::from([
        (LeftOut::Refused, 1),
        // One by the key agent before the claim, one by a member.
        (LeftOut::Inside, 2),
        (LeftOut::Individual, 1),
        (LeftOut::Treatment, 3),
        (LeftOut::Payment, 1),
        (LeftOut::Operations, 1),
        (LeftOut::Involved, 1),
    ]);
    assert_eq!(totals.left_out, expected);
    let authorised = BTreeSet::from([GRANT]);
    let (positions, totals) = listed(&looks, &scope(&authorised, &[]));
    assert_eq!((positions, totals.left_out[&LeftOut::Authorised]), (vec![], 3));
    let all = Scope { all: true, ..scope(&none, &[]) };
    assert_eq!(listed(&looks, &all).0.len(), 13);
}

#[test]
fn p7_the_window_is_half_open_to_the_millisecond() {
    let agency = Party::Member(member_of(AGENCY));
    let looks = story(&[(agency, Purpose::Legal, false), (agency, Purpose::Legal, false)]);
    let none = BTreeSet::new();
    let day = |it: u64| it * DAY_MS;
    for (from, until, expected) in [
        (day(10), day(11), vec![3]),
        (day(10) + 1, day(11), vec![]),
        (day(10) + 1, day(11) + 1, vec![4]),
        (day(10), day(11) + 1, vec![3, 4]),
        (0, day(10), vec![]),
        (day(11), day(11), vec![]),
        (day(12), 0, vec![]),
        (0, u64::MAX, vec![3, 4]),
    ] {
        let window = Window { from: BlockTime(from), until: BlockTime(until) };
        let scope = Scope { window, ..scope(&none, &[]) };
        let (positions, totals) = listed(&looks, &scope);
        assert_eq!(positions, expected, "{window:?}");
        assert_eq!(totals.looks, 3);
    }
}

#[test]
fn p8_what_is_suspended_is_left_out_and_recorded_while_the_suspension_holds() {
    let looks = story(&[
        (Party::Member(member_of(AGENCY)), Purpose::Legal, false),
        (Party::Member(member_of(SPONSOR)), Purpose::Research, false),
    ]);
    let none = BTreeSet::new();
    for (suspension, expected, missing) in [
        (suspended(NOW.0, NOW.0 + 1, false), vec![4], vec![3]),
        (suspended(NOW.0 - DAY_MS, NOW.0, false), vec![3, 4], vec![]),
        (suspended(NOW.0 + 1, NOW.0 + DAY_MS, false), vec![3, 4], vec![]),
        (suspended(0, NOW.0 + 1, false), vec![4], vec![3]),
        // An oral one that is too long was never allowed, and hides nothing.
        (suspended(0, NOW.0 + 1, true), vec![3, 4], vec![]),
        (suspended(NOW.0, NOW.0 + ORAL_MS_MAX, true), vec![4], vec![3]),
    ] {
        for all in [false, true] {
            let suspensions = [suspension.clone()];
            let scope = Scope { all, ..scope(&none, &suspensions) };
            let (mut positions, mut recorded) = (Vec::new(), Vec::new());
            account(
                &looks,
                &scope,
                |_, it| positions.push(it.look.position.0),
                |look| recorded.push(look.position.0),
            );
            positions.retain(|position| *position > 1);
            assert_eq!((&positions, &recorded), (&expected, &missing), "{suspension:?} {all}");
        }
    }
}

#[test]
fn p8_an_oral_statement_holds_thirty_days_and_no_longer() {
    for (suspension, expected) in [
        (suspended(5, 5 + ORAL_MS_MAX, true), Ok(())),
        (suspended(5, 6 + ORAL_MS_MAX, true), Err(SuspensionFault::OralTooLong)),
        (suspended(5, 6 + ORAL_MS_MAX, false), Ok(())),
        (suspended(5, 5, false), Err(SuspensionFault::Empty)),
        (suspended(5, 4, true), Err(SuspensionFault::Empty)),
    ] {
        assert_eq!(
            check_suspensions(std::slice::from_ref(&suspension)),
            expected,
            "{suspension:?}"
        );
    }
    let many = vec![suspended(0, 1, false); SUSPENSIONS_MAX + 1];
    assert_eq!(check_suspensions(&many), Err(SuspensionFault::TooMany));
    assert_eq!(check_suspensions(&many[1..]), Ok(()));
}

#[test]
fn p8_repeated_disclosures_are_put_together() {
    let (agency, sponsor) = (Party::Member(member_of(AGENCY)), Party::Member(member_of(SPONSOR)));
    let looks = story(&[
        (agency, Purpose::Legal, false),
        (sponsor, Purpose::Research, false),
        (agency, Purpose::Legal, false),
        (agency, Purpose::PublicHealth, false),
        (agency, Purpose::Legal, true),
        (agency, Purpose::Legal, false),
    ]);
    let none = BTreeSet::new();
    let (summaries, totals) = summarise(&looks, &scope(&none, &[]));
    let given: Vec<_> = summaries
        .iter()
        .map(|it| (looks.looks[it.first].position.0, it.count, it.last.0 / DAY_MS))
        .collect();
    assert_eq!(given, [(3, 3, 15), (4, 1, 11), (6, 1, 13)]);
    assert_eq!(totals.listed, 5);
}
