//! Keys: what each party keeps, and all that derives from it.
//!
//! ```text
//! root (32 bytes, random; a patient's wallet, or the key agent of an organisation)
//!  └ chart secret (chart id)
//!     ├ signing key            the chart controller's commands
//!     ├ sealing key            what is sealed to the controller
//!     ├ case key (case)        the words of one case
//!     └ compartment master (compartment)
//!        └ epoch seed (epoch)  an X-Wing key: the first lock of the records of that epoch
//!
//! root, or member secret
//!  └ delegate (chart id)     a guardian's or proxy's own keys in another's chart: signing and sealing key
//!
//! member secret (32 bytes, random)
//!  ├ signing key
//!  └ sealing key
//!
//! claim code (16 bytes, random)
//!  └ signing key (chain, chart)
//! ```
//!
//! # Invariants
//!
//! * Each step is one-way: whoever holds an epoch seed learns nothing of another epoch, compartment or
//!   chart.
//! * Nothing that is derived for one chart can be linked to another chart of the same root.
//!
//! Not here: how secrets are kept at rest ([`crate::keyfile`]).

use alloc::string::String;

use keepwell_types::id::{CaseId, ChainId, ChartId, Compartment, Epoch};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    hash::{derive, digest},
    seal::SealingKey,
    secret::secret,
    sign::SigningKey,
};

secret! {
    /// What all keys of one chart derive from.
    ChartSecret, 32
}

impl ChartSecret {
    /// The secret of `chart` under a root.
    pub fn derive(root: &[u8; 32], chart: ChartId) -> Self {
        Self(derive(root, "keepwell/keys/chart/v1", &[&chart.0]))
    }

    /// The keys that someone makes to act in another's chart, as guardian or proxy, under a root of their own.
    /// They are no keys of the chart, and in each chart they are others.
    pub fn delegate(root: &[u8; 32], chart: ChartId) -> Self {
        Self(derive(root, "keepwell/keys/delegate/v1", &[&chart.0]))
    }

    /// Signs as the chart's controller.
    pub fn signing(&self) -> SigningKey {
        SigningKey::from_seed(&derive(&*self.0, "keepwell/keys/chart-signing/v1", &[]))
    }

    /// Opens what is sealed to the chart's controller.
    pub fn sealing(&self) -> SealingKey {
        SealingKey::from_seed(&derive(&*self.0, "keepwell/keys/chart-sealing/v1", &[]))
    }

    /// The master of one compartment: what a proxy for that compartment is given.
    pub fn compartment(&self, compartment: Compartment) -> CompartmentMaster {
        let number = [compartment.index()];
        CompartmentMaster(derive(&*self.0, "keepwell/keys/compartment/v1", &[&number]))
    }

    /// The key of one case: what whoever answers it is handed.
    pub fn case_key(&self, case: CaseId) -> CaseKey {
        CaseKey(derive(&*self.0, "keepwell/keys/case/v1", &[&case.0]))
    }

    /// The seed of one epoch of one compartment: what a grantee is given.
    pub fn epoch_seed(&self, compartment: Compartment, epoch: Epoch) -> EpochSeed {
        self.compartment(compartment).epoch_seed(epoch)
    }
}

secret! {
    /// What the seeds of all epochs of one compartment derive from.
    CompartmentMaster, 32
}

impl CompartmentMaster {
    /// The seed of one epoch.
    pub fn epoch_seed(&self, epoch: Epoch) -> EpochSeed {
        EpochSeed(derive(&*self.0, "keepwell/keys/epoch/v1", &[&epoch.0.to_le_bytes()]))
    }
}

secret! {
    /// The private key of one epoch of one compartment, as a seed.
    EpochSeed, 32
}

impl EpochSeed {
    /// The key itself.
    pub fn sealing(&self) -> SealingKey {
        SealingKey::from_seed(&self.0)
    }
}

secret! {
    /// The private key that all words of one case are sealed to, as a seed.
    CaseKey, 32
}

impl CaseKey {
    /// The key itself.
    pub fn sealing(&self) -> SealingKey {
        SealingKey::from_seed(&self.0)
    }
}

secret! {
    /// What the keys of a member derive from.
    MemberSecret, 32
}

impl MemberSecret {
    /// A fresh secret.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Self(bytes)
    }

    /// The keys with which the member acts in a patient's chart, as guardian or proxy, unnamed.
    pub fn delegate(&self, chart: ChartId) -> ChartSecret {
        ChartSecret::delegate(&self.0, chart)
    }

    /// Signs the member's commands.
    pub fn signing(&self) -> SigningKey {
        SigningKey::from_seed(&derive(&*self.0, "keepwell/keys/member-signing/v1", &[]))
    }

    /// Opens what is sealed to the member.
    pub fn sealing(&self) -> SealingKey {
        SealingKey::from_seed(&derive(&*self.0, "keepwell/keys/member-sealing/v1", &[]))
    }
}

secret! {
    /// The one-time code with which a patient claims a chart.
    ///
    /// Printed as seven groups of four of Crockford's base 32: 26 digits for the 128 bits, then two
    /// that check them, so that of 1,024 mistyped codes one at most is taken for a code.
    ClaimCode, 16
}

/// Crockford's digits: none of I, L, O, U, which people misread.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_DIGITS: usize = 26;
const CHECK_DIGITS: usize = 2;

/// Why typed text is not a claim code: the typist's fault.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ClaimCodeError {
    /// Not a digit of the code.
    #[error("a code has no {0:?}; look at the printed code again")]
    Character(char),
    /// Too short or too long.
    #[error("{digits} digits were typed and a code has 28; compare it with the printed code")]
    Length {
        /// Digits typed.
        digits: usize,
    },
    /// The last digits do not check the others.
    #[error("a digit is mistyped; compare it with the printed code")]
    Check,
}

impl ClaimCode {
    /// A fresh code.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 16]);
        rng.fill_bytes(&mut *bytes);
        Self(bytes)
    }

    /// The code as it is printed: `XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX`.
    pub fn print(&self) -> Zeroizing<String> {
        let number = u128::from_be_bytes(*self.0);
        let mut text = Zeroizing::new(String::with_capacity(CODE_DIGITS + CHECK_DIGITS + 6));
        let code = (0..CODE_DIGITS).rev().map(|place| (number >> (5 * place)) as usize);
        let check = (0..CHECK_DIGITS).rev().map(|place| usize::from(self.check() >> (5 * place)));
        for (place, digit) in code.chain(check).enumerate() {
            if place > 0 && place % 4 == 0 {
                text.push('-');
            }
            text.push(char::from(DIGITS[digit % 32]));
        }
        text
    }

    /// Reads a typed code: in either case, with or without spaces and hyphens, O for 0, I or L for 1.
    pub fn parse(text: &str) -> Result<Self, ClaimCodeError> {
        let mut typed = Zeroizing::new([0; CODE_DIGITS + CHECK_DIGITS]);
        let mut digits = 0;
        for character in text.chars().filter(|it| *it != '-' && !it.is_whitespace()) {
            let digit = digit_of(character).ok_or(ClaimCodeError::Character(character))?;
            if let Some(place) = typed.get_mut(digits) {
                *place = digit;
            }
            digits += 1;
        }
        if digits != typed.len() {
            return Err(ClaimCodeError::Length { digits });
        }
        // The first digit has three bits; a larger one is a slip.
        if typed[0] > 7 {
            return Err(ClaimCodeError::Check);
        }
        let number = typed[..CODE_DIGITS].iter().fold(0, |sum, it| sum << 5 | u128::from(*it));
        let check = typed[CODE_DIGITS..].iter().fold(0, |sum, it| sum << 5 | u16::from(*it));
        let code = Self(Zeroizing::new(number.to_be_bytes()));
        if code.check() == check { Ok(code) } else { Err(ClaimCodeError::Check) }
    }

    /// The key that signs the claim of this chart of this consortium.
    pub fn signing(&self, chain: &ChainId, chart: &ChartId) -> SigningKey {
        SigningKey::from_seed(&derive(&*self.0, "keepwell/keys/claim/v1", &[&chain.0, &chart.0]))
    }

    /// Ten bits that depend on all others.
    fn check(&self) -> u16 {
        let digest = digest("keepwell/keys/claim-check/v1", &[&*self.0]);
        u16::from_be_bytes([digest.0[0], digest.0[1]]) >> 6
    }
}

fn digit_of(character: char) -> Option<u8> {
    let digit = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    (0_u8..).zip(DIGITS).find_map(|(value, it)| (char::from(*it) == digit).then_some(value))
}
