//! Every command by hand, as the README shows them: a chart is opened, claimed, written, shared, read,
//! audited and proven, once in text and once in JSON.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{fs, path::Path};

use common::{Done, Pilot, Place, keepwell, scratch, wait_until};
use serde_json::Value;

/// A fact in what a command prints: the words before it in the text (none for the last word), and where
/// it stands in the JSON.
type Fact = (&'static str, &'static str);

/// How results are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Text,
    Json,
}

impl Form {
    /// Runs a command and finds facts in what it prints, the same ones in both forms.
    #[track_caller]
    fn run<const N: usize>(self, arguments: &[&str], facts: [Fact; N]) -> [String; N] {
        let done = self.done(arguments).ok();
        assert_eq!(done.stderr, "", "{done:#?}");
        facts.map(|(words, pointer)| match self {
            Self::Text => done.word_after(words),
            Self::Json => plain(&done, pointer),
        })
    }

    fn done(self, arguments: &[&str]) -> Done {
        match self {
            Self::Text => keepwell(arguments),
            Self::Json => keepwell(&[arguments, &["--json"]].concat()),
        }
    }

    /// Runs a command that must fail, and returns its message.
    #[track_caller]
    fn refused(self, arguments: &[&str], word: &str) {
        let done = self.done(arguments);
        let message = match self {
            Self::Text => done.refused(&[word]).stderr,
            Self::Json => {
                let done = done.refused(&[]);
                plain(&done, "/error")
            }
        };
        assert!(message.contains(word), "{message}");
    }
}

#[track_caller]
fn plain(done: &Done, pointer: &str) -> String {
    let value = done.json();
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.len().to_string(),
        Some(value) => value.to_string(),
        None => panic!("nothing at {pointer}: {done:#?}"),
    }
}

#[test]
fn a_chart_from_its_opening_to_its_proofs() {
    let home = scratch();
    let mut pilot = Pilot::start(&home.path().join("a pilot"));
    let papers: Vec<_> = [Form::Text, Form::Json]
        .map(|form| {
            let desk = home.path().join(format!("{form:?} désk"));
            fs::create_dir(&desk).unwrap();
            let story = Story { form, pilot: pilot.place(), desk: &desk };
            story.tell();
            (form, desk)
        })
        .into();
    assert!(pilot.process.interrupt().success(), "{}", pilot.process.said());
    for (form, desk) in &papers {
        proofs_hold_offline(*form, desk, &pilot.place());
        folders_are_sound(*form, &pilot.place());
    }
}

/// One way through the commands.
struct Story<'a> {
    form: Form,
    pilot: Place<'a>,
    /// Where the people of the story keep their files.
    desk: &'a Path,
}

impl Story<'_> {
    fn file(&self, name: &str) -> String {
        self.desk.join(name).to_str().unwrap().to_owned()
    }

    fn tell(&self) {
        let chart = self.open_and_claim();
        let positions = self.add_and_get(&chart);
        self.share(&chart, positions);
        self.ask_and_answer(&chart);
        self.share_with_many(&chart);
        self.amend_and_redact(&chart);
        self.break_the_glass(&chart);
        self.prove(&chart);
    }

    /// An emergency, from what is left to it to its review.
    fn break_the_glass(&self, chart: &str) {
        let wallet = self.file("wallet");
        let [clinician, physician, officer] =
            ["clinician", "physician", "clinic-officer"].map(|it| self.pilot.person(it));
        let act = |what, who| ["emergency", what, "--as", who, "--chart", chart];
        let with = |what, who, rest: &[&str]| {
            let arguments: Vec<_> =
                act(what, who).iter().chain(rest).map(|it| (*it).to_owned()).collect();
            arguments
        };
        let run = |arguments: &[String], fact| {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let [value] = self.form.run(&arguments, [fact]);
            value
        };
        let refused = |arguments: &[String], words| {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            self.form.refused(&arguments, words);
        };
        let named = ("emergency ", "/emergency");
        let danger = ["--reason", "danger"];
        refused(&with("break", &clinician, &danger), "the terms name no compartment");
        let normal = with("prepare", &wallet, &["--compartment", "normal"]);
        assert_eq!(run(&normal, ("; ", "/trustees_needed")), "2");
        let emergency = run(&with("break", &clinician, &danger), named);
        refused(&with("second", &clinician, &[&emergency]), "another clinician seconds");
        refused(&with("open", &clinician, &[&emergency]), "refused: ");
        assert_eq!(run(&with("second", &physician, &[&emergency]), named), emergency);
        let to = self.file("in an emergency");
        let open = with("open", &clinician, &[&emergency, "--to", &to]);
        run(&open, ("by the access at position ", "/access"));
        assert!(fs::read_dir(&to).unwrap().count() > 0);
        let list = ["emergency", "list", "--as", &wallet, chart].map(str::to_owned);
        let member = run(&list, ("  by ", "/emergencies/0/member"));
        let report = ["emergency", "report", "--as", &officer].map(str::to_owned);
        assert_eq!(
            run(&report, ("organisation ", "/organisation")),
            self.pilot.organisation("clinic")
        );
        assert!(keepwell(&["emergency", "report", "--as", &officer]).ok().stdout.contains(&member));
        refused(&with("close", &physician, &[&emergency]), "refused: ");
        assert_eq!(run(&with("close", &clinician, &[&emergency]), named), emergency);
        refused(&with("open", &clinician, &[&emergency]), "refused: ");
        let found = ["--finding", "justified", &emergency];
        refused(&with("review", &clinician, &found), "refused: ");
        assert_eq!(run(&with("review", &officer, &found), named), emergency);
        run(&with("prepare", &wallet, &["--nothing"]), ("", "/compartments"));
    }

    fn open_and_claim(&self) -> String {
        let (agent, wallet) = (self.pilot.person("agent"), self.file("wallet"));
        let (hospital, laboratory) =
            (self.pilot.organisation("hospital"), self.pilot.organisation("laboratory"));
        let letter = self.file("a letter");
        let [chart, lost] = self.form.run(
            &[
                "chart",
                "open",
                "--as",
                &agent,
                "--custodian",
                &hospital,
                "--custodian",
                &laboratory,
                "--letter",
                &letter,
            ],
            [("chart ", "/chart"), ("", "/code")],
        );

        let renewed = self.file("a new letter");
        let renew = ["chart", "renew-letter", "--as", &agent, "--letter", &renewed, &chart];
        let [same, code] = self.form.run(&renew, [("chart ", "/chart"), ("", "/code")]);
        assert_eq!(same, chart);

        let operator = self.pilot.path("operator.key");
        let [made] = self.form.run(
            &["wallet", "new", "--dir", &wallet, "--like", &agent, "--operator-file", &operator],
            [("chart claim --as ", "/wallet")],
        );
        assert!(wallet.starts_with(&made), "{made}");
        self.form.run(&["wallet", "show", "--as", &wallet], [("at height ", "/height")]);

        let claim = ["chart", "claim", "--as", &wallet, "--letter"];
        let with = |letter, code| [&claim[..], &[letter, "--code", code]].concat();
        self.form.refused(&with(&letter, &lost), "refused: ");
        self.form.refused(&with(&renewed, &lost), "does not open with this code");
        let [claimed] = self.form.run(&with(&renewed, &code), [("chart ", "/chart")]);
        assert_eq!(claimed, chart);
        self.form.refused(&renew, "was claimed already");
        let [held] =
            self.form.run(&["wallet", "show", "--as", &wallet], [("chart ", "/charts/0/chart")]);
        assert_eq!(held, chart);
        let facts = [("claimed: ", "/entry/claimed"), ("custodians: ", "/entry/custodians/0")];
        let [claimed, custodian] =
            self.form.run(&["chart", "show", "--as", &wallet, &chart], facts);
        assert!(claimed == "yes" || claimed == "true");
        assert!([hospital, laboratory].contains(&custodian), "{custodian}");
        chart
    }

    /// Files of any name and size come back byte for byte.
    fn add_and_get(&self, chart: &str) -> [String; 3] {
        let (agent, wallet) = (self.pilot.person("agent"), self.file("wallet"));
        let contents: [(&str, Vec<u8>); 3] = [
            ("leer", Vec::new()),
            ("Röntgen 左手 – «avant».dcm", (0..=255).cycle().take(3_000_001).collect()),
            ("note.json", br#"{"resourceType":"DocumentReference","status":"current"}"#.to_vec()),
        ];
        let positions = contents.map(|(name, content)| {
            let (file, read, receipt) =
                (self.file(name), self.file(&format!("{name}.read")), self.file("record.receipt"));
            fs::write(&file, &content).unwrap();
            let add =
                ["record", "add", "--as", &agent, "--chart", chart, "--receipt", &receipt, &file];
            let facts =
                [("position ", "/position"), ("record ", "/record"), ("in block ", "/height")];
            let [position, ..] = self.form.run(&add, facts);
            let get = [
                "record",
                "get",
                "--as",
                &wallet,
                "--chart",
                chart,
                "--position",
                &position,
                "--to",
                &read,
            ];
            let [bytes] = self.form.run(&get, [("", "/bytes")]);
            if self.form == Form::Json {
                assert_eq!(bytes, content.len().to_string());
            }
            assert!(fs::read(&read).unwrap() == content, "{name} came back changed");
            position
        });
        let listed = self.form.done(&["record", "list", "--as", &wallet, chart]).ok();
        match self.form {
            Form::Text => assert_eq!(listed.stdout.lines().count(), 3, "{listed:#?}"),
            Form::Json => {
                let rows = listed.json();
                let listed: Vec<_> = rows
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|row| row["position"].to_string())
                    .collect();
                assert_eq!(listed, positions);
                for field in
                    ["record", "kind", "compartment", "name", "time", "sealed_bytes", "author"]
                {
                    assert!(!rows[0][field].is_null(), "{field}");
                }
            }
        }
        positions
    }

    fn share(&self, chart: &str, positions: [String; 3]) {
        let (clinician, wallet) = (self.pilot.person("clinician"), self.file("wallet"));
        let facts = [("member ", "/member")];
        let [member] = self.form.run(&["wallet", "show", "--as", &clinician], facts);
        let shown = keepwell(&["chart", "show", "--as", &wallet, chart]).ok();
        let number = |name: &str| shown.word_after(&format!("{name} is compartment "));
        let (normal, psychiatry) = (number("normal"), number("psychiatry"));

        let key = format!("{clinician}/member.pub");
        let give = [
            "grant",
            "give",
            "--as",
            &wallet,
            "--chart",
            chart,
            "--to",
            &member,
            "--key",
            &key,
            "--compartment",
            "normal",
            "--purpose",
            "TREAT",
            "--days",
            "30",
        ];
        let [grant, _] = self.form.run(&give, [("grant ", "/grant"), ("from block ", "/height")]);
        let list = self.form.done(&["grant", "list", "--as", &wallet, chart]).ok();
        assert!(list.stdout.contains(&grant), "{list:#?}");

        let to = self.file("opened");
        let open = [
            "open",
            "--as",
            &clinician,
            "--chart",
            chart,
            "--grant",
            &grant,
            "--compartment",
            &normal,
            "--purpose",
            "TREAT",
            "--to",
            &to,
        ];
        self.form.run(&open, [("by the access at position ", "/access")]);
        let sizes = positions
            .map(|it| fs::metadata(self.desk.join(format!("opened/{it}.bin"))).unwrap().len());
        assert_eq!(sizes, [0, 3_000_001, 55]);
        let other = ["--compartment", &psychiatry];
        let asked = [&open[..7], &other, &open[9..]].concat();
        self.form.refused(&asked, "refused: ");

        let revoke = ["grant", "revoke", "--as", &wallet, "--chart", chart, &grant];
        // The second time completes what may have been cut off, and says the same.
        let ended = [("opened with it after ", "/ended")];
        assert_eq!(self.form.run(&revoke, ended), self.form.run(&revoke, ended));
        self.form.refused(&open, "no grant allows this");

        let audit = self.form.done(&["audit", "--as", &wallet, chart]).ok();
        for words in ["Meridian Telehealth", "TREAT"] {
            assert!(audit.stdout.contains(words), "nothing of {words:?}: {audit:#?}");
        }
        if self.form == Form::Json {
            let accesses = audit.json()["accesses"].as_array().unwrap().clone();
            let of_the_clinic =
                accesses.iter().filter(|it| it["organisation"] == "Meridian Telehealth");
            let refused: Vec<_> = of_the_clinic.map(|it| !it["refused"].is_null()).collect();
            assert_eq!(refused[..2], [false, true], "{audit:#?}");
        }
    }

    /// A clinician asks, and the patient gives less, gives nothing, and takes back all at once.
    fn ask_and_answer(&self, chart: &str) {
        let (clinician, wallet) = (self.pilot.person("clinician"), self.file("wallet"));
        let shown = keepwell(&["chart", "show", "--as", &wallet, chart]).ok();
        let number = |name: &str| shown.word_after(&format!("{name} is compartment "));
        let (normal, psychiatry) = (number("normal"), number("psychiatry"));

        let request = ["grant", "request", "--as", &clinician, "--chart", chart];
        let both = ["--compartment", &normal, "--compartment", &psychiatry];
        let asked = [&request[..], &both, &["--reason", "referral"]].concat();
        let [asked] = self.form.run(&asked, [("request ", "/request")]);
        let list = self.form.done(&["grant", "requests", "--as", &wallet, chart]).ok();
        for words in [&asked, "referral"] {
            assert!(list.stdout.contains(words), "nothing of {words:?}: {list:#?}");
        }
        let answer = ["grant", "answer", "--as", &wallet, "--chart", chart];
        let less = ["--compartment", "normal", "--days", "3", &asked];
        let less = [&answer[..], &less].concat();
        let [grant] = self.form.run(&less, [("grant ", "/grant")]);
        self.form.refused(&less, "cannot be answered any more");

        let open = ["open", "--as", &clinician, "--chart", chart, "--grant", &grant];
        let normal = [&open[..], &["--compartment", &normal]].concat();
        self.form.run(&normal, [("by the access at position ", "/access")]);
        let psychiatry = [&open[..], &["--compartment", &psychiatry]].concat();
        self.form.refused(&psychiatry, "no grant allows this");
        // The keys were sealed under more than is left, and open all the same.
        let limit = ["grant", "limit", "--as", &wallet, "--chart", chart, "--days", "1", &grant];
        self.form.run(&limit, [("from block ", "/height")]);
        self.form.run(&normal, [("by the access at position ", "/access")]);

        let [again] = self.form.run(&[&request[..], &both].concat(), [("request ", "/request")]);
        let no = [&answer[..], &["--refuse", "not_needed", &again]].concat();
        self.form.run(&no, [("in block ", "/height")]);
        let [last] = self.form.run(&[&request[..], &both].concat(), [("request ", "/request")]);
        let withdraw = ["grant", "withdraw", "--as", &clinician, "--chart", chart, &last];
        self.form.run(&withdraw, [("in block ", "/height")]);

        let clinic = self.pilot.organisation("clinic");
        let revoke = ["grant", "revoke", "--as", &wallet, "--chart", chart];
        let revoke = [&revoke[..], &["--organisation", &clinic]].concat();
        self.form.run(&revoke, [("after block ", "/height")]);
        self.form.refused(&normal, "no grant allows this");
    }

    /// A role is granted something, its readers get letters with the keys, one passes it on, and another is forbidden.
    fn share_with_many(&self, chart: &str) {
        let wallet = self.file("wallet");
        let [clinician, officer] = ["clinician", "clinic-officer"].map(|it| self.pilot.person(it));
        let member = |who: &str| {
            let [member] =
                self.form.run(&["wallet", "show", "--as", who], [("member ", "/member")]);
            member
        };
        let (by_clinician, by_officer) = (member(&clinician), member(&officer));
        let shown = keepwell(&["chart", "show", "--as", &wallet, chart]).ok();
        let normal = shown.word_after("normal is compartment ");
        let clinic = self.pilot.organisation("clinic");
        let grant = |act| ["grant", act, "--as", &wallet, "--chart", chart];
        let run = |command: &[&str], rest: &[&str], fact| {
            let [value] = self.form.run(&[command, rest].concat(), [fact]);
            value
        };
        let role = ["--organisation", &clinic, "--role", "clinician", "--compartment", "normal"];
        let both = ["--purpose", "TREAT", "--purpose", "HPAYMT", "--onward"];
        let give = [&role[..], &both].concat();
        let given = run(&grant("give"), &give, ("grant ", "/grant"));
        let open = |who: &str, with: &str, what: &str| {
            let begin = ["open", "--as", who, "--chart", chart, "--compartment", &normal];
            [&begin[..], &[with, what]].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let opens = |arguments: &[String]| {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            self.form.run(&arguments, [("by the access at position ", "/access")]);
        };
        let refused = |arguments: &[String], words| {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            self.form.refused(&arguments, words);
        };
        refused(&open(&clinician, "--grant", &given), "brings no keys with it");

        let (letter, other) = (self.file("clinician.keys"), self.file("officer.keys"));
        let public = |who: &str| format!("{who}/member.pub");
        let key = public(&clinician);
        let keys = ["--to", &by_clinician, "--key", &key, "--letter", &letter];
        let keys = [&keys[..], &["--compartment", "normal"]].concat();
        run(&grant("keys"), &keys, ("keys for member ", "/to"));
        opens(&open(&clinician, "--letter", &letter));
        refused(&open(&officer, "--letter", &letter), "no letter of that kind to you");

        // A letter permits nothing; a grant that is passed on does.
        let pass = ["grant", "pass", "--as", &clinician, "--chart", chart, "--keys", &letter];
        let to = ["--to", &by_officer, "--letter", &other, &given];
        let passed = run(&pass, &to, ("grant ", "/grant"));
        opens(&open(&officer, "--letter", &other));
        let again = ["grant", "pass", "--as", &officer, "--chart", chart, "--keys", &other];
        let (key, lost) = (public(&clinician), self.file("lost.keys"));
        let back = ["--to", &by_clinician, "--key", &key, "--letter", &lost, &passed];
        self.form.refused(&[&again[..], &back].concat(), "may not be passed on");

        let deny = ["--deny", "--to", &by_officer, "--compartment", "normal"];
        run(&grant("give"), &deny, ("from block ", "/height"));
        refused(&open(&officer, "--letter", &other), "refused: ");
        opens(&open(&clinician, "--letter", &letter));

        let less = ["--days", "1", "--purpose", "HPAYMT", &given];
        run(&grant("limit"), &less, ("from block ", "/height"));
        refused(&open(&clinician, "--letter", &letter), "refused: ");
        let payment = [
            &open(&clinician, "--letter", &letter)[..],
            &["--purpose", "HPAYMT"].map(str::to_owned),
        ];
        opens(&payment.concat());
        run(&grant("revoke"), &[&given], ("opened with it after ", "/ended"));
    }

    /// A note is put right, hidden, and erased; and there is a file that proves the last.
    fn amend_and_redact(&self, chart: &str) {
        let (agent, wallet) = (self.pilot.person("agent"), self.file("wallet"));
        let officer = self.pilot.person("officer");
        let note = self.desk.join("note.json");
        let first = self.pilot.add(&agent, chart, &note).ok().json()["position"].to_string();
        fs::write(self.file("amended"), b"what the note should say").unwrap();
        let amended = self.file("amended");
        let amend = ["record", "add", "--as", &agent, "--chart", chart, "--amends", &first];
        let amend = [&amend[..], &[&amended]].concat();
        let [second] = self.form.run(&amend, [("position ", "/position")]);
        self.form.refused(&amend, "is at version 2 by now");
        for (position, content) in
            [(&first, fs::read(&note).unwrap()), (&second, fs::read(&amended).unwrap())]
        {
            let read = self.desk.join("a version");
            self.pilot.get(&wallet, chart, position, &read).ok();
            assert!(fs::read(&read).unwrap() == content, "both versions are kept");
        }

        let act = |what: &'static str, who: &str, more: &[&str]| {
            let which = ["record", what, "--as", who, "--chart", chart, "--position", &first];
            [&which[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let run = |arguments: Vec<String>, fact| {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            self.form.run(&arguments, [fact])
        };
        let refused = |arguments: Vec<String>, word| {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            self.form.refused(&arguments, word);
        };
        run(act("restrict", &wallet, &["processing"]), ("from block ", "/height"));
        run(act("lift", &wallet, &["processing"]), ("from block ", "/height"));
        run(act("restrict", &officer, &["legal_hold"]), ("from block ", "/height"));
        let wish = ["--ground", "patient_wish"];
        refused(act("redact", &wallet, &wish), "legal hold");
        run(act("lift", &officer, &["legal_hold"]), ("from block ", "/height"));
        let certificate = self.file("erased.certificate");
        refused(act("certificate", &wallet, &["--to", &certificate]), "not redacted");
        run(act("redact", &wallet, &wish), ("", "/position"));
        run(act("keep", &wallet, &[]), ("in block ", "/height"));
        run(act("redact", &wallet, &wish), ("", "/position"));
        run(act("redact", &officer, &wish), ("", "/position"));
        let read = self.desk.join("what is redacted");
        for position in [&first, &second] {
            let done = self.pilot.get(&wallet, chart, position, &read);
            done.refused(&["redacted"]);
        }
        // Custodians erase by themselves, and say so.
        wait_until(|| {
            let arguments = act("certificate", &wallet, &["--to", &certificate, "--json"]);
            keepwell(&arguments).ok().json()["outstanding"] == 0
        });
    }

    fn prove(&self, chart: &str) {
        let (agent, wallet) = (self.pilot.person("agent"), self.file("wallet"));
        let added = self.pilot.add(&agent, chart, &self.desk.join("note.json")).ok().json();
        let (height, index) = (added["height"].to_string(), added["index"].to_string());
        let to = self.file("asked for.receipt");
        let ask = ["receipt", "--as", &wallet, "--chart", chart, "--height", &height];
        let ask = [&ask[..], &["--index", &index, "--to", &to]].concat();
        self.form.run(&ask, [("", "/receipt")]);

        let reports = self.desk.join("reports/2026 März");
        fs::create_dir_all(&reports).unwrap();
        fs::write(reports.join("a.pdf"), b"%PDF-1.7 a").unwrap();
        fs::write(self.desk.join("reports/b"), b"").unwrap();
        let (folder, receipts) = (self.file("reports"), self.file("receipts"));
        let anchor = ["anchor", "--as", &agent, &folder, "--receipts", &receipts];
        self.form.run(&anchor, [("in block ", "/height")]);
    }
}

/// With no node running, and nothing but the genesis file.
fn proofs_hold_offline(form: Form, desk: &Path, pilot: &Place<'_>) {
    let alone = scratch();
    let at = |name: &str| alone.path().join(name).to_str().unwrap().to_owned();
    for (from, name) in [
        ("asked for.receipt", "record.receipt"),
        ("record.receipt", "kept.receipt"),
        ("receipts/2026 März/a.pdf.receipt", "a.receipt"),
        ("receipts/b.receipt", "b.receipt"),
        ("reports/2026 März/a.pdf", "a.pdf"),
        ("reports/b", "b"),
        ("erased.certificate", "erased"),
    ] {
        fs::copy(desk.join(from), at(name)).unwrap();
    }
    fs::copy(pilot.genesis(), at("genesis")).unwrap();
    let (genesis, altered) = (at("genesis"), at("altered"));
    let verify = ["verify", "--genesis", &genesis];

    for receipt in [at("record.receipt"), at("kept.receipt")] {
        let facts = [("in block ", "/outcome/location/height")];
        form.run(&[&verify[..], &[&receipt]].concat(), facts);
        assert!(fs::metadata(&receipt).unwrap().len() <= 8 * 1024);
    }
    let erased = at("erased");
    let certified = [&verify[..], &["--erasure", &erased]].concat();
    form.run(&certified, [("verified: record ", "/record")]);
    let mut bytes = fs::read(&erased).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&altered, bytes).unwrap();
    form.refused(&[&verify[..], &["--erasure", &altered]].concat(), "altered");
    for (document, receipt) in [(at("a.pdf"), at("a.receipt")), (at("b"), at("b.receipt"))] {
        let holds = [&verify[..], &["--document", &document, &receipt]].concat();
        form.run(&holds, [("in block ", "/height")]);
        let mut bytes = fs::read(&document).unwrap();
        bytes.push(b'x');
        bytes[0] ^= 1;
        fs::write(&altered, bytes).unwrap();
        form.refused(&[&verify[..], &["--document", &altered, &receipt]].concat(), "document");
    }
}

fn folders_are_sound(form: Form, pilot: &Place<'_>) {
    let storage = pilot.path("engine");
    for slug in ["hospital", "clinic", "laboratory", "insurer"] {
        let config = pilot.node_config(slug);
        let facts = [("sound: ", "/blocks")];
        form.run(&["fsck", "--config", &config, "--storage", &storage], facts);
    }
}
