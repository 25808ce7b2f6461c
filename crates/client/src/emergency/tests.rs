//! Trustees that lie, refuse or are not there, and the wallet's side of what is left.

use keepwell_crypto::{
    keys::{ChartSecret, EpochSeed, MemberSecret},
    release::Access,
    seal::SealingKey,
    sign::SigningKey,
    trustee::{AnswerFault, TrusteeKey},
};
use keepwell_types::{
    chart::ChartKeys,
    encoding::List,
    id::{CommandDigest, Compartment, Digest, PublicKey},
    limits::COMPARTMENTS,
    wire::StateProof,
};

use super::*;
use crate::testing::{Answers, World, serve};

const CHART: ChartId = ChartId([0xc0; 32]);
const EPOCHS: [Epoch; COMPARTMENTS] = [Epoch(1); COMPARTMENTS];

fn compartment() -> Compartment {
    Compartment::new(4).unwrap()
}

fn only() -> CompartmentSet {
    CompartmentSet::EMPTY.with(compartment())
}

fn holder() -> ChartHolder {
    ChartHolder::derive(&[9; 32], CHART)
}

fn chart() -> Chart {
    let digest = Digest([2; 32]);
    Chart {
        organisation: OrganisationId([1; 16]),
        keys: ChartKeys { signing: PublicKey([1; 32]), sealing: digest, sheet: digest },
        epochs: EPOCHS,
        separate_consent: CompartmentSet::EMPTY,
        custodians: List::new(),
        contributors: List::new(),
        claim: None,
        claimed: true,
        emergency: only(),
        escrow: None,
        seeds: None,
        closed_at: None,
        taken: None,
        ahead: None,
    }
}

fn request() -> TrusteeRequest {
    let proof = || StateProof {
        certified: Blob::from_vec(Vec::new()).unwrap(),
        value: None,
        proof: Blob::from_vec(Vec::new()).unwrap(),
    };
    TrusteeRequest {
        access: Blob::from_vec(Vec::new()).unwrap(),
        emergency: LogPosition(7),
        reader_key: SealingKey::from_seed(&[3; 32]).public().to_blob(),
        escrow: Blob::from_vec(Vec::new()).unwrap(),
        chart: proof(),
        emergencies: proof(),
        member: proof(),
        organisation: proof(),
        credentials: proof(),
    }
}

/// What trustee `number` does when it is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Does {
    /// Gives its shares.
    Answer,
    /// Signs shares that are sealed to somebody else.
    Lie,
    /// Sends another trustee's answer.
    Impersonate,
    /// Sends noise.
    Noise,
    /// Says no.
    Refuse,
    /// Nobody knows where it is.
    Hide,
}

async fn collect(does: [Does; 3]) -> Result<(Seeds, Vec<TrusteeFault>), ClientError> {
    let world = World::new("trustees");
    let group = world.consortium.trustees().unwrap();
    let left = left(&holder(), &chart(), only()).unwrap();
    let escrow = ChartEscrow::deal(&mut rng(), &world.chain(), CHART, group, &left).unwrap();
    let key = SealingKey::generate(&mut rng());
    let access = Access {
        chain: world.chain(),
        command: CommandDigest([5; 32]),
        reader_key: key.public().digest(),
    };
    let opens = Opens { access: &access, compartments: only(), epochs: &EPOCHS };
    let trustees = world.consortium.genesis().trustees.clone().unwrap();
    let answer = |number: u8, to: &SealingKey| {
        let secret = MemberSecret::from_bytes(&[200 + number; 32]);
        let key = TrusteeKey::new(&trustees, &secret).unwrap();
        key.answer(&mut rng(), &opens, &escrow, &to.public()).unwrap().encode()
    };
    let mut endpoints = Vec::new();
    for (number, does) in (1..).zip(does) {
        let body = match does {
            Does::Answer => Some(answer(number, &key)),
            Does::Lie => Some(answer(number, &SealingKey::generate(&mut rng()))),
            Does::Impersonate => Some(answer(number % 3 + 1, &key)),
            Does::Noise => Some(vec![0; 100]),
            Does::Refuse => None,
            Does::Hide => continue,
        };
        let answers = body.map(|body| (format!("POST {SHARE_PATH}"), body));
        let url = serve(Answers::from_iter(answers)).await;
        endpoints.push(TrusteeEndpoint { trustee: u16::from(number), url });
    }
    let client = world.client(vec!["http://127.0.0.1:1".into()]);
    let client = client.with_trustees(endpoints).unwrap();
    let actor = Actor::new(Party::Member(MemberId([1; 16])), SigningKey::from_seed(&[7; 32]));
    let (what, seeds) = (What::Compartments(only(), None), Seeds::default());
    let opening = Opening {
        actor: &actor,
        chart: CHART,
        what: &what,
        purpose: Purpose::BreakGlass,
        seeds: &seeds,
    };
    let reading = Reading { opening: &opening, key, access, position: LogPosition(8) };
    client.collect_seeds(&reading, &opens, &escrow, &request()).await
}

#[tokio::test]
async fn whoever_is_left_gives_the_keys_and_whoever_lies_is_named() {
    let expected: Vec<EpochSeed> =
        [0, 1].map(|epoch| holder().epoch_seed(compartment(), Epoch(epoch)).unwrap()).to_vec();
    for (bad, proven) in [
        (Does::Lie, true),
        (Does::Impersonate, false),
        (Does::Noise, false),
        (Does::Refuse, false),
        (Does::Hide, false),
    ] {
        let (seeds, faults) = collect([bad, Does::Answer, Does::Answer]).await.unwrap();
        let given: Vec<_> = seeds.iter().map(|(_, _, seed)| *seed.as_bytes()).collect();
        let dealt: Vec<_> = expected.iter().map(|seed| *seed.as_bytes()).collect();
        assert_eq!(given, dealt, "{bad:?}: epochs that have begun, and no others");
        // The two others may have been quicker; whoever was heard is named.
        for fault in &faults {
            assert_eq!((fault.trustee, fault.name.as_str()), (1, "Trustee 1"), "{bad:?}");
            assert_eq!(fault.is_proven(), proven, "{bad:?}: {fault}");
        }
    }
}

#[tokio::test]
async fn one_trustee_too_few_is_too_few() {
    for bad in [Does::Lie, Does::Impersonate, Does::Noise, Does::Refuse, Does::Hide] {
        let error = collect([bad, Does::Answer, Does::Refuse]).await.unwrap_err();
        let ClientError::Trustees(TrusteeError::TooFew { have, need, faults }) = error else {
            panic!("{bad:?}: {error}");
        };
        assert_eq!((have, need, faults.len()), (1, 2, 2), "{bad:?}");
        let first = faults.iter().find(|it| it.trustee == 1).unwrap();
        let lied = TrusteeProblem::Answer(AnswerFault::False { trustee: 1 });
        assert_eq!(first.problem == lied, bad == Does::Lie, "{first}");
    }
}

#[test]
fn what_is_left_has_the_epochs_so_far_together_and_each_to_come_alone() {
    let left = left(&holder(), &chart(), only()).unwrap();
    let lines: Vec<_> = left.iter().map(|it| (it.from.0, it.seeds.len())).collect();
    assert_eq!(lines, [(0, 2), (2, 1), (3, 1), (4, 1), (5, 1)]);
    let secret = ChartSecret::derive(&[9; 32], CHART);
    let seed = secret.epoch_seed(compartment(), Epoch(4));
    assert_eq!(left[3].seeds[0].as_bytes(), seed.as_bytes());

    let (sheet, keys) = keys_ahead(&holder(), &chart(), only()).unwrap();
    assert_eq!(sheet.lines.len(), EPOCHS_AHEAD_MAX);
    let until = keys.until.iter().enumerate().filter(|(_, until)| **until != Epoch(0));
    assert_eq!(until.collect::<Vec<_>>(), [(4, &Epoch(6))]);
    assert_eq!(sheet.lines[2].key, seed.sealing().public().to_blob());

    let mut many = chart();
    many.epochs[4] = Epoch(ESCROW_EPOCHS_MAX as u32);
    let refused = super::left(&holder(), &many, only());
    assert!(matches!(refused, Err(UsageError::TooManyEpochs)));
}
