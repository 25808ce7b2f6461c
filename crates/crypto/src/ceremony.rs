//! The ceremony: how founders who do not trust each other make a committee's key, and the genesis file.
//!
//! Everyone has the same [`Plan`], a checked draft whose digest the founders compared by voice. Five rounds
//! follow; in each of them every founder posts once, signed, and whatever it posts all see.
//!
//! ```text
//! commit     digests of the dealings to come        nobody chooses a dealing after seeing the others'
//! deal       the dealings, one for each key         sealed shares inside, one for each founder
//! complain   dealers whose share to me is wrong     usually nobody
//! open       those shares, for all to see           a dealer that cannot is named
//! agree      digest of the genesis file that came out, and of all posts before
//! ```
//!
//! A consortium with matching makes two keys at once, each by dealings of its own.
//!
//! # Invariants
//!
//! * Nobody ever has a key, or another founder's share of one. What a founder keeps is one seed: its dealings can be
//!   made again from it, so that a crash at any moment changes nothing.
//! * A founder that posts two things in one round is found out by whoever sees both, and so by all who agree.
//! * The genesis file follows from the plan and the posts alone: whoever has them makes it again ([`Board::outcome`]).
//! * Whatever fails names a founder. There is no way on without it: founders talk, and begin again with another draft.
//!
//! Not here: how posts travel, and where they are kept.

use alloc::{
    collections::{BTreeMap, btree_map::Entry},
    vec::Vec,
};
use core::fmt;

use keepwell_types::{
    encode,
    encoding::{DecodeError, List},
    founding::{CARD_SIGNATURES, Draft, DraftFault, Founder, FounderCard},
    genesis::{CommitteeKeys, Genesis, GenesisFault},
    id::{ChainId, Digest, OrganisationId, Signature},
    limits::{FOUNDING_BYTES_MAX, POST_BYTES_MAX, VALIDATORS_MAX},
};
use minicbor::{Decode, Encode};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    command::chain_id,
    dealing::{
        Dealing, DealingFault, Dealt, Numbers, OpenedShare, SubShare, finish_fresh, fresh_share,
    },
    hash::digest,
    matching::MatchingShare,
    seal::{SealingKey, SealingPublic},
    sign::{SigningKey, verify},
    threshold::KeyShare,
};

const CARD_DOMAIN: &str = "keepwell/ceremony/card/v1";
const DRAFT_DOMAIN: &str = "keepwell/ceremony/draft/v1";
const SESSION_DOMAIN: &str = "keepwell/ceremony/session/v1";
const POST_DOMAIN: &str = "keepwell/ceremony/post/v1";
const POSTS_DOMAIN: &str = "keepwell/ceremony/posts/v1";
const RECEIVING_DOMAIN: &str = "keepwell/ceremony/receiving/v1";
const DEALING_DOMAIN: &str = "keepwell/ceremony/dealing/v1";

/// Keys that are dealt at most: the one that releases, the one that evaluates for matching.
const KEYS_MAX: usize = 2;
/// Complaints of one founder, and shares that one opens: one for each key and each of the others.
const COMPLAINTS_MAX: usize = KEYS_MAX * VALIDATORS_MAX;
/// Posts of a ceremony.
const POSTS_MAX: usize = 5 * VALIDATORS_MAX;

/// What went wrong, and whose fault it is.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum CeremonyFault {
    /// The draft.
    #[error(transparent)]
    Draft(#[from] DraftFault),
    /// A founder's card.
    #[error(
        "the card of organisation {0} is not signed by the keys in it; get it from the organisation again"
    )]
    Card(OrganisationId),
    /// The keys are of no founder.
    #[error(
        "these keys are not those of a founder of this draft; name the folder that made the card"
    )]
    NotAFounder,
    /// A post that is none of this ceremony's, or that its founder did not sign.
    #[error("a post is not of this ceremony, or not signed by founder {founder}")]
    Post {
        /// Whose it says it is.
        founder: u16,
    },
    /// Two different posts of one round, both signed.
    #[error(
        "founder {founder} said two different things in the round `{round}`, to different founders; both are signed by it"
    )]
    TwoFaced {
        /// Who.
        founder: u16,
        /// When.
        round: Round,
    },
    /// Dealt something else than it had committed to, or not for each key.
    #[error("founder {founder} did not deal what it had committed to")]
    NotCommitted {
        /// Who.
        founder: u16,
    },
    /// A dealing that nobody can read, or a share that is wrong and stays so.
    #[error(transparent)]
    Dealing(#[from] DealingFault),
    /// Complained about itself, about nobody, or twice.
    #[error("founder {founder} complains about what it cannot; its program is not ours")]
    Complaint {
        /// Who.
        founder: u16,
    },
    /// Agrees to something else.
    #[error(
        "founder {founder} came to another genesis file, or saw other posts; compare the posts of its host with those here"
    )]
    Divided {
        /// Who.
        founder: u16,
    },
    /// Not yet.
    #[error("the round `{round}` waits for founders {founders:?}")]
    Waits {
        /// Which round.
        round: Round,
        /// For whom.
        founders: Vec<u16>,
    },
    /// The keys that came out make no genesis file: two are equal, which does not happen by chance.
    #[error(transparent)]
    Genesis(#[from] GenesisFault),
}

/// The rounds, in their order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Round {
    /// Digests of the dealings.
    Commit,
    /// The dealings.
    Deal,
    /// Who dealt wrong shares.
    Complain,
    /// Those shares.
    Open,
    /// What came out.
    Agree,
}

impl Round {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Commit, Self::Deal, Self::Complain, Self::Open, Self::Agree];

    /// As people and addresses read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Deal => "deal",
            Self::Complain => "complain",
            Self::Open => "open",
            Self::Agree => "agree",
        }
    }

    /// The round with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|round| round.as_str() == name)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Signs what an organisation brings to the founding, with the seeds of its keys.
pub fn sign_card(founder: Founder, keys: [&SigningKey; CARD_SIGNATURES]) -> FounderCard {
    let message = encode(&founder);
    let signatures = keys.map(|key| key.sign(CARD_DOMAIN, &message)).to_vec();
    FounderCard { founder, signatures: List::from_vec(signatures).expect("one for each key") }
}

/// Whether the founder holds the keys that its card names.
pub fn check_card(card: &FounderCard) -> Result<(), CeremonyFault> {
    let Founder { admit, consensus, release, ceremony, .. } = &card.founder;
    let fault = || CeremonyFault::Card(admit.organisation);
    let keys = [*consensus, *release, admit.custodian.ok_or_else(fault)?];
    let apart = keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2];
    if card.signatures.len() != keys.len() || !apart || SealingPublic::from_bytes(ceremony).is_err()
    {
        return Err(fault());
    }
    let message = encode(&card.founder);
    for (key, signature) in keys.iter().zip(card.signatures.iter()) {
        verify(key, CARD_DOMAIN, &message, signature).map_err(|_| fault())?;
    }
    Ok(())
}

/// A checked draft: what a ceremony is about.
#[derive(Clone, Debug)]
pub struct Plan {
    draft: Draft,
    digest: Digest,
    numbers: Numbers,
    receivers: Vec<SealingPublic>,
}

impl Plan {
    /// Checks a draft and the cards in it.
    pub fn new(draft: Draft) -> Result<Self, CeremonyFault> {
        draft.check()?;
        let mut receivers = Vec::with_capacity(draft.founders.len());
        for card in draft.founders.iter() {
            check_card(card)?;
            let receiver = SealingPublic::from_bytes(&card.founder.ceremony);
            receivers.push(receiver.expect("its card was checked"));
        }
        let numbers = Numbers::new(draft.threshold(), draft.founders.len() as u16)?;
        let digest = digest(DRAFT_DOMAIN, &[&draft.encode()]);
        Ok(Self { draft, digest, numbers, receivers })
    }

    /// The draft.
    pub const fn draft(&self) -> &Draft {
        &self.draft
    }

    /// What founders compare by voice.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The founders' numbers: 1, 2, ...
    pub fn founders(&self) -> impl Iterator<Item = u16> + use<> {
        1..=self.receivers.len() as u16
    }

    /// The founder with this number.
    pub fn founder(&self, founder: u16) -> Option<&Founder> {
        let place = usize::from(founder).checked_sub(1)?;
        self.draft.founders.get(place).map(|card| &card.founder)
    }

    /// How many keys are dealt.
    fn keys(&self) -> usize {
        if self.draft.parameters.matching.is_some() { KEYS_MAX } else { 1 }
    }

    /// To what the dealings of a key are bound.
    fn session(&self, key: usize) -> Digest {
        digest(SESSION_DOMAIN, &[&self.digest.0, &[key as u8]])
    }
}

/// What a founder says in one round.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
enum Said {
    #[n(0)]
    Commit(#[n(0)] List<Digest, KEYS_MAX>),
    #[n(1)]
    Deal(#[n(0)] List<Dealing, KEYS_MAX>),
    #[n(2)]
    Complain(#[n(0)] List<Complaint, COMPLAINTS_MAX>),
    #[n(3)]
    Open(#[n(0)] List<Answer, COMPLAINTS_MAX>),
    #[n(4)]
    Agree(#[n(0)] Agreement),
}

/// A dealer's share to me does not open, or is wrong.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Ord, PartialEq, PartialOrd)]
struct Complaint {
    #[n(0)]
    key: u8,
    #[n(1)]
    dealer: u16,
}

/// A share of mine that someone complained about.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
struct Answer {
    #[n(0)]
    key: u8,
    #[n(1)]
    opened: OpenedShare,
}

#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
struct Agreement {
    /// Of the genesis file.
    #[n(0)]
    chain: ChainId,
    /// Of all posts of the rounds before.
    #[n(1)]
    posts: Digest,
}

/// What one founder posts in one round.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Post {
    #[n(0)]
    plan: Digest,
    #[n(1)]
    founder: u16,
    #[n(2)]
    said: Said,
    #[n(3)]
    signature: Signature,
}

impl Post {
    fn sign(plan: &Plan, founder: u16, key: &SigningKey, said: Said) -> Self {
        let message = encode(&(plan.digest, founder, &said));
        Self { plan: plan.digest, founder, said, signature: key.sign(POST_DOMAIN, &message) }
    }

    fn check(&self, plan: &Plan) -> Result<(), CeremonyFault> {
        let fault = || CeremonyFault::Post { founder: self.founder };
        let founder = plan.founder(self.founder).ok_or_else(fault)?;
        if self.plan != plan.digest {
            return Err(fault());
        }
        let message = encode(&(self.plan, self.founder, &self.said));
        verify(&founder.consensus, POST_DOMAIN, &message, &self.signature).map_err(|_| fault())
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        keepwell_types::decode(bytes, POST_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Whose it is.
    pub const fn founder(&self) -> u16 {
        self.founder
    }

    /// Of which round it is.
    pub const fn round(&self) -> Round {
        match self.said {
            Said::Commit(_) => Round::Commit,
            Said::Deal(_) => Round::Deal,
            Said::Complain(_) => Round::Complain,
            Said::Open(_) => Round::Open,
            Said::Agree(_) => Round::Agree,
        }
    }
}

/// The posts that are here, each checked, at most one of a founder in a round.
#[derive(Clone, Debug)]
pub struct Board<'a> {
    plan: &'a Plan,
    posts: BTreeMap<(Round, u16), Post>,
}

impl<'a> Board<'a> {
    /// Without posts.
    pub const fn new(plan: &'a Plan) -> Self {
        Self { plan, posts: BTreeMap::new() }
    }

    /// What it is about.
    pub const fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// Takes a post, if it is one. The same one again changes nothing; another one of its founder in its round shows
    /// that it is two-faced.
    pub fn add(&mut self, post: Post) -> Result<(), CeremonyFault> {
        post.check(self.plan)?;
        let (founder, round) = (post.founder, post.round());
        match self.posts.entry((round, founder)) {
            Entry::Vacant(place) => {
                place.insert(post);
                Ok(())
            }
            Entry::Occupied(here) if *here.get() == post => Ok(()),
            Entry::Occupied(_) => Err(CeremonyFault::TwoFaced { founder, round }),
        }
    }

    /// The post of a founder in a round.
    pub fn post(&self, round: Round, founder: u16) -> Option<&Post> {
        self.posts.get(&(round, founder))
    }

    /// The first round that is not complete; none if all are.
    pub fn round(&self) -> Option<Round> {
        Round::ALL.into_iter().find(|round| !self.missing(*round).is_empty())
    }

    /// Who has not posted in a round.
    pub fn missing(&self, round: Round) -> Vec<u16> {
        self.plan.founders().filter(|founder| self.post(round, *founder).is_none()).collect()
    }

    /// What everyone said in a round, in the founders' order.
    fn all(&self, round: Round) -> Result<impl Iterator<Item = (u16, &Said)>, CeremonyFault> {
        let founders = self.missing(round);
        if !founders.is_empty() {
            return Err(CeremonyFault::Waits { round, founders });
        }
        let posts = self.posts.range((round, 0)..=(round, u16::MAX));
        Ok(posts.map(|((_, founder), post)| (*founder, &post.said)))
    }

    /// The dealings of each key, as they were committed to.
    fn dealings(&self) -> Result<Vec<Vec<Dealing>>, CeremonyFault> {
        let keys = self.plan.keys();
        let mut dealings = alloc::vec![Vec::new(); keys];
        for ((founder, committed), (_, dealt)) in
            self.all(Round::Commit)?.zip(self.all(Round::Deal)?)
        {
            let fault = CeremonyFault::NotCommitted { founder };
            let (Said::Commit(digests), Said::Deal(dealt)) = (committed, dealt) else {
                unreachable!("posts stand in their rounds");
            };
            if digests.len() != keys || dealt.len() != keys {
                return Err(fault);
            }
            for (key, (dealing, digest)) in dealt.iter().zip(digests.iter()).enumerate() {
                if dealing.dealer() != founder || dealing.digest() != *digest {
                    return Err(fault);
                }
                dealing.check(&self.plan.session(key), self.plan.numbers)?;
                dealings[key].push(dealing.clone());
            }
        }
        Ok(dealings)
    }

    /// Who complained about whom.
    fn complaints(&self) -> Result<Vec<(u16, Complaint)>, CeremonyFault> {
        let mut complaints = Vec::new();
        for (founder, said) in self.all(Round::Complain)? {
            let Said::Complain(list) = said else { unreachable!("posts stand in their rounds") };
            let ascend = list.windows(2).all(|pair| pair[0] < pair[1]);
            let about = |it: &Complaint| {
                let dealt = usize::from(it.key) < self.plan.keys();
                dealt && it.dealer != founder && self.plan.founder(it.dealer).is_some()
            };
            if !ascend || !list.iter().all(about) {
                return Err(CeremonyFault::Complaint { founder });
            }
            complaints.extend(list.iter().map(|complaint| (founder, *complaint)));
        }
        Ok(complaints)
    }

    /// The share that a dealer opened for whoever complained, if it is right.
    fn opened(
        &self,
        dealings: &[Vec<Dealing>],
        (receiver, complaint): (u16, Complaint),
    ) -> Result<SubShare, CeremonyFault> {
        let Complaint { key, dealer } = complaint;
        let wrong = DealingFault::Share { dealer, receiver };
        let post = self.post(Round::Open, dealer).ok_or(wrong)?;
        let Said::Open(answers) = &post.said else { unreachable!("posts stand in their rounds") };
        let answer = answers.iter().find(|it| it.key == key && it.opened.receiver() == receiver);
        let (key, place) = (usize::from(key), usize::from(dealer) - 1);
        let (session, numbers) = (self.plan.session(key), self.plan.numbers);
        Ok(dealings[key][place].check_opened(&session, numbers, &answer.ok_or(wrong)?.opened)?)
    }

    /// The genesis file that follows from what was posted before the last round.
    pub fn outcome(&self) -> Result<Genesis, CeremonyFault> {
        let dealings = self.dealings()?;
        self.all(Round::Open)?.for_each(drop);
        for complaint in self.complaints()? {
            self.opened(&dealings, complaint)?;
        }
        let finish = |(key, dealings): (usize, &Vec<Dealing>)| {
            finish_fresh(&self.plan.session(key), self.plan.numbers, dealings)
        };
        let keys: Result<Vec<CommitteeKeys>, _> = dealings.iter().enumerate().map(finish).collect();
        let mut keys = keys?.into_iter();
        let committee = keys.next().expect("one key is always dealt");
        let genesis = self.plan.draft.genesis(committee, keys.next());
        genesis.check()?;
        Ok(genesis)
    }

    /// What a founder agrees to who sees these posts.
    fn agreement(&self, genesis: &Genesis) -> Agreement {
        let before = self.posts.range(..(Round::Agree, 0));
        let posts: Vec<_> = before.map(|(_, post)| encode(post)).collect();
        let posts: Vec<&[u8]> = posts.iter().map(Vec::as_slice).collect();
        Agreement { chain: chain_id(genesis), posts: digest(POSTS_DOMAIN, &posts) }
    }

    /// The genesis file, once all founders agree to it.
    pub fn agreed(&self) -> Result<Genesis, CeremonyFault> {
        let genesis = self.outcome()?;
        let agreement = self.agreement(&genesis);
        for (founder, said) in self.all(Round::Agree)? {
            if *said != Said::Agree(agreement) {
                return Err(CeremonyFault::Divided { founder });
            }
        }
        Ok(genesis)
    }

    /// The whole ceremony, for whoever wants to check it later.
    pub fn record(&self) -> Founding {
        let posts = self.posts.values().cloned().collect();
        Founding {
            draft: self.plan.draft.clone(),
            posts: List::from_vec(posts).expect("one for each founder and round"),
        }
    }
}

/// A draft, and all that was posted about it. It holds no secret.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Founding {
    #[n(0)]
    draft: Draft,
    #[n(1)]
    posts: List<Post, POSTS_MAX>,
}

impl Founding {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        keepwell_types::decode(bytes, FOUNDING_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The plan that it began with.
    pub fn plan(&self) -> Result<Plan, CeremonyFault> {
        Plan::new(self.draft.clone())
    }

    /// Makes the genesis file again, and checks that every founder agreed to it.
    pub fn genesis(&self) -> Result<Genesis, CeremonyFault> {
        let plan = self.plan()?;
        let mut board = Board::new(&plan);
        for post in self.posts.iter() {
            board.add(post.clone())?;
        }
        board.agreed()
    }
}

/// What a founder keeps until the ceremony is over. Whoever has it can make the founder's dealings, and so its share.
#[derive(Clone)]
pub struct CeremonySecret(Zeroizing<[u8; 32]>);

impl fmt::Debug for CeremonySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CeremonySecret(..)")
    }
}

impl CeremonySecret {
    /// From 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*seed))
    }

    /// Opens what the others deal.
    pub fn receiving(&self) -> SealingKey {
        let seed = Zeroizing::new(digest(RECEIVING_DOMAIN, &[&*self.0]).0);
        SealingKey::from_seed(&seed)
    }

    /// The dealing in a session, the same one every time.
    fn deal(&self, plan: &Plan, founder: u16, key: usize) -> Result<Dealt, DealingFault> {
        let session = plan.session(key);
        let seed = Zeroizing::new(digest(DEALING_DOMAIN, &[&*self.0, &session.0]).0);
        let mut rng = ChaCha20Rng::from_seed(*seed);
        Dealt::fresh(&mut rng, &session, founder, plan.draft.threshold(), &plan.receivers)
    }
}

/// One founder in the ceremony.
#[derive(Debug)]
pub struct Participant<'a> {
    plan: &'a Plan,
    founder: u16,
    signing: SigningKey,
    secret: &'a CeremonySecret,
}

/// What a founder has of the ceremony.
#[derive(Debug)]
pub struct Founded {
    /// The genesis file, to which all agree.
    pub genesis: Genesis,
    /// Its share of the committee's key.
    pub share: KeyShare,
    /// Its share of the key that evaluates for matching.
    pub matching: Option<MatchingShare>,
}

impl<'a> Participant<'a> {
    /// The founder with these keys.
    pub fn new(
        plan: &'a Plan,
        signing: SigningKey,
        secret: &'a CeremonySecret,
    ) -> Result<Self, CeremonyFault> {
        let (key, receiving) = (signing.public(), secret.receiving().public().to_blob());
        let is = |founder: &u16| {
            let founder = plan.founder(*founder);
            founder.is_some_and(|it| it.consensus == key && it.ceremony == receiving)
        };
        let founder = plan.founders().find(is).ok_or(CeremonyFault::NotAFounder)?;
        Ok(Self { plan, founder, signing, secret })
    }

    /// Its number.
    pub const fn founder(&self) -> u16 {
        self.founder
    }

    /// What it posts in a round, given all posts of the rounds before.
    pub fn post(&self, round: Round, board: &Board<'_>) -> Result<Post, CeremonyFault> {
        let said = match round {
            Round::Commit => {
                Said::Commit(list(self.dealt()?.iter().map(|it| it.dealing().digest())))
            }
            Round::Deal => {
                board.all(Round::Commit)?.for_each(drop);
                Said::Deal(list(self.dealt()?.iter().map(|it| it.dealing().clone())))
            }
            Round::Complain => {
                let complaint = |(key, dealings): (usize, Vec<Dealing>)| {
                    let wrong = dealings.into_iter().filter(move |it| self.open(key, it).is_err());
                    wrong.map(move |it| Complaint { key: key as u8, dealer: it.dealer() })
                };
                Said::Complain(list(board.dealings()?.into_iter().enumerate().flat_map(complaint)))
            }
            Round::Open => {
                let about_me = board.complaints()?.into_iter();
                let about_me = about_me.filter(|(_, it)| it.dealer == self.founder);
                let dealt = self.dealt()?;
                let answer = |(receiver, it): (u16, Complaint)| Answer {
                    key: it.key,
                    opened: dealt[usize::from(it.key)].opened(receiver),
                };
                Said::Open(list(about_me.map(answer)))
            }
            Round::Agree => Said::Agree(board.agreement(&board.outcome()?)),
        };
        Ok(Post::sign(self.plan, self.founder, &self.signing, said))
    }

    /// Its shares, once all agree.
    pub fn finish(&self, board: &Board<'_>) -> Result<Founded, CeremonyFault> {
        let genesis = board.agreed()?;
        let dealings = board.dealings()?;
        let share = |key: usize| {
            let part = |dealing: &Dealing| {
                let complaint = Complaint { key: key as u8, dealer: dealing.dealer() };
                let opened = self.open(key, dealing);
                opened.or_else(|_| board.opened(&dealings, (self.founder, complaint)))
            };
            let parts: Result<Vec<_>, CeremonyFault> = dealings[key].iter().map(part).collect();
            Ok::<_, CeremonyFault>(fresh_share(self.founder, &parts?))
        };
        let matching = match genesis.matching {
            Some(_) => Some(MatchingShare::new(share(1)?)),
            None => None,
        };
        Ok(Founded { share: share(0)?, matching, genesis })
    }

    fn dealt(&self) -> Result<Vec<Dealt>, DealingFault> {
        (0..self.plan.keys()).map(|key| self.secret.deal(self.plan, self.founder, key)).collect()
    }

    fn open(&self, key: usize, dealing: &Dealing) -> Result<SubShare, CeremonyFault> {
        let (session, receiving) = (self.plan.session(key), self.secret.receiving());
        Ok(dealing.open(&session, self.plan.numbers, self.founder, &receiving)?)
    }
}

fn list<T, const MAX: usize>(items: impl Iterator<Item = T>) -> List<T, MAX> {
    List::from_vec(items.collect()).expect("one for each key and founder at most")
}

#[cfg(test)]
mod tests;
