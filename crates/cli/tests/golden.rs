//! What the program says of itself and of wrong usage, word for word, in `tests/golden/`.
//!
//! `KEEPWELL_GOLDEN=write cargo test -p keepwell-cli --test golden` writes the files anew; the difference
//! is then read like any other change.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{env, fs, path::PathBuf, process::Command};

use common::{Done, KEEPWELL};

/// Every command, with its subcommands.
const COMMANDS: [(&str, &[&str]); 38] = [
    ("pilot", &[]),
    ("genesis", &["keys", "draft", "show", "found", "check"]),
    ("node", &[]),
    ("status", &[]),
    ("config", &["check"]),
    ("certificate", &["new", "show"]),
    ("token", &["new", "check"]),
    ("relock", &[]),
    ("wallet", &["new", "export", "import", "show"]),
    (
        "organisation",
        &[
            "list",
            "show",
            "key",
            "admit",
            "suspend",
            "reinstate",
            "expel",
            "rotate",
            "motions",
            "approve",
            "withdraw",
        ],
    ),
    ("member", &["new", "enrol", "show", "assign", "group", "suspend", "reinstate", "rotate"]),
    ("chart", &["open", "claim", "renew-letter", "minor", "close", "show"]),
    (
        "record",
        &[
            "add",
            "approve",
            "retract",
            "withdraw",
            "signatures",
            "list",
            "get",
            "restrict",
            "lift",
            "redact",
            "keep",
            "certificate",
        ],
    ),
    (
        "grant",
        &[
            "give", "list", "revoke", "request", "requests", "answer", "withdraw", "team", "pass",
            "keys", "limit",
        ],
    ),
    ("guardian", &["offer", "set", "show"]),
    ("recover", &["offer", "start", "approve", "withdraw", "status", "veto", "finish"]),
    ("proxy", &["offer", "add", "accept", "list", "acts", "end"]),
    ("open", &[]),
    (
        "case",
        &[
            "open",
            "list",
            "inbox",
            "show",
            "accept",
            "deny",
            "extend",
            "disagree",
            "rebut",
            "acknowledge",
        ],
    ),
    ("credential", &["issue", "list", "suspend", "reinstate", "revoke", "export", "ask", "import"]),
    ("emergency", &["prepare", "break", "second", "open", "close", "review", "list", "report"]),
    ("trustee", &["new", "run"]),
    ("gateway", &["run", "rebuild", "client", "token"]),
    ("validator", &["keys", "change", "show", "vote-again"]),
    ("protocol", &["show", "upgrade", "call-off"]),
    ("match", &["evaluate", "share", "compare", "quota"]),
    (
        "link",
        &[
            "propose", "confirm", "keep", "approve", "consent", "show", "list", "note", "reverse",
            "work", "refile", "file",
        ],
    ),
    ("audit", &[]),
    ("custody", &[]),
    ("explain", &[]),
    (
        "report",
        &[
            "looked",
            "accounting",
            "cases",
            "export",
            "accesses",
            "refused",
            "emergencies",
            "unusual",
            "blast-radius",
        ],
    ),
    ("anchor", &[]),
    ("receipt", &[]),
    ("verify", &[]),
    ("fsck", &[]),
    ("backup", &[]),
    ("restore", &[]),
    (
        "bench",
        &[
            "limits", "load", "latency", "seal", "idle", "matching", "decision", "opening",
            "growth", "report", "scale", "compare", "all", "table",
        ],
    ),
];

/// Runs the program as if on a terminal of 100 columns, acting as nobody.
fn say(arguments: &[&str]) -> Done {
    let mut command = Command::new(KEEPWELL);
    command.env("COLUMNS", "100").env_remove("KEEPWELL_AS").env_remove("KEEPWELL_LOG");
    Done::of(&mut command, arguments)
}

fn check(name: &str, said: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = folder.join(format!("{name}.txt"));
    if env::var("KEEPWELL_GOLDEN").is_ok_and(|it| it == "write") {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, said).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; KEEPWELL_GOLDEN=write makes it", path.display())
    });
    assert!(
        golden == said,
        "{name} is not as in {}; if that is meant, write it anew with KEEPWELL_GOLDEN=write\n{said}",
        path.display()
    );
}

#[test]
fn help_is_as_it_was_read_last() {
    check("keepwell", &say(&["--help"]).ok().stdout);
    for (command, subcommands) in COMMANDS {
        check(command, &say(&[command, "--help"]).ok().stdout);
        for subcommand in subcommands {
            let name = format!("{command}-{subcommand}");
            check(&name, &say(&[command, subcommand, "--help"]).ok().stdout);
        }
    }
}

#[test]
fn every_command_shows_an_example() {
    for (command, subcommands) in COMMANDS {
        let help = say(&[command, "--help"]).ok().stdout;
        for name in [""].iter().chain(subcommands) {
            let example = format!("keepwell {command} {name}");
            let shown =
                help.split_once("Example").is_some_and(|(_, it)| it.contains(example.trim()));
            assert!(shown, "no example of `{example}`:\n{help}");
        }
    }
}

#[test]
fn no_command_is_left_out() {
    let help = say(&["--help"]).ok().stdout;
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let (listed, _) = listed.split_once("\n\n").unwrap();
    let listed: Vec<_> = listed
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert_eq!(listed, COMMANDS.map(|(name, _)| name));
}

#[test]
fn wrong_usage_is_explained() {
    let chart = "00".repeat(32);
    for (name, arguments) in [
        ("no-command", &[][..]),
        ("unknown-command", &["pilto"]),
        ("unknown-option", &["pilot", "--prot", "7000"]),
        ("missing-argument", &["record", "add", "--as", "me", "--chart", &chart]),
        ("missing-profile", &["audit", &chart]),
        ("not-a-chart", &["audit", "--as", "me", "12"]),
        ("not-a-number", &["pilot", "--patients", "two"]),
        ("not-a-port", &["pilot", "--port", "70000"]),
        (
            "not-a-purpose",
            &["open", "--as", "me", "--chart", &chart, "--compartment", "1", "--purpose", "FUN"],
        ),
        ("not-an-instant", &["report", "refused", "--as", "me", "--from", "yesterday"]),
        ("not-a-kind", &["record", "add", "--as", "me", "--chart", &chart, "--kind", "tune", "a"]),
    ] {
        let done = say(arguments).refused(&[]);
        assert_eq!(done.stdout, "", "{done:#?}");
        check(&format!("wrong-{name}"), &done.stderr);
    }
}

#[test]
fn a_failure_in_json_is_one_value() {
    let (chart, grant) = ("00".repeat(32), "00".repeat(16));
    for arguments in [
        &["pilot", "--bundles"][..],
        &["pilto"],
        &["node", "--config", "nowhere"],
        &["wallet", "new", "--dir", "nowhere/w", "--like", "nowhere"],
        &["wallet", "show", "--as", "nowhere"],
        &["chart", "open", "--as", "nowhere", "--custodian", &grant, "--letter", "x"],
        &["chart", "claim", "--as", "nowhere", "--letter", "x", "--code", "x"],
        &["chart", "renew-letter", "--as", "nowhere", "--letter", "x", &chart],
        &["chart", "show", "--as", "nowhere", &chart],
        &["record", "add", "--as", "nowhere", "--chart", &chart, "nowhere"],
        &["record", "list", "--as", "nowhere", &chart],
        &["record", "get", "--as", "nowhere", "--chart", &chart, "--position", "1", "--to", "x"],
        &["grant", "list", "--as", "nowhere", &chart],
        &["grant", "revoke", "--as", "nowhere", "--chart", &chart, &grant],
        &["open", "--as", "nowhere", "--chart", &chart, "--compartment", "1"],
        &["open", "--as", "nowhere", "--chart", "12", "--compartment", "1"],
        &["audit", "--as", "nowhere", &chart],
        &["audit"],
        &["explain", "--as", "nowhere", "--chart", &chart, "--who", "--record", "1"],
        &["report", "looked", "--as", "nowhere", &chart],
        &["report", "export", "--as", "nowhere", &chart, "--to", "nowhere/x"],
        &["report", "refused", "--as", "nowhere", "--from", "2026-01-01"],
        &["anchor", "--as", "nowhere", "nowhere", "--receipts", "nowhere"],
        &["receipt", "--as", "nowhere", "--height", "1", "--to", "x"],
        &["verify", "--genesis", "nowhere", "nowhere"],
        &["verify", "--genesis", "nowhere", "--signatures", "nowhere"],
        &["record", "signatures", "--as", "nowhere", "--chart", &chart, "--position", "1"],
        &["fsck", "--config", "nowhere"],
        &["backup", "--config", "nowhere", "--to", "nowhere"],
        &["restore", "--from", "nowhere", "--config", "nowhere"],
        &["bench", "table", "nowhere"],
    ] {
        let done = say(&[arguments, &["--json"]].concat());
        done.refused_in_json();
        assert_eq!(done.stderr, "", "{done:#?}");
    }
}
