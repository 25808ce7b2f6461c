//! Who acts, with which keys, and how those are kept.
//!
//! ```text
//! wallet/     wallet.key      root                         a patient
//!             wallet.index    charts, what was seen
//! agent/      agent.key       member, seed, root           an organisation's key agent
//!             agent.index     charts, claim codes
//! member.key                  member, seed                 a person or device of an organisation
//! administrator.key           organisation, seed           who speaks for an organisation
//! *.book                      tokens, links                what such a member keeps of matching
//!
//! backup                      wallet.key under a passphrase of its own, wallet.index
//!
//! *.key       keepwell_crypto::keyfile: under a passphrase (Argon2id) or an operator's key
//! *.index     sealed to a key that derives from the root
//! *.book      sealed to a key that derives from the seed
//! ```
//!
//! # Invariants
//!
//! * No secret is written bare, and no file is readable by another user.
//! * A file is replaced whole: after a crash it is the old one or the new one. A key file is never
//!   replaced at all, except by its own secret under another lock, which is not done here.
//! * Two programs never have one wallet or agent open at once.
//! * Which charts are one patient's is said in the wallet's index and nowhere else.
//!
//! Argon2id takes up to a second and 256 MiB, and files are read and written where they are called for:
//! an async caller does this on a blocking thread.
//!
//! Not here: asking for passphrases.

mod backup;
mod files;

use std::{collections::BTreeMap, fmt, path::Path};

use keepwell_crypto::{
    hash,
    index::IndexKey,
    keyfile::{About, Cost, KeyKind},
    keys::{ChartSecret, ClaimCode, EpochSeed, MemberSecret},
    seal::{SealingKey, SealingPublic},
    sign::SigningKey,
};
use keepwell_ledger::state::Chart;
use keepwell_types::{
    encoding::Text,
    genesis::Trustee,
    id::{
        ChainId, ChartId, Compartment, Digest, Epoch, MemberId, OrganisationId, ProxyId, PublicKey,
    },
    limits::COMPARTMENTS,
    member::Party,
    set::CompartmentSet,
};
use minicbor::{Decode, Decoder, Encode, Encoder};
use rand_core::Rng as _;
use zeroize::Zeroizing;

pub(crate) use self::files::{BookFile, read_handovers, save_handovers};
pub use self::files::{FileError, FileProblem, Unlock};
use self::files::{Vault, read_key, write_key};
use crate::{
    chart::Meanings,
    client::rng,
    error::UsageError,
    masters::{Generation, Masters},
    verify::{LogMark, TipSeen},
};

/// A party of the ledger, and the key that it signs with.
#[derive(Clone, Debug)]
pub struct Actor {
    party: Party,
    key: SigningKey,
}

impl Actor {
    /// The party that signs with this key.
    pub const fn new(party: Party, key: SigningKey) -> Self {
        Self { party, key }
    }

    /// Who.
    pub const fn party(&self) -> Party {
        self.party
    }

    /// With which key.
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }
}

/// A secret as it is written into files, and nowhere else.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct SecretBytes<const N: usize>(Zeroizing<[u8; N]>);

impl<const N: usize> SecretBytes<N> {
    pub(crate) fn new(bytes: &[u8; N]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    fn random() -> Self {
        let mut bytes = Zeroizing::new([0; N]);
        rng().fill_bytes(&mut *bytes);
        Self(bytes)
    }
}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

impl<C, const N: usize> Encode<C> for SecretBytes<N> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&*self.0)?.ok()
    }
}

impl<'b, C, const N: usize> Decode<'b, C> for SecretBytes<N> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        <&[u8; N]>::try_from(d.bytes()?)
            .map(Self::new)
            .map_err(|_| minicbor::decode::Error::message("a secret of another length").at(at))
    }
}

/// The keys of whoever controls one chart, or acts for its patient.
///
/// A chart that was claimed or recovered has had other keys: the epochs before open with what was handed
/// over then, and all later ones with the wallet's own. A proxy has none but what it was handed.
#[derive(Clone, Debug)]
pub struct ChartHolder {
    chart: ChartId,
    party: Party,
    secret: ChartSecret,
    earlier: Vec<Generation>,
}

impl ChartHolder {
    /// The controller whose root this is, of a chart that was never another's.
    pub fn derive(root: &[u8; 32], chart: ChartId) -> Self {
        let (party, secret) = (Party::Controller(chart), ChartSecret::derive(root, chart));
        Self { chart, party, secret, earlier: Vec::new() }
    }

    /// The chart.
    pub const fn chart(&self) -> ChartId {
        self.chart
    }

    /// Whether it controls the chart, and does not only act for its patient.
    pub const fn is_controller(&self) -> bool {
        matches!(self.party, Party::Controller(_))
    }

    /// Signs as its controller, or as the proxy that this is.
    pub fn actor(&self) -> Actor {
        Actor::new(self.party, self.secret.signing())
    }

    /// What the chart's keys derive from; of a proxy, its own.
    pub const fn secret(&self) -> &ChartSecret {
        &self.secret
    }

    /// Opens what is sealed to the controller.
    pub fn sealing(&self) -> SealingKey {
        self.secret.sealing()
    }

    /// The seed of one epoch of one compartment; a proxy may have none.
    pub fn epoch_seed(&self, compartment: Compartment, epoch: Epoch) -> Option<EpochSeed> {
        if let Some(earlier) = self.earlier.iter().find(|it| it.covers(compartment, epoch)) {
            return earlier.epoch_seed(compartment, epoch);
        }
        self.is_controller().then(|| self.secret.epoch_seed(compartment, epoch))
    }

    /// The seeds of every epoch so far of these compartments, as far as they are here: what a grant of them
    /// carries.
    pub fn seeds(&self, chart: &Chart, compartments: CompartmentSet) -> Seeds {
        let mut seeds = Seeds::default();
        for compartment in compartments.iter() {
            for epoch in (0..=chart.epoch(compartment).0).map(Epoch) {
                if let Some(seed) = self.epoch_seed(compartment, epoch) {
                    seeds.insert(compartment, epoch, seed);
                }
            }
        }
        seeds
    }
}

/// Epoch seeds that someone holds of one chart.
#[derive(Clone, Debug, Default)]
pub struct Seeds(BTreeMap<(Compartment, Epoch), EpochSeed>);

impl Seeds {
    /// Adds a seed.
    pub fn insert(&mut self, compartment: Compartment, epoch: Epoch, seed: EpochSeed) {
        self.0.insert((compartment, epoch), seed);
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The seed of one epoch of one compartment.
    pub fn get(&self, compartment: Compartment, epoch: Epoch) -> Option<&EpochSeed> {
        self.0.get(&(compartment, epoch))
    }

    /// Those of some compartments.
    pub fn within(&self, compartments: CompartmentSet) -> Self {
        let mut within = self.clone();
        within.0.retain(|(compartment, _), _| compartments.contains(*compartment));
        within
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Compartment, Epoch, &EpochSeed)> {
        self.0.iter().map(|((compartment, epoch), seed)| (*compartment, *epoch, seed))
    }
}

/// What a wallet knows of one chart.
#[derive(Clone, Debug, Decode, Encode)]
pub struct KnownChart {
    #[n(0)]
    chart: ChartId,
    #[n(1)]
    organisation: OrganisationId,
    #[n(2)]
    meanings: Meanings,
    #[n(3)]
    inherited: Option<Inherited>,
    #[n(4)]
    log: LogMark,
    /// What opens the epochs before the wallet's own, of a chart that was recovered; all of them, of a proxy's.
    #[n(5)]
    handed: Option<Vec<Generation>>,
    /// The proxy that the wallet is in this chart, unless it controls it.
    #[n(6)]
    proxy: Option<ProxyId>,
}

/// What the agent's keys were good for, before the claim.
#[derive(Clone, Debug, Decode, Encode)]
struct Inherited {
    #[n(0)]
    secret: SecretBytes<32>,
    /// The first epoch of each compartment that is the wallet's own.
    #[n(1)]
    until: [Epoch; COMPARTMENTS],
}

impl KnownChart {
    /// A chart that the wallet controls from its opening.
    pub const fn opened(chart: ChartId, organisation: OrganisationId, meanings: Meanings) -> Self {
        let (inherited, log) = (None, LogMark::START);
        Self { chart, organisation, meanings, inherited, log, handed: None, proxy: None }
    }

    /// A chart that an organisation's agent opened and the wallet claims. `until` are the epochs after
    /// the claim.
    pub fn claimed(
        chart: ChartId,
        organisation: OrganisationId,
        meanings: Meanings,
        agent: &ChartSecret,
        until: [Epoch; COMPARTMENTS],
    ) -> Self {
        let inherited = Some(Inherited { secret: SecretBytes::new(agent.as_bytes()), until });
        Self { inherited, ..Self::opened(chart, organisation, meanings) }
    }

    /// A chart that comes to the wallet by its guardians. `until` are the epochs after that.
    pub(crate) fn recovered(
        chart: ChartId,
        masters: Masters,
        until: [Epoch; COMPARTMENTS],
    ) -> Self {
        let (organisation, meanings) = (masters.organisation, masters.meanings.clone());
        let handed = Some(masters.ended_by(until));
        Self { handed, ..Self::opened(chart, organisation, meanings) }
    }

    /// A chart in which the wallet acts as a proxy.
    pub(crate) fn of_proxy(chart: ChartId, proxy: ProxyId, masters: Masters) -> Self {
        let (organisation, meanings) = (masters.organisation, masters.meanings.clone());
        let handed = Some(masters.into_generations());
        Self { handed, proxy: Some(proxy), ..Self::opened(chart, organisation, meanings) }
    }

    /// The chart.
    pub const fn chart(&self) -> ChartId {
        self.chart
    }

    /// With which organisation.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// What its compartments are for.
    pub const fn meanings(&self) -> &Meanings {
        &self.meanings
    }

    /// Up to where its log was seen.
    pub const fn log(&self) -> LogMark {
        self.log
    }

    /// The proxy that the wallet is in this chart, unless it controls it.
    pub const fn proxy(&self) -> Option<ProxyId> {
        self.proxy
    }

    fn holder(&self, root: &[u8; 32]) -> ChartHolder {
        let chart = self.chart;
        let (party, secret) = match self.proxy {
            None => (Party::Controller(chart), ChartSecret::derive(root, chart)),
            Some(proxy) => (Party::Proxy(chart, proxy), ChartSecret::delegate(root, chart)),
        };
        let agents = self
            .inherited
            .iter()
            .map(|it| Generation::of_secret(&ChartSecret::from_bytes(&it.secret.0), it.until));
        let earlier = agents.chain(self.handed.iter().flatten().cloned()).collect();
        ChartHolder { chart, party, secret, earlier }
    }
}

#[derive(Debug, Decode, Default, Encode)]
struct WalletIndex {
    #[n(0)]
    charts: Vec<KnownChart>,
    #[n(1)]
    tip: Option<TipSeen>,
}

/// A patient's wallet.
#[derive(Debug)]
pub struct Wallet {
    vault: Vault,
    root: SecretBytes<32>,
    index: WalletIndex,
    demonstration: bool,
}

const WALLET: &str = "wallet";
const WALLET_INDEX_DOMAIN: &str = "keepwell/client/wallet-index/v1";

impl Wallet {
    /// Makes a wallet in `folder`, which is created if it is missing.
    pub fn create(folder: &Path, unlock: &Unlock, demonstration: bool) -> Result<Self, FileError> {
        let root = SecretBytes::random();
        let wallet = Self {
            vault: Vault::begin(folder, WALLET)?,
            root,
            index: WalletIndex::default(),
            demonstration,
        };
        wallet.save()?;
        let about = about(KeyKind::Root, "wallet", demonstration);
        wallet.vault.write_key(about, &wallet.root.0[..], unlock)?;
        Ok(wallet)
    }

    /// Opens the wallet in `folder`.
    pub fn open(folder: &Path, unlock: &Unlock) -> Result<Self, FileError> {
        let (vault, about, secret) = Vault::open(folder, WALLET, KeyKind::Root, unlock)?;
        let root = secret.as_slice().try_into().map(SecretBytes::new);
        let root = root.map_err(|_| damaged(vault.key()))?;
        let index = vault.read_index(&index_key(&root), WALLET_INDEX_DOMAIN)?;
        Ok(Self { vault, root, index, demonstration: about.demonstration })
    }

    /// Writes what has changed.
    pub fn save(&self) -> Result<(), FileError> {
        self.vault.save(&index_key(&self.root), WALLET_INDEX_DOMAIN, &self.index)
    }

    /// Whether a demonstration made it, so that it protects nothing.
    pub const fn is_demonstration(&self) -> bool {
        self.demonstration
    }

    /// Its charts.
    pub fn charts(&self) -> &[KnownChart] {
        &self.index.charts
    }

    /// What it knows of a chart.
    pub fn chart(&self, chart: ChartId) -> Result<&KnownChart, UsageError> {
        let found = self.index.charts.iter().find(|it| it.chart == chart);
        found.ok_or(UsageError::UnknownChart(chart))
    }

    /// The keys of a chart.
    pub fn holder(&self, chart: ChartId) -> Result<ChartHolder, UsageError> {
        Ok(self.chart(chart)?.holder(&self.root.0))
    }

    /// The keys that a chart gets which the wallet is about to open, claim or take over.
    pub fn new_holder(&self, chart: ChartId) -> ChartHolder {
        ChartHolder::derive(&self.root.0, chart)
    }

    /// The keys with which the wallet acts in another's chart, as guardian or proxy.
    pub fn delegate(&self, chart: ChartId) -> ChartSecret {
        ChartSecret::delegate(&self.root.0, chart)
    }

    /// What opens these compartments of a chart that the wallet controls.
    pub fn masters(
        &self,
        chart: ChartId,
        compartments: CompartmentSet,
    ) -> Result<Masters, UsageError> {
        let known = self.chart(chart)?;
        if known.proxy.is_some() {
            return Err(UsageError::NotController(chart));
        }
        let ChartHolder { earlier, secret, .. } = known.holder(&self.root.0);
        let about = (known.organisation, &known.meanings);
        Ok(Masters::of(about, &earlier, &secret, compartments))
    }

    /// Adds a chart.
    pub fn add(&mut self, chart: KnownChart) -> Result<(), UsageError> {
        if self.chart(chart.chart).is_ok() {
            return Err(UsageError::ChartKnown(chart.chart));
        }
        self.index.charts.push(chart);
        Ok(())
    }

    /// Takes a chart out again that could not be opened or claimed.
    pub fn forget(&mut self, chart: ChartId) {
        self.index.charts.retain(|it| it.chart != chart);
    }

    /// Remembers up to where a chart's log was seen, so that no node can show less of it.
    pub fn note_log(&mut self, chart: ChartId, mark: LogMark) {
        let known = self.index.charts.iter_mut().find(|it| it.chart == chart);
        if let Some(known) = known.filter(|it| it.log.count < mark.count) {
            known.log = mark;
        }
    }

    /// The newest block that was seen.
    pub const fn tip(&self) -> Option<TipSeen> {
        self.index.tip
    }

    /// Remembers the newest block that was seen.
    pub fn note_tip(&mut self, tip: Option<TipSeen>) {
        self.index.tip = tip.map(|tip| tip.later(self.index.tip)).or(self.index.tip);
    }
}

/// A person or device of an organisation.
#[derive(Clone, Debug, Decode, Encode)]
pub struct MemberIdentity {
    #[n(0)]
    chain: ChainId,
    #[n(1)]
    member: MemberId,
    #[n(2)]
    organisation: OrganisationId,
    #[n(3)]
    seed: SecretBytes<32>,
    /// What the signing key derives from since it was changed.
    #[n(4)]
    signing: Option<SecretBytes<32>>,
}

impl MemberIdentity {
    /// Draws a member's id and keys. The organisation's administrator enrols it.
    pub fn generate(chain: ChainId, organisation: OrganisationId) -> Self {
        let mut id = [0; MemberId::LEN];
        rng().fill_bytes(&mut id);
        let seed = SecretBytes::random();
        Self { chain, member: MemberId(id), organisation, seed, signing: None }
    }

    /// The same member with a new signing key. What is sealed to it opens as before.
    pub fn renewed(&self) -> Self {
        Self { signing: Some(SecretBytes::random()), ..self.clone() }
    }

    /// Writes it to a file that is not there yet.
    pub fn create(
        &self,
        path: &Path,
        unlock: &Unlock,
        demonstration: bool,
    ) -> Result<(), FileError> {
        let label = format!("member {} of {}", self.member, self.organisation);
        let secret = Zeroizing::new(keepwell_types::encode(self));
        write_key(path, about(KeyKind::Member, &label, demonstration), &secret, unlock)
    }

    /// Reads it from its file.
    pub fn open(path: &Path, unlock: &Unlock) -> Result<Self, FileError> {
        let secret = read_key(path, KeyKind::Member, unlock)?;
        keepwell_types::decode(&secret, secret.len()).map_err(|_| damaged(path))
    }

    /// The consortium.
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// The member.
    pub const fn member(&self) -> MemberId {
        self.member
    }

    /// Whose member it is.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// Signs as this member.
    pub fn actor(&self) -> Actor {
        Actor::new(Party::Member(self.member), self.signing())
    }

    /// Verifies what it signs.
    pub fn signing_public(&self) -> PublicKey {
        self.signing().public()
    }

    fn signing(&self) -> SigningKey {
        match &self.signing {
            Some(seed) => MemberSecret::from_bytes(&seed.0).signing(),
            None => self.secret().signing(),
        }
    }

    /// Opens what is sealed to it.
    pub fn sealing(&self) -> SealingKey {
        self.secret().sealing()
    }

    /// The keys with which it acts in a patient's chart, as guardian or proxy, unnamed.
    pub fn delegate(&self, chart: ChartId) -> ChartSecret {
        self.secret().delegate(chart)
    }

    /// What others seal to.
    pub fn sealing_public(&self) -> SealingPublic {
        self.sealing().public()
    }

    /// What the ledger knows that key by.
    pub fn sealing_digest(&self) -> Digest {
        self.sealing_public().digest()
    }

    /// The key that the member's books are sealed to: nobody else knows even its public side, so that a forged
    /// book does not open.
    pub(crate) fn book_key(&self) -> SealingKey {
        let seed = hash::digest("keepwell/client/book-key/v1", &[&self.seed.0[..]]);
        SealingKey::from_seed(&Zeroizing::new(seed.0))
    }

    fn secret(&self) -> MemberSecret {
        MemberSecret::from_bytes(&self.seed.0)
    }
}

/// An administrator of an organisation: one of those who speak for it.
#[derive(Clone, Debug, Decode, Encode)]
pub struct AdministratorIdentity {
    #[n(0)]
    organisation: OrganisationId,
    #[n(1)]
    seed: SecretBytes<32>,
}

impl AdministratorIdentity {
    /// Draws an organisation's id and the key of its first administrator, for the consortium to admit.
    pub fn found() -> Self {
        let mut id = [0; OrganisationId::LEN];
        rng().fill_bytes(&mut id);
        Self::generate(OrganisationId(id))
    }

    /// Draws an administrator's key. It counts once the ledger names it.
    pub fn generate(organisation: OrganisationId) -> Self {
        Self { organisation, seed: SecretBytes::random() }
    }

    /// The administrator whose key has this seed.
    pub fn from_seed(organisation: OrganisationId, seed: &[u8; 32]) -> Self {
        Self { organisation, seed: SecretBytes::new(seed) }
    }

    /// Writes it to a file that is not there yet.
    pub fn create(
        &self,
        path: &Path,
        unlock: &Unlock,
        demonstration: bool,
    ) -> Result<(), FileError> {
        let label = format!("administrator of {}", self.organisation);
        let secret = Zeroizing::new(keepwell_types::encode(self));
        write_key(path, about(KeyKind::Administrator, &label, demonstration), &secret, unlock)
    }

    /// Reads it from its file.
    pub fn open(path: &Path, unlock: &Unlock) -> Result<Self, FileError> {
        let secret = read_key(path, KeyKind::Administrator, unlock)?;
        keepwell_types::decode(&secret, secret.len()).map_err(|_| damaged(path))
    }

    /// For which organisation it speaks.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// Signs as this administrator.
    pub fn actor(&self) -> Actor {
        Actor::new(Party::Administrator(self.organisation), SigningKey::from_seed(&self.seed.0))
    }

    /// Verifies what it signs.
    pub fn public(&self) -> PublicKey {
        SigningKey::from_seed(&self.seed.0).public()
    }
}

/// A trustee's keys.
#[derive(Clone, Debug)]
pub struct TrusteeIdentity(MemberSecret);

impl TrusteeIdentity {
    /// Draws a trustee's keys.
    pub fn generate() -> Self {
        Self(MemberSecret::generate(&mut rng()))
    }

    /// Writes them to a file that is not there yet.
    pub fn create(
        &self,
        path: &Path,
        unlock: &Unlock,
        name: &str,
        demonstration: bool,
    ) -> Result<(), FileError> {
        let label = format!("trustee {name}");
        write_key(path, about(KeyKind::Trustee, &label, demonstration), self.0.as_bytes(), unlock)
    }

    /// Reads them from their file.
    pub fn open(path: &Path, unlock: &Unlock) -> Result<Self, FileError> {
        let secret = read_key(path, KeyKind::Trustee, unlock)?;
        let secret = <&[u8; 32]>::try_from(secret.as_slice()).map_err(|_| damaged(path))?;
        Ok(Self(MemberSecret::from_bytes(secret)))
    }

    /// What both keys derive from.
    pub const fn secret(&self) -> &MemberSecret {
        &self.0
    }

    /// What the genesis file has of it.
    pub fn public(
        &self,
        name: &str,
        organisation: Option<OrganisationId>,
    ) -> Result<Trustee, UsageError> {
        Ok(Trustee {
            name: Text::from_string(name.to_owned()).map_err(|_| UsageError::TrusteeName)?,
            sealing: self.0.sealing().public().to_blob(),
            signing: self.0.signing().public(),
            organisation,
        })
    }
}

/// What an agent knows of one chart that it opened.
#[derive(Clone, Debug, Decode, Encode)]
pub struct AgentChart {
    #[n(0)]
    chart: ChartId,
    #[n(1)]
    meanings: Meanings,
    #[n(2)]
    code: Option<SecretBytes<16>>,
    #[n(3)]
    log: LogMark,
}

impl AgentChart {
    /// The chart.
    pub const fn chart(&self) -> ChartId {
        self.chart
    }

    /// What its compartments are for.
    pub const fn meanings(&self) -> &Meanings {
        &self.meanings
    }

    /// The code with which the patient claims it.
    pub fn code(&self) -> Option<ClaimCode> {
        self.code.as_ref().map(|code| ClaimCode::from_bytes(&code.0))
    }

    /// Up to where its log was seen.
    pub const fn log(&self) -> LogMark {
        self.log
    }
}

#[derive(Clone, Debug, Decode, Default, Encode)]
struct AgentIndex {
    /// In ascending order of their ids.
    #[n(0)]
    charts: Vec<AgentChart>,
    #[n(1)]
    tip: Option<TipSeen>,
}

#[derive(Decode, Encode)]
struct AgentSecret {
    #[n(0)]
    identity: MemberIdentity,
    #[n(1)]
    root: SecretBytes<32>,
}

/// An organisation's key agent: it holds the keys of the charts that it opened for patients without a
/// wallet, until they claim them.
#[derive(Debug)]
pub struct OrganisationAgent {
    vault: Vault,
    identity: MemberIdentity,
    root: SecretBytes<32>,
    index: AgentIndex,
}

const AGENT: &str = "agent";
const AGENT_INDEX_DOMAIN: &str = "keepwell/client/agent-index/v1";

impl OrganisationAgent {
    /// Makes an agent in `folder`, which acts as the member `identity`.
    pub fn create(
        folder: &Path,
        identity: MemberIdentity,
        unlock: &Unlock,
        demonstration: bool,
    ) -> Result<Self, FileError> {
        let secret = AgentSecret { identity, root: SecretBytes::random() };
        Self::begin(folder, secret, AgentIndex::default(), (unlock, demonstration))
    }

    /// The same agent in another folder, with a new signing key of its member and all charts so far. The charts that
    /// the one here opens afterwards are not in it.
    pub fn renewed(
        &self,
        folder: &Path,
        unlock: &Unlock,
        demonstration: bool,
    ) -> Result<Self, FileError> {
        let secret = AgentSecret { identity: self.identity.renewed(), root: self.root.clone() };
        Self::begin(folder, secret, self.index.clone(), (unlock, demonstration))
    }

    fn begin(
        folder: &Path,
        secret: AgentSecret,
        index: AgentIndex,
        (unlock, demonstration): (&Unlock, bool),
    ) -> Result<Self, FileError> {
        let bytes = Zeroizing::new(keepwell_types::encode(&secret));
        let AgentSecret { identity, root } = secret;
        let label = format!("key agent {} of {}", identity.member, identity.organisation);
        let vault = Vault::begin(folder, AGENT)?;
        let agent = Self { vault, identity, root, index };
        agent.save()?;
        agent.vault.write_key(about(KeyKind::Root, &label, demonstration), &bytes, unlock)?;
        Ok(agent)
    }

    /// Opens the agent in `folder`.
    pub fn open(folder: &Path, unlock: &Unlock) -> Result<Self, FileError> {
        let (vault, _, secret) = Vault::open(folder, AGENT, KeyKind::Root, unlock)?;
        let secret = keepwell_types::decode(&secret, secret.len());
        let AgentSecret { identity, root } = secret.map_err(|_| damaged(vault.key()))?;
        let index = vault.read_index(&index_key(&root), AGENT_INDEX_DOMAIN)?;
        Ok(Self { vault, identity, root, index })
    }

    /// Writes what has changed.
    pub fn save(&self) -> Result<(), FileError> {
        self.vault.save(&index_key(&self.root), AGENT_INDEX_DOMAIN, &self.index)
    }

    /// The key of its organisation's gateway: of what that keeps, and of what it makes unique. It is the same of every
    /// copy of the agent.
    pub fn gateway_key(&self) -> IndexKey {
        let seed = hash::digest("keepwell/client/gateway-key/v1", &[&self.root.0[..]]);
        IndexKey::from_bytes(&Zeroizing::new(seed.0))
    }

    /// As whom it acts.
    pub const fn identity(&self) -> &MemberIdentity {
        &self.identity
    }

    /// Its charts.
    pub fn charts(&self) -> impl Iterator<Item = &AgentChart> {
        self.index.charts.iter()
    }

    /// What it knows of a chart.
    pub fn chart(&self, chart: ChartId) -> Result<&AgentChart, UsageError> {
        let place = self.place(chart).map_err(|_| UsageError::UnknownChart(chart))?;
        Ok(&self.index.charts[place])
    }

    /// What opens these compartments of a chart that the agent opened.
    pub fn masters(
        &self,
        chart: ChartId,
        compartments: CompartmentSet,
    ) -> Result<Masters, UsageError> {
        let about = (self.identity.organisation, self.chart(chart)?.meanings());
        Ok(Masters::of(about, &[], self.new_holder(chart).secret(), compartments))
    }

    /// The keys of a chart, as long as the patient has not claimed it.
    pub fn holder(&self, chart: ChartId) -> Result<ChartHolder, UsageError> {
        self.chart(chart)?;
        Ok(self.new_holder(chart))
    }

    /// The keys that a chart gets which the agent is about to open.
    pub fn new_holder(&self, chart: ChartId) -> ChartHolder {
        ChartHolder::derive(&self.root.0, chart)
    }

    /// Adds a chart.
    pub fn add(
        &mut self,
        chart: ChartId,
        meanings: Meanings,
        code: Option<&ClaimCode>,
    ) -> Result<(), UsageError> {
        let Err(place) = self.place(chart) else { return Err(UsageError::ChartKnown(chart)) };
        let code = code.map(|code| SecretBytes::new(code.as_bytes()));
        let known = AgentChart { chart, meanings, code, log: LogMark::START };
        self.index.charts.insert(place, known);
        Ok(())
    }

    /// Notes another code for a chart, and hands out the one before.
    pub fn replace_code(
        &mut self,
        chart: ChartId,
        code: Option<&ClaimCode>,
    ) -> Result<Option<ClaimCode>, UsageError> {
        let place = self.place(chart).map_err(|_| UsageError::UnknownChart(chart))?;
        let known = &mut self.index.charts[place];
        let before = known.code();
        known.code = code.map(|code| SecretBytes::new(code.as_bytes()));
        Ok(before)
    }

    /// Takes a chart out again that could not be opened.
    pub fn forget(&mut self, chart: ChartId) {
        self.index.charts.retain(|it| it.chart != chart);
    }

    /// Remembers up to where a chart's log was seen.
    pub fn note_log(&mut self, chart: ChartId, mark: LogMark) {
        let known = self.place(chart).ok().map(|place| &mut self.index.charts[place]);
        if let Some(known) = known.filter(|it| it.log.count < mark.count) {
            known.log = mark;
        }
    }

    /// The newest block that was seen.
    pub const fn tip(&self) -> Option<TipSeen> {
        self.index.tip
    }

    /// Remembers the newest block that was seen.
    pub fn note_tip(&mut self, tip: Option<TipSeen>) {
        self.index.tip = tip.map(|tip| tip.later(self.index.tip)).or(self.index.tip);
    }

    /// Where the chart stands, or would.
    fn place(&self, chart: ChartId) -> Result<usize, usize> {
        self.index.charts.binary_search_by_key(&chart, AgentChart::chart)
    }
}

/// The key that an index is sealed to: whoever has the root can make it, and nobody else even knows its
/// public side, so that a forged index does not open.
fn index_key(root: &SecretBytes<32>) -> SealingKey {
    let seed = hash::digest("keepwell/client/index-key/v1", &[&root.0[..]]);
    SealingKey::from_seed(&Zeroizing::new(seed.0))
}

fn about(kind: KeyKind, label: &str, demonstration: bool) -> About {
    let label = Text::from_string(label.to_owned()).expect("labels are made here and are short");
    About { kind, label, demonstration }
}

fn damaged(path: &Path) -> FileError {
    FileError { path: path.to_path_buf(), problem: FileProblem::Damaged }
}

/// How much work guards a key.
fn cost(demonstration: bool) -> Cost {
    if demonstration { Cost::DEMONSTRATION } else { Cost::STANDARD }
}

#[cfg(test)]
mod tests;
