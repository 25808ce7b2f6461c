use alloc::{string::String, vec};

use keepwell_types::{
    encoding::{Blob, Text},
    founding::DRAFT_VERSION,
    genesis::{EmergencyRule, MatchingRule, OwnOrganisation, Parameters},
    id::OrganisationId,
    member::{Administrators, OrganisationAdmit, OrganisationKind},
    set::KindSet,
    time::BlockTime,
};

use super::*;
use crate::{matching::MatchingCommittee, threshold::Committee};

/// The secrets of one founder.
#[derive(Clone)]
struct Keys {
    consensus: SigningKey,
    release: SigningKey,
    custodian: SigningKey,
    ceremony: CeremonySecret,
}

impl Keys {
    fn new(founder: u8) -> Self {
        let seed = |what: u8| {
            let mut seed = [what; 32];
            seed[0] = founder;
            seed
        };
        Self {
            consensus: SigningKey::from_seed(&seed(1)),
            release: SigningKey::from_seed(&seed(2)),
            custodian: SigningKey::from_seed(&seed(3)),
            ceremony: CeremonySecret::from_seed(&seed(4)),
        }
    }

    fn card(&self, founder: u8) -> FounderCard {
        let admit = OrganisationAdmit {
            organisation: OrganisationId([founder; 16]),
            kind: OrganisationKind::Hospital,
            name: Text::from_string(String::from("H")).unwrap(),
            administrators: Administrators::one(SigningKey::from_seed(&[founder; 32]).public()),
            custodian: Some(self.custodian.public()),
        };
        let founder = Founder {
            admit,
            consensus: self.consensus.public(),
            release: self.release.public(),
            ceremony: self.ceremony.receiving().public().to_blob(),
            address: Text::from_string(String::from("192.0.2.1:7440")).unwrap(),
        };
        sign_card(founder, [&self.consensus, &self.release, &self.custodian])
    }
}

fn parameters() -> Parameters {
    Parameters {
        own_organisation: OwnOrganisation::OptIn,
        custodians_min: 1,
        commands_per_minute_max: 1_000,
        notice: 1,
        licensed: KindSet::EMPTY,
        emergency: EmergencyRule::USUAL,
        recovery: None,
        sign_off: None,
        matching: Some(MatchingRule::USUAL),
        epoch_blocks: None,
    }
}

/// Founders in the order of the draft, and the draft.
fn founders(count: u8) -> (Vec<Keys>, Draft) {
    let mut all: Vec<_> = (1..=count).map(|at| (Keys::new(at), Keys::new(at).card(at))).collect();
    all.sort_by_key(|(_, card)| card.founder.consensus);
    let (keys, cards): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let draft = Draft {
        version: DRAFT_VERSION,
        name: Text::from_string(String::from("Strangers")).unwrap(),
        founded: BlockTime(1),
        founders: List::from_vec(cards).unwrap(),
        parameters: parameters(),
        trustees: None,
    };
    (keys, draft)
}

fn plan(count: u8) -> (Vec<Keys>, Plan) {
    let (keys, draft) = founders(count);
    (keys, Plan::new(draft).unwrap())
}

fn participants<'a>(plan: &'a Plan, keys: &'a [Keys]) -> Vec<Participant<'a>> {
    let participant =
        |it: &'a Keys| Participant::new(plan, it.consensus.clone(), &it.ceremony).unwrap();
    keys.iter().map(participant).collect()
}

/// Lets everyone post, but for what is on the board already.
fn run<'a>(board: &mut Board<'a>, all: &[Participant<'a>]) -> Result<(), CeremonyFault> {
    for round in Round::ALL {
        for founder in board.missing(round) {
            let post = all[usize::from(founder) - 1].post(round, board)?;
            board.add(Post::decode(&post.encode()).unwrap())?;
        }
    }
    Ok(())
}

#[test]
fn strangers_make_a_key_that_none_of_them_has() {
    for count in [1, 2, 4, 7] {
        let (keys, plan) = plan(count);
        let all = participants(&plan, &keys);
        let mut board = Board::new(&plan);
        assert_eq!(board.round(), Some(Round::Commit));
        run(&mut board, &all).unwrap();
        assert_eq!(board.round(), None);
        let genesis = board.agreed().unwrap();
        assert!(!genesis.demonstration);
        assert_eq!(genesis.check(), Ok(()));
        let committee = Committee::new(&genesis.committee).unwrap();
        let matching = MatchingCommittee::new(genesis.matching.as_ref().unwrap()).unwrap();
        for (number, it) in (1..).zip(&all) {
            let founded = it.finish(&board).unwrap();
            assert_eq!(founded.genesis, genesis);
            assert_eq!(founded.share.index(), number);
            assert!(founded.share.is_of(&committee));
            assert!(founded.matching.unwrap().is_of(&matching));
        }
        let record = Founding::decode(&board.record().encode()).unwrap();
        assert_eq!(record.genesis(), Ok(genesis));
    }
}

#[test]
fn without_matching_one_key_is_made() {
    let (keys, mut draft) = founders(4);
    draft.parameters.matching = None;
    let plan = Plan::new(draft).unwrap();
    let all = participants(&plan, &keys);
    let mut board = Board::new(&plan);
    run(&mut board, &all).unwrap();
    let founded = all[0].finish(&board).unwrap();
    assert!(founded.matching.is_none() && founded.genesis.matching.is_none());
}

#[test]
fn who_starts_again_says_the_same_again() {
    let (keys, plan) = plan(4);
    let all = participants(&plan, &keys);
    let mut board = Board::new(&plan);
    for round in Round::ALL {
        for founder in plan.founders() {
            let place = usize::from(founder) - 1;
            let post = all[place].post(round, &board).unwrap();
            let (again, board_again) = (participants(&plan, &keys), board.clone());
            assert_eq!(again[place].post(round, &board_again).unwrap(), post);
            board.add(post.clone()).unwrap();
            board.add(post).unwrap();
        }
    }
}

#[test]
fn a_round_waits_for_all() {
    let (keys, plan) = plan(4);
    let all = participants(&plan, &keys);
    let mut board = Board::new(&plan);
    for it in &all[..3] {
        board.add(it.post(Round::Commit, &board).unwrap()).unwrap();
    }
    let waits = CeremonyFault::Waits { round: Round::Commit, founders: vec![4] };
    assert_eq!(all[0].post(Round::Deal, &board).err(), Some(waits.clone()));
    assert_eq!(board.outcome().err(), Some(waits));
    assert_eq!((board.round(), board.missing(Round::Commit)), (Some(Round::Commit), vec![4]));
}

/// What founder 2 posts in the first two rounds whose share for founder 3 is sealed to someone else.
fn misdeal(plan: &Plan, keys: &Keys) -> [Post; 2] {
    let mut receivers = plan.receivers.clone();
    receivers[2] = receivers[0].clone();
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let wrong = Dealt::fresh(&mut rng, &plan.session(0), 2, plan.draft.threshold(), &receivers);
    let right = keys.ceremony.deal(plan, 2, 1).unwrap();
    let dealings = [wrong.unwrap().dealing().clone(), right.dealing().clone()];
    let digests = dealings.iter().map(Dealing::digest);
    [Said::Commit(list(digests)), Said::Deal(list(dealings.iter().cloned()))]
        .map(|said| Post::sign(plan, 2, &keys.consensus, said))
}

#[test]
fn a_dealer_of_a_wrong_share_is_named_unless_it_opens_the_right_one() {
    let (keys, plan) = plan(4);
    let all = participants(&plan, &keys);
    let mut board = Board::new(&plan);
    for post in misdeal(&plan, &keys[1]) {
        board.add(post).unwrap();
    }
    for round in [Round::Commit, Round::Deal, Round::Complain] {
        for founder in board.missing(round) {
            board.add(all[usize::from(founder) - 1].post(round, &board).unwrap()).unwrap();
        }
    }
    assert_eq!(board.complaints(), Ok(vec![(3, Complaint { key: 0, dealer: 2 })]));
    for it in [&all[0], &all[2], &all[3]] {
        board.add(it.post(Round::Open, &board).unwrap()).unwrap();
    }
    let answer = |opened| {
        let said = Said::Open(list([Answer { key: 0, opened }].into_iter()));
        Post::sign(&plan, 2, &keys[1].consensus, said)
    };
    let rng = || ChaCha20Rng::from_seed([9; 32]);
    let (session, threshold) = (plan.session(0), plan.draft.threshold());
    let dealt = Dealt::fresh(&mut rng(), &session, 2, threshold, &plan.receivers).unwrap();
    let named = CeremonyFault::Dealing(DealingFault::Share { dealer: 2, receiver: 3 });
    // Nothing, another receiver's share, another dealing's.
    let silent = Post::sign(&plan, 2, &keys[1].consensus, Said::Open(List::new()));
    let other = keys[1].ceremony.deal(&plan, 2, 0).unwrap().opened(3);
    for said in [silent, answer(dealt.opened(4)), answer(other)] {
        let mut board = board.clone();
        board.add(said).unwrap();
        assert_eq!(board.outcome().err(), Some(named.clone()));
        assert_eq!(all[0].post(Round::Agree, &board).err(), Some(named.clone()));
    }
    board.add(answer(dealt.opened(3))).unwrap();
    run(&mut board, &all).unwrap();
    let committee = Committee::new(&board.agreed().unwrap().committee).unwrap();
    for it in &all {
        assert!(it.finish(&board).unwrap().share.is_of(&committee), "founder {}", it.founder());
    }
}

#[test]
fn a_false_complaint_opens_the_complainers_own_share_and_nothing_else() {
    let (keys, plan) = plan(4);
    let all = participants(&plan, &keys);
    let mut board = Board::new(&plan);
    for round in [Round::Commit, Round::Deal] {
        for it in &all {
            board.add(it.post(round, &board).unwrap()).unwrap();
        }
    }
    let said = |list: &[(u8, u16)]| {
        let complaints = list.iter().map(|(key, dealer)| Complaint { key: *key, dealer: *dealer });
        let complaints = complaints.collect();
        let said = Said::Complain(List::from_vec(complaints).unwrap());
        Post::sign(&plan, 1, &keys[0].consensus, said)
    };
    // About itself, about nobody, about a key that is not dealt, twice, out of order.
    for list in
        [&[(0, 1)][..], &[(0, 5)], &[(0, 0)], &[(2, 2)], &[(0, 2), (0, 2)], &[(1, 2), (0, 2)]]
    {
        let mut board = board.clone();
        board.add(said(list)).unwrap();
        for it in &all[1..] {
            board.add(it.post(Round::Complain, &board).unwrap()).unwrap();
        }
        assert_eq!(board.complaints(), Err(CeremonyFault::Complaint { founder: 1 }), "{list:?}");
    }
    board.add(said(&[(1, 4)])).unwrap();
    run(&mut board, &all).unwrap();
    let Said::Open(answers) = &board.post(Round::Open, 4).unwrap().said else { unreachable!() };
    assert_eq!((answers.len(), answers[0].key, answers[0].opened.receiver()), (1, 1, 1));
    assert!(all.iter().all(|it| it.finish(&board).is_ok()));
}

#[test]
fn who_says_two_things_is_named() {
    let (keys, plan) = plan(4);
    let all = participants(&plan, &keys);
    let mut board = Board::new(&plan);
    run(&mut board, &all).unwrap();
    let other = Said::Commit(list([Digest([1; 32]); 2].into_iter()));
    let other = Post::sign(&plan, 2, &keys[1].consensus, other);
    let fault = CeremonyFault::TwoFaced { founder: 2, round: Round::Commit };
    assert_eq!(board.clone().add(other), Err(fault));

    // Two founders who saw different posts do not agree, although both would found the same.
    let mut elsewhere = Board::new(&plan);
    let silent = |founder: u16| {
        let key = &keys[usize::from(founder) - 1].consensus;
        Post::sign(&plan, founder, key, Said::Complain(list([].into_iter())))
    };
    let false_complaint = Said::Complain(list([Complaint { key: 0, dealer: 1 }].into_iter()));
    elsewhere.add(Post::sign(&plan, 2, &keys[1].consensus, false_complaint)).unwrap();
    run(&mut elsewhere, &all).unwrap();
    assert_eq!(elsewhere.outcome(), board.outcome());
    assert_eq!(board.post(Round::Complain, 2), Some(&silent(2)));
    let mut divided = Board::new(&plan);
    for (key, post) in &board.posts {
        let from = if *key == (Round::Agree, 4) { &elsewhere } else { &board };
        let post =
            if from.posts.contains_key(key) { from.posts[key].clone() } else { post.clone() };
        divided.add(post).unwrap();
    }
    assert_eq!(divided.agreed(), Err(CeremonyFault::Divided { founder: 4 }));
    assert_eq!(divided.record().genesis(), Err(CeremonyFault::Divided { founder: 4 }));
}

#[test]
fn nobody_deals_what_it_did_not_commit_to() {
    let (keys, plan) = plan(4);
    let all = participants(&plan, &keys);
    let [committed, _] = misdeal(&plan, &keys[1]);
    let honest = all[1].dealt().unwrap();
    let dealing = |key: usize| honest[key].dealing().clone();
    let other = keys[0].ceremony.deal(&plan, 1, 0).unwrap().dealing().clone();
    let commit = |list_of: Vec<Dealing>| {
        let said = Said::Commit(list(list_of.iter().map(Dealing::digest)));
        Post::sign(&plan, 2, &keys[1].consensus, said)
    };
    let both = || vec![dealing(0), dealing(1)];
    let not_committed = CeremonyFault::NotCommitted { founder: 2 };
    let malformed = CeremonyFault::Dealing(DealingFault::Malformed { dealer: 2 });
    let cases = [
        (committed, both(), not_committed.clone()),
        (commit(both()), vec![dealing(0)], not_committed.clone()),
        (commit(vec![dealing(0)]), both(), not_committed.clone()),
        (commit(vec![]), vec![], not_committed.clone()),
        // Another founder's dealing, and one for the other key.
        (commit(vec![other.clone(), dealing(1)]), vec![other, dealing(1)], not_committed),
        (commit(vec![dealing(0), dealing(0)]), vec![dealing(0), dealing(0)], malformed),
    ];
    for (commit, dealt, fault) in cases {
        let mut board = Board::new(&plan);
        board.add(commit).unwrap();
        let said = Said::Deal(list(dealt.into_iter()));
        board.add(Post::sign(&plan, 2, &keys[1].consensus, said)).unwrap();
        assert_eq!(run(&mut board, &all), Err(fault));
    }
}

#[test]
fn a_post_counts_in_its_ceremony_and_from_its_founder_alone() {
    let (keys, plan) = plan(4);
    let (_, draft) = founders(4);
    let later = Plan::new(Draft { founded: BlockTime(2), ..draft }).unwrap();
    assert_ne!(plan.digest(), later.digest());
    let post = participants(&plan, &keys)[1].post(Round::Commit, &Board::new(&plan)).unwrap();
    let refused = |plan, post: Post| {
        let fault = CeremonyFault::Post { founder: post.founder };
        assert_eq!(Board::new(plan).add(post), Err(fault));
    };
    refused(&later, post.clone());
    refused(&later, Post { plan: later.digest(), ..post.clone() });
    for founder in [0, 1, 3, 5, u16::MAX] {
        refused(&plan, Post { founder, ..post.clone() });
    }
    refused(&plan, Post { signature: Signature([0; 64]), ..post.clone() });
    let other = Said::Commit(list([Digest([1; 32]); 2].into_iter()));
    refused(&plan, Post { said: other.clone(), ..post.clone() });
    refused(&plan, Post::sign(&plan, 2, &keys[0].consensus, other));
    let bytes = post.encode();
    for len in 0..bytes.len() {
        assert!(Post::decode(&bytes[..len]).is_err());
    }
}

#[test]
fn a_card_is_signed_by_the_keys_in_it() {
    let (keys, card) = (Keys::new(1), Keys::new(1).card(1));
    assert_eq!(check_card(&card), Ok(()));
    let fault = Err(CeremonyFault::Card(OrganisationId([1; 16])));
    let other = Keys::new(2);
    let mut changed = vec![card.clone(); 6];
    changed[0].founder.consensus = other.consensus.public();
    changed[1].founder.release = other.release.public();
    changed[2].founder.admit.custodian = None;
    changed[3].founder.ceremony = other.ceremony.receiving().public().to_blob();
    changed[4].signatures = List::from_vec(card.signatures[..2].to_vec()).unwrap();
    changed[5].founder.address = Text::from_string(String::from("192.0.2.9:7440")).unwrap();
    // Signed, and yet one key for two uses, or no key to deal to.
    let twice = Founder { release: keys.consensus.public(), ..card.founder.clone() };
    changed.push(sign_card(twice, [&keys.consensus, &keys.consensus, &keys.custodian]));
    let none = Founder { ceremony: Blob::from_vec(vec![1; 7]).unwrap(), ..card.founder };
    changed.push(sign_card(none, [&keys.consensus, &keys.release, &keys.custodian]));
    for card in changed {
        assert_eq!(check_card(&card), fault);
    }
}

#[test]
fn a_draft_that_founds_nothing_is_refused_before_anyone_deals() {
    let (keys, draft) = founders(4);
    let with = |change: &dyn Fn(&mut Draft)| {
        let mut draft = draft.clone();
        change(&mut draft);
        Plan::new(draft).err().unwrap()
    };
    let cards = |change: &dyn Fn(&mut Vec<FounderCard>)| {
        let mut cards = draft.founders.to_vec();
        change(&mut cards);
        with(&|it| it.founders = List::from_vec(cards.clone()).unwrap())
    };
    let genesis = |fault| CeremonyFault::Draft(DraftFault::Genesis(fault));
    assert_eq!(cards(&|it| it.swap(0, 1)), genesis(GenesisFault::Validators));
    assert_eq!(cards(&Vec::clear), genesis(GenesisFault::Validators));
    let first = draft.founders[0].founder.admit.clone();
    let twice = CeremonyFault::Draft(DraftFault::Twice(first.organisation));
    assert_eq!(cards(&|it| it[1] = it[0].clone()), twice);
    let version = CeremonyFault::Draft(DraftFault::Version(2));
    assert_eq!(with(&|it| it.version = 2), version);
    let endless = EmergencyRule { open_ms_max: u64::MAX, ..EmergencyRule::USUAL };
    let fault = with(&|it| it.parameters.emergency = endless);
    assert!(matches!(
        fault,
        CeremonyFault::Draft(DraftFault::Genesis(GenesisFault::Emergency { .. }))
    ));
    let named = CeremonyFault::Card(draft.founders[2].founder.admit.organisation);
    assert_eq!(cards(&|it| it[2].founder.address = Text::from_string("x".into()).unwrap()), named);

    let stranger = Keys::new(9);
    let plan = Plan::new(draft.clone()).unwrap();
    let fault = Participant::new(&plan, stranger.consensus.clone(), &stranger.ceremony).err();
    assert_eq!(fault, Some(CeremonyFault::NotAFounder));
    let fault = Participant::new(&plan, keys[0].consensus.clone(), &stranger.ceremony).err();
    assert_eq!(fault, Some(CeremonyFault::NotAFounder));
}
