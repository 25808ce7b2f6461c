//! Resharing: validators hand their shares to the next set, on the ledger.
//!
//! Everything is signed with release keys. The stages, and when each ends, are those of
//! [`Stage`](crate::state::Stage).
//!
//! # Invariants
//!
//! * What all can check is checked here: a dealing that stands is one of the share that its dealer holds. What only a
//!   receiver can check, it complains about, and the dealer opens that share for all to see or its dealing does not
//!   count.
//! * Which dealings count follows from the ledger: those of the first t of the old set that dealt all keys and left no
//!   complaint standing. So everyone comes to the same new committee, and the joint keys stay.
//! * Who confirms shows that it has its shares. No set begins with fewer than n − f that did.
//! * Nobody stops a change for good by silence or by lies: each says each thing once, in its time, and as long as n − f
//!   of either set are honest and there, the change comes to its end.
//!
//! Not here: shares and what hides them (`keepwell-crypto`), who takes part when (`keepwell-node`).

use alloc::vec::Vec;

use keepwell_crypto::{
    dealing::{Dealing, OpenedShare},
    reshare::Resharing,
    seal::SealingPublic,
};
use keepwell_types::{
    encoding::{Blob, List},
    genesis::CommitteeKeys,
    id::{Location, PublicKey},
    outcome::Rejection,
    validators::{
        Complaint, KeyUse, OpenShare, ReshareCheck, ReshareConfirm, ReshareDeal, ReshareOpen,
        ReshareReady, SHARE_PROOF_BYTES, ValidatorSet, index_of,
    },
};

use crate::{
    decide::{Case, Changes, Halt},
    state::{Changing, Dealt, DealtKey, Key, Opened, Receiver, Stage},
};

pub(crate) fn ready(case: &Case<'_>, it: &ReshareReady) -> Result<Changes, Halt> {
    let part = Part::of(case, it.change, &[Stage::Receive])?;
    let index = part.index_in_new()?;
    let mut changing = part.changing.clone();
    first_time(changing.ready.insert(index))?;
    SealingPublic::from_bytes(&it.receiving).map_err(|_| Rejection::ReceivingKey)?;
    if changing.ready.len() == changing.seats.len() {
        changing.ended.receive = Some(case.block.height);
    }
    let receiver = Receiver { receiving: it.receiving.clone() };
    Ok(Changes::NONE.put(Key::Receiver(index), receiver).put(Key::Changing, changing))
}

pub(crate) fn deal(case: &Case<'_>, it: &ReshareDeal) -> Result<Changes, Halt> {
    let part = Part::of(case, it.change, &[Stage::Deal])?;
    let index = part.index_in_old()?;
    let mut dealt = case.view.dealt(index)?.cloned().unwrap_or_default();
    first_time(dealt.of(it.key).is_none())?;
    let dealing = Dealing::decode(&it.dealing).map_err(|_| Rejection::WrongDealing)?;
    let commitments = part.resharing(it.key)?.commitments(&dealing);
    let commitments = commitments.map_err(|_| Rejection::WrongDealing)?;
    if commitments.dealer() != index {
        return Err(Rejection::WrongDealing.into());
    }
    *dealt.of_mut(it.key) = Some(DealtKey {
        location: case.location,
        commitments,
        accusers: Default::default(),
        opened: List::new(),
    });
    let mut changing = part.changing.clone();
    if part.keys().all(|(key, _)| dealt.of(key).is_some()) {
        changing.dealt.insert(index);
    }
    if changing.dealt.len() == part.old.seats.len() {
        changing.ended.deal = Some(case.block.height);
    }
    Ok(Changes::NONE.put(Key::Dealt(index), dealt).put(Key::Changing, changing))
}

pub(crate) fn check(case: &Case<'_>, it: &ReshareCheck) -> Result<Changes, Halt> {
    let part = Part::of(case, it.change, &[Stage::Check])?;
    let index = part.index_in_ready()?;
    let mut changing = part.changing.clone();
    first_time(changing.checked.insert(index))?;
    let ascend = it.wrong.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascend {
        return Err(Rejection::WrongComplaint.into());
    }
    let mut accused: Vec<(u16, Dealt)> = Vec::new();
    for Complaint { key, dealer } in it.wrong.iter() {
        if !part.has_dealt(*dealer) || part.old.committee(*key).is_none() {
            return Err(Rejection::WrongComplaint.into());
        }
        let place = match accused.iter().position(|(index, _)| index == dealer) {
            Some(place) => place,
            None => {
                accused.push((*dealer, known_dealt(case, *dealer)?));
                accused.len() - 1
            }
        };
        let dealt = accused[place].1.of_mut(*key).as_mut().ok_or(Rejection::WrongComplaint)?;
        dealt.accusers.insert(index);
        changing.accused.insert(*dealer);
    }
    if changing.checked == changing.ready {
        changing.ended.check = Some(case.block.height);
    }
    let changes = Changes::NONE.put(Key::Changing, changing);
    Ok(accused
        .into_iter()
        .fold(changes, |changes, (index, dealt)| changes.put(Key::Dealt(index), dealt)))
}

pub(crate) fn open(case: &Case<'_>, it: &ReshareOpen) -> Result<Changes, Halt> {
    let part = Part::of(case, it.change, &[Stage::Open])?;
    let index = part.index_in_old()?;
    let mut changing = part.changing.clone();
    if !changing.accused.contains(index) {
        return Err(Rejection::NotInChange.into());
    }
    let mut dealt = known_dealt(case, index)?;
    let resharings = part.keys().map(|(key, _)| Ok((key, part.resharing(key)?)));
    let resharings = resharings.collect::<Result<Vec<_>, Rejection>>()?;
    for OpenShare { key, receiver, share } in it.shares.iter() {
        let wrong = Rejection::WrongShare { receiver: *receiver };
        let resharing = resharings.iter().find(|(of, _)| of == key).map(|(_, resharing)| resharing);
        let resharing = resharing.ok_or(wrong.clone())?;
        let dealt = dealt.of_mut(*key).as_mut().ok_or(wrong.clone())?;
        if !part.is_seat(*receiver) || !dealt.accusers.contains(*receiver) {
            return Err(wrong.into());
        }
        let opened = OpenedShare::new(*receiver, share.clone());
        resharing.check_opened(&dealt.commitments, &opened).map_err(|_| wrong)?;
        dealt.accusers.remove(*receiver);
        let opened = Opened { receiver: *receiver, share: share.clone() };
        dealt.opened.push(opened).map_err(|_| Rejection::TooLarge)?;
    }
    if !dealt.is_accused() {
        changing.accused.remove(index);
    }
    if changing.accused.is_empty() {
        changing.ended.open = Some(case.block.height);
    }
    Ok(Changes::NONE.put(Key::Dealt(index), dealt).put(Key::Changing, changing))
}

pub(crate) fn confirm(case: &Case<'_>, it: &ReshareConfirm) -> Result<Changes, Halt> {
    // Whoever was slow is heard until the set begins.
    let part = Part::of(case, it.change, &[Stage::Confirm, Stage::Done])?;
    let index = part.index_in_ready()?;
    let mut changing = part.changing.clone();
    first_time(changing.confirmed.insert(index))?;
    for (key, _) in part.keys() {
        let keys = match key {
            KeyUse::Release => &mut changing.committee,
            KeyUse::Match => &mut changing.matching,
        };
        let keys = match keys {
            Some(keys) => keys,
            None => keys.insert(part.outcome(key)?),
        };
        let proof = proof_of(it, key).ok_or(Rejection::NoShare)?;
        part.resharing(key)?.verify(keys, index, proof).map_err(|_| Rejection::NoShare)?;
    }
    if changing.confirmed == changing.ready {
        changing.ended.confirm = Some(case.block.height);
    }
    Ok(Changes::NONE.put(Key::Changing, changing))
}

const fn proof_of(it: &ReshareConfirm, key: KeyUse) -> Option<&Blob<SHARE_PROOF_BYTES>> {
    match key {
        KeyUse::Release => Some(&it.release),
        KeyUse::Match => it.matching.as_ref(),
    }
}

fn first_time(is: bool) -> Result<(), Rejection> {
    if is { Ok(()) } else { Err(Rejection::SaidAlready) }
}

fn known_dealt(case: &Case<'_>, index: u16) -> Result<Dealt, Halt> {
    Ok(case.view.dealt(index)?.cloned().ok_or(Rejection::NotInChange)?)
}

/// Somebody's part in the change that is under way.
struct Part<'a> {
    case: &'a Case<'a>,
    key: PublicKey,
    old: &'a ValidatorSet,
    changing: &'a Changing,
}

impl<'a> Part<'a> {
    /// The part of whoever signed, if the change is at one of these stages.
    fn of(case: &'a Case<'a>, change: Location, stages: &[Stage]) -> Result<Self, Halt> {
        let key = case.acting_validator()?;
        let none = Rejection::NoSuchChange { began: change.height };
        let old = &case.view.validators()?.ok_or(Rejection::NoValidators)?.set;
        let changing = case.view.changing()?.filter(|it| it.began == change).ok_or(none.clone())?;
        match changing.stage(old, case.block.height, case.block.parameters.epoch_blocks()) {
            Stage::Failed => Err(none.into()),
            stage if stages.contains(&stage) => Ok(Self { case, key, old, changing }),
            Stage::Receive
            | Stage::Deal
            | Stage::Check
            | Stage::Open
            | Stage::Confirm
            | Stage::Done => Err(Rejection::NotAtThisStage.into()),
        }
    }

    fn index_in_old(&self) -> Result<u16, Rejection> {
        self.old.index_of(&self.key).ok_or(Rejection::NotInChange)
    }

    fn index_in_new(&self) -> Result<u16, Rejection> {
        index_of(&self.changing.seats, &self.key).ok_or(Rejection::NotInChange)
    }

    fn index_in_ready(&self) -> Result<u16, Rejection> {
        let index = self.index_in_new()?;
        self.changing.ready.contains(index).then_some(index).ok_or(Rejection::NotInChange)
    }

    fn is_seat(&self, receiver: u16) -> bool {
        (1..=self.changing.seats.len()).contains(&usize::from(receiver))
    }

    fn has_dealt(&self, dealer: u16) -> bool {
        self.changing.dealt.iter().any(|index| index == dealer)
    }

    /// The keys that are dealt anew.
    fn keys(&self) -> impl Iterator<Item = (KeyUse, &'a CommitteeKeys)> + use<'a> {
        let old = self.old;
        let keys = [KeyUse::Release, KeyUse::Match].into_iter();
        keys.filter_map(|key| old.committee(key).map(|keys| (key, keys)))
    }

    fn resharing(&self, key: KeyUse) -> Result<Resharing, Rejection> {
        let old = self.old.committee(key).ok_or(Rejection::WrongDealing)?;
        let (chain, began) = (&self.case.block.chain, self.changing.began);
        // The genesis file, or the change before, was checked to have such keys.
        Resharing::new(chain, began, key, old, self.changing.seats.len())
            .map_err(|_| Rejection::WrongDealing)
    }

    /// The keys that come out.
    fn outcome(&self, key: KeyUse) -> Result<CommitteeKeys, Halt> {
        let mut commitments = Vec::new();
        for dealer in self.changing.counting().iter().take(self.old.quorum()) {
            let dealt = self.case.view.dealt(dealer)?;
            let dealt = dealt.and_then(|it| it.of(key)).ok_or(Rejection::NotInChange)?;
            commitments.push(dealt.commitments.clone());
        }
        let finished = self.resharing(key)?.finish(&commitments);
        Ok(finished.map_err(|_| Rejection::WrongDealing)?)
    }
}
