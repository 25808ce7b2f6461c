//! Keys that a PKCS#11 token unlocks: SoftHSM's, from Debian's package `softhsm2`. Without the package nothing is
//! tested here, and in CI that is a failure.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Done, KEEPWELL, Pilot, Place, Process,
    nodes::{Node, SLUGS, meet, move_out},
    scratch, wait_until,
};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The same module, with faults of cards and readers.
const FAULTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/token/faulty.c");
/// As no other word that anything prints.
const PIN: &str = "zq-Pin-271828";
const WRONG: &str = "zq-Pin-314159";
/// What a program ends with that starts no better the next time, since the PIN is wrong.
const WRONG_PIN: Option<i32> = Some(4);

fn is_here() -> bool {
    let is_here = Path::new(MODULE).exists();
    if !is_here {
        assert!(env::var_os("CI").is_none(), "no {MODULE}: apt-get install softhsm2");
        eprintln!("skipped: no {MODULE}; apt-get install softhsm2");
    }
    is_here
}

/// A drawer of SoftHSM's tokens.
struct Tokens {
    home: PathBuf,
    conf: PathBuf,
}

impl Tokens {
    /// An empty one; `more` are further lines of its configuration.
    fn new(home: &Path, more: &str) -> Self {
        let (drawer, conf) = (home.join("drawer"), home.join("softhsm2.conf"));
        fs::create_dir_all(&drawer).unwrap();
        let lines =
            format!("directories.tokendir = {}\nobjectstore.backend = file\n", drawer.display());
        fs::write(&conf, lines + more).unwrap();
        Self { home: home.to_path_buf(), conf }
    }

    fn path(&self, name: &str) -> String {
        self.home.join(name).to_str().unwrap().to_owned()
    }

    fn variable(&self) -> String {
        format!("SOFTHSM2_CONF={}", self.conf.display())
    }

    fn util(&self, arguments: &[&str]) -> Done {
        Done::of(Command::new("softhsm2-util").env("SOFTHSM2_CONF", &self.conf), arguments).ok()
    }

    fn init(&self, label: &str) {
        let pins = ["--pin", PIN, "--so-pin", "zq-officer"];
        self.util(&[&["--init-token", "--free", "--label", label], &pins[..]].concat());
    }

    /// Pulls every token out, or plugs them in again.
    fn pull(&self, out: bool) {
        let (drawer, table) = (self.home.join("drawer"), self.home.join("table"));
        let (from, to) = if out { (&drawer, &table) } else { (&table, &drawer) };
        fs::rename(from, to).unwrap();
        if out {
            fs::create_dir(&drawer).unwrap();
        }
    }

    /// A file for this user alone.
    fn pin_file(&self, pin: &str) -> String {
        let path = self.path("pin");
        fs::write(&path, format!("{pin}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Runs the program beside these tokens, which tells nobody a PIN.
    #[track_caller]
    fn keepwell(&self, arguments: &[&str]) -> Done {
        let mut command = Command::new(KEEPWELL);
        command.env("SOFTHSM2_CONF", &self.conf).env("KEEPWELL_LOG", "trace");
        command.current_dir(&self.home);
        let done = Done::of(&mut command, arguments);
        for said in [&done.stdout, &done.stderr] {
            assert!(!said.contains(PIN) && !said.contains(WRONG), "{done:#?}");
        }
        done
    }

    /// A module that fails as `fault` says, with these tokens behind it.
    #[track_caller]
    fn faulty(&self, fault: &str, verb: &str, (token, key): (&str, &str)) -> Done {
        let (module, pin) = (self.path("faulty.so"), self.path("pin"));
        if !Path::new(&module).exists() {
            let compile = ["-shared", "-fPIC", "-o", &module, FAULTY, "-ldl"];
            Done::of(&mut Command::new("cc"), &compile).ok();
        }
        let named = ["token", verb, "--module", &module, "--token", token, "--key", key];
        let mut command = Command::new(KEEPWELL);
        command.env("SOFTHSM2_CONF", &self.conf).env("FAULT", fault).current_dir(&self.home);
        Done::of(&mut command, &[&named[..], &["--pin-file", &pin]].concat())
    }

    /// `token new` or `token check`.
    #[track_caller]
    fn token(&self, verb: &str, (module, token, key): (&str, &str, &str), more: &[&str]) -> Done {
        let pin = self.path("pin");
        let named = ["token", verb, "--module", module, "--token", token, "--key", key];
        self.keepwell(&[&named[..], &["--pin-file", &pin], more].concat())
    }
}

#[test]
fn each_fault_of_a_token_is_told_apart() {
    if !is_here() {
        return;
    }
    let home = scratch();
    let tokens = Tokens::new(home.path(), "");
    let pin = tokens.pin_file(PIN);
    let own = (MODULE, "hospital", "keepwell");
    tokens.token("new", own, &[]).refused(&["sees none at all", "plug it in"]);
    tokens.init("hospital");
    tokens.init("twin");
    tokens.init("twin");

    let described = tokens.path("operator.toml");
    let made = tokens.token("new", own, &["--to", &described]).ok();
    assert!(made.stdout.contains("operator_token = { key = "), "{made:#?}");
    assert!(!fs::read_to_string(&described).unwrap().contains(PIN));
    tokens.token("check", own, &[]).ok();
    // Neither a key nor a description is replaced.
    tokens.token("new", own, &[]).refused(&["has something named \"keepwell\" already"]);
    let other = (MODULE, "hospital", "other");
    tokens.token("new", other, &["--to", &described]).refused(&["is there already"]);
    tokens.token("new", other, &["--to", "nowhere/operator.toml"]).refused(&["check the path"]);
    tokens.token("check", other, &[]).refused(&["has no key \"other\""]);

    fs::write(tokens.path("aes"), [7; 32]).unwrap();
    let aes = tokens.path("aes");
    let import = ["--import", &aes, "--aes", "--token", "hospital", "--label", "aes", "--id", "01"];
    tokens.util(&[&import[..], &["--pin", PIN]].concat());
    let (none, libc) = (tokens.path("none.so"), "/bin/true");
    for (named, words) in [
        ((&none[..], "hospital", "keepwell"), ["none.so cannot be used", "name its module"]),
        ((libc, "hospital", "keepwell"), ["/bin/true cannot be used", "name its module"]),
        ((MODULE, "clinic", "keepwell"), ["no token \"clinic\"", "\"hospital\""]),
        ((MODULE, "twin", "keepwell"), ["2 tokens are named", "unplug one"]),
        ((MODULE, "hospital", "kepwell"), ["has no key \"kepwell\"", "keepwell token new"]),
        ((MODULE, "hospital", "aes"), ["no generic secret", "keepwell token new"]),
    ] {
        let done = tokens.token("check", named, &[]).refused(&words);
        assert_eq!(done.status.code(), Some(1), "{done:#?}");
    }
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o644)).unwrap();
    tokens.token("check", own, &[]).refused(&["chmod 600"]);
    fs::remove_file(&pin).unwrap();
    tokens.token("check", own, &[]).refused(&["the PIN's file", "check that it is there"]);
    tokens.pin_file(PIN);

    let conf = fs::read_to_string(&tokens.conf).unwrap();
    fs::write(&tokens.conf, conf + "slots.mechanisms = CKM_GENERIC_SECRET_KEY_GEN\n").unwrap();
    tokens.token("check", own, &[]).refused(&["does not know CKM_SHA256_HMAC"]);
}

#[test]
fn a_key_that_does_not_serve_is_not_left_behind() {
    if !is_here() {
        return;
    }
    let home = scratch();
    let tokens = Tokens::new(home.path(), "");
    tokens.pin_file(PIN);
    tokens.init("hospital");
    let shown = tokens.faulty("shown", "new", ("hospital", "keepwell"));
    shown.refused(&["can be read out of it", "operator's file", "is removed from it again"]);
    let own = (MODULE, "hospital", "keepwell");
    tokens.token("check", own, &[]).refused(&["has no key \"keepwell\""]);
    tokens.token("new", own, &[]).ok();
}

#[test]
fn a_card_that_cannot_be_read_hides_no_other() {
    if !is_here() {
        return;
    }
    let home = scratch();
    let tokens = Tokens::new(home.path(), "");
    tokens.pin_file(PIN);
    for label in ["hospital", "clinic"] {
        tokens.init(label);
        tokens.token("new", (MODULE, label, "keepwell"), &[]).ok();
    }
    let own = |label| tokens.faulty("unreadable", "check", (label, "keepwell"));
    let seen = [own("hospital"), own("clinic")];
    let there: Vec<_> = seen.iter().map(|it| it.status.success()).collect();
    assert!(there == [true, false] || there == [false, true], "{seen:#?}");
    let lost = seen.iter().find(|it| !it.status.success()).unwrap();
    assert!(lost.stderr.contains("there is no token"), "{lost:#?}");
}

/// A service that is started again and again with a wrong PIN would lock a token of three tries.
#[test]
fn a_wrong_pin_is_tried_once() {
    if !is_here() {
        return;
    }
    let home = scratch();
    let tokens = Tokens::new(home.path(), "");
    tokens.pin_file(PIN);
    tokens.init("hospital");
    // A bare name, as people type it.
    let (own, described) = ((MODULE, "hospital", "keepwell"), "operator.toml");
    tokens.token("new", own, &["--to", described]).ok();
    let unattended = |name: &str| {
        let dir = tokens.path(name);
        let new = ["trustee", "new", "--dir", &dir, "--name", "Advocate"];
        tokens.keepwell(&[&new[..], &["--operator-token", described]].concat())
    };
    unattended("first").ok();
    tokens.pin_file(WRONG);
    let refused = unattended("second").refused(&["refuses the PIN, which was tried once"]);
    assert_eq!(refused.status.code(), WRONG_PIN);
    // Not even the right one, which is as good as any other as long as nobody knows.
    tokens.pin_file(PIN);
    let refused = unattended("second").refused(&["no other was tried", "keepwell token check"]);
    assert_eq!(refused.status.code(), WRONG_PIN);
    tokens.token("check", own, &[]).ok();
    unattended("second").ok();
    // A login that fails in any other way may have been a try as well.
    let failed = tokens.faulty("login", "check", ("hospital", "keepwell"));
    let failed = failed.refused(&["tried once: C_Login says FunctionFailed"]);
    assert_eq!(failed.status.code(), WRONG_PIN);
}

/// A node as its operator moves it to a token: it starts and serves with it, and nothing of it opens without.
#[test]
fn a_node_lives_with_a_token() {
    if !is_here() {
        return;
    }
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    move_out(&place);
    let tokens = Tokens::new(home.path(), "");
    let pin = tokens.pin_file(PIN);
    tokens.init("hospital");
    let (own, described) = ((MODULE, "hospital", "keepwell"), tokens.path("operator.toml"));
    tokens.token("new", own, &["--to", &described]).ok();

    let desk = Desk { place, tokens };
    desk.move_to_the_token(&described);
    desk.nothing_opens_without();
    let mut nodes = vec![desk.start_hospital()];
    nodes.extend(SLUGS[1..].iter().map(|slug| Node::start(&place, slug)));
    desk.serves(&mut nodes);
    desk.starts_only_with_the_right_pin(&mut nodes[0], &pin);
    nodes[0].process.interrupt();
    desk.people_live_with_it_too(&described);
    desk.move_back();
    nodes[0] = Node::start(&place, "hospital");
    meet(&nodes, 1);
}

struct Desk<'a> {
    place: Place<'a>,
    tokens: Tokens,
}

impl Desk<'_> {
    fn config(&self) -> String {
        self.place.node_config("hospital")
    }

    /// Puts a line into the place of another one in the hospital's configuration.
    fn configure(&self, from: &str, to: &str) {
        let config = fs::read_to_string(self.config()).unwrap();
        let lines: Vec<_> =
            config.lines().map(|line| if line.starts_with(from) { to } else { line }).collect();
        fs::write(self.config(), lines.join("\n")).unwrap();
    }

    fn check(&self) -> Done {
        self.tokens.keepwell(&["config", "check", "--ask-token", "--config", &self.config()])
    }

    /// What the unit asks before each start.
    fn check_without_the_token(&self) -> Done {
        self.tokens.keepwell(&["config", "check", "--config", &self.config()])
    }

    fn begin_hospital(&self) -> Node {
        let (conf, config) = (self.tokens.variable(), self.config());
        let words = [&conf, "KEEPWELL_LOG=debug", KEEPWELL, "node", "--config", &config];
        let log = self.place.dir.join("hospital.log");
        Node::of(&self.place, "hospital", Process::start_in((None, "env"), &words, &log))
    }

    fn start_hospital(&self) -> Node {
        let mut node = self.begin_hospital();
        node.process.wait_for("peers: ");
        node
    }

    /// What a node says that does not start.
    fn refusal(&self) -> (Option<i32>, String) {
        let mut node = self.begin_hospital();
        let code = node.process.end().code();
        let said = node.process.said();
        assert!(!said.contains(PIN) && !said.contains(WRONG), "{said}");
        (code, said)
    }

    fn move_to_the_token(&self, described: &str) {
        let relock = ["relock", "--config", &self.config(), "--to-operator-token", described];
        let moved = self.tokens.keepwell(&relock).ok();
        let setting = moved.stdout.lines().last().unwrap().trim();
        // Until the configuration says so, nothing opens.
        self.check().refused(&["1 of 9"]);
        // Again is no harm: that is how one that was cut off is mended.
        let again = self.tokens.keepwell(&relock).ok();
        assert!(again.stdout.contains("0 key files in "), "{again:#?}");
        self.configure("operator_file", setting);
        let good = self.check().ok();
        assert!(good.stdout.contains("they unlock"), "{good:#?}");
        assert!(!fs::read_to_string(self.config()).unwrap().contains(PIN));
        self.tokens.keepwell(&relock).refused(&["what unlocks them now"]);
    }

    /// The disk without the token, and with another one that says it is the same.
    fn nothing_opens_without(&self) {
        let good = fs::read_to_string(self.config()).unwrap();
        self.configure("operator_token", "operator_file = \"../../operator.key\"");
        let refused = self.check().refused(&[]);
        assert!(refused.stdout.contains("operator's file or token that locked it"), "{refused:#?}");
        fs::write(self.config(), good).unwrap();

        self.tokens.pull(true);
        assert!(self.check().refused(&[]).stdout.contains("sees none at all"));
        let (code, said) = self.refusal();
        assert!(code == Some(1) && said.contains("there is no token \"hospital\""), "{said}");
        self.tokens.init("hospital");
        self.tokens.token("new", (MODULE, "hospital", "keepwell"), &[]).ok();
        let refused = self.check().refused(&[]);
        assert!(refused.stdout.contains("operator's file or token that locked it"), "{refused:#?}");
        fs::remove_dir_all(self.tokens.path("drawer")).unwrap();
        self.tokens.pull(false);
    }

    /// A node needs its token when it starts, and no more.
    fn serves(&self, nodes: &mut [Node]) {
        let height = meet(nodes, 1);
        let running =
            ["relock", "--config", &self.config(), "--to-operator-file", &self.operator()];
        self.tokens.keepwell(&running).refused(&["another process runs a node in"]);
        self.tokens.pull(true);
        let status = ["status", "--config", &self.config(), "--once"];
        wait_until(|| self.tokens.keepwell(&status).stdout.contains("3 of 3 connected"));
        self.tokens.pull(false);
        nodes[0].process.kill();
        nodes[0] = self.start_hospital();
        meet(nodes, height);
        let said = nodes[0].process.said();
        assert!(said.contains("DEBUG") && !said.contains(PIN), "{said}");
    }

    fn starts_only_with_the_right_pin(&self, hospital: &mut Node, pin: &str) {
        hospital.process.interrupt();
        self.tokens.pin_file(WRONG);
        // The look before the start leaves the one try to the node.
        let looked = self.check_without_the_token().ok();
        assert!(looked.stdout.contains("was not asked"), "{looked:#?}");
        let (code, said) = self.refusal();
        assert!(code == WRONG_PIN && said.contains("tried once"), "{said}");
        for _ in 0..3 {
            let (code, said) = self.refusal();
            assert!(code == WRONG_PIN && said.contains("no other was tried"), "{said}");
        }
        self.tokens.pin_file(PIN);
        self.tokens.token("check", (MODULE, "hospital", "keepwell"), &[]).ok();
        *hospital = self.start_hospital();
        assert_eq!(fs::metadata(pin).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// A profile's keys behind the same token, and back in a file.
    fn people_live_with_it_too(&self, described: &str) {
        let (wallet, like) = (self.tokens.path("ana"), self.place.person("agent"));
        let new = ["wallet", "new", "--dir", &wallet, "--like", &like];
        self.tokens.keepwell(&[&new[..], &["--operator-token", described]].concat()).ok();
        let show = ["wallet", "show", "--as", &wallet];
        self.tokens.keepwell(&show).ok();
        let back = ["relock", "--as", &wallet, "--to-operator-file", &self.operator()];
        let key = fs::read(self.tokens.home.join("ana/wallet/wallet.key")).unwrap();
        self.tokens.keepwell(&back).ok();
        assert_ne!(fs::read(self.tokens.home.join("ana/wallet/wallet.key")).unwrap(), key);
        self.tokens.pull(true);
        self.tokens.keepwell(&show).ok();
        self.tokens.pull(false);
        let (trustee, operator) = (self.tokens.path("trustee"), self.operator());
        let new_trustee = ["trustee", "new", "--dir", &trustee, "--name", "Advocate"];
        self.tokens.keepwell(&[&new_trustee[..], &["--operator-token", described]].concat()).ok();
        let move_trustee = |from: [&str; 2], to: [&str; 2]| {
            let relock = [&["relock", "--trustee", &trustee][..], &from, &to].concat();
            self.tokens.keepwell(&relock)
        };
        let token = ["--operator-token", described];
        let done = move_trustee(token, ["--to-operator-file", &operator]).ok();
        assert!(done.stdout.contains("1 key files"), "{done:#?}");
        move_trustee(token, ["--to-operator-token", described]).refused(&["what unlocks them now"]);
        move_trustee(["--operator-file", &operator], ["--to-operator-token", described]).ok();
        let misused = ["--operator-file", &operator, "--to-operator-token", described];
        let misused = [&["relock", "--as", &wallet][..], &misused].concat();
        self.tokens.keepwell(&misused).refused(&["are for --trustee"]);
        let both = ["--operator-token", described, "--operator-file", &self.operator()];
        self.tokens.keepwell(&[&new[..], &both].concat()).refused(&["cannot be used with"]);
    }

    fn operator(&self) -> String {
        self.place.path("operator.key")
    }

    fn move_back(&self) {
        let back = ["relock", "--config", &self.config(), "--to-operator-file", &self.operator()];
        let moved = self.tokens.keepwell(&back).ok();
        let setting = moved.stdout.lines().last().unwrap().trim();
        self.configure("operator_token", setting);
        self.tokens.pull(true);
        assert!(self.check().ok().stdout.contains("they unlock"));
    }
}
