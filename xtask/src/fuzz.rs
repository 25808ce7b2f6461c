//! `cargo xtask fuzz`: every decoder's target, for a while, with nightly and cargo-fuzz.

use std::{fs, path::Path};

use crate::{
    arguments::Grammar,
    process::{Call, Failure, root},
    tools,
};

const SECONDS: u32 = 30;

const GRAMMAR: Grammar = Grammar {
    help: "\
Run every decoder's fuzz target; a finding stops the run and is kept in fuzz/artifacts.

Usage: cargo xtask fuzz [OPTIONS] [TARGET]...

Options:
      --seconds N   how long each target runs [default: 30]
      --list        list the targets and stop
  -h, --help        print this

It needs a nightly toolchain (`rustup toolchain install nightly`), g++ and cargo-fuzz, which is
installed if it is missing.

Examples:
  cargo xtask fuzz
  cargo xtask fuzz --seconds 600             before a release, and after a format has changed
  cargo xtask fuzz --seconds 60 certificate  one target",
    flags: &["--list"],
    options: &["--seconds"],
    words: true,
};

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some(given) = GRAMMAR.read(arguments)? else { return Ok(()) };
    let targets = targets(&root().join("fuzz").join("fuzz_targets"))?;
    if given.has("--list") {
        targets.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    let seconds = seconds(&given.all("--seconds"))?;
    let chosen = choose(&targets, &given.words)?;
    tools()?;
    let seeds = "run --quiet --locked --package keepwell-fuzz-targets --example seeds";
    Call::cargo().args(seeds.split(' ')).run()?;
    for (index, name) in chosen.iter().enumerate() {
        println!("\n[{}/{}] {name}: {seconds} s", index + 1, chosen.len());
        one(name, seconds)?;
    }
    println!("\n{} targets ran {seconds} s each and found nothing", chosen.len());
    Ok(())
}

fn one(name: &str, seconds: u32) -> Result<(), Failure> {
    let time = format!("-max_total_time={seconds}");
    // A decoder refuses by length first; what is longer than this only tests that line.
    nightly(&[
        "fuzz",
        "run",
        name,
        "--",
        &time,
        "-max_len=16384",
        "-verbosity=0",
        "-print_final_stats=1",
    ])
    .run()
    .map_err(|failure| {
        Failure::new(format!(
            "{failure}\nthe input is in fuzz/artifacts/{name}/: make it a test of its crate, then \
                 mend the decoder"
        ))
    })
}

fn tools() -> Result<(), Failure> {
    if Call::new("rustup").args(["run", "nightly", "rustc", "--version"]).output().is_none() {
        return Err(Failure::new(
            "fuzzing needs a nightly toolchain: `rustup toolchain install nightly`",
        ));
    }
    if nightly(&["fuzz", "--version"]).output().is_some() {
        return Ok(());
    }
    println!("  cargo-fuzz is missing; installing it beside cargo");
    tools::install("cargo-fuzz", "^0.13")
}

fn nightly(arguments: &[&str]) -> Call {
    Call::new("rustup").args(["run", "nightly", "cargo"]).args(arguments)
}

/// The names of the targets: one file each.
fn targets(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(folder)
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", folder.display())))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn choose<'a>(targets: &'a [String], words: &'a [String]) -> Result<&'a [String], Failure> {
    if words.is_empty() {
        return Ok(targets);
    }
    match words.iter().find(|word| !targets.contains(word)) {
        None => Ok(words),
        Some(word) => Err(Failure::new(format!(
            "there is no target `{word}`; `--list` lists those there are"
        ))),
    }
}

fn seconds(given: &[&str]) -> Result<u32, Failure> {
    let Some(text) = given.last() else { return Ok(SECONDS) };
    match text.parse() {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        Ok(_) | Err(_) => Err(Failure::new(format!("`--seconds {text}` is not a time"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_a_positive_number() {
        assert_eq!(seconds(&[]), Ok(SECONDS));
        assert_eq!(seconds(&["600"]), Ok(600));
        for text in ["0", "-1", "ten"] {
            assert!(seconds(&[text]).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn targets_are_all_or_those_named() {
        let targets = ["body", "label"].map(String::from);
        assert_eq!(choose(&targets, &[]).unwrap(), targets);
        assert_eq!(choose(&targets, &[String::from("body")]).unwrap(), ["body"]);
        assert!(choose(&targets, &[String::from("bdoy")]).is_err());
    }
}
