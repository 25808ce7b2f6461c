//! `keepwell grant pass` and `keys`: letters with keys, by those who have them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use keepwell_client::{
    grant::Recipient,
    identity::{Actor, Seeds},
    key_letter::KeyLetter,
};
use keepwell_types::{
    grant::Grantee,
    id::{ChartId, GrantId, MemberId},
};
use serde_json::json;

use super::{Key, limit::Less};
use crate::{
    commands::compartments,
    failure::Failure,
    output::Output,
    profile::{As, Session},
    runtime::block_on,
};

/// Who gets keys
#[derive(Args)]
struct Reader {
    /// To which member
    #[arg(long, value_name = "MEMBER")]
    to: MemberId,
    #[command(flatten)]
    key: Key,
}

impl Reader {
    async fn recipient(&self, session: &Session, actor: &Actor) -> Result<Recipient, Failure> {
        self.key.of(session, actor, self.to).await
    }
}

/// A grant that is passed on
#[derive(Args)]
pub(super) struct Pass {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    #[command(flatten)]
    reader: Reader,
    /// Only these compartments of it, by their numbers; may be given several times
    #[arg(long = "compartment")]
    compartments: Vec<String>,
    #[command(flatten)]
    less: Less,
    /// Where the letter with the keys is written, for the member
    #[arg(long, value_name = "FILE")]
    letter: PathBuf,
    /// The letter with which one's own keys came, if they came with one
    #[arg(long = "keys", value_name = "FILE")]
    own: Option<PathBuf>,
    /// The grant that is passed on
    grant: GrantId,
}

/// A letter with keys
#[derive(Args)]
pub(super) struct Keys {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    #[command(flatten)]
    reader: Reader,
    /// Of which compartments: names or numbers; may be given several times
    #[arg(long = "compartment", required_unless_present = "grant")]
    compartments: Vec<String>,
    /// The grant that brought the keys, for a key agent who hands them to its organisation's readers
    #[arg(long, conflicts_with = "compartments")]
    grant: Option<GrantId>,
    /// Where the letter is written
    #[arg(long, value_name = "FILE")]
    letter: PathBuf,
}

impl Pass {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let (session, chart) = (self.who.session()?, self.chart);
        let member = session.member()?;
        let fewer = compartments(&session, chart, &self.compartments)?;
        let (grant, height) = block_on(async {
            let (client, actor) = (&session.client, member.actor());
            let to = self.reader.recipient(&session, &actor).await?;
            let from = client.grant(&actor, chart, self.grant).await?;
            let now = client.tip().await?.header().time;
            let mut terms = self.less.of(&from.terms, fewer, now);
            (terms.grantee, terms.onward) = (Grantee::Member(self.reader.to), false);
            terms.window.from = terms.window.from.max(now);
            let held = keys_of(&session, chart, Some(self.grant), self.own.as_deref()).await?;
            let seeds = held.within(terms.compartments);
            let none = Default::default();
            // The letter is there before the grant counts: nobody is named who cannot read.
            let letter = client.write_keys(&actor, chart, &to, &seeds, &none).await?;
            fs::write(&self.letter, letter.encode()).map_err(Failure::at(&self.letter))?;
            let (grant, decided) = client.pass_grant(&actor, (chart, self.grant), terms).await?;
            Ok((grant, decided.outcome().location.height))
        })?;
        output.result(
            &format!(
                "grant {grant} is in force from block {height}, for member {}, who opens with the letter in {}",
                self.reader.to,
                self.letter.display()
            ),
            &json!({ "grant": grant, "height": height, "letter": self.letter }),
        );
        Ok(())
    }
}

impl Keys {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let (session, chart) = (self.who.session()?, self.chart);
        let actor = session.actor(chart)?;
        let wanted = compartments(&session, chart, &self.compartments)?;
        let meanings = session.meanings(chart).cloned().unwrap_or_default();
        let seeds = block_on(async {
            let to = self.reader.recipient(&session, &actor).await?;
            let seeds = match self.grant {
                Some(_) => keys_of(&session, chart, self.grant, None).await?,
                None => session.own_seeds(chart, wanted).await?,
            };
            let letter = session.client.write_keys(&actor, chart, &to, &seeds, &meanings).await?;
            fs::write(&self.letter, letter.encode()).map_err(Failure::at(&self.letter))?;
            Ok(seeds.len())
        })?;
        output.result(
            &format!(
                "{} has the keys for member {}: it opens for nobody else, and permits nothing by itself",
                self.letter.display(),
                self.reader.to
            ),
            &json!({ "letter": self.letter, "to": self.reader.to, "keys": seeds }),
        );
        Ok(())
    }
}

/// The keys that a reader has: by a letter, or with a grant.
pub(crate) async fn keys_of(
    session: &Session,
    chart: ChartId,
    grant: Option<GrantId>,
    letter: Option<&Path>,
) -> Result<Seeds, Failure> {
    let member = session.member()?;
    if let Some(path) = letter {
        let bytes = fs::read(path).map_err(Failure::at(path))?;
        let letter = KeyLetter::decode(&bytes)?;
        if letter.chart() != chart {
            return Err(Failure::Misused(format!(
                "the letter in {} is for chart {}",
                path.display(),
                letter.chart()
            )));
        }
        return Ok(letter.open(member)?.0);
    }
    let grant = grant.ok_or_else(|| {
        Failure::Misused("name the grant with --grant, or the letter with --letter".into())
    })?;
    let (actor, key) = (member.actor(), member.sealing());
    let (_, seeds) = session.client.accept_grant(&actor, &key, (chart, grant), None).await?;
    Ok(seeds)
}
