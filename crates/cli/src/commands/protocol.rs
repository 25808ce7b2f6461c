//! `keepwell protocol`: show, upgrade, call-off.

use clap::{Args, Subcommand};
use keepwell_client::{Client, identity::Actor};
use keepwell_types::{
    id::{Height, Protocol},
    motion::Act,
    protocol::Upgrade,
};
use serde_json::json;

use crate::{
    commands::organisation, failure::Failure, output::Output, profile::As, runtime::block_on,
};

/// See by which version of the rules the ledger decides; move that the next one holds from a block on
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell protocol show --as ./hospital-administrator
  keepwell protocol upgrade --as ./hospital-administrator --to 2 --from 250000
  keepwell protocol call-off --as ./hospital-administrator --to 2

Install the new program on every node first: `keepwell status` says which versions a node knows.
A node that does not know the rules of a block stops before it, and goes on with a newer program.")]
pub(crate) struct Rules {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show which version is in force, and which is planned
    Show {
        #[command(flatten)]
        who: As,
    },
    /// Move that the next version holds from a block on; moved again, for another block
    Upgrade {
        #[command(flatten)]
        motion: Motion,
        /// The first block of the new rules: at least an epoch after the approval that is enough
        #[arg(long, value_name = "BLOCK")]
        from: u64,
    },
    /// Move that a planned upgrade does not come about
    CallOff {
        #[command(flatten)]
        motion: Motion,
    },
}

/// Who moves it, and about which version
#[derive(Args)]
struct Motion {
    #[command(flatten)]
    who: As,
    /// The version after the one in force
    #[arg(long, value_name = "VERSION")]
    to: u16,
    /// Days for which the motion waits
    #[arg(long, default_value_t = 14)]
    days: u64,
}

impl Rules {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Show { who } => {
                let (client, actor) = who.asker()?;
                block_on(show(&client, &actor, output))
            }
            What::Upgrade { motion, from } => motion.make(Some(Height(from)), output),
            What::CallOff { motion } => motion.make(None, output),
        }
    }
}

impl Motion {
    fn make(self, from: Option<Height>, output: &Output) -> Result<(), Failure> {
        let act = Act::Upgrade(Upgrade { to: Protocol(self.to), from });
        block_on(organisation::open(&self.who.office()?, act, self.days, output))
    }
}

async fn show(client: &Client, actor: &Actor, output: &Output) -> Result<(), Failure> {
    let plan = client.protocol(actor).await?;
    let next = Height(client.tip().await?.header().height.0 + 1);
    let (now, planned) = (plan.at(next), plan.planned(next));
    let coming = match planned {
        Some((to, from)) => {
            format!(
                "\nProtocol {to} holds from block {from} on, {} blocks from now",
                from.0 - next.0
            )
        }
        None => String::new(),
    };
    let blocks = client.consortium().genesis().parameters.epoch_blocks();
    output.result(
        &format!(
            "Protocol {now} is in force; block {next} comes next, and an epoch has {blocks} blocks{coming}"
        ),
        &json!({
            "now": now,
            "next": next,
            "epoch_blocks": blocks,
            "planned": planned.map(|(to, from)| json!({ "to": to, "from": from })),
        }),
    );
    Ok(())
}
