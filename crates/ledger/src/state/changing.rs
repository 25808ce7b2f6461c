//! Who validates, and how far a change of that is.
//!
//! ```text
//!            all, or an epoch's blocks      ...                  ...                 ...
//! Receive ----------------------> Deal ---------> Check ----------> Open ---> Confirm ---------> Done
//!    | too few are ready            | too few       |   nobody complains ^       | too few
//!    +------------------------------+---------------+---------> Failed <---------+
//! ```
//!
//! Each stage ends when all have said what they must, or after as many blocks as an epoch has: whoever is silent is
//! waited for once in each stage and stops nothing. Where a change is follows from what was said and from the height
//! alone, so nothing is written when time runs out, and a change that failed still shows who was missing.

use keepwell_crypto::dealing::Commitments;
use keepwell_types::{
    chart::COMPARTMENT_KEY_BYTES,
    encoding::{Blob, List},
    genesis::{CommitteeKeys, Genesis},
    id::{Height, Location, OrganisationId, PublicKey},
    limits::{TRUSTEES_MAX, VALIDATORS_MAX},
    validators::{KeyUse, Seat, ValidatorSet, index_of, quorum},
};
use minicbor::{Decode, Encode};

/// Who validates, and who never does.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Validators {
    /// The present ones.
    #[n(0)]
    pub set: ValidatorSet,
    /// The emergency trustees.
    #[n(1)]
    pub trustees: List<Barred, TRUSTEES_MAX>,
}

/// A trustee's key, and its organisation where that is one of the consortium's.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Barred {
    /// Verifies its answers.
    #[n(0)]
    pub key: PublicKey,
    /// Its organisation.
    #[n(1)]
    pub organisation: Option<OrganisationId>,
}

impl Validators {
    /// Those that the consortium is founded with.
    pub fn founding(genesis: &Genesis) -> Self {
        let barred = genesis.trustees.iter().flat_map(|it| it.trustees.iter()).map(|trustee| {
            let (key, organisation) = (trustee.signing, trustee.organisation);
            Barred { key, organisation }
        });
        let trustees = List::from_vec(barred.collect()).expect("a genesis file names no more");
        Self { set: ValidatorSet::of(genesis), trustees }
    }
}

/// A change of validators.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Changing {
    /// Where it began, which names it.
    #[n(0)]
    pub began: Location,
    /// Who is to validate, in ascending order of their consensus keys.
    #[n(1)]
    pub seats: List<Seat, VALIDATORS_MAX>,
    /// Who of them is ready.
    #[n(2)]
    pub ready: Places,
    /// Who of the old set has dealt all keys.
    #[n(3)]
    pub dealt: Places,
    /// Who of those that are ready has checked all that was dealt.
    #[n(4)]
    pub checked: Places,
    /// Who of the dealers has not opened a share that its receiver complained about.
    #[n(5)]
    pub accused: Places,
    /// Who of those that are ready has confirmed its shares.
    #[n(6)]
    pub confirmed: Places,
    /// Where all were ready, had dealt, had checked, had opened, had confirmed; nothing where that did not happen.
    #[n(7)]
    pub ended: Ended,
    /// The keys that came out, once somebody has confirmed a share of them.
    #[n(8)]
    pub committee: Option<CommitteeKeys>,
    /// The key for matching that came out.
    #[n(9)]
    pub matching: Option<CommitteeKeys>,
}

/// The blocks in which stages ended before their time.
#[derive(Clone, Copy, Debug, Decode, Default, Encode, Eq, PartialEq)]
pub struct Ended {
    /// All were ready.
    #[n(0)]
    pub receive: Option<Height>,
    /// All had dealt.
    #[n(1)]
    pub deal: Option<Height>,
    /// All had checked.
    #[n(2)]
    pub check: Option<Height>,
    /// All had opened.
    #[n(3)]
    pub open: Option<Height>,
    /// All had confirmed.
    #[n(4)]
    pub confirm: Option<Height>,
}

/// How far a change is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// The new set says to which keys it is dealt.
    Receive,
    /// The old set deals.
    Deal,
    /// Those that are ready look at their shares.
    Check,
    /// Dealers open shares that were complained about.
    Open,
    /// Those that are ready store their shares and show that they have them.
    Confirm,
    /// It holds from the next epoch on.
    Done,
    /// Too few took part; it is over.
    Failed,
}

/// What one validator has to say now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Duty {
    /// To which key it is dealt: `reshare.ready`.
    Ready,
    /// Its dealings, as far as they are missing: `reshare.deal`.
    Deal,
    /// Which shares are wrong: `reshare.check`.
    Check,
    /// The shares that receivers complained about: `reshare.open`.
    Open,
    /// That it has its shares: `reshare.confirm`.
    Confirm,
}

impl Changing {
    /// Nothing said yet.
    pub fn new(began: Location, seats: List<Seat, VALIDATORS_MAX>) -> Self {
        let nobody = Places::default();
        Self {
            began,
            seats,
            ready: nobody,
            dealt: nobody,
            checked: nobody,
            accused: nobody,
            confirmed: nobody,
            ended: Ended::default(),
            committee: None,
            matching: None,
        }
    }

    /// Where it is in the block at `height`, where each stage waits for `blocks` of them.
    pub fn stage(&self, old: &ValidatorSet, height: Height, blocks: u32) -> Stage {
        let late = |begun: Height| Height(begun.0.saturating_add(blocks.into()));
        let end = |begun: Height, early: Option<Height>| early.unwrap_or_else(|| late(begun));
        let received = end(self.began.height, self.ended.receive);
        let dealt = end(received, self.ended.deal);
        let checked = end(dealt, self.ended.check);
        let opened = match self.ended.open {
            Some(early) => early,
            None if self.accused.is_empty() => checked,
            None => late(checked),
        };
        let confirmed = end(opened, self.ended.confirm);
        let (new, holders) = (quorum(self.seats.len()), old.quorum());
        let stages = [
            (received, Stage::Receive, self.ready.len() >= new),
            (dealt, Stage::Deal, self.dealt.len() >= holders),
            (checked, Stage::Check, true),
            (opened, Stage::Open, self.counting().len() >= holders),
            (confirmed, Stage::Confirm, self.confirmed.len() >= new),
        ];
        for (end, stage, enough) in stages {
            if height < end {
                return stage;
            }
            if !enough {
                return Stage::Failed;
            }
        }
        Stage::Done
    }

    /// What whoever has this release key is waited for, in the block at `height`.
    pub fn duty(
        &self,
        old: &ValidatorSet,
        release: &PublicKey,
        height: Height,
        blocks: u32,
    ) -> Option<Duty> {
        let (holds, joins) = (old.index_of(release), index_of(&self.seats, release));
        let ready = joins.filter(|index| self.ready.contains(*index));
        let (due, duty) = match self.stage(old, height, blocks) {
            Stage::Receive => (joins.filter(|it| !self.ready.contains(*it)), Duty::Ready),
            Stage::Deal => (holds.filter(|it| !self.dealt.contains(*it)), Duty::Deal),
            Stage::Check => (ready.filter(|it| !self.checked.contains(*it)), Duty::Check),
            Stage::Open => (holds.filter(|it| self.accused.contains(*it)), Duty::Open),
            Stage::Confirm | Stage::Done => {
                (ready.filter(|it| !self.confirmed.contains(*it)), Duty::Confirm)
            }
            Stage::Failed => (None, Duty::Ready),
        };
        due.map(|_| duty)
    }

    /// Whose dealings count: who dealt and did not leave a complaint standing.
    pub const fn counting(&self) -> Places {
        self.dealt.without(self.accused)
    }

    /// The keys of the database that it has written beside its own.
    pub(crate) fn parts(&self, old: &ValidatorSet) -> impl Iterator<Item = super::Key> + use<> {
        let receivers = self.ready.iter().map(super::Key::Receiver);
        // Who has dealt one key and not the other is not among those who dealt.
        let dealers = 1..=u16::try_from(old.seats.len()).expect("a set has at most VALIDATORS_MAX");
        receivers.chain(dealers.map(super::Key::Dealt))
    }
}

/// Places in a set of validators, by the indices of their shares: 1 to [`VALIDATORS_MAX`].
#[derive(Clone, Copy, Debug, Decode, Default, Encode, Eq, PartialEq)]
#[cbor(transparent)]
pub struct Places(#[n(0)] u64);

const _: () = assert!(VALIDATORS_MAX <= 64, "each place has a bit");

impl Places {
    const fn bit(index: u16) -> u64 {
        assert!(0 < index && index as usize <= VALIDATORS_MAX, "indices are those of a set");
        1 << (index - 1)
    }

    /// Takes one in; says whether it was not there.
    pub const fn insert(&mut self, index: u16) -> bool {
        let before = self.0;
        self.0 |= Self::bit(index);
        self.0 != before
    }

    /// Whether this one is there.
    pub const fn contains(self, index: u16) -> bool {
        self.0 & Self::bit(index) != 0
    }

    /// Takes one out.
    pub const fn remove(&mut self, index: u16) {
        self.0 &= !Self::bit(index);
    }

    /// Those of this one and not of the other.
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// How many there are.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their indices, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        (1..=VALIDATORS_MAX as u16).filter(move |index| self.contains(*index))
    }
}

/// One that is ready.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Receiver {
    /// X-Wing key to which it is dealt.
    #[n(0)]
    pub receiving: Blob<COMPARTMENT_KEY_BYTES>,
}

/// What one dealer dealt.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq)]
pub struct Dealt {
    /// Of the key that releases.
    #[n(0)]
    pub release: Option<DealtKey>,
    /// Of the one that evaluates for matching.
    #[n(1)]
    pub matching: Option<DealtKey>,
}

impl Dealt {
    /// What was dealt of this key.
    pub const fn of(&self, key: KeyUse) -> Option<&DealtKey> {
        match key {
            KeyUse::Release => self.release.as_ref(),
            KeyUse::Match => self.matching.as_ref(),
        }
    }

    /// What was dealt of this key, to be changed.
    pub(crate) const fn of_mut(&mut self, key: KeyUse) -> &mut Option<DealtKey> {
        match key {
            KeyUse::Release => &mut self.release,
            KeyUse::Match => &mut self.matching,
        }
    }

    /// Whether a receiver waits for a share to be opened.
    pub fn is_accused(&self) -> bool {
        [&self.release, &self.matching].into_iter().flatten().any(|it| !it.accusers.is_empty())
    }
}

/// One dealing, of which the sealed shares stand in the block.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct DealtKey {
    /// The entry that has it.
    #[n(0)]
    pub location: Location,
    /// What it says to all.
    #[n(1)]
    pub commitments: Commitments,
    /// The receivers that complained and wait.
    #[n(2)]
    pub accusers: Places,
    /// The shares that were opened.
    #[n(3)]
    pub opened: List<Opened, VALIDATORS_MAX>,
}

/// A share that its dealer has opened: it is right.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Opened {
    /// For whom.
    #[n(0)]
    pub receiver: u16,
    /// The share.
    #[n(1)]
    pub share: Blob<32>,
}
