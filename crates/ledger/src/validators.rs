//! Validators: who joins and leaves, by motions, and when the next set begins.
//!
//! A change is moved and approved like whatever else the consortium decides; an organisation that joins approves it
//! itself as well. From then on the validators deal their shares anew ([`crate::reshare`]). The last block of an epoch
//! in which that is done makes the next set the present one, from the next epoch on.
//!
//! # Invariants
//!
//! * One change is under way at a time. One that failed stays until the next one, for people to see who was missing.
//! * Whoever is expelled validates in no set that follows: a change under way that would have it begins again without
//!   it. Nothing else stops a change, and no motion waits for one that failed.
//! * No organisation comes to two validators, no key is used twice, and no emergency trustee validates.
//! * A set has 1 to [`RESHARE_VALIDATORS_MAX`] validators, so that a dealing to all of them fits a command.

use alloc::vec::Vec;

use keepwell_crypto::reshare::check_card;
use keepwell_types::{
    encoding::List,
    id::{OrganisationId, PublicKey},
    limits::{RESHARE_VALIDATORS_MAX, VALIDATORS_MAX},
    outcome::Rejection,
    validators::{Change, Seat, ValidatorCard, ValidatorSet, ends_epoch, epoch_of},
};

use crate::{
    decide::{BlockContext, Case, Changes, Halt},
    signer::organisation_in_standing,
    state::{Changing, Key, Stage, Validators},
    view::{Lacks, View},
};

pub(crate) fn change(case: &Case<'_>, it: &Change) -> Result<Changes, Halt> {
    let validators = case.view.validators()?.ok_or(Rejection::NoValidators)?;
    // What can never be carried out is refused before anybody approves it.
    let seats = seats_after(case, validators, it)?;
    case.by_consortium()?;
    for card in it.joins.iter() {
        case.by_administrators(card.seat.validator.organisation)?;
    }
    if let Some(changing) = under_way(case.view, case.block)? {
        return Err(Rejection::ChangeUnderWay { began: changing.began.height }.into());
    }
    begin(case, validators, seats)
}

/// What follows for validators when an organisation is expelled.
pub(crate) fn expelled(case: &Case<'_>, id: OrganisationId) -> Result<Changes, Halt> {
    let Some(validators) = case.view.validators()? else { return Ok(Changes::NONE) };
    let changing = under_way(case.view, case.block)?;
    let seats = changing.map_or(&validators.set.seats, |it| &it.seats);
    let of_it = |seat: &Seat| seat.validator.organisation == id;
    if !seats.iter().any(of_it) {
        return Ok(Changes::NONE);
    }
    begin(case, validators, seats.iter().filter(|seat| !of_it(seat)).cloned().collect())
}

/// The change that is under way, if one is.
pub(crate) fn under_way<'a>(
    view: &'a View,
    block: &BlockContext,
) -> Result<Option<&'a Changing>, Lacks> {
    let (Some(validators), Some(changing)) = (view.validators()?, view.changing()?) else {
        return Ok(None);
    };
    let stage = changing.stage(&validators.set, block.height, block.parameters.epoch_blocks());
    Ok((stage != Stage::Failed).then_some(changing))
}

/// What the end of `block` changes: in the last one of an epoch, the next set, if it is ready.
pub(crate) fn handed_over(
    view: &View,
    block: &BlockContext,
) -> Result<Option<(ValidatorSet, Changes)>, Lacks> {
    let blocks = block.parameters.epoch_blocks();
    if !ends_epoch(block.height, blocks) {
        return Ok(None);
    }
    let (Some(before), Some(changing)) = (view.validators()?, view.changing()?) else {
        return Ok(None);
    };
    if changing.stage(&before.set, block.height, blocks) != Stage::Done {
        return Ok(None);
    }
    let set = ValidatorSet {
        since: epoch_of(block.height, blocks) + 1,
        seats: changing.seats.clone(),
        committee: changing.committee.clone().expect("who confirmed had a share of these keys"),
        matching: changing.matching.clone(),
    };
    let after = Validators { set: set.clone(), trustees: before.trustees.clone() };
    let changes = Changes::NONE.put(Key::Validators, after).remove(Key::Changing);
    Ok(Some((set, changing.parts(&before.set).fold(changes, Changes::remove))))
}

fn begin(case: &Case<'_>, validators: &Validators, mut seats: Vec<Seat>) -> Result<Changes, Halt> {
    check_count(&seats)?;
    seats.sort_by_key(|seat| seat.validator.consensus);
    let before = case.view.changing()?;
    let parts = before.into_iter().flat_map(|it| it.parts(&validators.set));
    let changes = parts.fold(Changes::NONE, Changes::remove);
    let seats = List::from_vec(seats).map_err(|_| Rejection::TooLarge)?;
    Ok(changes.put(Key::Changing, Changing::new(case.location, seats)))
}

fn check_count(seats: &[Seat]) -> Result<(), Rejection> {
    let max = RESHARE_VALIDATORS_MAX;
    if (1..=max).contains(&seats.len()) {
        return Ok(());
    }
    Err(Rejection::ValidatorCount { given: seats.len() as u32, max: max as u32 })
}

/// Who validates after a change.
fn seats_after(case: &Case<'_>, validators: &Validators, it: &Change) -> Result<Vec<Seat>, Halt> {
    let present = &validators.set.seats;
    for (place, key) in it.leaves.iter().enumerate() {
        let sits = present.iter().any(|seat| seat.validator.consensus == *key);
        if !sits || it.leaves[..place].contains(key) {
            return Err(Rejection::UnknownValidator(*key).into());
        }
    }
    let mut seats = Vec::with_capacity(VALIDATORS_MAX);
    for seat in present.iter() {
        let Seat { validator, .. } = seat;
        let organisation = case.view.organisation(validator.organisation)?;
        let is_expelled = organisation.is_some_and(|it| it.expelled_at.is_some());
        if !is_expelled && !it.leaves.contains(&validator.consensus) {
            seats.push(seat.clone());
        }
    }
    for card in it.joins.iter() {
        check_joins(case, validators, &seats, card)?;
        seats.push(card.seat.clone());
    }
    check_count(&seats)?;
    Ok(seats)
}

/// Whether the validator of `card` can sit beside `seats`.
fn check_joins(
    case: &Case<'_>,
    Validators { set, trustees }: &Validators,
    seats: &[Seat],
    card: &ValidatorCard,
) -> Result<(), Halt> {
    let validator = card.seat.validator;
    let organisation = validator.organisation;
    organisation_in_standing(case.view, organisation)?;
    if card.seat.address.is_none() || check_card(&case.block.chain, card).is_err() {
        return Err(Rejection::ValidatorCard(organisation).into());
    }
    let sits = seats.iter().any(|seat| seat.validator.organisation == organisation);
    if sits || trustees.iter().any(|it| it.organisation == Some(organisation)) {
        return Err(Rejection::NotToValidate(organisation).into());
    }
    let taken = |key: &PublicKey| {
        let of = |seat: &Seat| [seat.validator.consensus, seat.validator.release].contains(key);
        // Keys of those who leave in the same change are taken as well.
        set.seats.iter().chain(seats).any(of) || trustees.iter().any(|it| it.key == *key)
    };
    match [validator.consensus, validator.release].into_iter().find(taken) {
        Some(key) => Err(Rejection::ValidatorKeyTaken(key).into()),
        None => Ok(()),
    }
}
