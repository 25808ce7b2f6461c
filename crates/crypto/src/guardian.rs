//! What guardians hold together: a secret behind groups of them, such as 2 of 3 people and 1 of 2 institutions.
//!
//! ```text
//! GuardianEscrow = [outer, [group, ...]]                  its digest stands on the ledger
//! outer          = an escrow with one share for each group
//! group          = an escrow whose secret is the group's share of the outer one, with one share for each guardian
//! context        = chain, chart, and the place of the escrow: 0, or the number of the group from 1
//! HandedShare    = [share]                                a guardian's share, sealed to the successor
//! ```
//!
//! # Invariants
//!
//! * Fewer guardians than the policy asks for have nothing, whatever groups they are of.
//! * A share that was handed over opens for one successor of one chart and one guardian's place.
//!
//! Not here: what the secret opens, which is never more than the first of two locks, and when guardians hand
//! shares over: the ledger shows a recovery, and each guardian looks.

use alloc::vec::Vec;

use keepwell_types::{
    DecodeError, decode, encode,
    encoding::List,
    guardian::GuardianPlace,
    id::{ChainId, ChartId, Digest},
    limits::{GUARDIAN_GROUPS_MAX, SEALED_SEEDS_BYTES_MAX},
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    escrow::{Escrow, EscrowFault, SealedShare, Share},
    hash::digest,
    seal::{OpenError, SealingKey, SealingPublic},
};

/// What an escrow is dealt for.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The consortium.
    pub chain: &'a ChainId,
    /// The chart.
    pub chart: &'a ChartId,
}

impl Binding<'_> {
    fn with<T>(&self, place: u8, then: impl FnOnce(&[&[u8]]) -> T) -> T {
        then(&[&self.chain.0, &self.chart.0, &[place]])
    }
}

/// One group: how many of these keys' holders give its share back.
#[derive(Clone, Debug)]
pub struct Group {
    /// How many.
    pub threshold: u16,
    /// The guardians' keys, in the order of the policy.
    pub guardians: Vec<SealingPublic>,
}

/// A secret that guardians hold together: an object that lies at the chart's custodians.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct GuardianEscrow {
    #[n(0)]
    outer: Escrow,
    #[n(1)]
    groups: List<Escrow, GUARDIAN_GROUPS_MAX>,
}

impl GuardianEscrow {
    /// Shares `secret` out: `groups_min` of the groups give it back, each by its own threshold.
    pub fn deal(
        rng: &mut impl CryptoRng,
        binding: &Binding<'_>,
        secret: &[u8],
        groups_min: u16,
        groups: &[Group],
    ) -> Result<Self, EscrowFault> {
        if groups.len() > GUARDIAN_GROUPS_MAX {
            let (threshold, holders) = (groups_min, groups.len());
            return Err(EscrowFault::Numbers { threshold, holders });
        }
        // Nobody holds the groups' own keys: each share of the outer escrow is shared out again at once.
        let keys: Vec<_> = groups.iter().map(|_| SealingKey::generate(rng)).collect();
        let publics: Vec<_> = keys.iter().map(SealingKey::public).collect();
        let outer = binding.with(0, |it| Escrow::deal(rng, it, secret, groups_min, &publics))?;
        let mut inner = List::new();
        for ((group, key), number) in groups.iter().zip(&keys).zip(1_u8..) {
            let share = binding.with(0, |it| outer.open_share(it, u16::from(number), key))?;
            let dealt = binding.with(number, |it| {
                Escrow::deal(rng, it, &*share.to_bytes(), group.threshold, &group.guardians)
            })?;
            inner.push(dealt).expect("the groups were counted");
        }
        Ok(Self { outer, groups: inner })
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, SEALED_SEEDS_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// What stands on the ledger.
    pub fn digest(&self) -> Digest {
        digest("keepwell/guardian/escrow/v1", &[&self.encode()])
    }

    /// Opens a guardian's share and hands it to a successor.
    pub fn hand_over(
        &self,
        rng: &mut impl CryptoRng,
        binding: &Binding<'_>,
        at: GuardianPlace,
        key: &SealingKey,
        to: &SealingPublic,
    ) -> Result<HandedShare, EscrowFault> {
        let number = u16::from(at.place) + 1;
        let group = self.group(at.group)?;
        let share = binding.with(at.group + 1, |context| group.open_share(context, number, key))?;
        let share = with_place(binding, at, |context| share.seal(rng, to, context));
        Ok(HandedShare { share })
    }

    /// The secret, from the shares of enough guardians of enough groups. A group that cannot give its share is
    /// passed over; a false share is not.
    pub fn recover(
        &self,
        binding: &Binding<'_>,
        shares: &[(GuardianPlace, Share)],
    ) -> Result<Zeroizing<Vec<u8>>, EscrowFault> {
        let mut outer = Vec::new();
        for (group, number) in self.groups.iter().zip(0_u8..) {
            let given: Vec<_> = shares
                .iter()
                .filter(|(at, share)| {
                    at.group == number && share.holder() == u16::from(at.place) + 1
                })
                .map(|(_, share)| share.clone())
                // One guardian who hands over something else keeps nobody from what the others give.
                .filter(|share| binding.with(number + 1, |it| group.check_share(it, share)).is_ok())
                .collect();
            match binding.with(number + 1, |it| group.recover(it, &given)) {
                Ok(share) => {
                    outer.push(Share::from_bytes(&share).ok_or(EscrowFault::DealtWrongly)?)
                }
                Err(EscrowFault::TooFew { .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        binding.with(0, |it| self.outer.recover(it, &outer))
    }

    fn group(&self, group: u8) -> Result<&Escrow, EscrowFault> {
        self.groups.get(usize::from(group)).ok_or(EscrowFault::NoSuchHolder(u16::from(group)))
    }
}

/// A guardian's share as it is handed to a successor: an object that lies at the chart's custodians.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct HandedShare {
    #[n(0)]
    share: SealedShare,
}

impl HandedShare {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, SEALED_SEEDS_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// What stands on the ledger.
    pub fn digest(&self) -> Digest {
        digest("keepwell/guardian/handed/v1", &[&self.encode()])
    }

    /// Opens it with the successor's key. Whether it is a good share, the escrow tells.
    pub fn open(
        &self,
        binding: &Binding<'_>,
        at: GuardianPlace,
        key: &SealingKey,
    ) -> Result<Share, OpenError> {
        with_place(binding, at, |context| self.share.open_handed(key, context))
    }
}

fn with_place<T>(binding: &Binding<'_>, at: GuardianPlace, then: impl FnOnce(&[&[u8]]) -> T) -> T {
    then(&[&binding.chain.0, &binding.chart.0, &[at.group, at.place]])
}
