//! Keys by hand: a backup, a caregiver, guardians and a lost wallet, with the commands as the documents show them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{fs, path::Path, process::Command};

use common::{Done, KEEPWELL, Pilot, Place, keepwell, scratch, wait_until};

/// Where the people of the story keep their files.
struct Desk<'a> {
    pilot: Place<'a>,
    folder: &'a Path,
}

impl Desk<'_> {
    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// A wallet of that name.
    fn wallet(&self, name: &str) -> String {
        let (dir, like) = (self.file(name), self.pilot.person("agent"));
        let operator = self.pilot.path("operator.key");
        keepwell(&["wallet", "new", "--dir", &dir, "--like", &like, "--operator-file", &operator])
            .ok();
        dir
    }

    /// A chart with a note, claimed by the wallet `ana`.
    fn claimed(&self) -> (String, String) {
        let (agent, letter) = (self.pilot.person("agent"), self.file("ana.letter"));
        let custodians = ["hospital", "laboratory"].map(|slug| self.pilot.organisation(slug));
        let [first, second] = &custodians;
        let opened = keepwell(&[
            "chart",
            "open",
            "--as",
            &agent,
            "--custodian",
            first,
            "--custodian",
            second,
            "--letter",
            &letter,
        ])
        .ok();
        let (chart, code) = (opened.word_after("chart "), opened.word_after(""));
        fs::write(self.file("note.txt"), "from the time before").unwrap();
        self.pilot.add(&agent, &chart, &self.folder.join("note.txt")).ok();
        let ana = self.wallet("ana");
        keepwell(&["chart", "claim", "--as", &ana, "--letter", &letter, "--code", &code]).ok();
        (chart, ana)
    }

    fn offer(&self, family: &str, who: &str, chart: &str) -> String {
        let out = self.file(&format!(
            "{}.{family}.offer",
            Path::new(who).file_name().unwrap().to_str().unwrap()
        ));
        keepwell(&[family, "offer", "--as", who, "--chart", chart, "--out", &out]).ok();
        out
    }

    /// Whether the wallet reads the note.
    fn reads(&self, who: &str, chart: &str) -> bool {
        let to = self.folder.join("read.txt");
        let _ = fs::remove_file(&to);
        let list = keepwell(&["--json", "record", "list", "--as", who, chart]);
        if !list.status.success() {
            return false;
        }
        let position = list.json().pointer("/0/position").unwrap().to_string();
        self.pilot.get(who, chart, &position, &to).ok();
        fs::read_to_string(to).unwrap() == "from the time before"
    }
}

#[test]
fn keys_for_life_by_hand() {
    let home = scratch();
    let mut pilot = Pilot::start(&home.path().join("pilot"));
    let folder = home.path().join("desk");
    fs::create_dir(&folder).unwrap();
    let desk = Desk { pilot: pilot.place(), folder: &folder };
    let (chart, ana) = desk.claimed();
    a_backup(&desk, &chart, &ana);
    a_caregiver(&desk, &chart, &ana);
    a_lost_wallet(&desk, &chart, &ana);
    another_passphrase(&desk);
    assert!(pilot.process.interrupt().success(), "{}", pilot.process.said());
}

fn a_backup(desk: &Desk<'_>, chart: &str, ana: &str) {
    let (backup, passphrase, again) =
        (desk.file("ana.backup"), desk.file("passphrase"), desk.file("ana-again"));
    fs::write(&passphrase, "a long passphrase\n").unwrap();
    let export =
        ["wallet", "export", "--as", ana, "--out", &backup, "--passphrase-file", &passphrase];
    keepwell(&export).ok();
    keepwell(&export).refused(&["exists already"]);
    let operator = desk.pilot.path("operator.key");
    let wrong = desk.file("wrong");
    fs::write(&wrong, "another\n").unwrap();
    let import = |passphrase: &str| {
        keepwell(&[
            "wallet",
            "import",
            "--from",
            &backup,
            "--passphrase-file",
            passphrase,
            "--dir",
            &again,
            "--like",
            ana,
            "--operator-file",
            &operator,
        ])
    };
    import(&wrong).refused(&["passphrase"]);
    import(&passphrase).ok();
    assert!(desk.reads(&again, chart));
}

fn a_caregiver(desk: &Desk<'_>, chart: &str, ana: &str) {
    let carer = desk.wallet("carer");
    let (offer, letter) = (desk.offer("proxy", &carer, chart), desk.file("carer.letter"));
    let named = keepwell(&[
        "proxy",
        "add",
        "--as",
        ana,
        "--chart",
        chart,
        "--offer",
        &offer,
        "--power",
        "read",
        "--compartment",
        "normal",
        "--days",
        "10",
        "--letter",
        &letter,
    ])
    .ok();
    let proxy = named.word_after("proxy ");
    keepwell(&["proxy", "accept", "--as", ana, "--letter", &letter]).refused(&[]);
    keepwell(&["proxy", "accept", "--as", &carer, "--letter", &letter]).ok();
    assert!(desk.reads(&carer, chart));
    let audit = keepwell(&["audit", "--as", ana, chart]).ok();
    assert!(audit.stdout.contains(&format!("proxy {proxy}")), "{audit:#?}");
    let list = keepwell(&["proxy", "list", "--as", ana, chart]).ok();
    assert!(list.stdout.contains(&proxy), "{list:#?}");
    let acts = keepwell(&["proxy", "acts", "--as", ana, chart]).ok();
    assert!(acts.stdout.contains("access.open"), "{acts:#?}");
    keepwell(&["proxy", "end", "--as", ana, "--chart", chart, &proxy]).ok();
    assert!(!desk.reads(&carer, chart));
}

fn a_lost_wallet(desk: &Desk<'_>, chart: &str, ana: &str) {
    let friends = ["ben", "eve", "max"].map(|name| desk.wallet(name));
    let offers = friends.each_ref().map(|who| desk.offer("guardian", who, chart));
    let group = format!("2:{}", offers.join(","));
    keepwell(&["guardian", "set", "--as", ana, "--chart", chart, "--group", "2:nobody"])
        .refused(&["nobody"]);
    keepwell(&["guardian", "set", "--as", ana, "--chart", chart, "--group", &group]).ok();
    let shown = keepwell(&["guardian", "show", "--as", ana, chart]).ok();
    assert!(shown.stdout.contains("2 of 3"), "{shown:#?}");

    let new = desk.wallet("ana-new");
    let offer = desk.offer("recover", &new, chart);
    let [ben, eve, _] = &friends;
    let start = ["recover", "start", "--as", ben, "--chart", chart, "--offer", &offer];
    let started = keepwell(&start).ok();
    let recovery = started.word_after("recovery ");
    let status = keepwell(&["recover", "status", "--as", ana, chart]).ok();
    assert!(status.stdout.contains("waits for further guardians"), "{status:#?}");
    keepwell(&["recover", "veto", "--as", ana, "--chart", chart, &recovery]).ok();

    let recovery = keepwell(&start).ok().word_after("recovery ");
    keepwell(&["recover", "approve", "--as", eve, "--chart", chart, "--offer", &offer]).ok();
    keepwell(&["recover", "withdraw", "--as", eve, "--chart", chart, &recovery]).ok();
    keepwell(&["recover", "approve", "--as", eve, "--chart", chart, "--offer", &offer]).ok();
    keepwell(&["recover", "finish", "--as", &new, chart]).refused(&["can be finished from"]);
    wait_until(|| keepwell(&["recover", "finish", "--as", &new, chart]).status.success());
    assert!(desk.reads(&new, chart));
    assert!(!desk.reads(ana, chart));

    keepwell(&["chart", "close", "--as", &new, chart]).ok();
    desk.pilot.add(&new, chart, &desk.folder.join("note.txt")).refused(&[]);
    assert!(desk.reads(&new, chart));
}

/// The new passphrase never comes from where the old one does.
fn another_passphrase(desk: &Desk<'_>) {
    let [old, new] = ["old", "new"].map(|name| {
        let path = desk.file(name);
        fs::write(&path, format!("the {name} passphrase\n")).unwrap();
        path
    });
    // Without a terminal: what would be asked for is refused.
    let with = |passphrase: &str, arguments: &[&str]| {
        let mut command = Command::new("setsid");
        command.env("KEEPWELL_PASSPHRASE_FILE", passphrase).arg(KEEPWELL);
        Done::of(&mut command, arguments)
    };
    let (dir, like) = (desk.file("typed"), desk.pilot.person("agent"));
    with(&old, &["wallet", "new", "--dir", &dir, "--like", &like]).ok();
    let key = Path::new(&dir).join("wallet/wallet.key");
    let before = fs::read(&key).unwrap();
    let relock = ["relock", "--as", &dir];
    with(&old, &relock).refused(&["the terminal", "--to-passphrase-file"]);
    let to = |passphrase| [&relock[..], &["--to-passphrase-file", passphrase]].concat();
    with(&old, &to(&old)).refused(&["nothing was changed"]);
    assert_eq!(fs::read(&key).unwrap(), before);
    let held = fs::File::open(&dir).unwrap();
    held.lock().unwrap();
    with(&old, &to(&new)).refused(&["wait for its end"]);
    drop(held);
    let done = with(&old, &to(&new)).ok();
    assert!(done.stdout.contains("1 key files in "), "{done:#?}");
    let show = ["wallet", "show", "--as", &dir];
    with(&old, &show).refused(&["passphrase"]);
    with(&new, &show).ok();
    // As after a crash: the file is locked anew, and that is said.
    let again = with(&old, &to(&new)).ok();
    assert!(again.stdout.contains("0 key files") && again.stdout.contains("1 were so already"));
    fs::remove_file(&key).unwrap();
    with(&new, &to(&old)).refused(&["no key file in"]);
}
