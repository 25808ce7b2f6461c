//! Compartments: moved to their next epoch by whoever controls the chart, or after an emergency by keys
//! that were published ahead.
//!
//! Epochs only go up, by one. What was sealed to an earlier epoch stays readable to whoever holds its
//! seed; what is added from now on is sealed to the current one, or refused.

use keepwell_types::{
    chart::CompartmentRotate, id::Epoch, outcome::Rejection, set::CompartmentSet,
};

use crate::{
    decide::{Case, Changes, Halt},
    state::{Chart, Key},
};

pub(crate) fn rotate(case: &Case<'_>, it: &CompartmentRotate) -> Result<Changes, Halt> {
    let mut chart = case.acting_controller(it.chart)?.clone();
    if it.compartments.is_empty() {
        return Err(Rejection::EmptyTerms.into());
    }
    chart.keys.sheet = it.sheet;
    chart.seeds = Some(it.seeds);
    advance(&mut chart, it.compartments)?;
    Ok(Changes::NONE.put(Key::Chart(it.chart), chart))
}

/// Moves `compartments` to their next epoch.
pub(crate) fn advance(chart: &mut Chart, compartments: CompartmentSet) -> Result<(), Rejection> {
    for compartment in compartments.iter() {
        let epoch = &mut chart.epochs[usize::from(compartment.index())];
        *epoch = Epoch(epoch.0.checked_add(1).ok_or(Rejection::TooLarge)?);
    }
    Ok(())
}

/// Moves those of `compartments` to their next epoch that have a key ahead.
pub(crate) fn advance_ahead(
    chart: &mut Chart,
    compartments: CompartmentSet,
) -> Result<(), Rejection> {
    let ready = compartments.iter().filter(|compartment| chart.has_key_ahead(*compartment));
    let ready = ready.collect();
    advance(chart, ready)
}
