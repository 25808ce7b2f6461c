//! Letters with keys: seeds of a chart's compartments, sealed to one member.
//!
//! ```text
//! patient   grant.give {to a role, an organisation, a care team, a group, everyone} ──> ledger
//!           letter {seeds} ── sealed to one reader ── by hand ──> reader
//! grantee   grant.pass {to one member} ──> ledger
//!           letter {seeds} ── sealed to that member ── by hand ──> member
//! ```
//!
//! A grant to one member brings its keys with it, at the chart's custodians. A grant to many names readers of whom the
//! ledger has no one key, and whoever passes a grant on may store nothing in the chart. There, whoever has the keys
//! writes a letter to each reader.
//!
//! # Invariants
//!
//! * A letter is sealed to the key that the ledger has for its reader.
//! * It permits nothing: without an accepted access the validators keep the other lock.
//! * Nothing in it needs to be believed: a seed that is not a compartment's own opens no record.
//!
//! Not here: letters of grants to one member ([`crate::grant`]), of proxies ([`crate::proxy`]).

use keepwell_crypto::{grant::SEEDS_MAX, keys::EpochSeed, seal::SealingPublic};
use keepwell_types::{
    encoding::List,
    id::{ChainId, ChartId, Compartment, Epoch, MemberId},
};
use minicbor::{Decode, Encode};

use crate::{
    Client,
    chart::Meanings,
    error::{ClientError, UsageError},
    grant::Recipient,
    identity::{Actor, MemberIdentity, SecretBytes, Seeds},
    sealed::{Sealed, Version1},
};

const DOMAIN: &str = "keepwell/client/key-letter/v1";
/// Bytes of a letter with keys.
pub const KEY_LETTER_BYTES_MAX: usize = 64 * 1024;

/// Keys of a chart's compartments, sealed to one member.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct KeyLetter {
    #[n(0)]
    version: Version1,
    #[n(1)]
    chart: ChartId,
    #[n(2)]
    to: MemberId,
    #[n(3)]
    sealed: Sealed,
}

/// What a letter says.
#[derive(Clone, Debug, Decode, Encode)]
struct Keys {
    #[n(0)]
    seeds: List<KeyLine, SEEDS_MAX>,
    #[n(1)]
    meanings: Meanings,
}

#[derive(Clone, Debug, Decode, Encode)]
struct KeyLine {
    #[n(0)]
    compartment: Compartment,
    #[n(1)]
    epoch: Epoch,
    #[n(2)]
    seed: SecretBytes<32>,
}

impl KeyLetter {
    /// Seals seeds to a member, with what their compartments are for.
    pub fn seal(
        chain: &ChainId,
        chart: ChartId,
        (to, key): (MemberId, &SealingPublic),
        seeds: &Seeds,
        meanings: &Meanings,
    ) -> Result<Self, UsageError> {
        let line = |(compartment, epoch, seed): (Compartment, Epoch, &EpochSeed)| KeyLine {
            compartment,
            epoch,
            seed: SecretBytes::new(seed.as_bytes()),
        };
        let compartments = seeds.iter().map(|(compartment, ..)| compartment).collect();
        let seeds = List::from_vec(seeds.iter().map(line).collect())
            .map_err(|_| UsageError::TooManyEpochs)?;
        let keys = Keys { seeds, meanings: meanings.of(compartments) };
        let sealed = Sealed::seal(key, DOMAIN, &[&chain.0, &chart.0, &to.0], &keys);
        Ok(Self { version: Version1, chart, to, sealed })
    }

    /// Opens a letter for its reader: the seeds, and what their compartments are for.
    pub fn open(&self, reader: &MemberIdentity) -> Result<(Seeds, Meanings), UsageError> {
        let chain = reader.chain();
        let parts: [&[u8]; 3] = [&chain.0, &self.chart.0, &self.to.0];
        let opened = self.sealed.open::<Keys>(&reader.sealing(), DOMAIN, &parts);
        let keys = opened.map_err(|_| UsageError::Letter)?;
        let mut seeds = Seeds::default();
        for KeyLine { compartment, epoch, seed } in keys.seeds.iter() {
            seeds.insert(*compartment, *epoch, EpochSeed::from_bytes(seed.as_bytes()));
        }
        Ok((seeds, keys.meanings))
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, UsageError> {
        keepwell_types::decode(bytes, KEY_LETTER_BYTES_MAX)
            .map_err(|error| UsageError::NotA { what: "a letter with keys", error })
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }

    /// The chart.
    pub const fn chart(&self) -> ChartId {
        self.chart
    }
}

impl Client {
    /// Writes a letter with keys to a member, if the key is the one that the ledger has for it.
    pub async fn write_keys(
        &self,
        actor: &Actor,
        chart: ChartId,
        to: &Recipient,
        seeds: &Seeds,
        meanings: &Meanings,
    ) -> Result<KeyLetter, ClientError> {
        self.check_key(actor, to).await?;
        let chain = self.consortium().chain();
        Ok(KeyLetter::seal(&chain, chart, (to.member, &to.key), seeds, meanings)?)
    }
}

#[cfg(test)]
mod tests {
    use keepwell_types::id::OrganisationId;

    use super::*;
    use crate::identity::ChartHolder;

    const CHAIN: ChainId = ChainId([1; 32]);
    const CHART: ChartId = ChartId([2; 32]);

    fn seeds(epochs: u32) -> Seeds {
        let (holder, mut seeds) = (ChartHolder::derive(&[5; 32], CHART), Seeds::default());
        for epoch in (0..epochs).map(Epoch) {
            let compartment = Compartment::new(3).unwrap();
            seeds.insert(compartment, epoch, holder.epoch_seed(compartment, epoch).unwrap());
        }
        seeds
    }

    #[test]
    fn a_letter_with_keys_opens_for_its_reader_alone() {
        let member = || MemberIdentity::generate(CHAIN, OrganisationId([3; 16]));
        let (reader, other) = (member(), member());
        let to = (reader.member(), &reader.sealing_public());
        let letter = KeyLetter::seal(&CHAIN, CHART, to, &seeds(3), &Meanings::default()).unwrap();
        let bytes = letter.encode();
        let read = KeyLetter::decode(&bytes).unwrap();
        assert_eq!((&read, read.chart()), (&letter, CHART));
        let (opened, _) = read.open(&reader).unwrap();
        assert!(opened.iter().eq(seeds(3).iter()));

        assert!(read.open(&other).is_err());
        // To another chart or member, in another's name, or changed on the way.
        for changed in [
            KeyLetter { chart: ChartId([9; 32]), ..letter.clone() },
            KeyLetter { to: other.member(), ..letter.clone() },
        ] {
            assert!(matches!(changed.open(&reader), Err(UsageError::Letter)));
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let opened = KeyLetter::decode(&changed).and_then(|it| it.open(&reader));
            assert!(opened.is_err(), "byte {at}");
        }
        for len in 0..bytes.len() {
            assert!(KeyLetter::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_letter_has_room_for_as_many_keys_as_a_grant() {
        let reader = MemberIdentity::generate(CHAIN, OrganisationId([3; 16]));
        let to = (reader.member(), &reader.sealing_public());
        let most = SEEDS_MAX as u32;
        let letter =
            KeyLetter::seal(&CHAIN, CHART, to, &seeds(most), &Meanings::default()).unwrap();
        let read = KeyLetter::decode(&letter.encode()).unwrap();
        assert_eq!(read.open(&reader).unwrap().0.len(), SEEDS_MAX);
        let more = KeyLetter::seal(&CHAIN, CHART, to, &seeds(most + 1), &Meanings::default());
        assert!(matches!(more, Err(UsageError::TooManyEpochs)));
    }
}
