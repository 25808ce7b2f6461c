//! Charts: opened, claimed, and what their compartments are for.
//!
//! ```text
//! wallet   draws chart id and keys ──> member signs chart.open ──> wallet publishes the key sheet
//!
//! agent    draws chart id, keys, code ──> signs chart.open ──> publishes the key sheet
//!            │  claim letter: the chart's secret and meanings, sealed to a key that the code derives
//!            v
//! wallet   letter + code ──> chart.claim, signed with the code's key and the new one
//!            ──> every compartment at its next epoch, under the wallet's keys ──> new key sheet
//! ```
//!
//! # Invariants
//!
//! * A chart's 16 compartments stand in random order, four of them random ones for separate consent:
//!   neither their numbers nor which are used say anything about the patient.
//! * After a claim the wallet reads what was sealed before it with the agent's secret, which the letter
//!   carries, and seals and grants what comes after with its own. The agent can read nothing new.
//! * The wallet keeps the agent's secret, on disk, before the claim is sent.
//! * A claim says which key sheet the letter leads to. The ledger refuses it if that is not the chart's,
//!   so a letter that is out of date, or has another secret in it, costs the patient no record.
//!
//! The letter is a file that the organisation hands to the patient, the code is told apart from it. The
//! letter does not lie at a node: whoever holds nothing but the code may ask no node for anything, and a
//! node keeps no object that the ledger does not name. For the same reason the meanings, which nobody
//! but the patient and those who author need, travel sealed from person to person
//! ([`Meanings::seal`]).
//!
//! Not here: who may open a chart, which the ledger decides.

use keepwell_crypto::{
    hash,
    keys::{ChartSecret, ClaimCode},
    seal::{OpenError, SealingKey, SealingPublic},
    sheet,
};
use keepwell_ledger::state::Chart;
use keepwell_types::{
    chart::{
        ChartArrange, ChartClaim, ChartKeys, ChartOpen, ClaimTicket, CompartmentRotate, KeySheet,
    },
    command::Payload,
    encoding::{List, Text},
    id::{ChainId, ChartId, Compartment, Epoch, OrganisationId},
    limits::{COMPARTMENTS, CONTRIBUTORS_MAX, CUSTODIANS_MAX, NAME_BYTES_MAX, SEPARATE_CONSENT},
    member::Party,
    set::CompartmentSet,
    time::BlockTime,
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    Client,
    client::{Decided, Draft, random, rng},
    error::{ClientError, KeyError, LedgerError, UsageError},
    grant::Rotated,
    identity::{Actor, ChartHolder, FileError, KnownChart, OrganisationAgent, SecretBytes, Wallet},
    sealed::{Sealed, Version1},
};

const MEANINGS_DOMAIN: &str = "keepwell/client/meanings/v1";
const LETTER_DOMAIN: &str = "keepwell/client/claim-letter/v1";
/// Bytes of a claim letter.
const LETTER_BYTES_MAX: usize = 8 * 1024;

/// What one compartment is for.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Meaning {
    /// A word for people, such as `psychiatry`.
    #[n(0)]
    pub name: Text<NAME_BYTES_MAX>,
    /// The compartment.
    #[n(1)]
    pub compartment: Compartment,
}

/// What the compartments of one chart are for. Known to the patient, to those who author in the chart,
/// and, for what they were granted, to readers.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
#[cbor(transparent)]
pub struct Meanings(#[n(0)] List<Meaning, COMPARTMENTS>);

impl Meanings {
    /// Gives each name a random compartment, and says which compartments are flagged for separate
    /// consent: as many as every chart has, among them those whose name asks for it.
    pub fn draw(
        rng: &mut impl CryptoRng,
        names: &[(&str, bool)],
    ) -> Result<(Self, CompartmentSet), UsageError> {
        let mut order: Vec<_> = Compartment::all().collect();
        shuffle(rng, &mut order);
        let flagged = order.split_off(COMPARTMENTS - SEPARATE_CONSENT);
        let (mut ordinary, mut separate) = (order.into_iter(), flagged.iter().copied());
        let mut meanings: Vec<Meaning> = Vec::with_capacity(names.len());
        for (name, is_separate) in names {
            let free = if *is_separate { separate.next() } else { ordinary.next() };
            let compartment = free.ok_or(UsageError::Meanings)?;
            let name = Text::from_string((*name).to_owned()).map_err(|_| UsageError::Meanings)?;
            if meanings.iter().any(|it| it.name == name) {
                return Err(UsageError::Meanings);
            }
            meanings.push(Meaning { name, compartment });
        }
        // In order of numbers, so that the order says nothing either.
        meanings.sort_by_key(|it| it.compartment);
        let meanings = List::from_vec(meanings).map_err(|_| UsageError::Meanings)?;
        Ok((Self(meanings), flagged.iter().copied().collect()))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Meaning> {
        self.0.iter()
    }

    /// The compartment that is called so.
    pub fn compartment(&self, name: &str) -> Result<Compartment, UsageError> {
        let found = self.0.iter().find(|it| it.name.as_str() == name);
        found.map(|it| it.compartment).ok_or_else(|| UsageError::NoSuchMeaning {
            name: name.to_owned(),
            known: self.0.iter().map(|it| it.name.to_string()).collect(),
        })
    }

    /// What a compartment is called.
    pub fn name(&self, compartment: Compartment) -> Option<&str> {
        self.0.iter().find(|it| it.compartment == compartment).map(|it| it.name.as_str())
    }

    /// Those of these compartments only: what a reader of them is told.
    #[must_use]
    pub fn of(&self, compartments: CompartmentSet) -> Self {
        let mut meanings = self.clone();
        meanings.0.retain(|it| compartments.contains(it.compartment));
        meanings
    }

    /// Sealed to someone who authors in the chart.
    pub fn seal(&self, chart: ChartId, to: &SealingPublic) -> Vec<u8> {
        Sealed::seal(to, MEANINGS_DOMAIN, &[&chart.0], self).encode()
    }

    /// Opens what [`Self::seal`] made.
    pub fn open(chart: ChartId, key: &SealingKey, bytes: &[u8]) -> Result<Self, OpenError> {
        Sealed::decode(bytes)?.open(key, MEANINGS_DOMAIN, &[&chart.0])
    }
}

/// Every order with the same probability (Fisher and Yates).
fn shuffle<T>(rng: &mut impl CryptoRng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last as u32 + 1) as usize);
    }
}

/// A number below `bound`, each with the same probability: draws that would favour some are drawn again.
fn below(rng: &mut impl CryptoRng, bound: u32) -> u32 {
    let fair = u32::MAX - u32::MAX % bound;
    loop {
        let drawn = rng.next_u32();
        if drawn < fair {
            return drawn % bound;
        }
    }
}

/// How a chart is arranged when it is opened.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Arrangement {
    /// Who stores its sealed objects.
    pub custodians: Vec<OrganisationId>,
    /// Who may author in it beside its organisation.
    pub contributors: Vec<OrganisationId>,
}

impl Arrangement {
    fn lists(
        &self,
    ) -> Result<
        (List<OrganisationId, CUSTODIANS_MAX>, List<OrganisationId, CONTRIBUTORS_MAX>),
        UsageError,
    > {
        let limit = |_| UsageError::Arrangement;
        let custodians = List::from_vec(self.custodians.clone()).map_err(limit)?;
        let contributors = List::from_vec(self.contributors.clone()).map_err(limit)?;
        Ok((custodians, contributors))
    }
}

/// A chart that is about to be opened: what the ledger is told, and what it is not.
#[derive(Clone, Debug)]
pub struct NewChart {
    /// What the ledger is told.
    pub open: ChartOpen,
    /// Its public keys.
    pub sheet: KeySheet,
    /// What its compartments are for.
    pub meanings: Meanings,
}

impl NewChart {
    /// Draws up a chart under the keys of `holder`, with compartments of these names, each with whether
    /// it needs separate consent.
    pub fn draw(
        holder: &ChartHolder,
        names: &[(&str, bool)],
        arrangement: &Arrangement,
        claim: Option<ClaimTicket>,
    ) -> Result<Self, UsageError> {
        let (meanings, separate_consent) = Meanings::draw(&mut rng(), names)?;
        let (custodians, contributors) = arrangement.lists()?;
        let (keys, sheet) = keys_at(holder, &[Epoch(0); COMPARTMENTS]);
        let chart = holder.chart();
        let open = ChartOpen { chart, keys, separate_consent, custodians, contributors, claim };
        Ok(Self { open, sheet, meanings })
    }
}

/// A random chart id.
pub fn random_chart() -> ChartId {
    ChartId(random())
}

/// The keys of a chart whose compartments are at these epochs, under its holder's own secret.
pub(crate) fn keys_at(
    holder: &ChartHolder,
    epochs: &[Epoch; COMPARTMENTS],
) -> (ChartKeys, KeySheet) {
    let sheet = sheet::sheet(holder.secret(), holder.chart(), epochs);
    let keys = ChartKeys {
        signing: holder.actor().key().public(),
        sealing: holder.sealing().public().digest(),
        sheet: sheet::root(&sheet),
    };
    (keys, sheet)
}

/// What an organisation hands to a patient, beside the code, so that the patient can claim a chart.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct ClaimLetter {
    #[n(0)]
    version: Version1,
    #[n(1)]
    chain: ChainId,
    #[n(2)]
    chart: ChartId,
    #[n(3)]
    organisation: OrganisationId,
    #[n(4)]
    until: BlockTime,
    #[n(5)]
    sealed: Sealed,
}

/// What stands in a letter, under the code.
#[derive(Decode, Encode)]
struct Handover {
    #[n(0)]
    secret: SecretBytes<32>,
    #[n(1)]
    epochs: [Epoch; COMPARTMENTS],
    #[n(2)]
    meanings: Meanings,
}

impl ClaimLetter {
    fn seal(
        chain: ChainId,
        organisation: OrganisationId,
        until: BlockTime,
        holder: &ChartHolder,
        (epochs, meanings): ([Epoch; COMPARTMENTS], &Meanings),
        code: &ClaimCode,
    ) -> Self {
        let chart = holder.chart();
        let secret = SecretBytes::new(holder.secret().as_bytes());
        let handover = Handover { secret, epochs, meanings: meanings.clone() };
        let parts: [&[u8]; 2] = [&chain.0, &chart.0];
        let to = letter_key(&chain, &chart, code).public();
        let sealed = Sealed::seal(&to, LETTER_DOMAIN, &parts, &handover);
        Self { version: Version1, chain, chart, organisation, until, sealed }
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, UsageError> {
        keepwell_types::decode(bytes, LETTER_BYTES_MAX)
            .map_err(|error| UsageError::NotA { what: "a claim letter of this version", error })
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }

    /// The chart.
    pub const fn chart(&self) -> ChartId {
        self.chart
    }

    /// The organisation.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// When the code ends.
    pub const fn until(&self) -> BlockTime {
        self.until
    }

    fn open(&self, code: &ClaimCode) -> Result<Handover, KeyError> {
        let key = letter_key(&self.chain, &self.chart, code);
        let parts: [&[u8]; 2] = [&self.chain.0, &self.chart.0];
        self.sealed.open(&key, LETTER_DOMAIN, &parts).map_err(|_| KeyError::Letter)
    }
}

/// The key that a letter is sealed to. The code has 128 random bits, so a digest is all it takes.
fn letter_key(chain: &ChainId, chart: &ChartId, code: &ClaimCode) -> SealingKey {
    let seed =
        hash::digest("keepwell/client/letter-key/v1", &[code.as_bytes(), &chain.0, &chart.0]);
    SealingKey::from_seed(&Zeroizing::new(seed.0))
}

/// A chart that an agent opened for a patient without a wallet.
#[derive(Debug)]
pub struct OpenedForPatient {
    /// The chart.
    pub chart: ChartId,
    /// For the patient, as a file.
    pub letter: ClaimLetter,
    /// For the patient, told apart from the letter.
    pub code: ClaimCode,
    /// The proof.
    pub decided: Decided,
}

/// A chart for a patient that an agent keeps, and that is not on the ledger yet.
#[derive(Debug)]
pub struct DrawnChart {
    chain: ChainId,
    holder: ChartHolder,
    code: ClaimCode,
    until: BlockTime,
    new: NewChart,
    signer: Actor,
    organisation: OrganisationId,
}

impl DrawnChart {
    /// Who has its keys.
    pub const fn holder(&self) -> &ChartHolder {
        &self.holder
    }

    /// Has its agent forget it, if the ledger refused it; what is to be said of it.
    pub fn failed(&self, agent: &mut OrganisationAgent, error: ClientError) -> ClientError {
        unless_refused(error, || {
            agent.forget(self.holder.chart());
            agent.save()
        })
    }

    fn opened(self, decided: Decided) -> OpenedForPatient {
        let Self { chain, holder, code, until, new, organisation, .. } = self;
        let contents = ([Epoch(0); COMPARTMENTS], &new.meanings);
        let letter = ClaimLetter::seal(chain, organisation, until, &holder, contents, &code);
        OpenedForPatient { chart: holder.chart(), letter, code, decided }
    }
}

impl Client {
    /// Opens a chart that a wallet will control. `signer` is a member of the chart's organisation.
    ///
    /// The wallet is saved before and after. If the answer is lost on the way, the chart is in the wallet
    /// and [`Self::publish_keys`] completes it.
    pub async fn open_chart(
        &self,
        wallet: &mut Wallet,
        (signer, organisation): (&Actor, OrganisationId),
        names: &[(&str, bool)],
        arrangement: &Arrangement,
    ) -> Result<(ChartId, Decided), ClientError> {
        let chart = random_chart();
        let holder = wallet.new_holder(chart);
        let new = NewChart::draw(&holder, names, arrangement, None)?;
        wallet.add(KnownChart::opened(chart, organisation, new.meanings))?;
        wallet.save()?;
        let decided = match self.command(signer, Payload::ChartOpen(new.open)).await {
            Ok(decided) => decided,
            Err(error) => {
                return Err(unless_refused(error, || {
                    wallet.forget(chart);
                    wallet.save()
                }));
            }
        };
        self.publish_keys(&holder).await?;
        Ok((chart, decided))
    }

    /// Opens a chart for a patient without a wallet: `agent` controls it until the patient claims it
    /// with the code, before `until`.
    pub async fn open_chart_for_patient(
        &self,
        agent: &mut OrganisationAgent,
        names: &[(&str, bool)],
        arrangement: &Arrangement,
        until: BlockTime,
    ) -> Result<OpenedForPatient, ClientError> {
        let new = self.draw_chart(agent, names, arrangement, until)?;
        let decided = self.open_drawn(&new).await.map_err(|error| new.failed(agent, error))?;
        self.publish_keys(&new.holder).await?;
        Ok(new.opened(decided))
    }

    /// Draws a chart for a patient, and has `agent` keep it: the first of the steps of
    /// [`Self::open_chart_for_patient`], of which the others need no agent.
    pub fn draw_chart(
        &self,
        agent: &mut OrganisationAgent,
        names: &[(&str, bool)],
        arrangement: &Arrangement,
        until: BlockTime,
    ) -> Result<DrawnChart, ClientError> {
        let (chart, chain) = (random_chart(), self.consortium().chain());
        let holder = agent.new_holder(chart);
        let code = ClaimCode::generate(&mut rng());
        let ticket = ClaimTicket { key: code.signing(&chain, &chart).public(), until };
        let new = NewChart::draw(&holder, names, arrangement, Some(ticket))?;
        agent.add(chart, new.meanings.clone(), Some(&code))?;
        agent.save()?;
        let (signer, organisation) = (agent.identity().actor(), agent.identity().organisation());
        Ok(DrawnChart { chain, holder, code, until, new, signer, organisation })
    }

    /// Opens a chart that was drawn. Where this fails the agent is to hear of it ([`DrawnChart::failed`]); then its keys
    /// are to be published ([`Self::publish_keys`]).
    pub async fn open_drawn(&self, new: &DrawnChart) -> Result<Decided, ClientError> {
        self.command(&new.signer, Payload::ChartOpen(new.new.open.clone())).await
    }

    /// Writes the letter of a chart that its patient has not claimed yet once more: after a compartment
    /// was rotated an earlier one is out of date.
    pub async fn claim_letter(
        &self,
        agent: &OrganisationAgent,
        chart: ChartId,
    ) -> Result<(ClaimLetter, ClaimCode), ClientError> {
        let known = agent.chart(chart)?;
        let holder = agent.holder(chart)?;
        let entry = self.chart(&holder.actor(), chart).await?;
        let chain = self.consortium().chain();
        let is_current = |code: &ClaimCode, ticket: &ClaimTicket| {
            code.signing(&chain, &chart).public() == ticket.key
        };
        let (code, ticket) = (known.code().zip(entry.claim))
            .filter(|(code, ticket)| is_current(code, ticket))
            .ok_or(KeyError::ClaimCode(chart))?;
        let contents = (entry.epochs, known.meanings());
        let letter =
            ClaimLetter::seal(chain, entry.organisation, ticket.until, &holder, contents, &code);
        Ok((letter, code))
    }

    /// Replaces the code of a chart that its patient has not claimed yet, where it has ended or was lost,
    /// and writes the letter to the new one. The old code is void from then on.
    pub async fn renew_claim(
        &self,
        agent: &mut OrganisationAgent,
        chart: ChartId,
        until: BlockTime,
    ) -> Result<OpenedForPatient, ClientError> {
        let (holder, chain) = (agent.holder(chart)?, self.consortium().chain());
        let entry = self.chart(&holder.actor(), chart).await?;
        let code = ClaimCode::generate(&mut rng());
        let ticket = ClaimTicket { key: code.signing(&chain, &chart).public(), until };
        let before = agent.replace_code(chart, Some(&code))?;
        agent.save()?;
        let payload = Payload::ChartArrange(ChartArrange {
            chart,
            custodians: entry.custodians,
            contributors: entry.contributors,
            claim: Some(ticket),
        });
        let decided = match self.command(&holder.actor(), payload).await {
            Ok(decided) => decided,
            Err(error) => {
                return Err(unless_refused(error, || {
                    // The chart is the agent's: it was found above.
                    let _ = agent.replace_code(chart, before.as_ref());
                    agent.save()
                }));
            }
        };
        let (letter, code) = self.claim_letter(agent, chart).await?;
        Ok(OpenedForPatient { chart, letter, code, decided })
    }

    /// Claims a chart for a wallet. If an earlier try was cut off, this completes it.
    pub async fn claim_chart(
        &self,
        wallet: &mut Wallet,
        letter: &ClaimLetter,
        code: &ClaimCode,
    ) -> Result<ChartId, ClientError> {
        let (chain, chart) = (self.consortium().chain(), letter.chart);
        let handover = letter.open(code)?;
        let epochs = handover.epochs.map(|epoch| Epoch(epoch.0.saturating_add(1)));
        let holder = wallet.new_holder(chart);
        if wallet.chart(chart).is_ok() && self.chart(&holder.actor(), chart).await.is_ok() {
            self.publish_keys(&wallet.holder(chart)?).await?;
            return Ok(chart);
        }
        // A try that was cut off before it reached the ledger left the chart behind.
        wallet.forget(chart);
        let agent = ChartSecret::from_bytes(handover.secret.as_bytes());
        let inherited = sheet::root(&sheet::sheet(&agent, chart, &handover.epochs));
        let organisation = letter.organisation;
        let known = KnownChart::claimed(chart, organisation, handover.meanings, &agent, epochs);
        wallet.add(known)?;
        wallet.save()?;

        let (keys, _) = keys_at(&holder, &epochs);
        let claimant = Actor::new(Party::Claimant(chart), code.signing(&chain, &chart));
        let signers = [&claimant, &holder.actor()];
        let payload = Payload::ChartClaim(ChartClaim { chart, keys, inherited });
        let decided = self.submit(&signers, Draft::now(), payload).await;
        if let Err(error) = decided.and_then(|it| Ok(it.accepted()?)) {
            return Err(unless_refused(error, || {
                wallet.forget(chart);
                wallet.save()
            }));
        }
        self.publish_keys(&holder).await?;
        Ok(chart)
    }

    /// Publishes the key sheet that a chart's holder committed to. Nobody can author in a chart before.
    pub async fn publish_keys(&self, holder: &ChartHolder) -> Result<(), ClientError> {
        let (actor, id) = (holder.actor(), holder.chart());
        let chart = self.chart(&actor, id).await?;
        let (_, sheet) = keys_at(holder, &chart.epochs);
        if sheet::root(&sheet) != chart.keys.sheet {
            return Err(KeyError::StaleSheet(id).into());
        }
        self.publish_sheet(&actor, &chart, &sheet).await
    }

    /// Moves compartments to their next epoch: what is added from then on opens with new keys only.
    ///
    /// Whoever holds a grant keeps the epochs it carries; members whose grants are in force get the new ones.
    ///
    /// When the keys that were left to emergencies ahead are used up, more are.
    pub async fn rotate_compartments(
        &self,
        holder: &ChartHolder,
        compartments: CompartmentSet,
    ) -> Result<Rotated, ClientError> {
        let rotated = self.rotate_only(holder, compartments).await?;
        let chart = self.chart(&holder.actor(), holder.chart()).await?;
        let used_up = |compartment| !chart.has_key_ahead(compartment);
        let left = compartments.and(chart.emergency);
        if chart.escrow.is_some() && left.iter().any(used_up) {
            self.prepare(holder, chart.emergency).await?;
        }
        Ok(rotated)
    }

    /// [`Self::rotate_compartments`], and nothing else.
    pub(crate) async fn rotate_only(
        &self,
        holder: &ChartHolder,
        compartments: CompartmentSet,
    ) -> Result<Rotated, ClientError> {
        let (actor, id) = (holder.actor(), holder.chart());
        let chart = self.chart(&actor, id).await?;
        let mut epochs = chart.epochs;
        for compartment in compartments.iter() {
            let epoch = &mut epochs[usize::from(compartment.index())];
            *epoch = Epoch(epoch.0.saturating_add(1));
        }
        let (_, sheet) = keys_at(holder, &epochs);
        let (table, left_behind) = self.reseal(holder, &Chart { epochs, ..chart.clone() }).await?;
        let payload = Payload::CompartmentRotate(CompartmentRotate {
            chart: id,
            compartments,
            sheet: sheet::root(&sheet),
            seeds: self.put_table(&actor, id, &chart, &table).await?,
        });
        let decided = self.command(&actor, payload).await?;
        self.publish_sheet(&actor, &chart, &sheet).await?;
        Ok(Rotated { decided, left_behind })
    }

    /// Says who stores a chart and who may author in it.
    pub async fn arrange_chart(
        &self,
        holder: &ChartHolder,
        arrangement: &Arrangement,
    ) -> Result<Decided, ClientError> {
        let (custodians, contributors) = arrangement.lists()?;
        let chart = holder.chart();
        let arrange = ChartArrange { chart, custodians, contributors, claim: None };
        let payload = Payload::ChartArrange(arrange);
        self.command(&holder.actor(), payload).await
    }
}

/// Undoes what was noted for a command that the ledger refused. After any other error it may yet have
/// been accepted, and the note stays.
pub(crate) fn unless_refused(
    error: ClientError,
    undo: impl FnOnce() -> Result<(), FileError>,
) -> ClientError {
    if !matches!(error, ClientError::Ledger(LedgerError::Rejected { .. })) {
        return error;
    }
    match undo() {
        Ok(()) => error,
        Err(file) => file.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [(&str, bool); 4] =
        [("normal", false), ("psychiatry", false), ("substance-use", true), ("notes", true)];

    #[test]
    fn compartments_are_drawn_at_random_with_four_for_separate_consent() {
        let mut places = CompartmentSet::EMPTY;
        for _ in 0..200 {
            let (meanings, flagged) = Meanings::draw(&mut rng(), &NAMES).unwrap();
            assert_eq!(flagged.len() as usize, SEPARATE_CONSENT);
            for (name, is_separate) in NAMES {
                let compartment = meanings.compartment(name).unwrap();
                assert_eq!(flagged.contains(compartment), is_separate, "{name}");
                assert_eq!(meanings.name(compartment), Some(name));
            }
            places = places.with(meanings.compartment("normal").unwrap());
        }
        // A fixed compartment for what is normal would show after a few draws.
        assert!(places.len() > 10, "{places:?}");
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for names in [
            vec![("a", false), ("a", false)],
            vec![("a", true), ("b", true), ("c", true), ("d", true), ("e", true)],
            vec![(long.as_str(), false)],
        ] {
            let drawn = Meanings::draw(&mut rng(), &names);
            assert!(matches!(drawn, Err(UsageError::Meanings)), "{names:?}");
        }
        let (meanings, _) = Meanings::draw(&mut rng(), &NAMES).unwrap();
        let error = meanings.compartment("dental").unwrap_err().to_string();
        assert!(error.contains("psychiatry"), "{error}");
    }

    #[test]
    fn a_letter_opens_with_its_code_alone() {
        let (chain, chart) = (ChainId([1; 32]), ChartId([2; 32]));
        let holder = ChartHolder::derive(&[3; 32], chart);
        let (code, other) = (ClaimCode::generate(&mut rng()), ClaimCode::generate(&mut rng()));
        let (meanings, _) = Meanings::draw(&mut rng(), &NAMES).unwrap();
        let epochs = [Epoch(2); COMPARTMENTS];
        let (organisation, until) = (OrganisationId([4; 16]), BlockTime(9));
        let contents = (epochs, &meanings);
        let letter = ClaimLetter::seal(chain, organisation, until, &holder, contents, &code);
        let letter = ClaimLetter::decode(&letter.encode()).unwrap();
        let handover = letter.open(&code).unwrap();
        assert_eq!(handover.secret.as_bytes(), holder.secret().as_bytes());
        assert_eq!((handover.epochs, handover.meanings), (epochs, meanings));
        assert!(matches!(letter.open(&other), Err(KeyError::Letter)));
        let moved = ClaimLetter { chart: ChartId([9; 32]), ..letter.clone() };
        assert!(matches!(moved.open(&code), Err(KeyError::Letter)));
        let mut bytes = letter.encode();
        // The first field, after the head of the array.
        assert_eq!(bytes[1], 1);
        bytes[1] = 2;
        assert!(ClaimLetter::decode(&bytes).is_err());
        bytes[1] = 1;
        assert!(ClaimLetter::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}
