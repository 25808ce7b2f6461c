//! How validators change: who may join, how shares are dealt anew, and what liars and the silent can do about it.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use keepwell_crypto::{
    command::verify,
    dealing::{Dealing, DealingFault, Dealt as Dealings, OpenedShare, SubShare},
    matching,
    reshare::{Resharing, Share, sign_card},
    seal::{SealingKey, SealingPublic},
    sign::SigningKey,
    threshold::{
        Committee, KeyShare, combine, deal, encapsulate, partial, verify_ciphertext, verify_partial,
    },
};
use keepwell_ledger::state::{
    Changing, Dealt, Duty, Key, Places, Receiver, Stage, Validators, Value,
};
use keepwell_types::{
    command::Payload,
    encoding::{Blob, List, Text},
    genesis::{GENESIS_VERSION, Genesis, Parameters, Validator},
    id::{ChainId, Digest, Height, Location, OrganisationId, PublicKey},
    limits::EPOCH_BLOCKS_MIN,
    member::{OrganisationStanding, Party},
    motion::{Act, MotionApprove, MotionOpen},
    outcome::{Rejection, Verdict},
    time::BlockTime,
    validators::{
        Change, Complaint, KeyUse, OpenShare, ReshareCheck, ReshareConfirm, ReshareDeal,
        ReshareOpen, ReshareReady, Seat, ValidatorCard, ValidatorSet, index_of, quorum,
    },
};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use support::{CHAIN, ORGANISATIONS, PARAMETERS, World, key, motion_id, name_of, organisation_id};

/// How a validator behaves in every part that it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Manner {
    Honest,
    /// Says nothing at all.
    Silent,
    /// Is ready, and then silent.
    Leaves,
    /// Deals shares that do not open to the first of the others, and opens none of them.
    Misdeals,
    /// Deals such shares, and opens what was complained about.
    MisdealsAndOpens,
    /// Deals something else than its share.
    DealsAnother,
    /// Opens other shares than it dealt.
    OpensAnother,
    /// Complains about everyone.
    Complains,
    /// Confirms with the share of another key.
    Pretends,
}

const LIARS: [Manner; 8] = [
    Manner::Silent,
    Manner::Leaves,
    Manner::Misdeals,
    Manner::MisdealsAndOpens,
    Manner::DealsAnother,
    Manner::OpensAnother,
    Manner::Complains,
    Manner::Pretends,
];

/// One validator, of the present set or of the next.
#[derive(Clone)]
struct Node {
    organisation: OrganisationId,
    release: SigningKey,
    manner: Manner,
    shares: Vec<Share>,
    receiving: Option<(Location, SealingKey)>,
    next: Vec<Share>,
}

/// A ledger and its validators.
struct Consortium {
    world: World,
    nodes: BTreeMap<PublicKey, Node>,
    dealings: BTreeMap<Location, Dealing>,
    /// Confirmations that were accepted, by change.
    confirmed: BTreeMap<Location, usize>,
    /// The change that was under way last.
    last: Option<Location>,
    rng: ChaCha20Rng,
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn consensus(name: &str) -> SigningKey {
    key(&format!("consensus:{name}"))
}

fn release(name: &str) -> SigningKey {
    key(&format!("release:{name}"))
}

fn seat(name: &str, organisation: &str) -> Seat {
    let validator = Validator {
        organisation: organisation_id(organisation),
        consensus: consensus(name).public(),
        release: release(name).public(),
    };
    let address = Text::from_string(format!("{name}.example:7000")).unwrap();
    Seat { validator, address: Some(address) }
}

fn card(name: &str, organisation: &str) -> ValidatorCard {
    sign_card(&CHAIN, seat(name, organisation), [&consensus(name), &release(name)])
}

fn change(joins: &[ValidatorCard], leaves: &[&str]) -> Change {
    let leaves = leaves.iter().map(|name| consensus(name).public()).collect();
    Change {
        joins: List::from_vec(joins.to_vec()).unwrap(),
        leaves: List::from_vec(leaves).unwrap(),
    }
}

impl Consortium {
    /// Validators with these names, each of an organisation with the same name, where there is one.
    fn of(names: &[&str], matching: bool) -> Self {
        let mut rng = rng(names.len() as u64);
        let mut validators: Vec<_> =
            names.iter().map(|name| (*name, seat(name, name).validator)).collect();
        validators.sort_by_key(|(_, validator)| validator.consensus);
        let (count, threshold) = (names.len() as u16, quorum(names.len()) as u16);
        let (committee, shares) = deal(&mut rng, count, threshold);
        let other = matching.then(|| matching::deal(&mut rng, count, threshold));
        let genesis = Genesis {
            version: GENESIS_VERSION,
            name: Text::from_string("test".into()).unwrap(),
            founded: BlockTime(0),
            demonstration: true,
            validators: List::from_vec(validators.iter().map(|it| it.1).collect()).unwrap(),
            committee,
            parameters: Parameters { epoch_blocks: Some(EPOCH_BLOCKS_MIN), ..PARAMETERS },
            entries: List::new(),
            trustees: None,
            matching: other.as_ref().map(|(keys, _)| keys.clone()),
        };
        let mut nodes = BTreeMap::new();
        for (place, (name, _)) in validators.iter().enumerate() {
            let mut held = vec![Share::Release(shares[place].clone())];
            held.extend(other.iter().map(|(_, shares)| Share::Match(shares[place].clone())));
            let node = node(name, name, held);
            nodes.insert(node.release.public(), node);
        }
        let world = World::founded(&genesis);
        let (dealings, confirmed) = (BTreeMap::new(), BTreeMap::new());
        Self { world, nodes, dealings, confirmed, last: None, rng }
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(&release(name).public()).unwrap()
    }

    /// A node that has no share yet.
    fn host(&mut self, name: &str, organisation: &str) {
        let node = node(name, organisation, Vec::new());
        self.nodes.insert(node.release.public(), node);
    }

    fn validators(&self) -> Validators {
        match self.world.stored(&Key::Validators) {
            Some(Value::Validators(it)) => it,
            other => panic!("{other:?}"),
        }
    }

    fn changing(&self) -> Option<Changing> {
        match self.world.stored(&Key::Changing) {
            Some(Value::Changing(it)) => Some(it),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    fn stage(&self) -> Option<Stage> {
        let old = self.validators().set;
        self.changing().map(|it| it.stage(&old, self.world.height, EPOCH_BLOCKS_MIN))
    }

    fn dealt(&self, index: u16) -> Option<Dealt> {
        match self.world.stored(&Key::Dealt(index)) {
            Some(Value::Dealt(it)) => Some(it),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    /// Submits in the open block.
    fn submit(&mut self, party: Party, key: &SigningKey, payload: Payload) -> Verdict {
        let signed = self.world.sign(&[(party, key.clone())], payload.clone());
        let outcome = match self.world.submit(verify(signed).unwrap()) {
            Ok(outcome) => outcome,
            Err(inadmissible) => panic!("{payload:?}: {inadmissible}"),
        };
        if let (Payload::ReshareDeal(it), true) = (&payload, outcome.verdict.is_accepted()) {
            let dealing = Dealing::decode(&it.dealing).unwrap();
            self.dealings.insert(outcome.location, dealing);
        }
        if let (Payload::ReshareConfirm(it), true) = (&payload, outcome.verdict.is_accepted()) {
            *self.confirmed.entry(it.change).or_default() += 1;
        }
        outcome.verdict
    }

    fn says(&mut self, name: &str, payload: Payload) -> Verdict {
        let node = self.node(name).clone();
        self.submit(Party::Validator(node.organisation), &node.release, payload)
    }

    /// Moves an act with these approvals, in order; the verdict of the last.
    fn moved(&mut self, act: &Act, by: &[&str]) -> Verdict {
        self.next_block();
        let motion = motion_id(&format!("{:?}", self.world.height));
        let mut verdict = Verdict::Accepted;
        for (place, name) in by.iter().enumerate() {
            let (act, until) = (act.clone(), self.world.time.plus_ms(100_000));
            let payload = match place {
                0 => Payload::MotionOpen(MotionOpen { motion, act, until }),
                _ => Payload::MotionApprove(MotionApprove { motion, act }),
            };
            let party = Party::Administrator(organisation_id(name));
            verdict = self.submit(party, &key(&format!("administrator:{name}")), payload);
        }
        self.world.end();
        verdict
    }

    fn next_block(&mut self) {
        self.world.end();
        let time = self.world.time.plus_ms(1_000);
        self.world.at(time);
    }

    /// One block in which everyone does what it is waited for, in its manner.
    fn round(&mut self) -> Option<ValidatorSet> {
        self.next_block();
        let keys: Vec<_> = self.nodes.keys().copied().collect();
        for release in keys {
            self.take_part(release);
        }
        self.world.end();
        let next = self.world.last.as_ref().unwrap().next.clone();
        if let Some(next) = &next {
            self.hand_over(next);
        }
        next
    }

    /// Rounds until another set begins, or the change has failed.
    fn run(&mut self) -> Option<ValidatorSet> {
        for _ in 0..8 * EPOCH_BLOCKS_MIN {
            if let Some(next) = self.round() {
                return Some(next);
            }
            if self.stage() == Some(Stage::Failed) {
                return None;
            }
        }
        panic!("it neither holds nor has failed: {:?}", self.changing());
    }

    fn hand_over(&mut self, next: &ValidatorSet) {
        for node in self.nodes.values_mut() {
            let sits = next.index_of(&node.release.public()).is_some();
            node.shares = if sits { std::mem::take(&mut node.next) } else { Vec::new() };
            node.next.clear();
        }
    }

    fn take_part(&mut self, release: PublicKey) {
        let (old, Some(changing)) = (self.validators().set, self.changing()) else { return };
        self.last = Some(changing.began);
        let height = self.world.height;
        let Some(duty) = changing.duty(&old, &release, height, EPOCH_BLOCKS_MIN) else { return };
        let node = self.nodes[&release].clone();
        let silent =
            node.manner == Manner::Silent || node.manner == Manner::Leaves && duty != Duty::Ready;
        if silent || node.shares.is_empty() && duty == Duty::Deal {
            return;
        }
        let payloads = match duty {
            Duty::Ready => vec![self.ready(release, changing.began)],
            Duty::Deal => self.deal(&node, &old, &changing),
            Duty::Check => vec![self.check(&node, &old, &changing)],
            Duty::Open => self.open(&node, &old, &changing),
            Duty::Confirm => self.confirm(release, &old, &changing),
        };
        for payload in payloads {
            self.submit(Party::Validator(node.organisation), &node.release, payload);
        }
    }

    fn ready(&mut self, release: PublicKey, change: Location) -> Payload {
        let receiving = SealingKey::generate(&mut self.rng);
        let public = receiving.public().to_blob();
        self.nodes.get_mut(&release).unwrap().receiving = Some((change, receiving));
        Payload::ReshareReady(ReshareReady { change, receiving: public })
    }

    fn receivers(&self, changing: &Changing) -> Vec<Option<SealingPublic>> {
        let places = 1..=changing.seats.len() as u16;
        let receiving = |index| match self.world.stored(&Key::Receiver(index)) {
            Some(Value::Receiver(Receiver { receiving })) => {
                Some(SealingPublic::from_bytes(&receiving).unwrap())
            }
            None => None,
            other => panic!("{other:?}"),
        };
        places.map(receiving).collect()
    }

    /// To which keys a node deals: who misdeals takes another's in place of the first.
    fn dealt_to(&self, node: &Node, changing: &Changing) -> Vec<Option<SealingPublic>> {
        let mut receivers = self.receivers(changing);
        let misdeals = [Manner::Misdeals, Manner::MisdealsAndOpens, Manner::OpensAnother];
        if misdeals.contains(&node.manner) {
            let first = receivers.iter_mut().find(|it| it.is_some()).unwrap();
            *first = Some(SealingKey::from_seed(&[9; 32]).public());
        }
        receivers
    }

    fn deal(&mut self, node: &Node, old: &ValidatorSet, changing: &Changing) -> Vec<Payload> {
        let mut payloads = Vec::new();
        for share in &node.shares {
            let key = share.key();
            let receivers = self.dealt_to(node, changing);
            let dealt = if node.manner == Manner::DealsAnother {
                another(&mut self.rng, (old, share), changing, &receivers)
            } else {
                resharing(old, changing, key).deal(share, &receivers).unwrap()
            };
            let dealing = Blob::from_vec(dealt.dealing().encode()).unwrap();
            let change = changing.began;
            payloads.push(Payload::ReshareDeal(ReshareDeal { change, key, dealing }));
        }
        payloads
    }

    /// What a receiver has of the dealings that its ledger names: shares, and whose are wrong.
    fn looked(
        &self,
        node: &Node,
        old: &ValidatorSet,
        changing: &Changing,
        key: KeyUse,
        dealer: u16,
    ) -> Result<SubShare, DealingFault> {
        let index = index_of(&changing.seats, &node.release.public()).unwrap();
        let dealt = self.dealt(dealer).unwrap();
        let dealt = dealt.of(key).unwrap();
        let resharing = resharing(old, changing, key);
        let (_, receiving) = node.receiving.as_ref().unwrap();
        let opened = dealt.opened.iter().find(|it| it.receiver == index);
        match opened {
            Some(opened) => {
                let share = OpenedShare::new(index, opened.share.clone());
                resharing.check_opened(&dealt.commitments, &share)
            }
            None => resharing.open(&self.dealings[&dealt.location], index, receiving),
        }
    }

    fn check(&self, node: &Node, old: &ValidatorSet, changing: &Changing) -> Payload {
        let mut wrong = Vec::new();
        for key in keys(old) {
            for dealer in changing.dealt.iter() {
                let bad = self.looked(node, old, changing, key, dealer).is_err();
                if bad || node.manner == Manner::Complains {
                    wrong.push(Complaint { key, dealer });
                }
            }
        }
        let wrong = List::from_vec(wrong).unwrap();
        Payload::ReshareCheck(ReshareCheck { change: changing.began, wrong })
    }

    fn open(&mut self, node: &Node, old: &ValidatorSet, changing: &Changing) -> Vec<Payload> {
        if node.manner == Manner::Misdeals {
            return Vec::new();
        }
        let index = old.index_of(&node.release.public()).unwrap();
        let dealt = self.dealt(index).unwrap();
        let receivers = self.dealt_to(node, changing);
        let mut shares = Vec::new();
        for share in &node.shares {
            let key = share.key();
            let again = resharing(old, changing, key).deal(share, &receivers).unwrap();
            for receiver in dealt.of(key).unwrap().accusers.iter() {
                let share = if node.manner == Manner::OpensAnother {
                    Blob::from_vec(vec![1; 32]).unwrap()
                } else {
                    again.opened(receiver).share().clone()
                };
                shares.push(OpenShare { key, receiver, share });
            }
        }
        let (change, shares) = (changing.began, List::from_vec(shares).unwrap());
        vec![Payload::ReshareOpen(ReshareOpen { change, shares })]
    }

    fn confirm(
        &mut self,
        release: PublicKey,
        old: &ValidatorSet,
        changing: &Changing,
    ) -> Vec<Payload> {
        let node = self.nodes[&release].clone();
        let index = index_of(&changing.seats, &release).unwrap();
        let counting: Vec<_> = changing.counting().iter().take(old.quorum()).collect();
        let (mut next, mut proofs) = (Vec::new(), Vec::new());
        for key in keys(old) {
            let resharing = resharing(old, changing, key);
            let dealt = counting.iter().map(|dealer| self.dealt(*dealer).unwrap());
            let commitments: Vec<_> =
                dealt.map(|it| it.of(key).unwrap().commitments.clone()).collect();
            let committee = resharing.finish(&commitments).unwrap();
            let parts = counting.iter().map(|it| self.looked(&node, old, changing, key, *it));
            let Ok(parts) = parts.collect::<Result<Vec<_>, _>>() else { return Vec::new() };
            let share = match (node.manner, key) {
                (Manner::Pretends, KeyUse::Release) => {
                    let (_, others) = deal(&mut self.rng, index, 1);
                    Share::Release(others[usize::from(index) - 1].clone())
                }
                _ => resharing.share(index, &parts).unwrap(),
            };
            proofs.push(resharing.prove(&mut self.rng, &committee, &share));
            next.push(share);
        }
        self.nodes.get_mut(&release).unwrap().next = next;
        let mut proofs = proofs.into_iter();
        vec![Payload::ReshareConfirm(ReshareConfirm {
            change: changing.began,
            release: proofs.next().unwrap(),
            matching: proofs.next(),
        })]
    }
}

fn node(name: &str, organisation: &str, shares: Vec<Share>) -> Node {
    Node {
        organisation: organisation_id(organisation),
        release: release(name),
        manner: Manner::Honest,
        shares,
        receiving: None,
        next: Vec::new(),
    }
}

fn keys(set: &ValidatorSet) -> Vec<KeyUse> {
    let keys = [KeyUse::Release, KeyUse::Match].into_iter();
    keys.filter(|key| set.committee(*key).is_some()).collect()
}

fn resharing(old: &ValidatorSet, changing: &Changing, key: KeyUse) -> Resharing {
    let keys = old.committee(key).unwrap();
    Resharing::new(&CHAIN, changing.began, key, keys, changing.seats.len()).unwrap()
}

/// A dealing of a secret that has nothing to do with the dealer's share.
fn another(
    rng: &mut ChaCha20Rng,
    (old, share): (&ValidatorSet, &Share),
    changing: &Changing,
    receivers: &[Option<SealingPublic>],
) -> Dealings {
    let (count, threshold) = (old.seats.len() as u16, old.quorum() as u16);
    let (keys, share) = match share {
        Share::Release(share) => {
            let (keys, shares) = deal(rng, count, threshold);
            (keys, Share::Release(shares[usize::from(share.index()) - 1].clone()))
        }
        Share::Match(share) => {
            let (keys, shares) = matching::deal(rng, count, threshold);
            (keys, Share::Match(shares[usize::from(share.index()) - 1].clone()))
        }
    };
    let (key, seats) = (share.key(), changing.seats.len());
    let resharing = Resharing::new(&CHAIN, changing.began, key, &keys, seats).unwrap();
    resharing.deal(&share, receivers).unwrap()
}

/// A capsule's second lock, made for the consortium's key before anything changed.
struct Capsule {
    ciphertext: keepwell_crypto::threshold::Ciphertext,
    secret: Vec<u8>,
}

const LABEL: &[u8] = b"a record of long ago";

impl Capsule {
    fn of(consortium: &mut Consortium) -> Self {
        let committee = Committee::new(&consortium.validators().set.committee).unwrap();
        let (ciphertext, secret) = encapsulate(&mut consortium.rng, &committee, LABEL);
        Self { ciphertext, secret: secret.as_bytes().to_vec() }
    }

    /// Opens it with these shares of the present committee.
    fn opens(&self, rng: &mut ChaCha20Rng, set: &ValidatorSet, shares: &[KeyShare]) -> bool {
        let committee = Committee::new(&set.committee).unwrap();
        let point = verify_ciphertext(&committee, LABEL, &self.ciphertext).unwrap();
        let context = Digest([3; 32]);
        let partials: Vec<_> = shares
            .iter()
            .filter_map(|share| {
                let partial = partial(rng, &committee, share, &[point], &context);
                verify_partial(&committee, share.index(), &[point], &partial, &context).ok()
            })
            .collect();
        let secrets = combine(&committee, &[(LABEL, &self.ciphertext)], &partials);
        secrets.is_ok_and(|it| it[0].as_bytes() == &self.secret[..])
    }
}

fn release_share(node: &Node) -> Option<&KeyShare> {
    node.shares.iter().find_map(|share| match share {
        Share::Release(share) => Some(share),
        Share::Match(_) => None,
    })
}

/// What must hold of every set that begins, whoever lied.
fn holds(
    consortium: &mut Consortium,
    before: &ValidatorSet,
    next: &ValidatorSet,
    capsule: &Capsule,
) {
    assert_eq!(next.committee.key, before.committee.key, "the joint key stays");
    let both = next.matching.as_ref().zip(before.matching.as_ref());
    assert_eq!(both.is_some(), before.matching.is_some());
    assert!(both.is_none_or(|(next, before)| next.key == before.key));
    assert_eq!(usize::from(next.committee.threshold), next.quorum());
    assert_eq!(consortium.validators().set, *next);
    assert_eq!(consortium.changing(), None);
    let parts = |key: &Key| matches!(key, Key::Receiver(_) | Key::Dealt(_));
    assert!(!consortium.world.state.keys().any(parts), "nothing of the change is left");

    let confirmed = consortium.confirmed.get(&consortium.last.unwrap()).copied();
    assert!(confirmed.unwrap_or_default() >= next.quorum(), "{confirmed:?} confirmed");

    let committee = Committee::new(&next.committee).unwrap();
    let honest = consortium.nodes.values().filter(|node| node.manner == Manner::Honest);
    let shares: Vec<_> = honest.filter_map(release_share).cloned().collect();
    assert!(shares.iter().all(|share| share.is_of(&committee)), "who confirmed has its share");
    if shares.len() >= next.quorum() {
        let rng = &mut consortium.rng;
        assert!(capsule.opens(rng, next, &shares[..next.quorum()]));
        assert!(!capsule.opens(rng, next, &shares[1..next.quorum()]));
    }
}

fn all_four() -> Consortium {
    Consortium::of(&["hospital", "clinic", "lab", "insurer"], true)
}

fn admits(name: &str) -> Act {
    let Payload::OrganisationAdmit(it) = support::admit(name, true) else {
        panic!("it admits");
    };
    Act::Admit(it)
}

fn expels(name: &str) -> Act {
    Act::Expel(OrganisationStanding { organisation: organisation_id(name) })
}

fn refused(verdict: Verdict) -> String {
    match verdict {
        Verdict::Accepted => "ok".into(),
        Verdict::Rejected(rejection) => name_of(&rejection),
    }
}

const THREE: [&str; 3] = ["hospital", "clinic", "lab"];

#[test]
fn one_joins_and_another_leaves_and_old_records_open_still() {
    let mut consortium = all_four();
    let capsule = Capsule::of(&mut consortium);
    let before = consortium.validators().set;
    let old: Vec<_> = consortium.nodes.values().filter_map(release_share).cloned().collect();
    assert_eq!(consortium.moved(&admits("pharmacy"), &THREE), Verdict::Accepted);
    consortium.host("pharmacy", "pharmacy");

    let act = Act::Change(change(&[card("pharmacy", "pharmacy")], &["insurer"]));
    let four = ["hospital", "clinic", "lab", "insurer"];
    assert_eq!(consortium.moved(&act, &four), Verdict::Accepted);
    assert_eq!(consortium.changing(), None, "the pharmacy itself has not approved");
    assert_eq!(
        consortium.moved(&act, &["pharmacy", "clinic", "lab", "insurer"]),
        Verdict::Accepted
    );
    assert_eq!(consortium.stage(), Some(Stage::Receive));

    let next = consortium.run().unwrap();
    let height = consortium.world.height;
    assert_eq!(
        next.since,
        (height.0 + 1) / u64::from(EPOCH_BLOCKS_MIN),
        "the epoch after this block"
    );
    assert_eq!((height.0 + 1) % u64::from(EPOCH_BLOCKS_MIN), 0);
    holds(&mut consortium, &before, &next, &capsule);
    let committee = Committee::new(&next.committee).unwrap();
    assert!(old.iter().all(|share| !share.is_of(&committee)), "old shares stop verifying");
    assert!(!capsule.opens(&mut rng(1), &next, &old));
    assert!(consortium.node("insurer").shares.is_empty());
}

#[test]
fn the_same_validators_deal_anew() {
    let mut consortium = all_four();
    let capsule = Capsule::of(&mut consortium);
    let before = consortium.validators().set;
    assert_eq!(consortium.moved(&Act::Change(Change::default()), &THREE), Verdict::Accepted);
    let next = consortium.run().unwrap();
    assert_eq!(next.seats, before.seats);
    assert_ne!(next.committee, before.committee);
    holds(&mut consortium, &before, &next, &capsule);
}

/// From one to two, to three, and back to one that was not the first.
#[test]
fn the_smallest_sets_change_as_well() {
    let mut consortium = Consortium::of(&["hospital"], true);
    let capsule = Capsule::of(&mut consortium);
    for name in ["clinic", "lab"] {
        consortium.host(name, name);
        let before = consortium.validators().set;
        let act = Act::Change(change(&[card(name, name)], &[]));
        assert_eq!(consortium.moved(&act, &THREE), Verdict::Accepted);
        let next = consortium.run().unwrap();
        holds(&mut consortium, &before, &next, &capsule);
    }
    let before = consortium.validators().set;
    assert_eq!((before.seats.len(), before.quorum()), (3, 3));
    let act = Act::Change(change(&[], &["hospital", "lab"]));
    assert_eq!(consortium.moved(&act, &THREE), Verdict::Accepted);
    let next = consortium.run().unwrap();
    holds(&mut consortium, &before, &next, &capsule);
    assert_eq!(next.seats.len(), 1);
}

/// Where nobody may fail, one who is silent keeps a change from happening; the shares stay as they are.
#[test]
fn a_change_that_fails_leaves_everything_and_can_be_moved_again() {
    for manner in [Manner::Silent, Manner::Leaves, Manner::Misdeals, Manner::Pretends] {
        let mut consortium = Consortium::of(&THREE, false);
        let capsule = Capsule::of(&mut consortium);
        let before = consortium.validators();
        consortium.node("lab").manner = manner;
        let act = Act::Change(Change::default());
        assert_eq!(consortium.moved(&act, &THREE), Verdict::Accepted);
        assert_eq!(refused(consortium.moved(&act, &THREE)), "change_under_way");
        assert_eq!(consortium.run(), None, "{manner:?}");
        assert_eq!(consortium.validators(), before);

        consortium.node("lab").manner = Manner::Honest;
        assert_eq!(consortium.moved(&act, &THREE), Verdict::Accepted);
        let next = consortium.run().unwrap();
        holds(&mut consortium, &before.set, &next, &capsule);
    }
}

#[test]
fn whoever_is_expelled_leaves_the_validators_too() {
    let mut consortium = all_four();
    let capsule = Capsule::of(&mut consortium);
    let before = consortium.validators().set;
    // It begins again, without the one that is expelled, whatever is under way.
    assert_eq!(consortium.moved(&Act::Change(Change::default()), &THREE), Verdict::Accepted);
    let began = consortium.changing().unwrap().began;
    for _ in 0..3 {
        consortium.round();
    }
    assert_eq!(consortium.moved(&expels("insurer"), &THREE), Verdict::Accepted);
    let changing = consortium.changing().unwrap();
    assert!(changing.began > began && changing.seats.len() == 3 && changing.ready.is_empty());
    consortium.node("insurer").manner = Manner::Silent;
    let next = consortium.run().unwrap();
    holds(&mut consortium, &before, &next, &capsule);
    // And one that has no validator changes none.
    assert_eq!(consortium.moved(&admits("pharmacy"), &THREE), Verdict::Accepted);
    assert_eq!(consortium.moved(&expels("pharmacy"), &THREE), Verdict::Accepted);
    assert_eq!(consortium.changing(), None);
}

/// The change that an expulsion began fails: the next one does without the expelled all the same.
#[test]
fn who_was_expelled_is_in_no_later_set() {
    let mut consortium = all_four();
    for name in ["hospital", "clinic"] {
        consortium.node(name).manner = Manner::Silent;
    }
    assert_eq!(consortium.moved(&expels("insurer"), &THREE), Verdict::Accepted);
    assert_eq!(consortium.run(), None);
    for name in ["hospital", "clinic"] {
        consortium.node(name).manner = Manner::Honest;
    }
    assert_eq!(consortium.moved(&Act::Change(Change::default()), &THREE), Verdict::Accepted);
    assert_eq!(consortium.run().unwrap().seats.len(), 3);
}

#[test]
fn the_last_validator_is_not_expelled() {
    let mut consortium = Consortium::of(&["insurer"], false);
    assert_eq!(refused(consortium.moved(&expels("insurer"), &THREE)), "validator_count");
}

#[test]
fn who_may_not_join() {
    let mut consortium = Consortium::of(&["hospital", "clinic"], false);
    let moves = |consortium: &mut Consortium, joins: &[ValidatorCard], leaves: &[&str]| {
        refused(consortium.moved(&Act::Change(change(joins, leaves)), &["hospital"]))
    };
    let lab = card("lab", "lab");
    let by = |name: &str| [consensus(name), release(name)];
    let of = |seat: Seat, chain: &ChainId, keys: [SigningKey; 2]| {
        sign_card(chain, seat, keys.each_ref())
    };
    let other_keys = Seat {
        validator: Validator {
            consensus: consensus("lab").public(),
            ..seat("clinic", "lab").validator
        },
        ..seat("lab", "lab")
    };
    let one_key = Seat {
        validator: Validator { release: consensus("lab").public(), ..seat("lab", "lab").validator },
        ..seat("lab", "lab")
    };
    let nowhere = Seat { address: None, ..seat("lab", "lab") };
    let foreign = of(seat("lab", "lab"), &ChainId([8; 32]), by("lab"));
    let cases: [(&[ValidatorCard], &[&str], &str); 12] = [
        (&[card("x", "nobody")], &[], "unknown_organisation"),
        (&[card("x", "clinic")], &[], "not_to_validate"),
        (&[lab.clone(), card("x", "lab")], &[], "not_to_validate"),
        (&[foreign], &[], "validator_card"),
        (&[of(seat("lab", "lab"), &CHAIN, by("x"))], &[], "validator_card"),
        (&[of(nowhere, &CHAIN, by("lab"))], &[], "validator_card"),
        (&[of(one_key, &CHAIN, [consensus("lab"), consensus("lab")])], &[], "validator_card"),
        (
            &[of(other_keys, &CHAIN, [consensus("lab"), release("clinic")])],
            &[],
            "validator_key_taken",
        ),
        (&[card("clinic", "lab")], &["clinic"], "validator_key_taken"),
        (&[], &["lab"], "unknown_validator"),
        (&[], &["clinic", "clinic"], "unknown_validator"),
        (&[], &["hospital", "clinic"], "validator_count"),
    ];
    for (joins, leaves, expected) in cases {
        assert_eq!(moves(&mut consortium, joins, leaves), expected, "{joins:?} {leaves:?}");
    }
    // A host that is replaced: one of its organisation leaves as another joins.
    assert_eq!(moves(&mut consortium, &[card("x", "clinic")], &["clinic"]), "ok");
    assert_eq!(moves(&mut consortium, &[lab], &[]), "ok");
}

#[test]
fn each_says_its_part_once_and_in_its_time() {
    let mut consortium = all_four();
    assert_eq!(consortium.moved(&Act::Change(Change::default()), &THREE), Verdict::Accepted);
    let changing = consortium.changing().unwrap();
    let change = changing.began;
    let elsewhere = Location { index: change.index + 1, ..change };
    let receiving = SealingKey::from_seed(&[7; 32]).public().to_blob();
    let ready = |change, receiving: &Blob<_>| {
        Payload::ReshareReady(ReshareReady { change, receiving: receiving.clone() })
    };
    let check = Payload::ReshareCheck(ReshareCheck { change, wrong: List::new() });
    let open = Payload::ReshareOpen(ReshareOpen { change, shares: List::new() });
    let proof = Blob::from_vec(vec![1; 64]).unwrap();
    let confirm = |change| {
        let (release, matching) = (proof.clone(), Some(proof.clone()));
        Payload::ReshareConfirm(ReshareConfirm { change, release, matching })
    };
    consortium.next_block();
    let cases = [
        (ready(elsewhere, &receiving), "no_such_change"),
        (ready(change, &Blob::new()), "receiving_key"),
        (check.clone(), "not_at_this_stage"),
        (open.clone(), "not_at_this_stage"),
        (confirm(change), "not_at_this_stage"),
        (ready(change, &receiving), "ok"),
        (ready(change, &receiving), "said_already"),
    ];
    for (payload, expected) in cases {
        assert_eq!(refused(consortium.says("lab", payload.clone())), expected, "{payload:?}");
    }
    // Nobody else speaks for a validator: not its administrator, not another organisation's.
    let party = Party::Validator(organisation_id("clinic"));
    let signed = consortium.world.sign(&[(party, release("lab"))], ready(change, &receiving));
    let inadmissible = consortium.world.submit(verify(signed).unwrap()).unwrap_err();
    assert_eq!(name_of(&inadmissible), "signer");
    let administrator = Party::Administrator(organisation_id("clinic"));
    let verdict =
        consortium.submit(administrator, &key("administrator:clinic"), ready(change, &receiving));
    assert_eq!(refused(verdict), "wrong_signers");
    consortium.world.end();

    // The lab's own receiving key is forgotten: it was not ready by its node, and confirms nothing.
    consortium.node("lab").manner = Manner::Silent;
    while consortium.stage() != Some(Stage::Check) {
        consortium.round();
    }
    consortium.next_block();
    let complaint = |key, dealer| Complaint { key, dealer };
    let wrong = |list: &[Complaint]| {
        let wrong = List::from_vec(list.to_vec()).unwrap();
        Payload::ReshareCheck(ReshareCheck { change, wrong })
    };
    let first = complaint(KeyUse::Release, 1);
    let cases = [
        (wrong(&[complaint(KeyUse::Release, 0)]), "wrong_complaint"),
        (wrong(&[complaint(KeyUse::Match, 5)]), "wrong_complaint"),
        (wrong(&[first, first]), "wrong_complaint"),
        (wrong(&[complaint(KeyUse::Match, 1), first]), "wrong_complaint"),
        (confirm(change), "not_at_this_stage"),
        // It was the last that was waited for.
        (wrong(&[]), "ok"),
        (wrong(&[]), "not_at_this_stage"),
        (open, "not_at_this_stage"),
    ];
    for (payload, expected) in cases {
        assert_eq!(refused(consortium.says("lab", payload.clone())), expected, "{payload:?}");
    }
    consortium.world.end();
    assert_eq!(consortium.stage(), Some(Stage::Confirm));
    consortium.next_block();
    assert_eq!(refused(consortium.says("lab", confirm(change))), "no_share");
    consortium.world.end();
    assert_eq!(consortium.run().unwrap().seats.len(), 4);
    consortium.next_block();
    assert_eq!(refused(consortium.says("lab", confirm(change))), "no_such_change");
}

/// Lies are found out: a dealing of something else, a wrong share, a share that was not complained about.
#[test]
fn lies_are_refused_one_by_one() {
    for (manner, counts) in [
        (Manner::DealsAnother, false),
        (Manner::Misdeals, false),
        (Manner::OpensAnother, false),
        (Manner::MisdealsAndOpens, true),
        (Manner::Complains, true),
    ] {
        let mut consortium = all_four();
        let capsule = Capsule::of(&mut consortium);
        let before = consortium.validators().set;
        consortium.node("lab").manner = manner;
        let index = before.index_of(&release("lab").public()).unwrap();
        assert_eq!(consortium.moved(&Act::Change(Change::default()), &THREE), Verdict::Accepted);
        let mut last = consortium.changing().unwrap();
        let next = loop {
            if let Some(next) = consortium.round() {
                break next;
            }
            last = consortium.changing().unwrap();
            assert_ne!(consortium.stage(), Some(Stage::Failed), "{manner:?}");
        };
        assert_eq!(last.counting().contains(index), counts, "{manner:?}");
        holds(&mut consortium, &before, &next, &capsule);
    }
}

/// Whoever is suspended does nothing else, and still answers for its share.
#[test]
fn a_suspended_organisation_hands_its_share_over() {
    let mut consortium = Consortium::of(&THREE, false);
    let (capsule, before) = (Capsule::of(&mut consortium), consortium.validators().set);
    let organisation = organisation_id("lab");
    let suspend = Act::Suspend(OrganisationStanding { organisation });
    assert_eq!(consortium.moved(&suspend, &["hospital", "clinic", "insurer"]), Verdict::Accepted);
    let anew = Act::Change(Change::default());
    assert_eq!(consortium.moved(&anew, &["hospital", "clinic", "insurer"]), Verdict::Accepted);
    let next = consortium.run().unwrap();
    holds(&mut consortium, &before, &next, &capsule);
}

/// The block that would have put the next set in place is the one in which one of it is expelled.
#[test]
fn an_expulsion_comes_before_the_end_of_its_epoch() {
    let mut consortium = all_four();
    let ends = |consortium: &Consortium, after: u64| {
        (consortium.world.height.0 + after + 1).is_multiple_of(EPOCH_BLOCKS_MIN.into())
    };
    while !ends(&consortium, 0) {
        consortium.round();
    }
    let before = consortium.validators();
    assert_eq!(consortium.moved(&Act::Change(Change::default()), &THREE), Verdict::Accepted);
    while !ends(&consortium, 1) {
        assert_eq!(consortium.round(), None);
    }
    assert_eq!(consortium.stage(), Some(Stage::Done));
    assert_eq!(consortium.moved(&expels("insurer"), &THREE), Verdict::Accepted);
    assert!(ends(&consortium, 0));
    assert_eq!(consortium.world.last.as_ref().unwrap().next, None);
    assert_eq!((consortium.stage(), consortium.validators()), (Some(Stage::Receive), before));
    assert_eq!(consortium.run().unwrap().seats.len(), 3);
}

/// A validator has a quota of its organisation's, and uses up nobody else's.
#[test]
fn a_validator_floods_nobody() {
    let mut consortium = all_four();
    assert_eq!(consortium.moved(&Act::Change(Change::default()), &THREE), Verdict::Accepted);
    let change = consortium.changing().unwrap().began;
    let receiving = SealingKey::from_seed(&[7; 32]).public().to_blob();
    let ready = Payload::ReshareReady(ReshareReady { change, receiving });
    consortium.next_block();
    let say = |world: &mut World, name: &str| {
        let party = Party::Validator(organisation_id(name));
        let signed = world.sign(&[(party, release(name))], ready.clone());
        world.submit(verify(signed).unwrap()).map(|it| it.verdict.is_accepted())
    };
    assert_eq!(say(&mut consortium.world, "lab"), Ok(true));
    for _ in 1..PARAMETERS.commands_per_minute_max {
        assert_eq!(say(&mut consortium.world, "lab"), Ok(false));
    }
    let flooding = say(&mut consortium.world, "lab").unwrap_err();
    assert_eq!(name_of(&flooding), "quota_exceeded");
    assert_eq!(say(&mut consortium.world, "clinic"), Ok(true));
    let administrator = Party::Administrator(organisation_id("lab"));
    let payload = Payload::MotionOpen(MotionOpen {
        motion: motion_id("m"),
        act: expels("insurer"),
        until: consortium.world.time.plus_ms(1_000),
    });
    let verdict = consortium.submit(administrator, &key("administrator:lab"), payload);
    assert_eq!(verdict, Verdict::Accepted);
}

/// What was said in a change.
type Said<'a> = &'a [&'a dyn Fn(&mut Changing)];

/// Four of four, three of whom are enough, from block 10 on in stages of eight blocks.
#[test]
fn each_stage_ends_when_all_have_spoken_or_in_time() {
    let set = all_four().validators().set;
    let stage = |height, said: Said<'_>| {
        let began = Location { height: Height(10), index: 0 };
        let mut changing = Changing::new(began, set.seats.clone());
        said.iter().for_each(|say| say(&mut changing));
        changing.stage(&set, Height(height), 8)
    };
    let say = |places: &mut Places, count: u16| {
        (1..=count).for_each(|index| assert!(places.insert(index)));
    };
    let three_ready = |it: &mut Changing| say(&mut it.ready, 3);
    let three_dealt = |it: &mut Changing| say(&mut it.dealt, 3);
    let four_dealt = |it: &mut Changing| say(&mut it.dealt, 4);
    let one_accused = |it: &mut Changing| say(&mut it.accused, 1);
    let two_accused = |it: &mut Changing| say(&mut it.accused, 2);
    let three_confirmed = |it: &mut Changing| say(&mut it.confirmed, 3);
    let all_ready = |it: &mut Changing| it.ended.receive = Some(Height(12));
    let all_dealt = |it: &mut Changing| it.ended.deal = Some(Height(13));
    let all_checked = |it: &mut Changing| it.ended.check = Some(Height(14));
    let all_opened = |it: &mut Changing| it.ended.open = Some(Height(36));
    let all_confirmed = |it: &mut Changing| it.ended.confirm = Some(Height(37));
    let cases: [(u64, Said<'_>, Stage); 22] = [
        (10, &[], Stage::Receive),
        (17, &[], Stage::Receive),
        (18, &[], Stage::Failed),
        (17, &[&three_ready], Stage::Receive),
        (18, &[&three_ready], Stage::Deal),
        (11, &[&three_ready, &all_ready], Stage::Receive),
        (12, &[&three_ready, &all_ready], Stage::Deal),
        (20, &[&three_ready, &all_ready], Stage::Failed),
        (26, &[&three_ready], Stage::Failed),
        (26, &[&three_ready, &three_dealt], Stage::Check),
        (13, &[&three_ready, &all_ready, &four_dealt, &all_dealt], Stage::Check),
        (14, &[&three_ready, &all_ready, &four_dealt, &all_dealt, &all_checked], Stage::Confirm),
        (34, &[&three_ready, &three_dealt], Stage::Confirm),
        (34, &[&three_ready, &four_dealt, &one_accused], Stage::Open),
        (42, &[&three_ready, &four_dealt, &one_accused], Stage::Confirm),
        (42, &[&three_ready, &four_dealt, &two_accused], Stage::Failed),
        (35, &[&three_ready, &four_dealt, &all_opened], Stage::Open),
        (36, &[&three_ready, &four_dealt, &all_opened], Stage::Confirm),
        (44, &[&three_ready, &four_dealt, &all_opened], Stage::Failed),
        (43, &[&three_ready, &four_dealt, &all_opened, &three_confirmed], Stage::Confirm),
        (44, &[&three_ready, &four_dealt, &all_opened, &three_confirmed], Stage::Done),
        (
            37,
            &[&three_ready, &four_dealt, &all_opened, &three_confirmed, &all_confirmed],
            Stage::Done,
        ),
    ];
    for (number, (height, said, expected)) in cases.into_iter().enumerate() {
        assert_eq!(stage(height, said), expected, "case {number}");
    }
}

fn histories() -> u32 {
    std::env::var("KEEPWELL_HISTORIES").ok().and_then(|it| it.parse().ok()).unwrap_or(24)
}

const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// Which of seven validate before and after, and how each behaves.
fn changes() -> impl Strategy<Value = (Vec<bool>, Vec<bool>, Vec<usize>)> {
    let some = || proptest::collection::vec(any::<bool>(), NAMES.len());
    (some(), some(), proptest::collection::vec(0..LIARS.len() * 2, NAMES.len()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), ..ProptestConfig::default() })]

    /// Goal: whoever lies or is silent, no set begins that could not open what was sealed; and one does begin if no
    /// more than f of either set do. Method: any two sets, any manners.
    #[test]
    fn what_begins_can_open((old, new, manners) in changes()) {
        whatever_they_do(&old, &new, &manners);
    }
}

fn whatever_they_do(old: &[bool], new: &[bool], manners: &[usize]) {
    let named = |of: &[bool]| -> Vec<&str> {
        NAMES.iter().zip(of).filter(|(_, is)| **is).map(|(name, _)| *name).collect()
    };
    let (old, new) = (named(old), named(new));
    if old.is_empty() || new.is_empty() {
        return;
    }
    let mut consortium = Consortium::of(&old, old.len() < 4);
    let capsule = Capsule::of(&mut consortium);
    let before = consortium.validators().set;
    for name in NAMES.iter().filter(|name| new.contains(name) && !old.contains(name)) {
        consortium.host(name, name);
    }
    let mut lies = (0, 0);
    for (name, manner) in NAMES.iter().zip(manners) {
        let Some(manner) = LIARS.get(*manner) else { continue };
        if let Some(node) = consortium.nodes.get_mut(&release(name).public()) {
            node.manner = *manner;
            lies.0 += usize::from(old.contains(name));
            lies.1 += usize::from(new.contains(name));
        }
    }
    consortium.begin(&old, &new);
    let f = |n: usize| n - quorum(n);
    let next = consortium.run();
    let bearable = lies.0 <= f(old.len()) && lies.1 <= f(new.len());
    assert!(next.is_some() || !bearable, "{lies:?} of {} and {}", old.len(), new.len());
    match next {
        Some(next) => holds(&mut consortium, &before, &next, &capsule),
        None => assert_eq!(consortium.validators().set, before),
    }
}

impl Consortium {
    /// Moves an act that everyone approves.
    fn moved_by_all(&mut self, act: &Act) {
        let all: Vec<_> = ORGANISATIONS.into_iter().chain(NAMES).collect();
        let in_standing =
            |name: &&str| self.world.stored(&Key::Organisation(organisation_id(name))).is_some();
        let all: Vec<_> = all.into_iter().filter(in_standing).collect();
        match self.moved(act, &all) {
            Verdict::Accepted | Verdict::Rejected(Rejection::NoSuchMotion(_)) => {}
            Verdict::Rejected(rejection) => panic!("{act:?}: {rejection}"),
        }
    }

    /// Begins a change from some to others, whose organisations are all admitted for it.
    fn begin(&mut self, old: &[&str], new: &[&str]) {
        for name in NAMES.iter().filter(|name| old.contains(name) || new.contains(name)) {
            self.moved_by_all(&admits(name));
        }
        let joins: Vec<_> = new.iter().filter(|name| !old.contains(name)).collect();
        let joins: Vec<_> = joins.into_iter().map(|name| card(name, name)).collect();
        let leaves: Vec<_> = old.iter().filter(|name| !new.contains(name)).copied().collect();
        self.moved_by_all(&Act::Change(change(&joins, &leaves)));
        assert_eq!(self.stage(), Some(Stage::Receive));
    }
}
