//! What a trustee refuses: one thing is wrong in each, and nothing is opened.

use keepwell_crypto::{
    command::{command_digest, sign},
    keys::{ChartSecret, MemberSecret},
    seal::SealingKey,
    sign::SigningKey,
    trustee::{AnswerCollector, Left},
};
use keepwell_ledger::state::{Credential, Credentials, Emergencies, Member, Organisation};
use keepwell_merkle::{
    block::{entry_leaf, outcome_leaf, outcome_root, payload_digest},
    range,
    receipt::RECEIPT_VERSION,
};
use keepwell_types::{
    access::EmergencyReason,
    block::Header,
    chart::ChartKeys,
    command::{COMMAND_VERSION, Command},
    encoding::{Blob, List, Text},
    id::{
        CommandId, Compartment, CredentialId, Digest, Epoch, Location, OrganisationId, PublicKey,
    },
    limits::COMPARTMENTS,
    member::{Administrators, OrganisationKind, Role},
    outcome::{Outcome, Rejection, Verdict},
    set::RoleSet,
    time::Window,
};

use super::*;
use crate::testing::{FOUNDED, World, list};

const CHART: ChartId = ChartId([0xc0; 32]);
const MEMBER: MemberId = MemberId([1; 16]);
const CLINIC: OrganisationId = OrganisationId([0xd0; 16]);
const EMERGENCY: LogPosition = LogPosition(7);
/// The access stands in this block, and the state is that of the one after it.
const HEIGHT: u64 = 20;

fn compartments(indices: &[u8]) -> CompartmentSet {
    indices.iter().copied().filter_map(Compartment::new).collect()
}

fn at(height: u64) -> BlockTime {
    FOUNDED.plus_ms(1_500 * height)
}

/// A request that a trustee answers, in all its parts.
struct Setting {
    world: World,
    reader: SealingKey,
    open: AccessOpen,
    signers: Vec<Party>,
    verdict: Verdict,
    emergency: Emergency,
    chart: Chart,
    member: Member,
    organisation: Organisation,
    credential: Credential,
    escrow: ChartEscrow,
    /// Named in the request.
    position: LogPosition,
    /// Whose proofs are brought.
    proven_chart: ChartId,
    /// The trustee's clock.
    now: BlockTime,
}

fn escrow(world: &World, chart: ChartId) -> ChartEscrow {
    let secret = ChartSecret::derive(&[9; 32], chart);
    let left = |index, epochs: std::ops::Range<u32>| {
        let compartment = Compartment::new(index).unwrap();
        let from = Epoch(epochs.start);
        let seeds = epochs.map(|epoch| secret.epoch_seed(compartment, Epoch(epoch))).collect();
        Left { compartment, from, seeds }
    };
    let left = [left(1, 0..2), left(1, 2..3), left(3, 0..2), left(3, 2..3)];
    let trustees = world.consortium.trustees().unwrap();
    ChartEscrow::deal(&mut rng(), &world.chain(), chart, trustees, &left).unwrap()
}

impl Setting {
    fn new() -> Self {
        let world = World::new("trustee");
        let reader = SealingKey::generate(&mut rng());
        let escrow = escrow(&world, CHART);
        let key = PublicKey([1; 32]);
        let digest = Digest([2; 32]);
        let open = AccessOpen {
            chart: CHART,
            target: Target::Compartments {
                compartments: compartments(&[1]),
                until: LogPosition(7),
            },
            purpose: Purpose::BreakGlass,
            reader_key: reader.public().digest(),
            notice: 1,
        };
        let emergency = Emergency {
            position: EMERGENCY,
            member: MEMBER,
            organisation: CLINIC,
            second: Some(MemberId([2; 16])),
            compartments: compartments(&[1, 3]),
            reason: EmergencyReason::Danger,
            open: Window { from: at(10), until: at(30) },
            review_until: at(100),
            review: None,
            location: None,
            closed: None,
        };
        let chart = Chart {
            organisation: OrganisationId([0xd1; 16]),
            keys: ChartKeys { signing: key, sealing: digest, sheet: digest },
            epochs: [Epoch(1); COMPARTMENTS],
            separate_consent: compartments(&[12, 13, 14, 15]),
            custodians: List::new(),
            contributors: List::new(),
            claim: None,
            claimed: true,
            emergency: compartments(&[1, 3]),
            escrow: Some(escrow.digest()),
            seeds: None,
            closed_at: None,
            taken: None,
            ahead: None,
        };
        let member = Member {
            organisation: CLINIC,
            signing: key,
            sealing: digest,
            roles: RoleSet::EMPTY.with(Role::Clinician),
            suspended: false,
            groups: List::new(),
            former: None,
        };
        let organisation = Organisation {
            kind: OrganisationKind::Clinic,
            name: Text::from_string("Clinic".into()).unwrap(),
            administrators: Administrators::one(key),
            custodian: None,
            suspended: false,
            expelled_at: None,
            former: None,
        };
        let credential = Credential {
            credential: CredentialId([3; 16]),
            issuer: OrganisationId([0xd2; 16]),
            kind: CredentialKind::Licence,
            scope: Text::from_string("US-CA".into()).unwrap(),
            window: Window { from: at(0), until: at(60) },
            evidence: digest,
            suspended: false,
            revoked_at: None,
        };
        Self {
            world,
            reader,
            open,
            signers: vec![Party::Member(MEMBER)],
            verdict: Verdict::Accepted,
            emergency,
            chart,
            member,
            organisation,
            credential,
            escrow,
            position: EMERGENCY,
            proven_chart: CHART,
            now: at(HEIGHT + 1),
        }
    }

    /// The access, alone in its block.
    fn receipt(&self) -> Receipt {
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.world.chain(),
            id: CommandId([1; 16]),
            window: Window { from: FOUNDED, until: FOUNDED.plus_ms(600_000) },
            signers: list(self.signers.clone()),
            payload: Payload::AccessOpen(self.open.clone()),
            part: None,
        };
        let header = self.world.header(HEIGHT, Digest([3; 32]));
        let outcome = Outcome {
            command: command_digest(&command),
            location: Location { height: header.height, index: 0 },
            time: header.time,
            verdict: self.verdict.clone(),
        };
        let key = SigningKey::from_seed(&[7; 32]);
        let keys = vec![&key; self.signers.len()];
        let entry = Entry::Signed(sign(command, &keys));
        let header = Header {
            payload: payload_digest(std::slice::from_ref(&entry)),
            entries: 1,
            outcomes: outcome_root(std::slice::from_ref(&outcome)),
            ..header
        };
        let path = |leaf| range::prove(&range::nodes(&[leaf])[..], 1, 0).unwrap();
        Receipt {
            version: RECEIPT_VERSION,
            entry_path: path(entry_leaf(&entry)),
            outcome_path: path(outcome_leaf(&outcome)),
            entry,
            outcome,
            certified: self.world.certified(header),
            handovers: None,
        }
    }

    fn request(&self) -> TrusteeRequest {
        let values: Vec<(Key, Value)> = vec![
            (Key::Chart(self.proven_chart), self.chart.clone().into()),
            (
                Key::Emergencies(self.proven_chart),
                Emergencies { all: list([self.emergency]) }.into(),
            ),
            (Key::Member(MEMBER), self.member.clone().into()),
            (Key::Organisation(CLINIC), self.organisation.clone().into()),
            (Key::Credentials(MEMBER), Credentials { all: list([self.credential.clone()]) }.into()),
        ];
        let prove = |at: usize| self.world.prove(HEIGHT + 1, &values, values[at].0);
        TrusteeRequest {
            access: Blob::from_vec(self.receipt().encode()).unwrap(),
            emergency: self.position,
            reader_key: self.reader.public().to_blob(),
            escrow: Blob::from_vec(self.escrow.encode()).unwrap(),
            chart: prove(0),
            emergencies: prove(1),
            member: prove(2),
            organisation: prove(3),
            credentials: prove(4),
        }
    }

    fn trustee(&self, number: u8) -> Trustee {
        let trustees = self.world.consortium.genesis().trustees.clone().unwrap();
        let secret = MemberSecret::from_bytes(&[200 + number; 32]);
        Trustee::new(self.world.consortium.clone(), TrusteeKey::new(&trustees, &secret).unwrap())
    }

    fn answer(&self, number: u8) -> Result<TrusteeAnswer, TrusteeRefusal> {
        let trustee = self.trustee(number);
        let permit = trustee.permit(self.now, &keepwell_types::encode(&self.request()))?;
        trustee.answer(&permit)
    }
}

#[test]
fn h3_two_trustees_of_three_give_what_the_emergency_opens() {
    let setting = Setting::new();
    let access = Access {
        chain: setting.world.chain(),
        command: setting.receipt().outcome.command,
        reader_key: setting.open.reader_key,
    };
    let opens =
        Opens { access: &access, compartments: compartments(&[1]), epochs: &setting.chart.epochs };
    let group = setting.world.consortium.trustees().unwrap();
    let mut collector = AnswerCollector::new(group, &opens, &setting.escrow, &setting.reader);
    for number in [3, 1] {
        assert!(!collector.is_complete());
        collector.add(&setting.answer(number).unwrap()).unwrap();
    }
    let seeds = collector.finish().unwrap();
    let epochs: Vec<_> = seeds.iter().map(|(it, epoch, _)| (it.index(), epoch.0)).collect();
    assert_eq!(epochs, [(1, 0), (1, 1)], "of this compartment, and of epochs that have begun");
}

#[test]
fn h3_a_trustee_opens_nothing_that_the_ledger_does_not_allow_now() {
    type Change = fn(&mut Setting);
    let cases: [(&str, Change, &str); 27] = [
        ("nothing is wrong", |_| {}, "ok"),
        ("the licence is suspended", |it| it.credential.suspended = true, "unlicensed"),
        ("the licence is revoked", |it| it.credential.revoked_at = Some(at(1)), "unlicensed"),
        ("the licence ends just now", |it| it.credential.window.until = it.now, "unlicensed"),
        (
            "a specialty is no licence",
            |it| it.credential.kind = CredentialKind::Specialty,
            "unlicensed",
        ),
        ("the reader is suspended", |it| it.member.suspended = true, "suspended"),
        ("so is its organisation", |it| it.organisation.suspended = true, "suspended"),
        (
            "nobody has agreed and the delay goes on",
            |it| {
                it.emergency.second = None;
                it.emergency.open.from = BlockTime(at(HEIGHT + 1).0 + 1);
            },
            "not_yet",
        ),
        ("the delay ends just now", |it| it.emergency.open.from = at(HEIGHT + 1), "ok"),
        ("it is over just now", |it| it.emergency.open.until = it.now, "over"),
        ("it is over in a moment", |it| it.emergency.open.until = it.now.plus_ms(1), "ok"),
        (
            "it was over before the trustee's clock",
            |it| {
                it.now = it.now.plus_ms(2_000);
                it.emergency.open.until = it.now;
            },
            "over",
        ),
        (
            "the emergency is another's",
            |it| it.emergency.member = MemberId([9; 16]),
            "no_emergency",
        ),
        ("another emergency is named", |it| it.position = LogPosition(8), "no_emergency"),
        (
            "the emergency is of another compartment",
            |it| it.emergency.compartments = compartments(&[3]),
            "no_emergency",
        ),
        ("the compartment is opted out", |it| it.chart.emergency = compartments(&[3]), "not_left"),
        ("the access has another key", |it| it.open.reader_key = Digest([5; 32]), "other_key"),
        (
            "the request has another key",
            |it| it.reader = SealingKey::generate(&mut rng()),
            "other_key",
        ),
        (
            "a prohibition refused the access",
            |it| it.verdict = Verdict::Rejected(Rejection::Denied),
            "no_access",
        ),
        ("it is for treatment", |it| it.open.purpose = Purpose::Treatment, "no_access"),
        ("it names records", |it| it.open.target = Target::Records(List::new()), "no_access"),
        ("the patient opened it", |it| it.signers = vec![Party::Controller(CHART)], "no_access"),
        ("two signed it", |it| it.signers.push(Party::Member(MemberId([9; 16]))), "no_access"),
        ("the access is old", |it| it.now = at(HEIGHT).plus_ms(RELEASE_AGE_MS_MAX + 1), "too_old"),
        ("the state is old", |it| it.now = at(HEIGHT + 1).plus_ms(60_000), "proof"),
        ("another escrow is brought", |it| it.escrow = escrow(&it.world, CHART), "other_escrow"),
        ("the proofs are of another chart", |it| it.proven_chart = ChartId([0xc1; 32]), "proof"),
    ];
    for (what, change, expected) in cases {
        let mut setting = Setting::new();
        change(&mut setting);
        let answer = setting.answer(1);
        let given = answer.as_ref().map_or_else(TrusteeRefusal::code, |_| "ok");
        assert_eq!(given, expected, "{what}: {:?}", answer.err());
    }
}

/// Each proof is looked at: that of another value in its place, or of another consortium, holds for nothing.
#[test]
fn every_proof_is_checked() {
    let setting = Setting::new();
    let (trustee, good) = (setting.trustee(1), setting.request());
    assert!(Permit::of(&setting.world.consortium, setting.now, &good).is_ok());
    type Part = fn(&mut TrusteeRequest) -> &mut StateProof;
    let parts: [Part; 5] = [
        |it| &mut it.chart,
        |it| &mut it.emergencies,
        |it| &mut it.member,
        |it| &mut it.organisation,
        |it| &mut it.credentials,
    ];
    for (place, part) in parts.into_iter().enumerate() {
        let mut request = good.clone();
        let other = parts[(place + 1) % parts.len()](&mut request).clone();
        *part(&mut request) = other;
        let refused = trustee.permit(setting.now, &keepwell_types::encode(&request));
        assert!(matches!(refused, Err(TrusteeRefusal::Proof(_))), "{place}: {refused:?}");
    }
    let elsewhere = World::new("elsewhere");
    let refused = Permit::of(&elsewhere.consortium, setting.now, &good);
    assert!(matches!(refused, Err(TrusteeRefusal::Proof(_))), "{refused:?}");
    assert!(matches!(trustee.permit(setting.now, &[0]), Err(TrusteeRefusal::Malformed(_))));
}
