//! Certificates against the engine itself: what its scheme signs and assembles is accepted here, and
//! what proves no finalization is refused by both.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use commonware_codec::{DecodeExt as _, Encode as _, types::lazy::Lazy};
use commonware_consensus::{
    simplex::{
        scheme::ed25519::Scheme,
        types::{Finalization, Finalize, Notarize, Nullify, Proposal},
    },
    types::{Epoch, Round, View},
};
use commonware_cryptography::{
    Signer as _,
    certificate::{Attestation, Scheme as _, Signers},
    ed25519::{
        PrivateKey, PublicKey as EngineKey, Signature as EngineSignature,
        certificate::Certificate as EngineCertificate,
    },
    sha256,
};
use commonware_parallel::Sequential;
use commonware_utils::{
    Faults as _, N3f1, Participant, TryFromIterator as _,
    iter::NonEmpty,
    ordered::{Quorum as _, Set},
    test_rng, union_unique,
};
use curve25519_dalek::{
    EdwardsPoint, Scalar,
    constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
};
use keepwell_merkle::certificate::{
    CertificateError, NAMESPACE_BYTES, consensus_namespace, verify,
};
use keepwell_types::{
    block::{Certificate, Vote},
    id::{BlockId, ChainId, PublicKey, Signature},
};
use sha2::{Digest as _, Sha512};
use support::{Consortium, list};

const BLOCK: BlockId = BlockId([0xb1; 32]);

/// The engine's side of a consortium.
struct Engine {
    schemes: Vec<Scheme>,
    verifier: Scheme,
}

impl Engine {
    fn of(consortium: &Consortium) -> Self {
        // The seeds are those of `support::key`; the engine sorts the keys by itself.
        let seeds = 1..=consortium.keys.len() as u8;
        let keys = seeds.map(|seed| PrivateKey::decode(vec![seed; 32]).unwrap());
        let keys: Vec<_> = keys.collect();
        let set = Set::try_from(keys.iter().map(|it| it.public_key()).collect::<Vec<_>>()).unwrap();
        let namespace = consensus_namespace(&consortium.chain());
        let mut schemes: Vec<_> = keys
            .into_iter()
            .map(|key| Scheme::signer(&namespace, set.clone(), key).unwrap())
            .collect();
        schemes.sort_by_key(|it| it.me().and_then(|it| it.signer()));
        Self { schemes, verifier: Scheme::verifier(&namespace, set) }
    }

    fn finalize(
        &self,
        proposal: &Proposal<sha256::Digest>,
        voters: &[usize],
    ) -> Finalization<Scheme, sha256::Digest> {
        let votes =
            voters.iter().map(|at| Finalize::sign(&self.schemes[*at], proposal.clone()).unwrap());
        let votes: Vec<_> = votes.collect();
        let votes = NonEmpty::try_new(votes.iter()).unwrap();
        Finalization::from_finalizes(&self.verifier, votes, &Sequential).unwrap()
    }

    fn accepts(&self, finalization: &Finalization<Scheme, sha256::Digest>) -> bool {
        finalization.verify(&mut test_rng(), &self.verifier, &Sequential)
    }
}

fn proposal(epoch: u64, view: u64, parent: u64) -> Proposal<sha256::Digest> {
    let round = Round::new(Epoch::new(epoch), View::new(view));
    Proposal::new(round, View::new(parent), sha256::Digest(BLOCK.0))
}

/// The certificate that a finalization of the engine is.
fn certificate(finalization: &Finalization<Scheme, sha256::Digest>) -> Certificate {
    let proposal = &finalization.proposal;
    let signers = finalization.certificate.signers.iter();
    let votes = signers.zip(&finalization.certificate.signatures).map(|(signer, signature)| Vote {
        validator: usize::from(signer) as u16,
        signature: signature_of(signature.get().unwrap()),
    });
    Certificate {
        epoch: proposal.round.epoch().get(),
        view: proposal.round.view().get(),
        parent_view: proposal.parent.get(),
        block: BlockId(proposal.payload.0),
        votes: list(votes),
    }
}

fn signature_of(signature: &impl AsRef<[u8]>) -> Signature {
    Signature(signature.as_ref().try_into().unwrap())
}

#[test]
fn namespaces_name_the_chain() {
    let namespace = consensus_namespace(&ChainId([0xab; 32]));
    assert_eq!(NAMESPACE_BYTES, 54);
    assert_eq!(&namespace[..22], b"keepwell/consensus/v1/");
    assert_eq!(&namespace[22..], [0xab; 32]);
}

#[test]
fn quorums_are_the_engines() {
    for validators in 1..=64_u8 {
        let consortium = Consortium::of("Any", validators);
        let quorum = consortium.genesis.quorum();
        assert_eq!(quorum, N3f1::quorum(validators) as usize, "{validators} validators");
    }
}

#[test]
fn validators_stand_where_the_engine_puts_them() {
    let consortium = Consortium::of("Seven", 7);
    let engine = Engine::of(&consortium);
    let participants = engine.verifier.participants();
    for (place, validator) in consortium.genesis.validators.iter().enumerate() {
        let key = EngineKey::decode(validator.consensus.0.to_vec()).unwrap();
        assert_eq!(participants.index(&key).map(usize::from), Some(place));
    }
}

/// `validators: epoch view parent: who votes`; every width of the engine's integers is met.
#[test]
fn finalizations_of_the_engine_are_accepted() {
    for (validators, view, parent, voters) in [
        (1, 1, 0, &[0][..]),
        (4, 1, 0, &[0, 1, 2]),
        (4, 127, 126, &[1, 2, 3]),
        (4, 128, 127, &[0, 1, 2, 3]),
        (4, 16_384, 128, &[0, 2, 3]),
        (7, u64::from(u32::MAX), 16_383, &[0, 2, 3, 4, 6]),
        (7, u64::MAX, u64::MAX - 1, &[0, 1, 2, 3, 4, 5, 6]),
    ] {
        let consortium = Consortium::of("Any", validators);
        let engine = Engine::of(&consortium);
        let finalization = engine.finalize(&proposal(0, view, parent), voters);
        assert!(engine.accepts(&finalization));

        let verified = verify(&certificate(&finalization), &consortium.genesis).unwrap();
        assert_eq!((verified.block(), verified.view()), (BLOCK, view));
        assert_eq!(verified.chain(), consortium.chain());
    }
}

/// What is done to a good certificate of validators 0, 1 and 2 of 4, and what is said about it.
#[test]
fn what_is_not_a_finalization_is_refused() {
    let consortium = Consortium::of("Four", 4);
    let engine = Engine::of(&consortium);
    let good = certificate(&engine.finalize(&proposal(0, 300, 299), &[0, 1, 2]));
    let check = |name: &str, alter: &dyn Fn(&mut Certificate), expected: CertificateError| {
        let mut altered = good.clone();
        alter(&mut altered);
        assert_eq!(verify(&altered, &consortium.genesis), Err(expected), "{name}");
    };
    let bad = |validator| CertificateError::BadVote { validator };
    let order = |validator| CertificateError::VoteOrder { validator };
    let few = |given| CertificateError::TooFewVotes { given, needed: 3 };
    let votes = |it: &Certificate, places: &[usize]| list(places.iter().map(|at| it.votes[*at]));

    check("too few votes", &|it| it.votes = votes(it, &[0, 1]), few(2));
    check("no votes", &|it| it.votes = list([]), few(0));
    check("a validator twice", &|it| it.votes = votes(it, &[0, 1, 1]), order(1));
    check("unsorted", &|it| it.votes = votes(it, &[0, 2, 1]), order(1));
    check("another view", &|it| it.view = 301, bad(0));
    check("another parent", &|it| it.parent_view = 298, bad(0));
    check("another block", &|it| it.block.0[31] ^= 1, bad(0));
    check("another epoch", &|it| it.epoch = 1, bad(0));
    check(
        "a validator that does not exist",
        &|it| {
            let stranger = Vote { validator: 4, ..it.votes[2] };
            it.votes = list([it.votes[0], it.votes[1], stranger]);
        },
        CertificateError::UnknownValidator { validator: 4 },
    );
    check(
        "the vote of another validator",
        &|it| {
            let moved = Vote { validator: 3, ..it.votes[2] };
            it.votes = list([it.votes[0], it.votes[1], moved]);
        },
        bad(3),
    );
    check(
        "one bad vote beside enough good ones",
        &|it| {
            let extra = Vote { validator: 3, signature: Signature([0; 64]) };
            it.votes = list([it.votes[0], it.votes[1], it.votes[2], extra]);
        },
        bad(3),
    );
    for bit in [0, 255, 256, 511] {
        let flip = |it: &mut Certificate| {
            let mut vote = it.votes[1];
            vote.signature.0[bit / 8] ^= 1 << (bit % 8);
            it.votes = list([it.votes[0], vote, it.votes[2]]);
        };
        check("a flipped bit", &flip, bad(1));
    }
}

#[test]
fn votes_for_another_chain_are_refused() {
    let (ours, other) = (Consortium::of("Ours", 4), Consortium::of("Other", 4));
    assert_eq!(ours.keys[0].public(), other.keys[0].public(), "the same validators");
    let finalization = Engine::of(&other).finalize(&proposal(0, 2, 1), &[0, 1, 2]);
    assert!(!Engine::of(&ours).accepts(&finalization));
    assert_eq!(
        verify(&certificate(&finalization), &ours.genesis),
        Err(CertificateError::BadVote { validator: 0 })
    );
}

#[test]
fn other_votes_do_not_finalize() {
    let consortium = Consortium::of("Four", 4);
    let engine = Engine::of(&consortium);
    let proposal = proposal(0, 2, 1);
    let template = certificate(&engine.finalize(&proposal, &[0, 1, 2]));
    let passed_off = |sign: &dyn Fn(&Scheme) -> Attestation<Scheme>| {
        let votes = engine.schemes[..3].iter().map(|scheme| {
            let attestation = sign(scheme);
            Vote {
                validator: usize::from(attestation.signer) as u16,
                signature: signature_of(attestation.signature.get().unwrap()),
            }
        });
        Certificate { votes: list(votes), ..template.clone() }
    };
    let notarized =
        passed_off(&|scheme| Notarize::sign(scheme, proposal.clone()).unwrap().attestation);
    let nullified = passed_off(&|scheme| {
        Nullify::sign::<sha256::Digest>(scheme, proposal.round).unwrap().attestation
    });
    let finalized =
        passed_off(&|scheme| Finalize::sign(scheme, proposal.clone()).unwrap().attestation);

    let bad = Err(CertificateError::BadVote { validator: 0 });
    assert_eq!(verify(&notarized, &consortium.genesis), bad, "a notarization");
    assert_eq!(verify(&nullified, &consortium.genesis), bad, "a nullification");
    assert_eq!(finalized, template);
}

/// A validator can sign so that the equation without a cofactor fails and the engine's holds. If this
/// verifier refused such a vote, the validator could spoil certificates for everyone but validators.
#[test]
fn a_vote_of_mixed_order_counts_as_it_does_in_the_engine() {
    let mut consortium = Consortium::of("Four", 4);
    let secret = Scalar::from(0x1234_5678_9abc_u64);
    let odd = PublicKey((ED25519_BASEPOINT_POINT * secret).compress().0);
    let mut validators = consortium.genesis.validators.to_vec();
    validators[0].consensus = odd;
    validators.sort_by_key(|it| it.consensus);
    consortium.genesis.validators = list(validators);

    let namespace = consensus_namespace(&consortium.chain());
    let keys = consortium.genesis.validators.iter().map(|it| it.consensus);
    let engine_keys = keys.clone().map(|key| EngineKey::decode(key.0.to_vec()).unwrap());
    let verifier = Scheme::verifier(&namespace, Set::try_from_iter(engine_keys).unwrap());

    let proposal = proposal(0, 2, 1);
    let signed = union_unique(&[&namespace[..], b"_FINALIZE"].concat(), &proposal.encode());
    let signatures = keys.map(|key| {
        let signature = match consortium.keys.iter().find(|own| own.public() == key) {
            Some(own) => own.sign_raw(&signed),
            None => sign_with_torsion(secret, &key, &signed, EIGHT_TORSION[1]),
        };
        Lazy::from(EngineSignature::decode(signature.0.to_vec()).unwrap())
    });
    let finalization = Finalization {
        proposal,
        certificate: EngineCertificate {
            signers: Signers::new(4, (0..4).map(Participant::new)).unwrap(),
            signatures: signatures.collect(),
        },
    };
    assert!(finalization.verify(&mut test_rng(), &verifier, &Sequential));
    verify(&certificate(&finalization), &consortium.genesis).unwrap();
}

/// An Ed25519 signature whose R has a component of small order.
fn sign_with_torsion(
    secret: Scalar,
    public: &PublicKey,
    message: &[u8],
    torsion: EdwardsPoint,
) -> Signature {
    let nonce = Scalar::from(0xfeed_u64);
    let r = (ED25519_BASEPOINT_POINT * nonce + torsion).compress().0;
    let hash = Sha512::new().chain_update(r).chain_update(public.0).chain_update(message);
    let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(&(nonce + k * secret).to_bytes());
    Signature(signature)
}

#[test]
fn a_genesis_file_with_its_validators_out_of_order_is_refused() {
    let consortium = Consortium::of("Four", 4);
    let good = certificate(&Engine::of(&consortium).finalize(&proposal(0, 2, 1), &[0, 1, 2]));
    let with = |places: &[usize]| {
        let mut genesis = consortium.genesis.clone();
        genesis.validators = list(places.iter().map(|at| genesis.validators[*at]));
        genesis
    };
    for places in [&[1, 0, 2, 3][..], &[0, 0, 1, 2], &[3, 2, 1, 0], &[]] {
        assert_eq!(verify(&good, &with(places)), Err(CertificateError::Genesis), "{places:?}");
    }
}
