//! Offers: the public keys with which someone is ready to act in another's chart, as guardian, proxy or successor.
//!
//! ```text
//! Offer = [version, chain, chart, signing key, X-Wing key, signature over all of it]
//! ```
//!
//! # Invariants
//!
//! * The keys are made for one chart, from a root that its owner keeps: nothing on the ledger tells whose they
//!   are, or that one person has a part in two charts.
//! * An offer that is here was signed by its own key, for this consortium and chart.
//!
//! Not here: who handed it over. Whoever takes an offer knows from whom: an offer proves a key and no name.

use keepwell_crypto::{
    keys::ChartSecret,
    seal::SealingPublic,
    sign::{SigningKey, verify},
};
use keepwell_types::{
    chart::COMPARTMENT_KEY_BYTES,
    encode,
    encoding::Blob,
    id::{ChainId, ChartId, PublicKey, Signature},
};
use minicbor::{Decode, Encode};

use crate::{error::UsageError, sealed::Version1};

const DOMAIN: &str = "keepwell/client/offer/v1";
/// Bytes of an offer.
pub const OFFER_BYTES_MAX: usize = 2_048;

/// Public keys for one chart, with proof that their holder has them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    terms: Terms,
    sealing: SealingPublic,
    signature: Signature,
}

/// What is signed.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
struct Terms {
    #[n(0)]
    version: Version1,
    #[n(1)]
    chain: ChainId,
    #[n(2)]
    chart: ChartId,
    #[n(3)]
    signing: PublicKey,
    #[n(4)]
    sealing: Blob<COMPARTMENT_KEY_BYTES>,
}

/// An offer as it is written.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
struct Written {
    #[n(0)]
    terms: Terms,
    #[n(1)]
    signature: Signature,
}

impl Offer {
    /// Offers the keys of `secret`.
    pub fn make(chain: ChainId, chart: ChartId, secret: &ChartSecret) -> Self {
        let (key, sealing): (SigningKey, _) = (secret.signing(), secret.sealing().public());
        let (signing, written) = (key.public(), sealing.to_blob());
        let terms = Terms { version: Version1, chain, chart, signing, sealing: written };
        let signature = key.sign(DOMAIN, &encode(&terms));
        Self { terms, sealing, signature }
    }

    /// Reads an offer that was made for this chart.
    pub fn read(bytes: &[u8], chain: ChainId, chart: ChartId) -> Result<Self, UsageError> {
        let Written { terms, signature } = keepwell_types::decode(bytes, OFFER_BYTES_MAX)
            .map_err(|error| UsageError::NotA { what: "an offer", error })?;
        let fits = (terms.chain, terms.chart) == (chain, chart);
        let signed = verify(&terms.signing, DOMAIN, &encode(&terms), &signature).is_ok();
        let sealing = SealingPublic::from_bytes(&terms.sealing).ok();
        match sealing.filter(|_| fits && signed) {
            Some(sealing) => Ok(Self { terms, sealing, signature }),
            None => Err(UsageError::Offer(chart)),
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(&Written { terms: self.terms.clone(), signature: self.signature })
    }

    /// The chart.
    pub const fn chart(&self) -> ChartId {
        self.terms.chart
    }

    /// Verifies what its holder signs.
    pub const fn signing(&self) -> PublicKey {
        self.terms.signing
    }

    /// What is sealed to its holder.
    pub const fn sealing(&self) -> &SealingPublic {
        &self.sealing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: ChainId = ChainId([1; 32]);
    const CHART: ChartId = ChartId([2; 32]);

    #[test]
    fn an_offer_is_for_one_chart_and_proves_its_key() {
        let secret = ChartSecret::delegate(&[3; 32], CHART);
        let offer = Offer::make(CHAIN, CHART, &secret);
        let bytes = offer.encode();
        assert_eq!(Offer::read(&bytes, CHAIN, CHART).unwrap(), offer);
        assert_eq!(offer.signing(), secret.signing().public());
        assert!(Offer::read(&bytes, ChainId([9; 32]), CHART).is_err());
        assert!(Offer::read(&bytes, CHAIN, ChartId([9; 32])).is_err());
        assert!(Offer::read(&bytes[..bytes.len() - 1], CHAIN, CHART).is_err());
        for at in [bytes.len() - 1, 80, bytes.len() / 2] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Offer::read(&changed, CHAIN, CHART).is_err(), "{at}");
        }
    }

    /// With another's key in it nothing would reach whoever it names.
    #[test]
    fn nobody_offers_anothers_key() {
        let own = Offer::make(CHAIN, CHART, &ChartSecret::delegate(&[3; 32], CHART));
        let other = Offer::make(CHAIN, CHART, &ChartSecret::delegate(&[4; 32], CHART));
        let forged = Offer { signature: other.signature, ..own.clone() };
        assert!(Offer::read(&forged.encode(), CHAIN, CHART).is_err());
        let mut mixed = own;
        mixed.terms.sealing = other.terms.sealing;
        assert!(Offer::read(&mixed.encode(), CHAIN, CHART).is_err());
    }
}
