//! What opens the compartments of a chart, as it is handed to guardians in escrow, and to proxies.
//!
//! ```text
//! Masters    = [organisation, meanings, [generation, ...]]         the oldest first
//! generation = [[[compartment, master], ...], [until, ...]]        16 epochs: those below open with it
//! ```
//!
//! A chart that was claimed or recovered has several generations of keys: its agent's, those of the wallet that
//! was lost, and those of the wallet that has it now.
//!
//! # Invariants
//!
//! * Masters sign nothing. They open the first of a record's two locks; the validators open the other one for
//!   an accepted access alone. So whoever has them, and does not control the chart or act in it, reads nothing.

use keepwell_crypto::keys::{ChartSecret, CompartmentMaster, EpochSeed};
use keepwell_types::{
    id::{Compartment, Epoch, OrganisationId},
    limits::COMPARTMENTS,
    set::CompartmentSet,
};
use minicbor::{Decode, Encode};

use crate::{chart::Meanings, identity::SecretBytes};

/// The epoch that no compartment comes to.
const NEVER: Epoch = Epoch(u32::MAX);

/// What opens compartments of a chart.
#[derive(Clone, Debug, Decode, Encode)]
pub struct Masters {
    /// The chart's organisation.
    #[n(0)]
    pub organisation: OrganisationId,
    /// What the compartments are for.
    #[n(1)]
    pub meanings: Meanings,
    #[n(2)]
    generations: Vec<Generation>,
}

/// What opens the epochs before some.
#[derive(Clone, Debug, Decode, Encode)]
pub(crate) struct Generation {
    #[n(0)]
    masters: Vec<Master>,
    #[n(1)]
    until: [Epoch; COMPARTMENTS],
}

/// What opens one compartment.
#[derive(Clone, Debug, Decode, Encode)]
struct Master {
    #[n(0)]
    compartment: Compartment,
    #[n(1)]
    master: SecretBytes<32>,
}

impl Generation {
    /// What a chart secret opens before the epochs in `until`.
    pub(crate) fn of_secret(secret: &ChartSecret, until: [Epoch; COMPARTMENTS]) -> Self {
        let master = |compartment| Master {
            compartment,
            master: SecretBytes::new(secret.compartment(compartment).as_bytes()),
        };
        Self { masters: Compartment::all().map(master).collect(), until }
    }

    fn within(&self, compartments: CompartmentSet) -> Self {
        let mut masters = self.masters.clone();
        masters.retain(|it| compartments.contains(it.compartment));
        Self { masters, until: self.until }
    }

    /// Whether this generation is the one of an epoch, if no earlier one is.
    pub(crate) fn covers(&self, compartment: Compartment, epoch: Epoch) -> bool {
        epoch < self.until[usize::from(compartment.index())]
    }

    /// The seed of an epoch, if this generation has the compartment.
    pub(crate) fn epoch_seed(&self, compartment: Compartment, epoch: Epoch) -> Option<EpochSeed> {
        let found = self.masters.iter().find(|it| it.compartment == compartment)?;
        Some(CompartmentMaster::from_bytes(found.master.as_bytes()).epoch_seed(epoch))
    }
}

impl Masters {
    /// What a controller can hand over of these compartments: everything before, and its own for good.
    pub(crate) fn of(
        (organisation, meanings): (OrganisationId, &Meanings),
        earlier: &[Generation],
        own: &ChartSecret,
        compartments: CompartmentSet,
    ) -> Self {
        let own = Generation::of_secret(own, [NEVER; COMPARTMENTS]);
        let generations = earlier.iter().chain([&own]).map(|it| it.within(compartments)).collect();
        Self { organisation, meanings: meanings.of(compartments), generations }
    }

    /// The generations, the last of which opens nothing from `until` on: then the chart has other keys.
    pub(crate) fn ended_by(mut self, until: [Epoch; COMPARTMENTS]) -> Vec<Generation> {
        if let Some(last) = self.generations.last_mut() {
            last.until = until;
        }
        self.generations
    }

    pub(crate) fn into_generations(self) -> Vec<Generation> {
        self.generations
    }
}
