//! `keepwell proxy`: offer, add, accept, list, acts, end.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::{
    delegate::Offer,
    masters::Masters,
    proxy::{Act, PROXY_LETTER_BYTES_MAX, ProxyLetter},
    verify::LogMark,
};
use keepwell_types::{
    id::{ChartId, ProxyId},
    member::Party,
    proxy::{Power, ProxyTerms},
    set::{CompartmentSet, PowerSet},
    time::Window,
};
use serde_json::json;

use crate::{
    commands::{
        compartments,
        guardian::{read_offer, write_offer},
    },
    failure::Failure,
    output::Output,
    profile::{As, Identity, Session},
    runtime::block_on,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Let a caregiver act in a chart for its patient, or be one
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell proxy offer --as ./carer --chart CHART --out carer.offer
  keepwell proxy add --as ./ana --chart CHART --offer carer.offer --power read --power grant --compartment normal --days 365 --letter carer.letter
  keepwell proxy accept --as ./carer --letter carer.letter
  keepwell proxy list --as ./ana CHART
  keepwell proxy acts --as ./ana CHART
  keepwell proxy end --as ./ana --chart CHART PROXY")]
pub(crate) struct Proxy {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Be ready to act in a patient's chart: writes public keys that are made for it, for the patient
    Offer {
        #[command(flatten)]
        who: As,
        /// The chart, as the patient tells it
        #[arg(long)]
        chart: ChartId,
        /// Where the offer is written
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Let whoever made an offer act in a chart
    Add(Add),
    /// Take up what a patient lets one do: from then on commands act in the chart as its proxy
    Accept {
        #[command(flatten)]
        who: As,
        /// The letter
        #[arg(long, value_name = "FILE")]
        letter: PathBuf,
    },
    /// List who acts for the patient of a chart
    List {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// List all that proxies did in a chart, and guardians for new keys of it; complete, and checked to be
    Acts {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// End a proxy from the next block on; as the proxy, step down
    End {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// The proxy, as `proxy list` shows it
        proxy: ProxyId,
    },
}

/// Whom, how far and until when
#[derive(Args)]
struct Add {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// The proxy's offer
    #[arg(long, value_name = "FILE")]
    offer: PathBuf,
    /// What it may do: read, write, grant, revoke, restrict, case, veto or sign; may be given several times
    #[arg(long = "power", required = true)]
    powers: Vec<Power>,
    /// In which compartments: names or numbers; may be given several times
    #[arg(long = "compartment")]
    compartments: Vec<String>,
    /// For how many days
    #[arg(long, default_value_t = 365)]
    days: u64,
    /// Until the patient, a minor, is of age
    #[arg(long, conflicts_with = "days")]
    until_of_age: bool,
    /// Where the letter to the proxy is written
    #[arg(long, value_name = "FILE")]
    letter: PathBuf,
}

impl Proxy {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Offer { who, chart, out } => {
                let session = who.session()?;
                let secret = session.delegate(chart);
                let offer = Offer::make(session.client.consortium().chain(), chart, &secret);
                write_offer(
                    &offer,
                    &out,
                    "the patient, who names you with `keepwell proxy add`",
                    output,
                )
            }
            What::Add(add) => add.run(output),
            What::Accept { who, letter } => accept(who.session()?, &letter, output),
            What::List { who, chart } => list(&who.session()?, chart, output),
            What::Acts { who, chart } => acts(&who.session()?, chart, output),
            What::End { who, chart, proxy } => end(who.session()?, chart, proxy, output),
        }
    }
}

impl Add {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let mut session = self.who.session()?;
        let offer = read_offer(&session, self.chart, &self.offer)?;
        let compartments = compartments(&session, self.chart, &self.compartments)?;
        let masters = masters(&session, self.chart, compartments)?;
        let holder = session.holder(self.chart)?;
        let named = block_on(async {
            let window = self.window(&session).await?;
            let powers = self.powers.iter().copied().collect::<PowerSet>();
            let terms = ProxyTerms { powers, compartments, window };
            Ok(session.client.add_proxy(&holder, &offer, terms, &masters).await?)
        })?;
        fs::write(&self.letter, named.letter.encode()).map_err(Failure::at(&self.letter))?;
        session.remember()?;
        let (proxy, letter) = (named.proxy, self.letter.display());
        let height = named.decided.outcome().location.height;
        output.result(
            &format!("proxy {proxy} may act from block {height} on. Its letter is in {letter}; it opens with the proxy's keys alone."),
            &json!({ "proxy": proxy, "letter": self.letter, "height": height }),
        );
        Ok(())
    }

    async fn window(&self, session: &Session) -> Result<Window, Failure> {
        let from = session.client.tip().await?.header().time;
        if !self.until_of_age {
            let until = from.plus_ms(self.days.saturating_mul(DAY_MS));
            return Ok(Window { from, until });
        }
        let actor = session.actor(self.chart)?;
        let until = session.client.proxies(&actor, self.chart).await?.of_age_at;
        let until = until.ok_or_else(|| {
            Failure::Misused(
                "the chart is no minor's; say so with `keepwell chart minor`, or name --days"
                    .into(),
            )
        })?;
        Ok(Window { from, until })
    }
}

/// What opens these compartments, of whoever controls the chart.
fn masters(
    session: &Session,
    chart: ChartId,
    compartments: CompartmentSet,
) -> Result<Masters, Failure> {
    match &session.identity {
        Identity::Wallet(wallet) => Ok(wallet.masters(chart, compartments)?),
        Identity::Agent(agent) => Ok(agent.masters(chart, compartments)?),
        Identity::Member(_) => Err(Failure::Misused(
            "proxies are named by the patient's wallet, or by the key agent of a chart that nobody has claimed".into(),
        )),
    }
}

fn accept(mut session: Session, path: &Path, output: &Output) -> Result<(), Failure> {
    let bytes = fs::read(path).map_err(Failure::at(path))?;
    let letter = ProxyLetter::decode(&bytes[..bytes.len().min(PROXY_LETTER_BYTES_MAX + 1)])?;
    let Identity::Wallet(wallet) = &mut session.identity else {
        return Err(Failure::Misused("a proxy acts with a wallet".into()));
    };
    let accepted = session.client.accept_proxy(wallet, &letter);
    let proxy = block_on(async { Ok(accepted.await?) })?;
    session.remember()?;
    let chart = letter.chart();
    output.result(
        &format!(
            "this wallet acts in chart {chart} as proxy {proxy}; the patient sees what it does"
        ),
        &json!({ "chart": chart, "proxy": proxy }),
    );
    Ok(())
}

fn list(session: &Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let proxies = block_on(async { Ok(session.client.proxies(&actor, chart).await?) })?;
    let words = |powers: PowerSet| powers.iter().map(Power::as_str).collect::<Vec<_>>().join(", ");
    let mut lines: Vec<_> = proxies
        .all
        .iter()
        .map(|it| {
            let terms = it.terms;
            let numbers: Vec<_> =
                terms.compartments.iter().map(|it| it.index().to_string()).collect();
            format!(
                "{}  {}  in compartments {}  until {}",
                it.proxy,
                words(terms.powers),
                numbers.join(", "),
                terms.window.until
            )
        })
        .collect();
    lines.extend(proxies.of_age_at.map(|at| format!("the patient is of age from {at} on")));
    if lines.is_empty() {
        lines.push(format!("nobody acts for the patient of chart {chart}"));
    }
    output.result(&lines.join("\n"), &json!({ "chart": chart, "proxies": proxies }));
    Ok(())
}

fn acts(session: &Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let known = match &session.identity {
        Identity::Wallet(wallet) => wallet.chart(chart)?.log(),
        Identity::Agent(_) | Identity::Member(_) => LogMark::START,
    };
    let acts =
        block_on(async { Ok(session.client.acts_for_patient(&actor, chart, known).await?) })?;
    let mut lines: Vec<_> = acts
        .iter()
        .map(|act| {
            let said =
                act.refused.as_ref().map_or_else(|| "done".into(), |it| format!("REFUSED: {it}"));
            format!("{}  {}  {}  {said}", act.time, name_of(act.party), act.command)
        })
        .collect();
    lines.push(format!("{} acts, as the chart's log has them", acts.len()));
    let row = |act: &Act| {
        json!({
            "position": act.position, "time": act.time, "party": act.party, "command": act.command,
            "refused": act.refused,
        })
    };
    output.result(&lines.join("\n"), &json!(acts.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}

fn name_of(party: Party) -> String {
    match party {
        Party::Proxy(_, proxy) => format!("proxy {proxy}"),
        Party::Member(member) => format!("guardian {member}"),
        Party::Guardian(_) => "a guardian".into(),
        Party::Successor(_) => "a new wallet".into(),
        Party::Controller(_)
        | Party::Claimant(_)
        | Party::Administrator(_)
        | Party::Custodian(_)
        | Party::Validator(_) => format!("{party:?}"),
    }
}

fn end(
    mut session: Session,
    chart: ChartId,
    proxy: ProxyId,
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let ended = session.client.end_proxy(&holder, proxy);
    let decided = block_on(async { Ok(ended.await?) })?;
    session.remember()?;
    let height = decided.outcome().location.height;
    output.result(
        &format!("proxy {proxy} may do nothing from block {height} on"),
        &json!({ "chart": chart, "proxy": proxy, "height": height }),
    );
    Ok(())
}
