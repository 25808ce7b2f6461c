//! Everything that an unlucky user does wrong, and what disks do to them. Each failure ends the command
//! with a message that says whose fault it is and what to do next, and never with a panic.
//!
//! A table has one command on a line, `{names}` standing for paths and ids, and behind `|` the words that
//! its message must have.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Done, KEEPWELL, Pilot, Place, Process, keepwell,
    nodes::{Node, move_out},
    scratch, wait_until,
};

/// What the names in a table stand for.
type Names = BTreeMap<&'static str, String>;

/// Runs each line of a table, which must fail with the words behind it.
#[track_caller]
fn check(names: &Names, table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, words) = line.split_once('|').unwrap();
        let arguments: Vec<_> = command.split_whitespace().map(|word| named(names, word)).collect();
        let words: Vec<_> = words.split('&').map(|word| named(names, word.trim())).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        keepwell(&arguments).refused(&words);
    }
}

fn named(names: &Names, text: &str) -> String {
    let replace = |text: String, (name, meaning): (&&str, &String)| {
        text.replace(&format!("{{{name}}}"), meaning)
    };
    names.iter().fold(text.to_owned(), replace)
}

fn copy_folder(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// Turns over one bit in the middle of what was written to a file; what follows may be room for more.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let middle = written / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_unlucky_user_and_an_unlucky_disk() {
    let home = scratch();
    let mut pilot = Pilot::start(&home.path().join("pilot"));
    let place = pilot.place();
    let desk = home.path().join("desk");
    fs::create_dir(&desk).unwrap();
    let names = names(&place, &desk);

    wrong_words(&names);
    wrong_files(&names, &place, &desk);
    wrong_profiles(&names, &place);
    folders_in_use(&names);
    assert!(pilot.process.interrupt().success(), "{}", pilot.process.said());

    let place = pilot.place();
    altered_receipts(&names, &place);
    damaged_custody(&place);
    damaged_nodes(&place);
}

fn names(place: &Place<'_>, desk: &Path) -> Names {
    let (chart, wallet) = place.claimed();
    let clinician = place.person("clinician");
    let member = keepwell(&["wallet", "show", "--as", &clinician]).ok().word_after("member ");
    let unclaimed = place.toml("pilot.toml")["patients"].as_array().unwrap().clone();
    let unclaimed = unclaimed.iter().find(|it| it.get("letter").is_some()).unwrap();
    fs::write(desk.join("note"), "a note").unwrap();
    fs::create_dir(desk.join("empty")).unwrap();
    Names::from([
        ("chart", chart),
        ("wallet", wallet),
        ("clinician", clinician),
        ("member", member),
        ("agent", place.person("agent")),
        ("hospital", place.organisation("hospital")),
        ("letter", unclaimed["letter"].as_str().unwrap().to_owned()),
        ("code", unclaimed["code"].as_str().unwrap().to_owned()),
        ("genesis", place.genesis()),
        ("receipt", place.path("discharge-note.receipt")),
        ("pilot", place.path("")),
        ("hospital.toml", place.node_config("hospital")),
        ("desk", desk.to_str().unwrap().to_owned()),
        ("64zeros", "0".repeat(64)),
        ("32zeros", "0".repeat(32)),
    ])
}

/// Ids, positions, codes and roles that do not fit.
fn wrong_words(names: &Names) {
    check(
        names,
        "
        record list --as {wallet} {64zeros}                                       | has no chart {64zeros} & claim it
        record list --as {clinician} {64zeros}                                    | the chart is not on the ledger
        record list --as {clinician} {chart}                                      | ask with the key of one of them
        record get --as {wallet} --chart {chart} --position 99999 --to {desk}/x   | no record stands at position 99999 & record list
        record get --as {clinician} --chart {chart} --position 1 --to {desk}/x    | ask with the key of one of them
        record get --as {wallet} --chart {chart} --position 1 --to {desk}         | {desk} & name a file
        record get --as {wallet} --chart {chart} --position 1 --to {desk}/no/x    | {desk}/no/x & check the path
        record add --as {wallet} --chart {chart} --compartment dental {desk}/note | no compartment of this chart is called dental; it has: & normal
        record add --as {wallet} --chart {chart} --compartment 16 {desk}/note     | no compartment of this chart is called 16; it has: & normal
        record add --as {clinician} --chart {chart} --compartment 1 {desk}/note   | 0 custodians stored & ask with the key of one of them
        open --as {clinician} --chart {chart} --compartment 1                     | act as the patient's wallet
        open --as {clinician} --chart {chart} --grant {32zeros} --compartment 1   | ask with the key of one of them
        open --as {wallet} --chart {chart} --grant {32zeros} --compartment 1      | this needs a member's profile
        open --as {wallet} --chart {chart} --compartment dental                   | no compartment of this chart is called dental
        grant revoke --as {wallet} --chart {chart} {32zeros}                      | grant {32zeros} is not in this chart & check its id
        grant give --as {wallet} --chart {chart} --to {member} --key {clinician}/member.pub --compartment normal --days 0  | refused: & time
        grant give --as {wallet} --chart {chart} --to {32zeros} --key {clinician}/member.pub --compartment normal  | member {32zeros} is not on the ledger & enrol
        grant give --as {agent} --chart {chart} --to {member} --key {clinician}/member.pub --compartment normal    | refused
        chart claim --as {wallet} --letter {letter} --code ABCD-EFGH              | a code has 28 & printed code
        chart claim --as {agent} --letter {letter} --code {code}                  | charts are claimed by a wallet
        chart open --as {wallet} --custodian {hospital} --letter {desk}/letter    | opened by an organisation's key agent
        chart open --as {agent} --custodian {32zeros} --letter {desk}/letter      | organisation {32zeros} is not of this consortium
        anchor --as {wallet} {desk} --receipts {desk}/receipts                    | this needs a member's profile
        receipt --as {agent} --height 999999 --to {desk}/x                        | the entry is not on the ledger
        receipt --as {wallet} --height 1 --to {desk}/x                            | this needs a member's profile
        ",
    );
}

/// Files and folders that are missing, of another kind, or cut off.
fn wrong_files(names: &Names, place: &Place<'_>, desk: &Path) {
    let letter = fs::read(&names["letter"]).unwrap();
    fs::write(desk.join("cut.letter"), &letter[..letter.len() / 2]).unwrap();
    fs::copy(place.path("people/clinician/member.pub"), desk.join("flipped.pub")).unwrap();
    flip(&desk.join("flipped.pub"));
    check(
        names,
        "
        record add --as {wallet} --chart {chart} {desk}/nowhere.pdf            | {desk}/nowhere.pdf & check the path
        record add --as {wallet} --chart {chart} {desk}                        | {desk} is no regular file; name a file
        record add --as {wallet} --chart {chart} /dev/null                     | /dev/null is no regular file
        anchor --as {agent} {desk}/empty --receipts {desk}/receipts            | no documents to anchor; name a folder
        anchor --as {agent} {desk}/nowhere --receipts {desk}/receipts          | {desk}/nowhere & check the path
        chart claim --as {wallet} --letter {desk}/nowhere --code {code}        | {desk}/nowhere & check the path
        chart claim --as {wallet} --letter {desk}/cut.letter --code {code}     | not a claim letter & cut off
        grant give --as {wallet} --chart {chart} --to {member} --key {desk}/note --compartment normal         | {desk}/note & not an X-Wing public key
        grant give --as {wallet} --chart {chart} --to {member} --key {desk}/flipped.pub --compartment normal  | not the one on the ledger; get the key from the grantee again
        ",
    );
}

/// Profiles and keys that are not there, not whole, or someone else's.
fn wrong_profiles(names: &Names, place: &Place<'_>) {
    let operator = place.path("operator.key");
    // A second consortium, founded and no more.
    let other = place.dir.with_extension("other");
    let mut founder = Pilot::begin(&other);
    founder.process.wait_for("Founded");
    founder.process.kill();

    let copy = |name: &str, change: &dyn Fn(&Path)| {
        let folder = PathBuf::from(place.person(name));
        copy_folder(Path::new(&names["wallet"]), &folder);
        change(&folder);
    };
    let edit = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |folder: &Path| {
            let path = folder.join("profile.toml");
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(&from), "{text}");
            fs::write(path, text.replace(&from, &to)).unwrap();
        }
    };
    let key = |folder: &Path| folder.join("wallet/wallet.key");
    copy("other-genesis", &edit("../../genesis", "../../../pilot.other/genesis"));
    copy("other-operator", &edit("../../operator", "../../../pilot.other/operator"));
    copy("no-url", &edit("http://", "node "));
    copy("dead-nodes", &|folder| {
        let path = folder.join("profile.toml");
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| match line.rsplit_once(':') {
            Some((before, _)) => format!("{before}:1\"\n"),
            None => format!("{line}\n"),
        });
        fs::write(path, lines.collect::<String>()).unwrap();
    });
    copy("cut-key", &|folder| {
        let bytes = fs::read(key(folder)).unwrap();
        fs::write(key(folder), &bytes[..bytes.len() / 2]).unwrap();
    });
    copy("flipped-key", &|folder| flip(&key(folder)));
    copy("flipped-index", &|folder| flip(&folder.join("wallet/wallet.index")));
    copy("open-key", &|folder| {
        fs::set_permissions(key(folder), fs::Permissions::from_mode(0o644)).unwrap();
    });
    copy("no-keys", &|folder| fs::remove_dir_all(folder.join("wallet")).unwrap());

    let mut names = names.clone();
    names.insert("people", place.path("people"));
    names.insert("operator", operator);
    let before = fs::read(place.path("people/agent/profile.toml")).unwrap();
    check(
        &names,
        "
        audit --as {desk}/nowhere {chart}              | {desk}/nowhere/profile.toml & check the path
        audit --as {desk}/note {chart}                 | {desk}/note/profile.toml & name a folder
        audit --as {desk} {chart}                      | {desk}/profile.toml & check the path
        audit --as {people}/other-genesis {chart}      | consortium
        audit --as {people}/other-operator {chart}     | wallet.key & operator key is wrong
        audit --as {people}/no-url {chart}             | is not the address of a node; it looks like
        audit --as {people}/dead-nodes {chart}         | no node could answer & 127.0.0.1:1 cannot be reached; start it
        audit --as {people}/cut-key {chart}            | wallet.key & cut off & restore it from your copy
        audit --as {people}/flipped-key {chart}        | wallet.key & restore it from your copy
        audit --as {people}/flipped-index {chart}      | wallet.index & restore it from your copy
        audit --as {people}/open-key {chart}           | wallet.key & chmod 600
        audit --as {people}/no-keys {chart}            | holds no member.key, agent or wallet & keepwell wallet new
        wallet new --dir {desk}/new --like {desk}      | {desk}/profile.toml & check the path
        wallet new --dir {wallet} --like {agent} --operator-file {operator}      | exists already & choose another place
        wallet new --dir {desk}/new --like {agent} --operator-file {desk}/note   | {desk}/note & exactly 32 bytes
        ",
    );
    assert_eq!(fs::read(place.path("people/agent/profile.toml")).unwrap(), before);
    keepwell(&["wallet", "show", "--as", &names["wallet"]]).ok();
    wrong_passphrases(&names);
}

fn wrong_passphrases(names: &Names) {
    let desk = Path::new(&names["desk"]);
    let with = |passphrase: &str, arguments: &[&str]| {
        let file = desk.join("passphrase");
        fs::write(&file, passphrase).unwrap();
        Done::of(Command::new(KEEPWELL).env("KEEPWELL_PASSPHRASE_FILE", file), arguments)
    };
    let wallet = format!("{}/with-passphrase", names["desk"]);
    let new = ["wallet", "new", "--dir", &wallet, "--like", &names["agent"]];
    let show = ["wallet", "show", "--as", &wallet];
    with("", &new).refused(&["the passphrase is empty; choose one"]);
    with("correct horse\n", &new).ok();
    with("correct horse", &show).ok();
    with("battery staple", &show).refused(&["wallet.key", "passphrase", "wrong", "try again"]);
    // Nobody is there to type it.
    let mut alone = Command::new("setsid");
    Done::of(alone.arg(KEEPWELL).env_remove("KEEPWELL_PASSPHRASE_FILE"), &show)
        .refused(&["KEEPWELL_PASSPHRASE_FILE"]);
}

/// Folders and ports that another process holds.
fn folders_in_use(names: &Names) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut names = names.clone();
    names.insert("port", taken.local_addr().unwrap().port().to_string());
    check(
        &names,
        "
        pilot --dir {pilot} --port 0                        | another process runs a node in & stop it first
        node --config {hospital.toml}                       | another process runs a node in & stop it first
        fsck --config {hospital.toml}                       | another process runs a node in & stop it first
        fsck --config {desk}/nowhere.toml                   | {desk}/nowhere.toml cannot be read
        node --config {desk}/note                           | the configuration has a mistake
        pilot --dir {desk}/taken --port {port}              | cannot have {port} & stop what uses it & --port
        pilot --dir {desk}/last --port 65530                | cannot have 65535 & --port
        pilot --dir {desk}/note --port 0                    | {desk}/note & name a folder
        pilot --dir {desk}/note/below --port 0              | {desk}/note/below & name a folder
        ",
    );
    assert!(
        !Path::new(&names["desk"]).join("taken").exists(),
        "nothing is founded on a taken port"
    );
}

#[test]
fn a_read_only_folder_is_named() {
    let home = scratch();
    let folder = home.path().join("read-only");
    fs::create_dir(&folder).unwrap();
    // In a namespace of mounts of its own, which ends with the shell: even root cannot write there.
    let script =
        "mount -t tmpfs -o ro tmpfs \"$1\" && exec \"$2\" pilot --port 0 --dir \"$1/pilot\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).args([&folder, Path::new(KEEPWELL)]);
    let done = Done::of::<&str>(&mut command, &[]);
    if ["unshare", "mount:"].iter().any(|it| done.stderr.starts_with(it)) {
        eprintln!("skipped: this system lets nobody mount here: {}", done.stderr);
        return;
    }
    done.refused(&["read-only/pilot", "mount it for writing"]);
}

#[test]
fn folders_that_are_no_bundles() {
    let home = scratch();
    let mut pilot = Process::start(
        &["pilot", "--port", "0", "--dir", home.path().join("p").to_str().unwrap(), "--bundles"]
            .into_iter()
            .chain([hostile_bundles(&home.path().join("Bündel von hier")).as_str()])
            .collect::<Vec<_>>(),
        &home.path().join("log"),
    );
    let status = pilot.end();
    let said = pilot.said();
    assert!(!status.success() && !said.contains("panicked"), "{said}");
    for (name, reason) in [
        ("broken.json", "not JSON at byte"),
        ("cut off.json", "not JSON at byte"),
        ("empty.json", "not JSON at byte 0"),
        ("not a resource.json", "it needs a resourceType"),
        ("nobody.json", "belongs to a patient"),
        ("unbekannt.json", "belongs to a patient"),
        ("twice.json", "stands at byte"),
        ("deep.json", "levels of nesting"),
        ("latin1.json", "is not UTF-8"),
        ("huge.json", "split it"),
    ] {
        let line = said.lines().find(|line| line.contains(&format!("passed over {name}:")));
        assert!(line.is_some_and(|line| line.contains(reason)), "{name}, {reason}: {said}");
    }
    assert!(said.contains("has no FHIR JSON about a patient"), "{said}");
    let mut names = Names::from([("home", home.path().to_str().unwrap().to_owned())]);
    fs::create_dir(home.path().join("none")).unwrap();
    fs::write(home.path().join("file"), "").unwrap();
    names.insert("pilot", names["home"].clone() + "/p");
    check(
        &names,
        "
        pilot --port 0 --dir {pilot} --bundles {home}/nowhere  | {home}/nowhere & check the path
        pilot --port 0 --dir {pilot} --bundles {home}/none     | {home}/none has no FHIR JSON about a patient
        pilot --port 0 --dir {pilot} --bundles {home}/file     | {home}/file & name a folder
        ",
    );
}

/// Writes a folder of files none of which can be loaded.
fn hostile_bundles(folder: &Path) -> String {
    fs::create_dir(folder).unwrap();
    let patient = |id: &str| format!(r#"{{"resourceType":"Patient","id":"{id}"}}"#);
    let bundle = |entries: &[String]| {
        let entries: Vec<_> = entries.iter().map(|it| format!(r#"{{"resource":{it}}}"#)).collect();
        let entries = entries.join(",");
        format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{entries}]}}"#)
    };
    let whole = bundle(&[patient("a")]);
    let depth = 200_000;
    let deep = format!(
        "{}{}{}",
        r#"{"resourceType":"Patient","x":"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    for (name, text) in [
        ("broken.json", whole.replace(':', ";")),
        ("cut off.json", whole[..whole.len() / 2].to_owned()),
        ("empty.json", String::new()),
        ("not a resource.json", r#"{"hello":"world"}"#.into()),
        ("nobody.json", r#"{"resourceType":"Organization","id":"o"}"#.into()),
        ("unbekannt.json", r#"{"resourceType":"Unbekannt","id":"u"}"#.into()),
        ("twice.json", bundle(&[patient("a"), patient("a")])),
        ("deep.json", deep + "}"),
        ("notes.txt", "not asked for".into()),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    fs::write(folder.join("latin1.json"), b"{\"resourceType\":\"Patient\",\"id\":\"\xe9\"}")
        .unwrap();
    // A file of holes takes no room, and reads as 200 MB all the same.
    File::create(folder.join("huge.json")).unwrap().set_len(200_000_000).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// Receipts and genesis files that are cut off, altered, or of something else.
fn altered_receipts(names: &Names, place: &Place<'_>) {
    let mut names = names.clone();
    let desk = names["desk"].clone();
    let write = |name: &str, bytes: &[u8]| fs::write(Path::new(&desk).join(name), bytes).unwrap();
    let receipt = fs::read(&names["receipt"]).unwrap();
    let genesis = fs::read(place.genesis()).unwrap();
    write("nothing", b"");
    write("cut.receipt", &receipt[..receipt.len() - 1]);
    write("long.receipt", &[&receipt[..], b"\0"].concat());
    write("cut.genesis", &genesis[..genesis.len() / 2]);
    let other = place.dir.with_extension("other").join("genesis.cbor");
    names.insert("other", other.to_str().unwrap().to_owned());
    check(
        &names,
        "
        verify --genesis {genesis} {desk}/nowhere                    | {desk}/nowhere & check the path
        verify --genesis {genesis} {desk}/nothing                    | not a whole receipt & fetch it again
        verify --genesis {genesis} {desk}/cut.receipt                | not a whole receipt & fetch it again
        verify --genesis {genesis} {desk}/long.receipt               | not a whole receipt & fetch it again
        verify --genesis {genesis} {genesis}                         | not a whole receipt & fetch it again
        verify --genesis {genesis} --document {desk}/note {receipt}  | not a whole receipt & fetch it again
        verify --genesis {other} {receipt}                           | use the genesis file of the receipt's consortium
        verify --genesis {receipt} {receipt}                         | is no genesis file & get the consortium's own file
        verify --genesis {desk}/cut.genesis {receipt}                | is no genesis file & get the consortium's own file
        ",
    );
    for at in (0..receipt.len()).step_by(receipt.len() / 40) {
        let mut altered = receipt.clone();
        altered[at] ^= 1;
        write("altered.receipt", &altered);
        let altered = format!("{desk}/altered.receipt");
        let done = keepwell(&["verify", "--genesis", &names["genesis"], &altered]);
        done.refused(&["receipt", ";"]);
    }
}

fn fsck(place: &Place<'_>, slug: &str) -> Done {
    let (config, storage) = (place.node_config(slug), place.path("engine"));
    keepwell(&["fsck", "--config", &config, "--storage", &storage])
}

/// Sealed objects that rot at a custodian are named, each of them.
fn damaged_custody(place: &Place<'_>) {
    let records = place.path("organisations/laboratory/node/custody/records");
    let chart = Path::new(&records).join(place.claimed().0);
    let files = |part: &str| {
        let mut files: Vec<_> =
            fs::read_dir(&chart).unwrap().map(|it| it.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|it| it == part));
        files.sort();
        files
    };
    let (bodies, capsules) = (files("body"), files("capsule"));
    let kept = chart.with_extension("kept");
    copy_folder(&chart, &kept);
    fsck(place, "laboratory").ok();

    flip(&bodies[0]);
    flip(&capsules[1]);
    fs::remove_file(&bodies[2]).unwrap();
    let short = fs::read(&bodies[3]).unwrap();
    fs::write(&bodies[3], &short[1..]).unwrap();
    let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    fsck(place, "laboratory").refused(&[
        "not sound",
        &(named(&bodies[0]) + " is damaged"),
        &(named(&capsules[1]) + " is not the capsule"),
        &(named(&bodies[2]) + " is missing"),
        &(named(&bodies[3]) + " has "),
        "copy these files from one of them",
    ]);

    fs::remove_dir_all(&chart).unwrap();
    fs::rename(&kept, &chart).unwrap();
    fsck(place, "laboratory").ok();
}

/// Damage in the middle of each of a node's stores: `fsck` names it, and a node that is started on it goes
/// on or says what to do.
fn damaged_nodes(place: &Place<'_>) {
    move_out(place);
    let config = place.node_config("insurer");
    let folder = PathBuf::from(place.path("organisations/insurer/node"));
    let kept = folder.with_extension("kept");
    fs::rename(&folder, &kept).unwrap();
    for (store, words) in [
        ("engine/-blocks-key", "the store of blocks"),
        ("engine/-blocks-value", "the store of blocks"),
        ("engine/-finalizations-value", "the store of certificates"),
        ("engine/-state-log_data", "the store of the state"),
        ("index/version", "node/index"),
        ("custody-index/version", "node/custody-index"),
    ] {
        copy_folder(&kept, &folder);
        flip(&find(&folder, store));
        keepwell(&["fsck", "--config", &config]).refused(&["not sound", words]);
        starts_or_says_what_to_do(place);
        fs::remove_dir_all(&folder).unwrap();
    }

    // The journal of an index may end early, as a crash leaves it: the rest is derived again.
    for index in ["index", "custody-index"] {
        copy_folder(&kept, &folder);
        flip(&folder.join(index).join("0.jnl"));
        let checked = keepwell(&["fsck", "--config", &config]);
        if checked.status.success() {
            assert!(Node::start(place, "insurer").process.interrupt().success());
            keepwell(&["fsck", "--config", &config]).ok();
        } else {
            checked.refused(&["not sound", &format!("node/{index}")]);
            starts_or_says_what_to_do(place);
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    // A node without its indexes makes them anew, as the messages say.
    copy_folder(&kept, &folder);
    for index in ["index", "custody-index"] {
        flip(&folder.join(index).join("version"));
        keepwell(&["fsck", "--config", &config]).refused(&["not sound", "node/"]);
        fs::remove_dir_all(folder.join(index)).unwrap();
    }
    assert!(Node::start(place, "insurer").process.interrupt().success());
    keepwell(&["fsck", "--config", &config]).ok();
}

fn starts_or_says_what_to_do(place: &Place<'_>) {
    let mut process = Node::begin(place, "insurer").process;
    wait_until(|| process.has_ended().is_some() || process.said().contains("peers: "));
    let Some(status) = process.has_ended() else { return };
    let said = process.said();
    assert!(!status.success() && !said.contains("panicked"), "{said}");
    let advice = ["keepwell fsck", "remove its folder and start again", "check the disk"];
    assert!(advice.iter().any(|it| said.contains(it)), "{said}");
}

/// A file below `folder`: `engine/-blocks-key` is the first in the partition whose name ends so.
fn find(folder: &Path, store: &str) -> PathBuf {
    let (below, name) = store.split_once('/').unwrap();
    let first = |folder: &Path, suffix: &str| {
        let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
        entries.filter(|it| it.to_str().unwrap().ends_with(suffix)).min().unwrap()
    };
    let path = first(&folder.join(below), name);
    if path.is_dir() { first(&path, "") } else { path }
}
