//! The `keepwell` program: pilot, node, wallet, records, verify, audit, bench.
//!
//! One file per command in [`commands`]; [`profile`] is who a command acts as; [`pilot`] is a whole
//! consortium in one process, with its tour. Every command prints for people, or JSON with `--json`.
//!
//! Not here: what the commands do, which is in `keepwell-client` and `keepwell-node`.

mod backup;
mod failure;
mod feeds;
mod founding;
mod instant;
mod lock;
mod looked;
mod node_toml;
mod observed;
mod output;
mod page;
mod profile;
mod sign_in;

mod commands;
mod runtime;
mod trustee;

mod pilot;

mod bench;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use keepwell_engine::protocol::Known;
use keepwell_types::id::Protocol;

use crate::{
    commands::{
        anchor::Anchor, audit::Audit, backup::BackUp, case::Case, certificate::Certificate,
        chart::Chart, config::Config, credential::Credential, custody::Custody,
        emergency::Emergency, explain::Explain, fsck::Fsck, gateway::Gateway, genesis::Genesis,
        grant::Grant, guardian::Guardian, link::Link, matching::Match, member::Member, node::Node,
        open::Open, organisation::Organisation, protocol::Rules, proxy::Proxy, receipt::Receipt,
        record::Record, recover::Recover, relock::Relock, report::Report, restore::Restore,
        status::Status, token::Token, trustee::Trustee, validator::Validator, verify::Verify,
        wallet::Wallet,
    },
    failure::Failure,
    output::Output,
};

/// A health-record ledger that a consortium runs together and that patients control
///
/// Try it on this machine: `keepwell pilot` founds a consortium of four organisations, loads
/// patients, and shows the life of a record.
#[derive(Parser)]
#[command(name = "keepwell", version)]
struct Keepwell {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Pilot(pilot::Pilot),
    Genesis(Genesis),
    Node(Node),
    Status(Status),
    Config(Config),
    Certificate(Certificate),
    Token(Token),
    Relock(Relock),
    Wallet(Wallet),
    Organisation(Organisation),
    Member(Member),
    Chart(Chart),
    Record(Record),
    Grant(Grant),
    Guardian(Guardian),
    Recover(Recover),
    Proxy(Proxy),
    Open(Open),
    Case(Case),
    Credential(Credential),
    Emergency(Emergency),
    Trustee(Trustee),
    Gateway(Gateway),
    Validator(Validator),
    Protocol(Rules),
    Match(Match),
    Link(Link),
    Audit(Audit),
    Custody(Custody),
    Explain(Explain),
    Report(Report),
    Anchor(Anchor),
    Receipt(Receipt),
    Verify(Verify),
    Fsck(Fsck),
    #[command(name = "backup")]
    BackUp(BackUp),
    Restore(Restore),
    Bench(bench::Bench),
}

/// Runs the program, whose nodes know the versions of the protocol up to `newest`.
pub fn main(newest: Protocol) -> ExitCode {
    let Keepwell { json, command } = match Keepwell::try_parse() {
        Ok(asked) => asked,
        Err(error) => return misused(&error),
    };
    // A node says what it does in traces as well, where it is told to, and begins both.
    if !matches!(command, Command::Node(_) | Command::Pilot(_)) {
        observed::log();
    }
    let (output, known) = (Output::new(json), Known::up_to(newest));
    let done = match command {
        Command::Pilot(it) => it.run(&output),
        Command::Genesis(it) => it.run(&output),
        Command::Node(it) => it.run(&output, known),
        Command::Status(it) => it.run(&output),
        Command::Config(it) => it.run(&output),
        Command::Certificate(it) => it.run(&output),
        Command::Token(it) => it.run(&output),
        Command::Relock(it) => it.run(&output),
        Command::Wallet(it) => it.run(&output),
        Command::Organisation(it) => it.run(&output),
        Command::Member(it) => it.run(&output),
        Command::Chart(it) => it.run(&output),
        Command::Record(it) => it.run(&output),
        Command::Grant(it) => it.run(&output),
        Command::Guardian(it) => it.run(&output),
        Command::Recover(it) => it.run(&output),
        Command::Proxy(it) => it.run(&output),
        Command::Open(it) => it.run(&output),
        Command::Case(it) => it.run(&output),
        Command::Credential(it) => it.run(&output),
        Command::Emergency(it) => it.run(&output),
        Command::Trustee(it) => it.run(&output),
        Command::Gateway(it) => it.run(&output),
        Command::Validator(it) => it.run(&output),
        Command::Protocol(it) => it.run(&output),
        Command::Match(it) => it.run(&output),
        Command::Link(it) => it.run(&output),
        Command::Audit(it) => it.run(&output),
        Command::Custody(it) => it.run(&output),
        Command::Explain(it) => it.run(&output),
        Command::Report(it) => it.run(&output),
        Command::Anchor(it) => it.run(&output),
        Command::Receipt(it) => it.run(&output),
        Command::Verify(it) => it.run(&output),
        Command::Fsck(it) => it.run(&output, &known),
        Command::BackUp(it) => it.run(&output),
        Command::Restore(it) => it.run(&output, &known),
        Command::Bench(it) => it.run(&mut std::io::stdout().lock(), json).map_err(Failure::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.exit_code()
        }
    }
}

/// Wrong usage, or help that was asked for. What was meant is not known, but that JSON was is.
fn misused(error: &clap::Error) -> ExitCode {
    let is_json = std::env::args_os().any(|it| it == "--json");
    if is_json && error.use_stderr() {
        Output::new(true).failure(error);
    } else if error.print().is_err() {
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}
