//! Clients of others, as people have them, against a pilot's gateway: each script in `clients` is a user of one.
//!
//! They are installed by `pip` and `npm` into the target folder, once for each list of versions. Where that cannot be done
//! they are skipped, with a word.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use common::{
    Place,
    desk::{Desk, pilot},
    scratch,
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
const INSTALLED: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/clients");

#[test]
fn the_clients_of_others_work() {
    let python = installed("requirements.txt", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
        let pip = ["-m", "pip", "install", "--quiet", "--requirement"];
        run(Command::new(folder.join("venv/bin/python")).args(pip).arg("requirements.txt"))
    });
    let node = installed("package.json", |folder| {
        let npm = ["install", "--silent", "--no-audit", "--no-fund"];
        let list = Path::new(SCRIPTS).join("package.json");
        fs::copy(list, folder.join("package.json")).map_err(|it| it.to_string())?;
        run(Command::new("npm").args(npm).current_dir(folder))
    });
    if python.is_none() && node.is_none() {
        return;
    }
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let mut desk = Desk::start(Place { dir: &dir });
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
        let done = command.arg(&copy).env("BASE", &desk.base).env("TOKEN", token).output().unwrap();
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

/// Where what `list` names is installed; nothing if it cannot be.
fn installed(list: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Option<PathBuf> {
    let folder = Path::new(INSTALLED).join(list);
    let (wanted, stamp) =
        (fs::read(Path::new(SCRIPTS).join(list)).unwrap(), folder.join("installed"));
    if fs::read(&stamp).is_ok_and(|it| it == wanted) {
        return Some(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    if let Err(why) = install(&folder) {
        println!("SKIPPED: what {list} names cannot be installed: {why}");
        return None;
    }
    fs::write(stamp, wanted).unwrap();
    Some(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    if command.get_current_dir().is_none() {
        command.current_dir(SCRIPTS);
    }
    let done = command.output().map_err(|error| error.to_string())?;
    if done.status.success() { Ok(()) } else { Err(said(&done)) }
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&[done.stdout.clone(), done.stderr.clone()].concat()).into_owned()
}
