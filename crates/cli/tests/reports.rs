//! Reports by hand, over a chart that was shared, read and revoked: who looked, why, what if, everything as a folder, and
//! what the hospital's privacy officer sees.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use common::{Done, Pilot, Place, keepwell, scratch};
use serde_json::Value;

const NOTE: &[u8] = br#"{"resourceType":"DocumentReference","status":"current","note":"1.10"}"#;

/// A chart of a patient with a wallet, in which the clinician of the clinic was let in and turned away.
struct Scene<'a> {
    pilot: Place<'a>,
    desk: &'a Path,
    chart: String,
    member: String,
    grant: String,
    position: String,
}

fn json(arguments: &[&str]) -> Value {
    keepwell(&[arguments, &["--json"]].concat()).ok().json()
}

fn rows(page: &Value, table: usize) -> &Vec<Value> {
    page["tables"][table]["rows"].as_array().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Scene<'_> {
    fn file(&self, name: &str) -> String {
        self.desk.join(name).to_str().unwrap().to_owned()
    }

    fn wallet(&self) -> String {
        self.file("wallet")
    }

    /// Runs a command on the chart, as the patient, in JSON.
    fn ask(&self, command: &[&str], rest: &[&str]) -> Value {
        let wallet = self.wallet();
        json(&[command, &["--as", &wallet, "--chart", &self.chart], rest].concat())
    }

    fn report(&self, what: &str, rest: &[&str]) -> Done {
        let wallet = self.wallet();
        keepwell(&[&["report", what, "--as", &wallet, &self.chart][..], rest].concat())
    }
}

fn begin<'a>(pilot: Place<'a>, desk: &'a Path) -> Scene<'a> {
    let (agent, clinician) = (pilot.person("agent"), pilot.person("clinician"));
    let (hospital, laboratory) = (pilot.organisation("hospital"), pilot.organisation("laboratory"));
    let file = |name: &str| desk.join(name).to_str().unwrap().to_owned();
    let (letter, wallet, operator) = (file("letter"), file("wallet"), pilot.path("operator.key"));
    let custodians = ["--custodian", &hospital, "--custodian", &laboratory];
    let open = ["chart", "open", "--as", &agent, "--letter", &letter];
    let opened = json(&[&open[..], &custodians].concat());
    let (chart, code) = (text(&opened["chart"]), text(&opened["code"]));
    json(&["wallet", "new", "--dir", &wallet, "--like", &agent, "--operator-file", &operator]);
    json(&["chart", "claim", "--as", &wallet, "--letter", &letter, "--code", &code]);
    fs::write(desk.join("note.json"), NOTE).unwrap();
    let added = pilot.add(&agent, &chart, &desk.join("note.json")).ok().json();
    let position = text(&added["position"]);
    let member = text(&json(&["wallet", "show", "--as", &clinician])["member"]);
    let key = format!("{clinician}/member.pub");
    let give = ["grant", "give", "--as", &wallet, "--chart", &chart, "--to", &member];
    let given = json(&[&give[..], &["--key", &key, "--compartment", "normal"]].concat());
    let grant = text(&given["grant"]);
    let scene = Scene { pilot, desk, chart, member, grant, position };
    scene.reads();
    scene.is_turned_away();
    scene
}

impl Scene<'_> {
    /// The number of the compartment that is called normal.
    fn normal(&self) -> String {
        let shown = keepwell(&["chart", "show", "--as", &self.wallet(), &self.chart]).ok();
        shown.word_after("normal is compartment ")
    }

    fn open(&self) -> Done {
        let (clinician, normal) = (self.pilot.person("clinician"), self.normal());
        let open = ["open", "--as", &clinician, "--chart", &self.chart, "--grant", &self.grant];
        keepwell(&[&open[..], &["--compartment", &normal, "--purpose", "TREAT"]].concat())
    }

    fn reads(&self) {
        self.open().ok();
    }

    fn is_turned_away(&self) {
        let (clinician, normal) = (self.pilot.person("clinician"), self.normal());
        let open = ["open", "--as", &clinician, "--chart", &self.chart, "--grant", &self.grant];
        let payment = ["--compartment", &normal, "--purpose", "HPAYMT"];
        keepwell(&[&open[..], &payment].concat()).refused(&["refused"]);
    }
}

#[test]
fn reports_over_a_chart_that_was_read() {
    let home = scratch();
    let mut pilot = Pilot::start(&home.path().join("pilot"));
    let scene = begin(pilot.place(), home.path());
    e2_who_looked_by_which_grant_with_its_proof(&scene);
    p7_the_accounting_leaves_treatment_out_and_counts_it(&scene);
    explanations_name_the_rule_that_decides(&scene);
    who_may_read_is_the_patient_and_the_grantee(&scene);
    a_dry_run_changes_nothing(&scene);
    p3_g2_g7_everything_is_one_folder(&scene);
    b3_the_officer_sees_what_the_hospital_answers_for(&scene);
    b2_the_four_factors_stand_in_the_report(&scene);
    e1_a_patient_views_inserts_rectifies_ports_restricts_and_opts_out(&scene);
    assert!(pilot.process.interrupt().success(), "{}", pilot.process.said());
}

fn e2_who_looked_by_which_grant_with_its_proof(scene: &Scene<'_>) {
    let page = scene.report("looked", &["--json"]).ok().json();
    let looked = rows(&page, 0);
    assert_eq!(looked.len(), 2, "{page:#}");
    let (opened, refused) = (&looked[0], &looked[1]);
    assert_eq!(opened["organisation"], "Meridian Telehealth");
    assert_eq!(opened["purpose"], "TREAT");
    assert_eq!(opened["who"], scene.member.as_str());
    assert_eq!(opened["by"], format!("grant {}", scene.grant));
    assert!(text(&refused["decision"]).starts_with("REFUSED"), "{page:#}");
    assert_eq!(refused["by"], "");
    // The proof that a line names holds without any node.
    let (receipt, wallet) = (scene.file("looked.receipt"), scene.wallet());
    let (height, index) = (text(&opened["block"]), text(&opened["index"]));
    let fetch = ["receipt", "--as", &wallet, "--chart", &scene.chart, "--height", &height];
    keepwell(&[&fetch[..], &["--index", &index, "--to", &receipt]].concat()).ok();
    keepwell(&["verify", "--genesis", &scene.pilot.genesis(), &receipt]).ok();

    let html = scene.file("looked.html");
    scene.report("looked", &["--format", "html", "--to", &html]).ok();
    let page = fs::read_to_string(&html).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("Meridian Telehealth"));
    assert_eq!(fs::metadata(&html).unwrap().permissions().mode() & 0o777, 0o600);
    // What is there is not written over, and a link is not followed.
    scene.report("looked", &["--to", &html]).refused(&["looked.html"]);
    let link = scene.file("link");
    symlink(scene.file("note.json"), &link).unwrap();
    scene.report("looked", &["--to", &link]).refused(&["link"]);
    assert_eq!(fs::read(scene.file("note.json")).unwrap(), NOTE);
}

fn p7_the_accounting_leaves_treatment_out_and_counts_it(scene: &Scene<'_>) {
    let page = scene.report("accounting", &["--json"]).ok().json();
    assert_eq!(rows(&page, 0).len(), 0, "{page:#}");
    let notes = page["notes"].to_string();
    for words in ["1 refused", "1 for treatment", "164.528(a)(2)"] {
        assert!(notes.contains(words), "nothing of {words:?}: {notes}");
    }
    let page = scene.report("accounting", &["--all", "--json"]).ok().json();
    assert_eq!(rows(&page, 0).len(), 2, "{page:#}");
    let csv = scene.report("accounting", &["--all", "--format", "csv"]).ok().stdout;
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.starts_with("time,recipient,who,"), "{csv}");
    let later = ["--from", "2999-01-01", "--until", "2999-01-02", "--all", "--json"];
    assert_eq!(rows(&scene.report("accounting", &later).ok().json(), 0).len(), 0);
    scene.report("accounting", &["--suspensions", "nowhere"]).refused(&["--missing"]);
    let cases = scene.report("cases", &["--json"]).ok().json();
    assert_eq!(rows(&cases, 0).len(), 0);
}

fn explanations_name_the_rule_that_decides(scene: &Scene<'_>) {
    let explain = |rest: &[&str]| scene.ask(&["explain"], rest);
    let may = explain(&["--member", &scene.member, "--record", &scene.position]);
    let table = &may["tables"][0];
    assert!(text(&table["name"]).contains(&format!("allowed by grant {}", scene.grant)), "{may:#}");
    assert_eq!(table["rows"][0]["fared"], "decides");
    let payment = ["--member", &scene.member, "--compartment", "normal", "--purpose", "HPAYMT"];
    let not = explain(&payment);
    assert!(text(&not["tables"][0]["name"]).contains("refused"), "{not:#}");
    // The same rule at another instant: the grant is over by then.
    let later =
        explain(&["--member", &scene.member, "--record", &scene.position, "--at", "2999-01-01"]);
    assert!(text(&later["tables"][0]["name"]).contains("refused"), "{later:#}");
    // A record that the patient restricts is stopped for the clinician, and says so.
    let wallet = scene.wallet();
    let restrict = |verb| {
        let which = ["--as", &wallet, "--chart", &scene.chart, "--position", &scene.position];
        keepwell(&[&["record", verb][..], &which, &["processing"]].concat()).ok()
    };
    restrict("restrict");
    let stopped = explain(&["--member", &scene.member, "--record", &scene.position]);
    let stop = &stopped["tables"][0]["rows"][0];
    assert_eq!(stop["rule"], "hard stop");
    assert_eq!(stop["fared"], "stops");
    restrict("lift");
    let clinician = scene.pilot.person("clinician");
    let abroad = ["explain", "--as", &clinician, "--chart", &scene.chart, "--who", "--record", "1"];
    keepwell(&abroad).refused(&["only the chart's controller and organisation"]);
}

fn who_may_read_is_the_patient_and_the_grantee(scene: &Scene<'_>) {
    let who = scene.ask(&["explain"], &["--who", "--record", &scene.position]);
    let may: Vec<_> = rows(&who, 0).iter().map(|it| text(&it["who"])).collect();
    let is = |words: &str| may.iter().any(|it| it.contains(words));
    assert!(is("controls the chart") && is(&scene.member), "{who:#}");
    let of_grantee = rows(&who, 0).iter().find(|it| text(&it["who"]).contains(&scene.member));
    assert_eq!(of_grantee.unwrap()["purposes"], "TREAT");
    assert!(who["notes"].to_string().contains("Not verified"), "{who:#}");
}

fn a_dry_run_changes_nothing(scene: &Scene<'_>) {
    let lost = scene.ask(&["grant", "revoke"], &[&scene.grant, "--dry-run"]);
    let changed = rows(&lost, 0);
    assert_eq!(changed.len(), 1, "{lost:#}");
    assert_eq!(changed[0]["turn"], "loses");
    let clinic = scene.pilot.organisation("clinic");
    let rule = ["--organisation", &clinic, "--compartment", "normal", "--purpose", "HPAYMT"];
    let won = scene.ask(&["grant", "give", "--dry-run"], &rule);
    assert_eq!(rows(&won, 0)[0]["turn"], "gains", "{won:#}");
    let member = ["--deny", "--to", &scene.member, "--compartment", "normal"];
    let denied = scene.ask(&["grant", "give", "--dry-run"], &member);
    assert_eq!(rows(&denied, 0)[0]["turn"], "loses", "{denied:#}");
    // What the ledger would refuse is refused in its words, and nothing of all that was sent.
    let wallet = scene.wallet();
    let gone = ["grant", "revoke", "--as", &wallet, "--chart", &scene.chart, &"00".repeat(16)];
    keepwell(&[&gone[..], &["--dry-run"]].concat()).refused(&["nothing was sent"]);
    scene.open().ok();
    let list = keepwell(&["grant", "list", "--as", &wallet, &scene.chart]).ok();
    assert_eq!(list.stdout.lines().count(), 1, "{list:#?}");
}

/// A copy in the form it came in, with who received what of it and for which purposes.
fn p3_g2_g7_everything_is_one_folder(scene: &Scene<'_>) {
    let to = scene.file("everything");
    scene.report("export", &["--to", &to]).ok();
    let folder = Path::new(&to);
    let record = folder.join(format!("records/{}.json", scene.position));
    assert_eq!(fs::read(&record).unwrap(), NOTE, "byte for byte as it went in");
    for name in ["index.html", "README.txt", "log.json", "grants.json", "cases.json", "looked.csv"]
    {
        let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    let index = fs::read_to_string(folder.join("index.html")).unwrap();
    assert!(index.contains(&format!("records/{}.json", scene.position)), "{index}");
    let looked = fs::read_to_string(folder.join("looked.csv")).unwrap();
    assert!(looked.contains(&scene.member) && looked.contains("TREAT"), "{looked}");
    let grants = fs::read_to_string(folder.join("grants.json")).unwrap();
    assert!(grants.contains(&scene.grant), "{grants}");
    let receipt = folder.join(format!("receipts/{}.receipt", scene.position));
    let receipt = receipt.to_str().unwrap();
    keepwell(&["verify", "--genesis", &scene.pilot.genesis(), receipt]).ok();
    scene.report("export", &["--to", &to]).refused(&["complete export already"]);

    // Cut off before its end, it goes on: what is there stays, what lacks is fetched.
    let state = fs::read_to_string(folder.join("export.json")).unwrap();
    fs::write(folder.join("export.json"), state.replace("true", "false")).unwrap();
    fs::remove_file(&record).unwrap();
    fs::write(folder.join(format!("records/{}.part", scene.position)), "{\"ha").unwrap();
    scene.report("export", &["--to", &to]).ok();
    assert_eq!(fs::read(&record).unwrap(), NOTE);
    let names = fs::read_dir(folder.join("records")).unwrap();
    assert_eq!(names.count(), 1, "nothing that is not whole is left");
    let clinician = scene.pilot.person("clinician");
    let other = scene.file("not mine");
    let stranger = ["report", "export", "--as", &clinician, &scene.chart, "--to", &other];
    keepwell(&stranger).refused(&["keys of the chart"]);
    assert!(!Path::new(&other).exists());
}

fn b3_the_officer_sees_what_the_hospital_answers_for(scene: &Scene<'_>) {
    let officer = scene.pilot.person("officer");
    let ask = |what: &str, rest: &[&str]| {
        let command = ["report", what, "--as", &officer];
        json(&[&command[..], rest].concat())
    };
    let all = ask("accesses", &["--from", "2020-01-01", "--compare"]);
    let ours = |page: &Value| {
        let of = |it: &&Value| it["chart"] == scene.chart.as_str();
        rows(page, 0).iter().filter(of).count()
    };
    assert!(ours(&all) >= 3, "{all:#}");
    assert!(all["notes"].to_string().contains("nothing of them was left out"), "{all:#}");
    assert_eq!(ours(&ask("refused", &["--from", "2020-01-01"])), 1);
    assert_eq!(ours(&ask("refused", &["--from", "2999-01-01"])), 0);
    let relations = scene.file("relations.csv");
    fs::write(&relations, format!("{},{},sister\n", scene.member, scene.chart)).unwrap();
    let hints = ask("unusual", &["--from", "2020-01-01", "--relations", &relations]);
    assert!(text(&rows(&hints, 0)[0]["hint"]).contains("sister"), "{hints:#}");
    let lost = ["--member", &scene.member, "--since", "2020-01-01", "--unlocked"];
    let blast = ask("blast-radius", &lost);
    assert_eq!(blast["facts"]["Safe harbour (45 CFR 164.402)"], "DOES NOT HOLD", "{blast:#}");
    assert!(!rows(&blast, 0).is_empty());
    // A clinician is no officer.
    let clinician = scene.pilot.person("clinician");
    let other = ["report", "accesses", "--as", &clinician, "--from", "2020-01-01"];
    keepwell(&other).refused(&["privacy officers and auditors"]);
}

/// 45 CFR 164.402(2): what kind of data, who had it, whether it was acquired, and what was done about it.
fn b2_the_four_factors_stand_in_the_report(scene: &Scene<'_>) {
    let officer = scene.pilot.person("officer");
    let lost = ["--member", &scene.member, "--since", "2020-01-01", "--unlocked"];
    let report = json(&[&["report", "blast-radius", "--as", &officer][..], &lost].concat());
    let tables = report["tables"].as_array().unwrap();
    let factors = tables.iter().find(|it| text(&it["name"]).contains("Risk assessment")).unwrap();
    let factors = factors["rows"].as_array().unwrap();
    assert_eq!(factors.len(), 4, "{report:#}");
    assert!(factors.iter().all(|it| !text(&it["shown"]).is_empty()), "{report:#}");
    let acquired = factors.iter().any(|it| text(&it["shown"]).contains("accesses, of"));
    assert!(acquired, "what was opened is counted: {report:#}");
}

/// What a patient does with a record of their own, each by hand.
fn e1_a_patient_views_inserts_rectifies_ports_restricts_and_opts_out(scene: &Scene<'_>) {
    let (wallet, officer) = (scene.wallet(), scene.pilot.person("officer"));
    // View.
    let seen = scene.file("seen.json");
    scene.pilot.get(&wallet, &scene.chart, &scene.position, Path::new(&seen)).ok();
    assert_eq!(fs::read(&seen).unwrap(), NOTE);
    // Insert: marked as the patient's own.
    fs::write(scene.file("diary.txt"), "slept well").unwrap();
    let added = scene.pilot.add(&wallet, &scene.chart, Path::new(&scene.file("diary.txt")));
    let own = text(&added.ok().json()["position"]);
    let listed = json(&["record", "list", "--as", &wallet, &scene.chart]);
    let of = |position: &str| {
        let at = |it: &&Value| text(&it["position"]) == position;
        listed.as_array().unwrap().iter().find(at).unwrap().clone()
    };
    assert!(of(&own)["author"].to_string().contains("controller"), "{listed:#}");
    assert!(of(&scene.position)["author"].to_string().contains("member"), "{listed:#}");
    // Rectify: the hospital's own by a case, with its clock.
    let answers = text(&json(&["wallet", "show", "--as", &officer])["member"]);
    let asks = ["--kind", "amendment", "--to", &answers, "--text", "it was the left hand"];
    let case =
        scene.ask(&["case", "open"], &[&asks[..], &["--position", &scene.position]].concat());
    assert!(case["case"].is_string(), "{case:#}");
    // Port: that it comes out as it went in is shown with the whole folder.
    scene.report("export", &["--to", &scene.file("ported")]).ok();
    // Restrict, and see who looked.
    let restrict = ["record", "restrict", "--as", &wallet, "--chart", &scene.chart];
    keepwell(&[&restrict[..], &["--position", &scene.position, "processing"]].concat()).ok();
    assert!(!rows(&scene.report("looked", &["--json"]).ok().json(), 0).is_empty());
    // Opt out: nobody is let in any more, in an emergency neither.
    scene.ask(&["grant", "revoke"], &[&scene.grant]);
    scene.ask(&["emergency", "prepare"], &["--nothing"]);
    scene.open().refused(&["refused"]);
}
