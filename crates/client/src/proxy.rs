//! Proxies: a patient lets someone act in a chart, and that someone takes it up.
//!
//! ```text
//! carer    offer ── by hand ──> patient
//! patient  proxy.add {the offer's key, powers, compartments, window} ──> ledger
//!          letter {masters of the compartments} ── sealed to the offer's key ── by hand ──> carer
//! carer    letter ──> wallet: the chart, as its proxy
//! ```
//!
//! # Invariants
//!
//! * A letter opens with the keys that were offered, for one chart and one proxy.
//! * What a proxy holds opens the first of a record's two locks. It reads by accesses of its own, which the
//!   patient sees under its name, until its terms end.
//!
//! Not here: what a proxy may do, which the ledger decides at each command.

use keepwell_crypto::keys::ChartSecret;
use keepwell_ledger::state::{Key, Proxies, Value};
use keepwell_types::{
    command::{Entry, Payload},
    id::{ChainId, ChartId, LogPosition, ProxyId},
    member::Party,
    outcome::{Rejection, Verdict},
    proxy::{ChartClose, ChartMinor, ProxyAdd, ProxyEnd, ProxyTerms},
    time::BlockTime,
};
use minicbor::{Decode, Encode};

use crate::{
    Client,
    client::{Decided, random},
    delegate::Offer,
    error::{ClientError, KeyError, UsageError},
    identity::{Actor, ChartHolder, KnownChart, Wallet},
    masters::Masters,
    sealed::{Sealed, Version1},
    verify::{LogLine, LogMark, VerifiedLog},
};

const LETTER_DOMAIN: &str = "keepwell/client/proxy-letter/v1";
/// Bytes of a letter to a proxy.
pub const PROXY_LETTER_BYTES_MAX: usize = 64 * 1024;

/// What a patient hands to a proxy, sealed to it.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct ProxyLetter {
    #[n(0)]
    version: Version1,
    #[n(1)]
    chart: ChartId,
    #[n(2)]
    proxy: ProxyId,
    #[n(3)]
    sealed: Sealed,
}

impl ProxyLetter {
    fn seal(chain: &ChainId, proxy: ProxyId, to: &Offer, masters: &Masters) -> Self {
        let chart = to.chart();
        let parts: [&[u8]; 3] = [&chain.0, &chart.0, &proxy.0];
        let sealed = Sealed::seal(to.sealing(), LETTER_DOMAIN, &parts, masters);
        Self { version: Version1, chart, proxy, sealed }
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, UsageError> {
        keepwell_types::decode(bytes, PROXY_LETTER_BYTES_MAX)
            .map_err(|error| UsageError::NotA { what: "a letter to a proxy", error })
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }

    /// The chart.
    pub const fn chart(&self) -> ChartId {
        self.chart
    }

    fn open(&self, chain: &ChainId, secret: &ChartSecret) -> Result<Masters, KeyError> {
        let parts: [&[u8]; 3] = [&chain.0, &self.chart.0, &self.proxy.0];
        let opened = self.sealed.open(&secret.sealing(), LETTER_DOMAIN, &parts);
        opened.map_err(|_| KeyError::ProxyLetter)
    }
}

/// A proxy that was named.
#[derive(Clone, Debug)]
pub struct NamedProxy {
    /// Its id.
    pub proxy: ProxyId,
    /// The proof.
    pub decided: Decided,
    /// For the proxy, as a file.
    pub letter: ProxyLetter,
}

/// What someone did for the patient, or for new keys of the chart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Act {
    /// Place in the chart's log.
    pub position: LogPosition,
    /// When.
    pub time: BlockTime,
    /// Who.
    pub party: Party,
    /// The command's name.
    pub command: &'static str,
    /// Why it was refused, if it was.
    pub refused: Option<Rejection>,
}

/// The acts in a log of proxies, guardians and successors, in order.
pub fn acts_in(log: &VerifiedLog) -> impl Iterator<Item = Act> {
    log.lines().iter().filter_map(act_of)
}

fn act_of(line: &LogLine) -> Option<Act> {
    let Entry::Signed(signed) = &line.entry else { return None };
    let (party, payload) = (*signed.command.signers.first()?, &signed.command.payload);
    let vouches = matches!(
        payload,
        Payload::RecoveryStart(_) | Payload::RecoveryApprove(_) | Payload::RecoveryWithdraw(_)
    );
    let is_shown = match party {
        Party::Proxy(..) | Party::Guardian(_) | Party::Successor(_) => true,
        Party::Member(_) => vouches,
        Party::Controller(_)
        | Party::Claimant(_)
        | Party::Administrator(_)
        | Party::Custodian(_)
        | Party::Validator(_) => false,
    };
    let refused = match &line.outcome.verdict {
        Verdict::Accepted => None,
        Verdict::Rejected(rejection) => Some(rejection.clone()),
    };
    let (position, time, command) = (line.position, line.outcome.time, payload.name());
    is_shown.then_some(Act { position, time, party, command, refused })
}

impl Client {
    /// What proxies, guardians and successors did in a chart: complete, as the log is.
    pub async fn acts_for_patient(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<Vec<Act>, ClientError> {
        Ok(acts_in(&self.log(actor, chart, known).await?).collect())
    }

    /// Who acts for the patient of a chart.
    pub async fn proxies(&self, actor: &Actor, chart: ChartId) -> Result<Proxies, ClientError> {
        let target = format!("/v1/charts/{chart}/proxies");
        let proven = self.state(actor, Key::Proxies(chart), target).await?;
        match proven.into_value() {
            Some(Value::Proxies(proxies)) => Ok(proxies),
            Some(_) | None => Ok(Proxies::default()),
        }
    }

    /// Lets whoever made the offer act in the chart. `masters` are those of the compartments in the terms.
    pub async fn add_proxy(
        &self,
        holder: &ChartHolder,
        offer: &Offer,
        terms: ProxyTerms,
        masters: &Masters,
    ) -> Result<NamedProxy, ClientError> {
        let proxy = ProxyId(random());
        let add = ProxyAdd {
            chart: offer.chart(),
            proxy,
            signing: offer.signing(),
            sealing: offer.sealing().digest(),
            terms,
        };
        let decided = self.command(&holder.actor(), Payload::ProxyAdd(add)).await?;
        let letter = ProxyLetter::seal(&self.consortium().chain(), proxy, offer, masters);
        Ok(NamedProxy { proxy, decided, letter })
    }

    /// Takes a letter up: from then on the wallet acts in the chart as its proxy.
    pub async fn accept_proxy(
        &self,
        wallet: &mut Wallet,
        letter: &ProxyLetter,
    ) -> Result<ProxyId, ClientError> {
        let (chart, proxy) = (letter.chart, letter.proxy);
        let secret = wallet.delegate(chart);
        let masters = letter.open(&self.consortium().chain(), &secret)?;
        // Whoever is in force may ask for the chart.
        let actor = Actor::new(Party::Proxy(chart, proxy), secret.signing());
        self.chart(&actor, chart).await?;
        if wallet.chart(chart).is_ok_and(|known| known.proxy().is_some()) {
            // An earlier letter of another proxy, or of fewer compartments.
            wallet.forget(chart);
        }
        wallet.add(KnownChart::of_proxy(chart, proxy, masters))?;
        wallet.save()?;
        Ok(proxy)
    }

    /// Ends a proxy: by the controller, or by the proxy itself.
    pub async fn end_proxy(
        &self,
        holder: &ChartHolder,
        proxy: ProxyId,
    ) -> Result<Decided, ClientError> {
        let payload = Payload::ProxyEnd(ProxyEnd { chart: holder.chart(), proxy });
        self.command(&holder.actor(), payload).await
    }

    /// Says until when the patient of an unclaimed chart is a minor.
    pub async fn mark_minor(
        &self,
        holder: &ChartHolder,
        until: BlockTime,
    ) -> Result<Decided, ClientError> {
        let payload = Payload::ChartMinor(ChartMinor { chart: holder.chart(), until });
        self.command(&holder.actor(), payload).await
    }

    /// Closes a chart for good.
    pub async fn close_chart(&self, holder: &ChartHolder) -> Result<Decided, ClientError> {
        let payload = Payload::ChartClose(ChartClose { chart: holder.chart() });
        self.command(&holder.actor(), payload).await
    }
}
