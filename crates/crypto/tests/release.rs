//! The two locks, from a sealed capsule to its data key, and everyone who tries to get past one.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use curve25519_dalek::{RistrettoPoint, constants::RISTRETTO_BASEPOINT_TABLE as G, scalar::Scalar};
use keepwell_crypto::{
    capsule::{Capsule, GrantSecret, SaltedCapsule},
    hash::digest,
    release::{
        Access, CollectError, Collector, Expected, ForeignShare, LabelField, ReleaseRefusal,
        Releaser, ShareFault,
    },
    seal::{OpenError, SealError, SealingKey},
    threshold::{
        self, CiphertextError, Committee, CommitteeError, KeyShare, Partial, PartialError,
        ReleaseSecret, TooFewShares,
    },
};
use keepwell_types::{
    DecodeError,
    encoding::List,
    genesis::CommitteeKeys,
    id::{ChainId, ChartId, CommitteeId, Digest, Epoch, RecordId, Version},
    limits::{CAPSULE_BYTES_MAX, RELEASE_CAPSULES_MAX},
    record::Label,
    wire::ReleaseAnswer,
};
use proptest::prelude::*;
use support::{
    CountingRng, Record, Validators, access, compartment, epoch_key, expected, label, release_key,
};

fn items(records: &[Record]) -> Vec<(Expected, SaltedCapsule)> {
    records.iter().map(|record| (record.expected, record.salted.clone())).collect()
}

fn capsules(records: &[Record]) -> Vec<SaltedCapsule> {
    records.iter().map(|record| record.salted.clone()).collect()
}

/// Answers of these shares to an honest request.
fn answers(
    rng: &mut CountingRng,
    validators: &Validators,
    shares: &[u16],
    access: &Access,
    records: &[Record],
    reader: &SealingKey,
) -> Vec<ReleaseAnswer> {
    let (items, reader) = (items(records), reader.public());
    shares
        .iter()
        .map(|share| {
            let releaser = &validators.releasers[usize::from(*share) - 1];
            releaser.release(rng, access, &items, &reader).unwrap()
        })
        .collect()
}

fn collect(
    validators: &Validators,
    access: &Access,
    records: &[Record],
    reader: &SealingKey,
    answers: &[ReleaseAnswer],
) -> Result<Vec<ReleaseSecret>, TooFewShares> {
    let capsules = capsules(records);
    let mut collector = Collector::new(&validators.committee, access, &capsules, reader).unwrap();
    for answer in answers {
        collector.add(answer, validators.key(answer.share)).unwrap();
    }
    assert_eq!(collector.is_complete(), answers.len() >= validators.committee.threshold().into());
    collector.finish()
}

#[test]
fn a_granted_reader_with_a_committed_access_reads() {
    let rng = &mut CountingRng::new("whole flow");
    let validators = Validators::new(rng, 7, 5);
    let records: Vec<_> =
        (0..3).map(|number| Record::new(rng, &validators.committee, number)).collect();
    let (access, reader) = access(rng);
    // Any five of the seven, in any order.
    for shares in [[1, 2, 3, 4, 5], [7, 5, 3, 2, 1], [3, 4, 5, 6, 7]] {
        let answers = answers(rng, &validators, &shares, &access, &records, &reader);
        let secrets = collect(&validators, &access, &records, &reader, &answers).unwrap();
        for (record, released) in records.iter().zip(secrets) {
            let capsule = &record.salted.capsule;
            let granted = capsule.open_grant(&epoch_key(2, 0)).unwrap();
            assert_eq!(capsule.open(&granted, &released), Ok(record.dek.clone()));
        }
    }
    let four = answers(rng, &validators, &[1, 2, 3, 4], &access, &records, &reader);
    let too_few = collect(&validators, &access, &records, &reader, &four);
    assert_eq!(too_few.err(), Some(TooFewShares { have: 4, need: 5 }));
}

#[test]
fn one_lock_alone_opens_nothing() {
    let rng = &mut CountingRng::new("one lock");
    let validators = Validators::new(rng, 4, 3);
    let record = Record::new(rng, &validators.committee, 1);
    let records = [record.clone()];
    let (access, reader) = access(rng);
    let answers = answers(rng, &validators, &[1, 2, 3], &access, &records, &reader);
    let released = collect(&validators, &access, &records, &reader, &answers).unwrap().remove(0);
    let capsule = &record.salted.capsule;
    let granted = capsule.open_grant(&epoch_key(2, 0)).unwrap();
    let zeros = [0; 32];

    let wrong = Err(OpenError::WrongKey);
    let all_validators = capsule.open(&GrantSecret::from_bytes(&zeros), &released);
    assert_eq!(all_validators, wrong, "validators together lack the first lock");
    let reader_alone = capsule.open(&granted, &ReleaseSecret::from_bytes(&zeros));
    assert_eq!(reader_alone, wrong, "a reader alone lacks the second lock");
    // The seeds of another epoch, and of another compartment.
    for key in [epoch_key(2, 1), epoch_key(3, 0)] {
        let granted = capsule.open_grant(&key).unwrap();
        assert_eq!(capsule.open(&granted, &released), wrong);
    }
    assert_eq!(capsule.open(&granted, &released), Ok(record.dek));
}

#[test]
fn every_byte_of_a_capsule_counts() {
    let rng = &mut CountingRng::new("every byte");
    let validators = Validators::new(rng, 1, 1);
    let record = Record::new(rng, &validators.committee, 1);
    let records = [record.clone()];
    let (access, reader) = access(rng);
    let answers = answers(rng, &validators, &[1], &access, &records, &reader);
    let released = collect(&validators, &access, &records, &reader, &answers).unwrap().remove(0);
    let bytes = record.salted.encode();
    assert!(bytes.len() < 1_600 && bytes.len() <= CAPSULE_BYTES_MAX, "{}", bytes.len());
    assert_eq!(SaltedCapsule::decode(&bytes), Ok(record.salted.clone()));
    let mut decoded = 0;
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let Ok(salted) = SaltedCapsule::decode(&changed) else { continue };
        decoded += 1;
        assert_ne!(salted.commitment(), record.salted.commitment(), "byte {at}");
        // The salt is no part of the capsule: only the commitment notices.
        if salted.capsule != record.salted.capsule {
            let dek = salted
                .capsule
                .open_grant(&epoch_key(2, 0))
                .and_then(|granted| salted.capsule.open(&granted, &released));
            assert_eq!(dek, Err(OpenError::WrongKey), "byte {at}");
        }
    }
    assert!(decoded > 180, "{decoded} changes left something to decode");
}

#[test]
fn capsules_have_one_encoding() {
    let rng = &mut CountingRng::new("encoding");
    let validators = Validators::new(rng, 1, 1);
    let bytes = Record::new(rng, &validators.committee, 1).salted.encode();
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(SaltedCapsule::decode(&longer), Err(DecodeError::Trailing { extra: 1 }));
    assert!(matches!(
        SaltedCapsule::decode(&bytes[..bytes.len() - 1]),
        Err(DecodeError::Malformed { .. })
    ));
    // The suite in two bytes instead of one.
    let suite = 1 + 34 + 1;
    assert_eq!(bytes[suite], 1);
    let two = [&bytes[..suite], &[0x18, 1], &bytes[suite + 1..]].concat();
    assert_eq!(SaltedCapsule::decode(&two), Err(DecodeError::NotCanonical));
    let huge = vec![0; CAPSULE_BYTES_MAX + 1];
    let (len, max) = (huge.len(), CAPSULE_BYTES_MAX);
    assert_eq!(SaltedCapsule::decode(&huge), Err(DecodeError::TooLong { len, max }));
}

#[test]
fn a_label_of_another_committee_is_not_sealed() {
    let rng = &mut CountingRng::new("other committee");
    let one = Validators::new(rng, 1, 1);
    let other = Validators::new(rng, 1, 1);
    let dek = support::Record::new(rng, &one.committee, 1).dek;
    let key = epoch_key(2, 0).public();
    let sealed = Capsule::seal(rng, label(&one.committee, 1), &key, &other.committee, &dek);
    let (label, committee) = (one.committee.id(), other.committee.id());
    assert_eq!(sealed, Err(SealError::WrongCommittee { label, committee }));
}

/// What a validator says to one record under an honest access.
fn refusal(
    rng: &mut CountingRng,
    validators: &Validators,
    expected: Expected,
    salted: SaltedCapsule,
) -> Option<ReleaseRefusal> {
    let (access, reader) = access(rng);
    let releaser = &validators.releasers[0];
    releaser.release(rng, &access, &[(expected, salted)], &reader.public()).err()
}

#[test]
fn a_foreign_capsule_is_refused_whole() {
    let rng = &mut CountingRng::new("foreign");
    let validators = Validators::new(rng, 4, 3);
    let victim = Record::new(rng, &validators.committee, 1);
    // Eve adds a record of her own and commits the victim's capsule under it, byte for byte.
    let own = Expected { record: RecordId([66; 32]), ..victim.expected };
    let refused = refusal(rng, &validators, own, victim.salted.clone());
    let (item, field) = (0, LabelField::Record);
    assert_eq!(refused, Some(ReleaseRefusal::Label { item, field }));
}

#[test]
fn every_field_of_the_label_is_the_ledgers() {
    let rng = &mut CountingRng::new("label");
    let validators = Validators::new(rng, 4, 3);
    let honest = label(&validators.committee, 1);
    let table: [(LabelField, Label); 7] = [
        (LabelField::Chain, Label { chain: ChainId([0; 32]), ..honest }),
        (LabelField::Chart, Label { chart: ChartId([0; 32]), ..honest }),
        (LabelField::Record, Label { record: RecordId([0; 32]), ..honest }),
        (LabelField::Version, Label { version: Version(2), ..honest }),
        (LabelField::Compartment, Label { compartment: compartment(3), ..honest }),
        (LabelField::Epoch, Label { epoch: Epoch(1), ..honest }),
        (LabelField::SealedBytes, Label { sealed_bytes: 1, ..honest }),
    ];
    let record = Record::new(rng, &validators.committee, 1);
    let key = epoch_key(2, 0).public();
    for (field, label) in table {
        let capsule = Capsule::seal(rng, label, &key, &validators.committee, &record.dek).unwrap();
        let salted = SaltedCapsule::new(rng, capsule);
        let ledger = Expected { commitment: salted.commitment(), ..record.expected };
        let refused = refusal(rng, &validators, ledger, salted);
        assert_eq!(refused, Some(ReleaseRefusal::Label { item: 0, field }));
    }
    let other = Validators::new(rng, 4, 3);
    let foreign = Record::new(rng, &other.committee, 1);
    let field = LabelField::Committee;
    let refused = refusal(rng, &validators, foreign.expected, foreign.salted);
    assert_eq!(refused, Some(ReleaseRefusal::Label { item: 0, field }));
}

#[test]
fn a_relabelled_capsule_is_refused() {
    let rng = &mut CountingRng::new("relabelled");
    let validators = Validators::new(rng, 4, 3);
    let victim = Record::new(rng, &validators.committee, 1).salted;
    let own = Record::new(rng, &validators.committee, 2).salted;
    // Eve's label, with the second lock of the victim's capsule: cut and pasted in the encoding.
    let (victim, mut spliced) = (victim.encode(), own.encode());
    let lock = find_lock(&spliced);
    spliced[lock..lock + LOCK_BYTES].copy_from_slice(&victim[lock..lock + LOCK_BYTES]);
    let spliced = SaltedCapsule::decode(&spliced).unwrap();
    let refused = refusal(rng, &validators, expected(&spliced), spliced.clone());
    let error = CiphertextError::Proof;
    assert_eq!(refused, Some(ReleaseRefusal::Ciphertext { item: 0, error }));

    // No reader would get far with it either.
    let (access, reader) = access(rng);
    let capsules = [spliced];
    let collector = Collector::new(&validators.committee, &access, &capsules, &reader);
    assert_eq!(collector.err(), Some(CollectError::Ciphertext { item: 0, error }));
}

/// [u, ū, e, f] of 32 bytes each: an array of four byte strings.
const LOCK_BYTES: usize = 1 + 4 * 34;

fn find_lock(encoded: &[u8]) -> usize {
    let starts = |at: &usize| {
        encoded[*at] == 0x84 && (0..4).all(|item| encoded[at + 1 + 34 * item..][..2] == [0x58, 32])
    };
    (0..encoded.len() - LOCK_BYTES).find(starts).unwrap()
}

#[test]
fn points_that_are_none_are_refused() {
    let rng = &mut CountingRng::new("points");
    let validators = Validators::new(rng, 4, 3);
    let honest = Record::new(rng, &validators.committee, 1).salted.encode();
    let lock = find_lock(&honest);
    for item in 0..4 {
        let mut changed = honest.clone();
        changed[lock + 3 + 34 * item..][..32].fill(0xff);
        let salted = SaltedCapsule::decode(&changed).unwrap();
        let refused = refusal(rng, &validators, expected(&salted), salted);
        let error = CiphertextError::Malformed;
        assert_eq!(refused, Some(ReleaseRefusal::Ciphertext { item: 0, error }));
    }
}

#[test]
fn requests_are_checked() {
    let rng = &mut CountingRng::new("requests");
    let validators = Validators::new(rng, 4, 3);
    let record = Record::new(rng, &validators.committee, 1);
    let releaser = &validators.releasers[0];
    let (access, reader) = access(rng);
    let public = reader.public();
    let items = [(record.expected, record.salted.clone())];

    let none = releaser.release(rng, &access, &[], &public);
    assert_eq!(none.err(), Some(ReleaseRefusal::Count { given: 0 }));
    let many = vec![items[0].clone(); RELEASE_CAPSULES_MAX + 1];
    let many = releaser.release(rng, &access, &many, &public);
    assert_eq!(many.err(), Some(ReleaseRefusal::Count { given: RELEASE_CAPSULES_MAX + 1 }));
    let other = SealingKey::generate(rng);
    let other_key = releaser.release(rng, &access, &items, &other.public());
    assert_eq!(other_key.err(), Some(ReleaseRefusal::ReaderKey));
    let salted = SaltedCapsule { salt: Digest([0; 32]), ..record.salted };
    let resalted = releaser.release(rng, &access, &[(record.expected, salted)], &public);
    assert_eq!(resalted.err(), Some(ReleaseRefusal::Commitment { item: 0 }));
    let capsules: [SaltedCapsule; 0] = [];
    let collector = Collector::new(&validators.committee, &access, &capsules, &other);
    assert_eq!(collector.err(), Some(CollectError::ReaderKey));
}

#[test]
fn shares_of_another_dealing_do_not_release() {
    let rng = &mut CountingRng::new("foreign share");
    let one = Validators::new(rng, 4, 3);
    let (_, shares) = threshold::deal(rng, 4, 3);
    let foreign = Releaser::new(one.committee.clone(), shares[1].clone(), release_key(2));
    assert_eq!(foreign.err(), Some(ForeignShare { share: 2 }));
}

#[test]
fn the_largest_request_fits_its_answer() {
    let rng = &mut CountingRng::new("largest");
    let validators = Validators::new(rng, 1, 1);
    let record = Record::new(rng, &validators.committee, 1);
    let records = vec![record; RELEASE_CAPSULES_MAX];
    let (access, reader) = access(rng);
    let answers = answers(rng, &validators, &[1], &access, &records, &reader);
    let bytes = keepwell_types::encode(&answers[0]);
    assert_eq!(
        keepwell_types::decode::<ReleaseAnswer>(&bytes, bytes.len()),
        Ok(answers[0].clone())
    );
    assert!(collect(&validators, &access, &records, &reader, &answers).is_ok());
}

/// Validator 2's answer with the sealed shares of validator 3: what someone between can make.
fn spliced(
    rng: &mut CountingRng,
    validators: &Validators,
    access: &Access,
    records: &[Record],
    reader: &SealingKey,
) -> ReleaseAnswer {
    let mut answer = answers(rng, validators, &[2], access, records, reader).remove(0);
    let other = answers(rng, validators, &[3], access, records, reader).remove(0);
    answer.encapsulated = other.encapsulated;
    answer.sealed = other.sealed;
    answer
}

#[test]
fn garbage_blames_nobody() {
    let rng = &mut CountingRng::new("garbage");
    let validators = Validators::new(rng, 4, 3);
    let records = [Record::new(rng, &validators.committee, 1)];
    let more = [records[0].clone(), Record::new(rng, &validators.committee, 2)];
    let (access, reader) = access(rng);
    let honest = answers(rng, &validators, &[1, 2, 3], &access, &records, &reader);
    let capsules = capsules(&records);
    let mut collector = Collector::new(&validators.committee, &access, &capsules, &reader).unwrap();

    let spliced = spliced(rng, &validators, &access, &records, &reader);
    let mut claimed = honest[0].clone();
    claimed.share = 2;
    let mut damaged = honest[1].clone();
    damaged.signature.0[0] ^= 1;
    // An honest answer to another request of the same access, replayed by whoever sits between.
    let replayed = answers(rng, &validators, &[2], &access, &more, &reader).remove(0);
    for answer in [spliced, claimed, damaged, replayed] {
        let fault = collector.add(&answer, validators.key(2)).unwrap_err();
        assert_eq!(fault, ShareFault::Unsigned { share: 2 });
        assert_eq!(fault.culprit(), None);
    }
    // None of it keeps the honest answers out.
    for answer in &honest {
        assert_eq!(collector.add(answer, validators.key(answer.share)), Ok(()));
    }
    let fault = collector.add(&honest[0], validators.key(1)).unwrap_err();
    assert_eq!((fault, fault.culprit()), (ShareFault::Duplicate { share: 1 }, None));
    assert!(collector.finish().is_ok());
}

#[test]
fn a_signed_lie_names_its_validator() {
    let rng = &mut CountingRng::new("lie");
    let validators = Validators::new(rng, 4, 3);
    let records = [Record::new(rng, &validators.committee, 1)];
    let (access, reader) = access(rng);
    // Validator 2 multiplies with a share of another dealing, and signs the result.
    let (_, shares) = threshold::deal(rng, 4, 3);
    let items = items(&records);
    let liar = Liar { share: &shares[1] };
    let answer = liar.answer(rng, &validators, &access, &items, &reader);

    let capsules = capsules(&records);
    let mut collector = Collector::new(&validators.committee, &access, &capsules, &reader).unwrap();
    let fault = collector.add(&answer, validators.key(2)).unwrap_err();
    assert_eq!((fault, fault.culprit()), (ShareFault::Proof { share: 2 }, Some(2)));

    let sealed = liar.unopenable(rng, &access, &items);
    let fault = collector.add(&sealed, validators.key(2)).unwrap_err();
    assert_eq!((fault, fault.culprit()), (ShareFault::Sealed { share: 2 }, Some(2)));

    // Three honest validators are enough without it.
    for answer in answers(rng, &validators, &[4, 1, 3], &access, &records, &reader) {
        assert_eq!(collector.add(&answer, validators.key(answer.share)), Ok(()));
    }
    assert!(collector.finish().is_ok());
}

/// What an answer is bound to, by the description of the format.
fn context(access: &Access, items: &[(Expected, SaltedCapsule)]) -> Digest {
    let mut parts: Vec<&[u8]> = vec![&access.chain.0, &access.command.0, &access.reader_key.0];
    parts.extend(items.iter().map(|(expected, _)| expected.commitment.0.as_slice()));
    digest("keepwell/release/context/v1", &parts)
}

/// Validator 2, whose answers are signed and sealed as the format says, by hand.
struct Liar<'a> {
    share: &'a KeyShare,
}

impl Liar<'_> {
    fn answer(
        &self,
        rng: &mut CountingRng,
        validators: &Validators,
        access: &Access,
        items: &[(Expected, SaltedCapsule)],
        reader: &SealingKey,
    ) -> ReleaseAnswer {
        let context = context(access, items);
        let points: Vec<_> = items
            .iter()
            .map(|(_, salted)| salted.capsule.verify_release(&validators.committee).unwrap())
            .collect();
        let partial = threshold::partial(rng, &validators.committee, self.share, &points, &context);
        self.sign(rng, access, &context, reader, &partial.to_bytes())
    }

    fn unopenable(
        &self,
        rng: &mut CountingRng,
        access: &Access,
        items: &[(Expected, SaltedCapsule)],
    ) -> ReleaseAnswer {
        let other = SealingKey::generate(rng);
        self.sign(rng, access, &context(access, items), &other, b"")
    }

    fn sign(
        &self,
        rng: &mut CountingRng,
        access: &Access,
        context: &Digest,
        reader: &SealingKey,
        plaintext: &[u8],
    ) -> ReleaseAnswer {
        let share = self.share.index();
        let index = share.to_le_bytes();
        let (encapsulated, sealed) = keepwell_crypto::seal::seal(
            rng,
            &reader.public(),
            "keepwell/release/share/v1",
            &[&context.0, &index],
            plaintext,
        );
        let parts: [&[u8]; 4] = [&context.0, &index, &encapsulated, &sealed];
        let message = digest("keepwell/release/message/v1", &parts);
        ReleaseAnswer {
            access: access.command,
            share,
            signature: release_key(share).sign("keepwell/release/answer/v1", &message.0),
            encapsulated: keepwell_types::encoding::Blob::from_vec(encapsulated).unwrap(),
            sealed: keepwell_types::encoding::Blob::from_vec(sealed).unwrap(),
        }
    }
}

#[test]
fn answers_open_for_the_access_key_only() {
    let rng = &mut CountingRng::new("access key");
    let validators = Validators::new(rng, 4, 3);
    let records = [Record::new(rng, &validators.committee, 1)];
    let (access, reader) = access(rng);
    let answer = answers(rng, &validators, &[1], &access, &records, &reader).remove(0);
    // Another reader cannot even collect: the key is not the one in the access. Nor does it open.
    let other = SealingKey::generate(rng);
    let context = context(&access, &items(&records));
    let parts: [&[u8]; 2] = [&context.0, &[1, 0]];
    let domain = "keepwell/release/share/v1";
    let open = |key| {
        keepwell_crypto::seal::open(key, domain, &parts, &answer.encapsulated, &answer.sealed)
    };
    assert_eq!(open(&other).err(), Some(OpenError::WrongKey));
    assert_eq!(open(&reader).map(|bytes| bytes.len()), Ok(Partial::encoded_len(1)));
}

#[test]
fn one_wrong_point_in_a_batch_is_caught_by_the_one_proof() {
    let rng = &mut CountingRng::new("one wrong point");
    let (keys, shares) = threshold::deal(rng, 4, 3);
    let committee = Committee::new(&keys).unwrap();
    let ciphertexts: Vec<_> =
        (0..40_u8).map(|it| threshold::encapsulate(rng, &committee, &[it]).0).collect();
    let points: Vec<_> = (0..40_u8)
        .zip(&ciphertexts)
        .map(|(it, lock)| threshold::verify_ciphertext(&committee, &[it], lock).unwrap())
        .collect();
    let context = Digest([1; 32]);
    let partial = threshold::partial(rng, &committee, &shares[0], &points, &context);
    let verify = |partial: &Partial, share, context: &Digest| {
        threshold::verify_partial(&committee, share, &points, partial, context).map(|it| it.share())
    };
    assert_eq!(verify(&partial, 1, &context), Ok(1));
    let proof = |share| Err(PartialError::Proof { share });
    assert_eq!(verify(&partial, 1, &Digest([2; 32])), proof(1), "another context");
    assert_eq!(verify(&partial, 2, &context), proof(2), "another share");
    let no_share = Err(PartialError::NoSuchShare { share: 5 });
    assert_eq!(verify(&partial, 5, &context), no_share);
    assert_eq!(verify(&partial, 0, &context), Err(PartialError::NoSuchShare { share: 0 }));

    let bytes = partial.to_bytes();
    let mut swapped = bytes.to_vec();
    swapped[64..].rotate_left(32);
    assert_eq!(verify(&Partial::from_bytes(&swapped).unwrap(), 1, &context), proof(1));
    let mut copied = bytes.to_vec();
    copied.copy_within(64 + 32 * 18..64 + 32 * 19, 64 + 32 * 17);
    assert_eq!(verify(&Partial::from_bytes(&copied).unwrap(), 1, &context), proof(1));
    for cut in [bytes.len() - 32, bytes.len() - 1, 32, 0] {
        let fault =
            Partial::from_bytes(&bytes[..cut]).and_then(|partial| verify(&partial, 1, &context));
        assert_eq!(fault, Err(PartialError::Malformed), "{cut} bytes");
    }
}

#[test]
fn repeated_shares_count_once() {
    let rng = &mut CountingRng::new("repeated");
    let (keys, shares) = threshold::deal(rng, 4, 3);
    let committee = Committee::new(&keys).unwrap();
    let (lock, secret) = threshold::encapsulate(rng, &committee, b"label");
    let points = [threshold::verify_ciphertext(&committee, b"label", &lock).unwrap()];
    let context = Digest([1; 32]);
    let mut verified = |share: usize| {
        let partial = threshold::partial(rng, &committee, &shares[share - 1], &points, &context);
        threshold::verify_partial(&committee, share as u16, &points, &partial, &context).unwrap()
    };
    let (one, two, four) = (verified(1), verified(2), verified(4));
    let locks = [(b"label".as_slice(), &lock)];
    let combined = threshold::combine(&committee, &locks, &[one.clone(), two.clone(), one.clone()]);
    assert_eq!(combined, Err(TooFewShares { have: 2, need: 3 }));
    let combined = threshold::combine(&committee, &locks, &[one.clone(), one, two, four]);
    assert_eq!(combined, Ok(vec![secret]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_threshold_of_shares_opens_and_fewer_do_not(
        (shares, threshold) in (1..10_u16).prop_flat_map(|shares| (Just(shares), 1..=shares)),
        order in any::<u64>(),
    ) {
        let rng = &mut CountingRng::new("any threshold");
        let (keys, dealt) = threshold::deal(rng, shares, threshold);
        let committee = Committee::new(&keys).unwrap();
        let (lock, secret) = threshold::encapsulate(rng, &committee, b"label");
        let points = [threshold::verify_ciphertext(&committee, b"label", &lock).unwrap()];
        let context = Digest([1; 32]);
        let mut verified: Vec<_> = dealt
            .iter()
            .map(|share| {
                let partial = threshold::partial(rng, &committee, share, &points, &context);
                let share = share.index();
                threshold::verify_partial(&committee, share, &points, &partial, &context).unwrap()
            })
            .collect();
        verified.sort_by_key(|it| digest("order", &[&order.to_le_bytes(), &[it.share() as u8]]));
        verified.truncate(threshold.into());
        let locks = [(b"label".as_slice(), &lock)];
        prop_assert_eq!(threshold::combine(&committee, &locks, &verified), Ok(vec![secret]));
        verified.pop();
        let have = verified.len();
        let too_few = Err(TooFewShares { have, need: threshold.into() });
        prop_assert_eq!(threshold::combine(&committee, &locks, &verified), too_few);
    }
}

#[test]
fn keys_of_no_committee_are_refused() {
    let rng = &mut CountingRng::new("no committee");
    let (keys, shares) = threshold::deal(rng, 5, 3);
    let (other, _) = threshold::deal(rng, 5, 3);
    let with = |place: usize, key: Digest| {
        let mut shares = keys.shares.to_vec();
        shares[place] = key;
        CommitteeKeys { shares: List::from_vec(shares).unwrap(), ..keys.clone() }
    };
    let neutral = Digest([0; 32]);
    let no_point = Digest([0xff; 32]);
    let threshold = |threshold| CommitteeKeys { threshold, ..keys.clone() };
    let key = |key| CommitteeKeys { key, ..keys.clone() };
    let table: [(&str, CommitteeKeys, CommitteeError); 8] = [
        ("any opens", threshold(0), CommitteeError::Threshold { threshold: 0, shares: 5 }),
        ("none opens", threshold(6), CommitteeError::Threshold { threshold: 6, shares: 5 }),
        ("key everyone knows", key(neutral), CommitteeError::Key),
        ("key that is no point", key(no_point), CommitteeError::Key),
        ("key of another dealing", key(other.key), CommitteeError::Key),
        ("share that is no point", with(1, no_point), CommitteeError::Share { share: 2 }),
        ("share of another dealing", with(4, other.shares[4]), CommitteeError::Share { share: 5 }),
        // Fewer shares than were dealt for do not give the key.
        ("smaller threshold", threshold(2), CommitteeError::Key),
    ];
    for (name, keys, error) in table {
        assert_eq!(Committee::new(&keys).err(), Some(error), "{name}");
    }
    let committee = Committee::new(&keys).unwrap();
    assert_ne!(committee.id(), CommitteeId(keys.key.0));
    assert!(shares.iter().all(|share| share.is_of(&committee)));
}

#[test]
fn shares_have_one_encoding() {
    let (_, shares) = threshold::deal(&mut CountingRng::new("share"), 2, 2);
    let bytes = shares[1].to_bytes();
    let read = KeyShare::from_bytes(&*bytes).unwrap();
    assert_eq!((read.index(), read.to_bytes()), (2, bytes.clone()));
    assert!(KeyShare::from_bytes(&bytes[..33]).is_none());
    assert!(KeyShare::from_bytes(&[0xff; 34]).is_none());
    assert_eq!(format!("{:?}", shares[1]), "KeyShare(2, ..)");
}

/// Why partials are sealed to the reader instead of blinded in the group, with sᵢ·(U + E): without a
/// proof that the reader knows the logarithm of E, a reader with one committed access to A takes
/// E = U_B − U_A and is handed the secret of B, for which no access was ever recorded.
#[test]
fn blinding_in_the_group_would_leak() {
    let rng = &mut CountingRng::new("blinding");
    let shares = [Scalar::random(rng), Scalar::random(rng)];
    let secret = shares[0] + shares[1];
    let (a, b) = (G * &Scalar::random(rng), G * &Scalar::random(rng));
    let blind = b - a;
    let answered: RistrettoPoint = shares.iter().map(|share| (a + blind) * share).sum();
    assert_eq!(answered, b * secret);
}
