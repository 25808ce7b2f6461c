//! Clients of others, as people have them, against a pilot's gateway: each script in `clients` is a user of one, over FHIR
//! or over MLLP. Those over MLLP also send the messages of others that `KEEPWELL_DATA` has in `hl7v2/`.
//!
//! They are installed by `pip` and `npm` into the target folder, once for each list of versions. Where that cannot be done
//! they are skipped, with a word.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Place,
    desk::{Desk, name_real_senders, pilot},
    installed::{self, SCRIPTS, said},
    scratch,
};

#[test]
fn the_clients_of_others_work() {
    let (python, node) = (installed::python(), installed::node("package.json"));
    if python.is_none() && node.is_none() {
        return;
    }
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let samples = name_real_senders(&dir);
    let mut desk = Desk::start(Place { dir: &dir });
    let config = desk.place.toml("gateways/hospital/gateway.toml");
    let feed = config["feeds"][0]["listen"].as_str().unwrap();
    let mut failed = Vec::new();
    for script in scripts() {
        let (folder, program) = match script.extension().and_then(|it| it.to_str()) {
            Some("py") => (&python, "venv/bin/python"),
            Some("mjs" | "cjs") => (&node, "node"),
            _ => continue,
        };
        let Some(folder) = folder else { continue };
        // Node looks for modules beside the script.
        let copy = folder.join(script.file_name().unwrap());
        fs::copy(&script, &copy).unwrap();
        let program = if program == "node" { program.into() } else { folder.join(program) };
        let token = desk.token_of("ehr");
        let mut command = Command::new(program);
        command.arg(&copy).env("BASE", &desk.base).env("TOKEN", token).env("MLLP", feed);
        if !samples.is_empty() {
            command.env("SAMPLES", Path::new(&env::var("KEEPWELL_DATA").unwrap()).join("hl7v2"));
        }
        let done = command.output().unwrap();
        println!("{}: {}", script.file_name().unwrap().display(), done.status);
        if !done.status.success() {
            failed.push(format!("{}: {}", script.display(), said(&done)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    assert!(pilot.process.interrupt().success());
}

fn scripts() -> Vec<PathBuf> {
    let mut scripts: Vec<_> = fs::read_dir(SCRIPTS).unwrap().map(|it| it.unwrap().path()).collect();
    scripts.sort();
    scripts
}
