//! What a validator says when validators change.
//!
//! ```text
//!  what the ledger waits for (its `duty`) + keys and shares (a [`Keeper`]) ─> commands
//! ```
//!
//! # Invariants
//!
//! * A crash at any point does the same again: a dealing follows from the share and from what the ledger says, and
//!   keys and shares are with the keeper, durably, before the ledger hears of them.
//! * Nothing secret leaves but in a dealing, sealed to its receiver; the one exception is a share whose receiver
//!   complained, which its dealer opens for all.
//! * Who has not the key to which it was dealt complains about nobody.
//!
//! Not here: who is waited for and when that ends (`keepwell_ledger::state::Changing`), what a dealing is
//! (`keepwell_crypto::reshare`), where keys and shares are kept, and when to look.

use std::error::Error;

use keepwell_crypto::{
    dealing::{Commitments, Dealing, OpenedShare, SubShare},
    reshare::{Resharing, ResharingFault, Share},
    seal::{SealingKey, SealingPublic},
};
use keepwell_ledger::state::{Changing, Dealt, DealtKey, Duty, Key, Value};
use keepwell_types::{
    command::Payload,
    encoding::{Blob, List},
    id::{ChainId, Location, PublicKey},
    validators::{
        Complaint, KeyUse, OpenShare, ReshareCheck, ReshareConfirm, ReshareDeal, ReshareOpen,
        ReshareReady, SHARE_PROOF_BYTES, ValidatorSet, index_of,
    },
};
use rand_core::CryptoRng;
use thiserror::Error;

use crate::reader::{ReadError, Reader, entry_at};

/// Keeps what a validator needs in changes of validators. What it took is durable when it says so.
pub trait Keeper: Sync {
    /// Why it could not.
    type Error: Error + Send;

    /// The key to which shares are dealt in a change, drawn if it is not here.
    fn draw_receiving(
        &self,
        change: Location,
    ) -> impl Future<Output = Result<SealingKey, Self::Error>> + Send;

    /// The key to which shares are dealt in a change, if it is here.
    fn receiving(
        &self,
        change: Location,
    ) -> impl Future<Output = Result<Option<SealingKey>, Self::Error>> + Send;

    /// Every share that is here.
    fn shares(&self) -> impl Future<Output = Result<Vec<Share>, Self::Error>> + Send;

    /// Stores the shares that a change leads to.
    fn keep(
        &self,
        change: Location,
        shares: Vec<Share>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Why a validator cannot do its part now.
#[derive(Debug, Error)]
pub enum ReshareError<E: Error> {
    /// The state or a block.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The keeper.
    #[error(transparent)]
    Keeper(E),
    /// The set or the change.
    #[error("the validators of the ledger are no committee: {0}")]
    Fault(#[from] ResharingFault),
    /// A share is gone.
    #[error("no share of the {0:?} key is here that this validator could deal anew")]
    NoShare(KeyUse),
    /// The key is gone.
    #[error(
        "the key to which shares are dealt is not here, or is another one than the ledger has: this validator gets no share in this change; restore receiving-{}-{}.key if you have it",
        .0.height, .0.index
    )]
    NoReceivingKey(Location),
    /// A dealer is at fault, and the complaint came too late.
    #[error("dealer {0} sent this validator a share that does not open, and nobody opened it")]
    WrongShare(u16),
    /// The node's own fault, or the disk's.
    #[error("the ledger does not show what its rules say it has: {0}")]
    Missing(&'static str),
}

/// A validator's part in a change, in one state.
pub struct Part<'a, K> {
    /// The consortium.
    pub chain: &'a ChainId,
    /// Reads the state, and the blocks in which shares were dealt.
    pub reader: &'a dyn Reader,
    /// The validator's keys and shares.
    pub keeper: &'a K,
    /// The validator's release key, which names its seats.
    pub release: PublicKey,
    /// Who validates.
    pub set: &'a ValidatorSet,
    /// The change.
    pub changing: &'a Changing,
}

/// One key, and what resharing it takes.
struct OneKey {
    key: KeyUse,
    resharing: Resharing,
}

impl<K: Keeper> Part<'_, K> {
    /// What the validator has to say to do its duty. Its new shares are durable when this returns.
    pub async fn said(
        &self,
        duty: Duty,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<Vec<Payload>, ReshareError<K::Error>> {
        match duty {
            Duty::Ready => self.ready().await,
            Duty::Deal => self.deal().await,
            Duty::Check => self.check().await,
            Duty::Open => self.open().await,
            Duty::Confirm => self.confirm(rng).await,
        }
    }

    async fn ready(&self) -> Result<Vec<Payload>, ReshareError<K::Error>> {
        let drawn =
            self.keeper.draw_receiving(self.changing.began).await.map_err(ReshareError::Keeper)?;
        let receiving = drawn.public().to_blob();
        Ok(vec![Payload::ReshareReady(ReshareReady { change: self.changing.began, receiving })])
    }

    async fn deal(&self) -> Result<Vec<Payload>, ReshareError<K::Error>> {
        let own = self.set.index_of(&self.release);
        let own = own.ok_or(ReshareError::Missing("this validator's seat"))?;
        let dealt = self.dealt(own).await?.unwrap_or_default();
        let (shares, receivers) =
            (self.keeper.shares().await.map_err(ReshareError::Keeper)?, self.receivers().await?);
        let mut said = Vec::new();
        for one in self.keys()? {
            if dealt.of(one.key).is_none() {
                let dealing = one.dealt(&shares, &receivers)?.dealing().encode();
                let dealing = Blob::from_vec(dealing)
                    .map_err(|_| ReshareError::Missing("room for a dealing to all of them"))?;
                let deal = ReshareDeal { change: self.changing.began, key: one.key, dealing };
                said.push(Payload::ReshareDeal(deal));
            }
        }
        Ok(said)
    }

    async fn check(&self) -> Result<Vec<Payload>, ReshareError<K::Error>> {
        let own = self.own_place()?;
        let receiving = self.receiving(own).await?;
        let mut wrong = List::new();
        for one in self.keys()? {
            for dealer in self.changing.dealt.iter() {
                let (dealing, _) = self.dealing(dealer, one.key).await?;
                if one.resharing.open(&dealing, own, &receiving).is_err() {
                    let complaint = Complaint { key: one.key, dealer };
                    wrong.push(complaint).expect("there is room for each dealer and key");
                }
            }
        }
        if !wrong.is_empty() {
            tracing::warn!(
                dealers = wrong.len(),
                "shares that were dealt to this validator are wrong"
            );
        }
        Ok(vec![Payload::ReshareCheck(ReshareCheck { change: self.changing.began, wrong })])
    }

    async fn open(&self) -> Result<Vec<Payload>, ReshareError<K::Error>> {
        let own = self.set.index_of(&self.release);
        let own = own.ok_or(ReshareError::Missing("this validator's seat"))?;
        let stands = self.dealt(own).await?.ok_or(ReshareError::Missing("what was dealt"))?;
        let (shares, receivers) =
            (self.keeper.shares().await.map_err(ReshareError::Keeper)?, self.receivers().await?);
        let mut opened = List::new();
        for one in self.keys()? {
            let Some(stands) = stands.of(one.key).filter(|it| !it.accusers.is_empty()) else {
                continue;
            };
            let dealt = one.dealt(&shares, &receivers)?;
            for receiver in stands.accusers.iter() {
                let share = dealt.opened(receiver).share().clone();
                let share = OpenShare { key: one.key, receiver, share };
                opened.push(share).expect("there is room for each receiver and key");
            }
        }
        Ok(vec![Payload::ReshareOpen(ReshareOpen { change: self.changing.began, shares: opened })])
    }

    async fn confirm(
        &self,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<Vec<Payload>, ReshareError<K::Error>> {
        let own = self.own_place()?;
        let receiving = self.receiving(own).await?;
        let (mut shares, mut release, mut matching) = (Vec::new(), None, None);
        for one in self.keys()? {
            let (mut parts, mut commitments): (Vec<SubShare>, Vec<Commitments>) =
                Default::default();
            for dealer in self.changing.counting().iter().take(self.set.quorum()) {
                let (dealing, stands) = self.dealing(dealer, one.key).await?;
                parts.push(one.received(&dealing, &stands, (own, dealer), &receiving)?);
                commitments.push(stands.commitments);
            }
            let damaged = ResharingFault::Numbers;
            let share = one.resharing.share(own, &parts).map_err(damaged)?;
            let committee = one.resharing.finish(&commitments).map_err(damaged)?;
            let proof = one.resharing.prove(rng, &committee, &share);
            match one.key {
                KeyUse::Release => release = Some(proof),
                KeyUse::Match => matching = Some(proof),
            }
            shares.push(share);
        }
        let release: Blob<SHARE_PROOF_BYTES> = release.ok_or(ReshareError::Missing("a key"))?;
        // From the command on, others count on these shares.
        self.keeper.keep(self.changing.began, shares).await.map_err(ReshareError::Keeper)?;
        let confirm = ReshareConfirm { change: self.changing.began, release, matching };
        Ok(vec![Payload::ReshareConfirm(confirm)])
    }

    /// The keys that are dealt anew.
    fn keys(&self) -> Result<Vec<OneKey>, ReshareError<K::Error>> {
        let (chain, began) = (self.chain, self.changing.began);
        let keys = [KeyUse::Release, KeyUse::Match].into_iter();
        keys.filter_map(|key| self.set.committee(key).map(|keys| (key, keys)))
            .map(|(key, keys)| {
                let seats = self.changing.seats.len();
                let resharing = Resharing::new(chain, began, key, keys, seats)?;
                Ok(OneKey { key, resharing })
            })
            .collect()
    }

    /// This validator's place in the set to come, counted from 1.
    fn own_place(&self) -> Result<u16, ReshareError<K::Error>> {
        let own = index_of(&self.changing.seats, &self.release);
        own.ok_or(ReshareError::Missing("this validator's seat"))
    }

    /// The key to which others dealt. With any other one, every dealing would look wrong, and honest dealers would open
    /// to all what was for this validator alone.
    async fn receiving(&self, own: u16) -> Result<SealingKey, ReshareError<K::Error>> {
        let began = self.changing.began;
        let key = self.keeper.receiving(began).await.map_err(ReshareError::Keeper)?;
        let said = self.reader.state(&[Key::Receiver(own)]).await?.pop().flatten();
        let Some(Value::Receiver(said)) = said else {
            return Err(ReshareError::Missing("to which key this validator is dealt"));
        };
        let fits = |key: &SealingKey| key.public().to_blob() == said.receiving;
        key.filter(fits).ok_or(ReshareError::NoReceivingKey(began))
    }

    /// Whom is dealt to, by place.
    async fn receivers(&self) -> Result<Vec<Option<SealingPublic>>, ReshareError<K::Error>> {
        let count = u16::try_from(self.changing.seats.len()).expect("a set has few seats");
        let keys: Vec<_> = (1..=count).map(Key::Receiver).collect();
        let values = self.reader.state(&keys).await?;
        (1..=count)
            .zip(values)
            .map(|(index, value)| match value {
                _ if !self.changing.ready.contains(index) => Ok(None),
                Some(Value::Receiver(it)) => SealingPublic::from_bytes(&it.receiving)
                    .map(Some)
                    .map_err(|_| ReshareError::Missing("a key to deal to")),
                _ => Err(ReshareError::Missing("a key to deal to")),
            })
            .collect()
    }

    /// What the ledger keeps of what was dealt by one.
    async fn dealt(&self, dealer: u16) -> Result<Option<Dealt>, ReshareError<K::Error>> {
        match self.reader.state(&[Key::Dealt(dealer)]).await?.pop().flatten() {
            Some(Value::Dealt(dealt)) => Ok(Some(dealt)),
            _ => Ok(None),
        }
    }

    /// One dealing, from its block, and what the ledger keeps of it.
    async fn dealing(
        &self,
        dealer: u16,
        key: KeyUse,
    ) -> Result<(Dealing, DealtKey), ReshareError<K::Error>> {
        let missing = || ReshareError::Missing("what was dealt");
        let stands = self.dealt(dealer).await?.and_then(|it| it.of(key).cloned());
        let stands = stands.ok_or_else(missing)?;
        let Location { height, index } = stands.location;
        let entry = entry_at(&self.reader.block(height).await?, index)?;
        let Payload::ReshareDeal(deal) = entry.payload() else { return Err(missing()) };
        Ok((Dealing::decode(&deal.dealing).map_err(|_| missing())?, stands))
    }
}

impl OneKey {
    /// This validator's dealing: the same one whenever it is made.
    fn dealt<E: Error>(
        &self,
        shares: &[Share],
        receivers: &[Option<SealingPublic>],
    ) -> Result<keepwell_crypto::dealing::Dealt, ReshareError<E>> {
        let dealt = shares.iter().find_map(|share| self.resharing.deal(share, receivers).ok());
        dealt.ok_or(ReshareError::NoShare(self.key))
    }

    /// What `dealer` dealt to `own`: as it was sealed, or as it was opened after a complaint.
    fn received<E: Error>(
        &self,
        dealing: &Dealing,
        stands: &DealtKey,
        (own, dealer): (u16, u16),
        receiving: &SealingKey,
    ) -> Result<SubShare, ReshareError<E>> {
        let sealed = self.resharing.open(dealing, own, receiving);
        let opened = || {
            let opened = stands.opened.iter().find(|it| it.receiver == own)?;
            let opened = OpenedShare::new(own, opened.share.clone());
            self.resharing.check_opened(&stands.commitments, &opened).ok()
        };
        sealed.ok().or_else(opened).ok_or(ReshareError::WrongShare(dealer))
    }
}
