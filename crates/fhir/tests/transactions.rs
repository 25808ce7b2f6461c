//! Batches and transactions: what is taken, what is refused, and references as they are sealed.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use keepwell_fhir::{
    bundle::split,
    interaction::{Id, Query, ResourceType},
    outcome::{Outcome, Status},
    response::{Answer, Response, transaction_response},
    splice::{Edited, with_id, with_meta},
    transaction::{
        Action, Body, EntryError, Limits, Submission, Transaction, TransactionError,
        links::{Condition, LinkError, Links, Resolved, Sent, conditions},
        parse,
    },
};
use proptest::prelude::*;
use serde_json::{Value, value::RawValue};

const LIMITS: Limits<'_> = Limits {
    bytes_max: 16 << 20,
    entries_max: 10_000,
    base: Some("https://keepwell.example/fhir"),
};

fn bundle(bundle_type: &str, entries: &str) -> String {
    format!(r#"{{"resourceType":"Bundle","type":"{bundle_type}","entry":[{entries}]}}"#)
}

fn id(text: &str) -> Id {
    text.parse().expect(text)
}

fn resource_type(text: &str) -> ResourceType {
    text.parse().expect(text)
}

/// The first word of how an error is debugged, without the transaction's own around it.
fn name(error: &TransactionError) -> String {
    let text = if let TransactionError::Entry { error, .. } = error {
        format!("{error:?}")
    } else if let TransactionError::Input(error) = error {
        format!("{error:?}")
    } else {
        format!("{error:?}")
    };
    text.split([' ', '{', '(']).next().expect("a name comes first").to_owned()
}

/// Reads lines of `entries => ok, or the error by its variant`, as a transaction.
fn check(table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (entries, expected) = line.rsplit_once("=>").expect("entries => result");
        let json = bundle("transaction", entries.trim());
        let found = match parse(json.as_bytes(), &LIMITS) {
            Ok(_) => "ok".to_owned(),
            Err(error) => {
                let outcome = Outcome::from(error.clone());
                assert!((400..500).contains(&outcome.status().code()), "{entries}");
                serde_json::from_str::<Value>(&outcome.to_json()).expect("an outcome is JSON");
                name(&error)
            }
        };
        assert_eq!(found, expected.trim(), "{entries}");
    }
}

#[test]
fn entries_are_taken_or_refused_by_name() {
    check(
        r#"
        {"request":{"method":"GET","url":"Patient/1"}}                                                      => ok
        {"request":{"method":"HEAD","url":"/Patient?name=a"}}                                               => ok
        {"request":{"method":"GET","url":"https://keepwell.example/fhir/Patient/1"}}                        => ok
        {"request":{"method":"GET","url":"https://keepwell.example/fhir?_type=Patient"}}                    => ok
        {"request":{"method":"GET","url":"https://keepwell.example/fhirx/Patient/1"}}                       => ForeignUrl
        {"request":{"method":"GET","url":"https://other.example/Patient/1"}}                                => ForeignUrl
        {"request":{"method":"GET","url":"urn:uuid:1"}}                                                     => ForeignUrl
        {"request":{"method":"GET","url":"../Patient/1"}}                                                   => Interaction
        {"request":{"method":"GET","url":"Patient/1#x"}}                                                    => Interaction
        {"request":{"method":"get","url":"Patient/1"}}                                                      => Interaction
        {"request":{"method":"GET","url":"Patient/1","ifNoneMatch":"W/\"1\"","ifModifiedSince":"2020-01-01T00:00:00Z"}} => ok
        {"request":{"method":"GET","url":"Patient/1","ifModifiedSince":"Sun, 06 Nov 1994 08:49:37 GMT"}}    => Header
        {"request":{"method":"GET","url":"Patient/1","ifMatch":"W/\"1\""}}                                  => OutOfPlace
        {"request":{"method":"GET","url":"Patient/1"},"resource":{"resourceType":"Patient"}}                => OutOfPlace
        {"request":{"method":"DELETE","url":"Patient/1","ifMatch":"W/\"1\""}}                               => ok
        {"request":{"method":"DELETE","url":"Patient/1","ifNoneExist":"a=b"}}                               => OutOfPlace
        {"request":{"method":"DELETE","url":"Patient"}}                                                     => Interaction
        {"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Patient"}}                 => ok
        {"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Group"}}                   => TypeMismatch
        {"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Foo"}}                     => UnknownType
        {"request":{"method":"POST","url":"Patient"},"resource":{}}                                         => Input
        {"request":{"method":"POST","url":"Patient"},"resource":[]}                                         => Input
        {"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Patient","id":7}}          => Input
        {"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Patient","a":{"b":1,"\u0062":2}}} => Input
        {"request":{"method":"POST","url":"Patient"}}                                                       => Missing
        {"request":{"method":"POST","url":"Patient?identifier=a|b"},"resource":{"resourceType":"Patient"}}  => OutOfPlace
        {"request":{"method":"POST","url":"Patient","ifNoneExist":"identifier=a|b"},"resource":{"resourceType":"Patient"}} => ok
        {"request":{"method":"POST","url":"Patient","ifNoneExist":"Patient?identifier=a|b"},"resource":{"resourceType":"Patient"}} => ok
        {"request":{"method":"POST","url":"Patient","ifNoneExist":"?"},"resource":{"resourceType":"Patient"}} => Interaction
        {"request":{"method":"POST","url":"Patient","ifNoneExist":7},"resource":{"resourceType":"Patient"}} => Input
        {"request":{"method":"POST","url":"Patient","ifMatch":"W/\"1\""},"resource":{"resourceType":"Patient"}} => OutOfPlace
        {"request":{"method":"POST","url":""},"resource":{"resourceType":"Bundle"}}                         => NotInABundle
        {"request":{"method":"POST","url":"Patient/$export"}}                                               => NotInABundle
        {"request":{"method":"POST","url":"Patient/$validate"},"resource":{"resourceType":"Patient"}}       => ok
        {"request":{"method":"GET","url":"Patient/1/$everything"}}                                          => ok
        {"request":{"method":"PUT","url":"Patient/1"},"resource":{"resourceType":"Patient","id":"1"}}       => ok
        {"request":{"method":"PUT","url":"Patient/1","ifMatch":"1"},"resource":{"resourceType":"Patient","id":"1"}} => Header
        {"request":{"method":"PUT","url":"Patient/1","ifNoneMatch":"*"},"resource":{"resourceType":"Patient","id":"1"}} => ok
        {"request":{"method":"PUT","url":"Patient/1"},"resource":{"resourceType":"Patient","id":"2"}}       => IdMismatch
        {"request":{"method":"PUT","url":"Patient/1"},"resource":{"resourceType":"Patient"}}                => Missing
        {"request":{"method":"PUT","url":"Patient?identifier=a|b"},"resource":{"resourceType":"Patient"}}   => ok
        {"request":{"method":"PATCH","url":"Patient/1"},"resource":{"resourceType":"Binary","contentType":"application/json-patch+json","data":"W10="}} => ok
        {"request":{"method":"PATCH","url":"Patient/1"},"resource":{"resourceType":"Binary","contentType":"application/json-patch+json","data":"W1"}} => NotAJsonPatch
        {"request":{"method":"PATCH","url":"Patient/1"},"resource":{"resourceType":"Binary","contentType":"application/json-patch+json","data":"e30="}} => Patch
        {"request":{"method":"PATCH","url":"Patient/1"},"resource":{"resourceType":"Parameters"}}           => NotAJsonPatch
        {"request":{"method":"GET"}}                                                                        => Missing
        {"request":{"url":"Patient"}}                                                                       => Missing
        {"request":{"method":null,"url":"Patient"}}                                                         => Input
        {"request":7}                                                                                       => Input
        {"resource":{"resourceType":"Patient"}}                                                             => Missing
        {}                                                                                                  => Missing
        7                                                                                                   => Input
        "#,
    );
}

#[test]
fn full_urls_name_one_thing_and_do_not_contradict_it() {
    let post = |url: &str, id: &str| {
        format!(
            r#"{{"fullUrl":"{url}","request":{{"method":"POST","url":"Patient"}},"resource":{{"resourceType":"Patient"{id}}}}}"#
        )
    };
    let long = format!("urn:uuid:{}", "a".repeat(1_024));
    let id = r#","id":"1""#;
    let table = [
        (post("urn:uuid:a", id), "ok"),
        (post("urn:oid:1.2.3", ""), "ok"),
        (post("https://a.example/Patient/1", id), "ok"),
        (post("https://a.example/Patient/1", ""), "ok"),
        (post("https://a.example/Patient/2", id), "FullUrlMismatch"),
        (post("https://a.example/Group/1", ""), "FullUrlMismatch"),
        (post("https://a.example/Patient/1/_history/1", ""), "BadFullUrl"),
        (post("Patient/1", ""), "BadFullUrl"),
        (post("", ""), "BadFullUrl"),
        (post("urn:uuid:a b", ""), "BadFullUrl"),
        (post(&long, ""), "BadFullUrl"),
        (post("urn:uuid:a", "") + "," + &post("URN:UUID:A", ""), "DuplicateFullUrl"),
        (post("urn:uuid:a", "") + "," + &post("urn:uuid:b", ""), "ok"),
    ];
    for (entries, expected) in table {
        check(&format!("{entries} => {expected}"));
    }
}

#[test]
fn two_entries_cannot_change_one_resource() {
    let put = r#"{"request":{"method":"PUT","url":"Patient/1"},"resource":{"resourceType":"Patient","id":"1"}}"#;
    let by = |query: &str| {
        format!(
            r#"{{"request":{{"method":"PUT","url":"Patient?{query}"}},"resource":{{"resourceType":"Patient"}}}}"#
        )
    };
    let create = r#"{"request":{"method":"POST","url":"Patient","ifNoneExist":"identifier=a|b"},"resource":{"resourceType":"Patient"}}"#;
    let delete = r#"{"request":{"method":"DELETE","url":"Patient/1"}}"#;
    check(&format!("{put},{delete} => Overlap"));
    check(&format!("{put},{put} => Overlap"));
    check(&format!("{create},{create} => Overlap"));
    check(&format!("{create},{} => Overlap", by("identifier=a%7Cb")));
    check(&format!("{},{} => Overlap", by("a=1&b=2"), by("b=2&a=1")));
    check(&format!("{put},{} => ok", by("a=1")));

    let json = bundle("transaction", &format!("{put},{}", by("a=1")));
    let transaction = transaction(&json);
    let patient = |text| Some((resource_type("Patient"), id(text)));
    assert_eq!(transaction.check_resolved(&[patient("1"), patient("2")]), Ok(()));
    assert_eq!(transaction.check_resolved(&[patient("1"), None]), Ok(()));
    assert_eq!(
        transaction.check_resolved(&[patient("1"), patient("1")]),
        Err(TransactionError::Overlap { first: 0, second: 1 })
    );
}

fn transaction(json: &str) -> Transaction<'_> {
    match parse(json.as_bytes(), &LIMITS).expect(json) {
        Submission::Transaction(transaction) => transaction,
        Submission::Batch(_) => panic!("a batch"),
    }
}

#[test]
fn entries_are_carried_out_by_method() {
    let entries = r#"
        {"request":{"method":"GET","url":"Patient/1"}},
        {"request":{"method":"PUT","url":"Patient/2"},"resource":{"resourceType":"Patient","id":"2"}},
        {"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Patient"}},
        {"request":{"method":"DELETE","url":"Patient/3"}},
        {"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Patient"}},
        {"request":{"method":"PATCH","url":"Patient/4"},"resource":{"resourceType":"Binary","contentType":"application/json-patch+json","data":"W10="}}"#;
    let json = bundle("transaction", entries);
    assert_eq!(transaction(&json).order(), [3, 2, 4, 1, 5, 0]);

    // In a batch what is wrong is passed over, and told apart.
    let json = bundle("batch", &format!("{{}},{entries}"));
    let submission = parse(json.as_bytes(), &LIMITS).expect("a batch");
    assert_eq!(submission.order(), [4, 3, 5, 2, 6, 1]);
    let Submission::Batch(entries) = submission else { panic!("no batch") };
    assert!(entries[0].is_err() && entries[1..].iter().all(Result::is_ok));
}

#[test]
fn what_is_no_batch_or_transaction_is_refused() {
    let of = |json: &str, limits: &Limits<'_>| {
        parse(json.as_bytes(), limits).map(drop).map_err(|e| name(&e))
    };
    for (json, expected) in [
        ("", "NotJson"),
        ("{", "NotJson"),
        ("[]", "NotAResource"),
        ("{}", "NotAResource"),
        (r#"{"resourceType":"Patient"}"#, "NotABundle"),
        (r#"{"resourceType":"Bundle"}"#, "OtherType"),
        (r#"{"resourceType":"Bundle","type":"collection"}"#, "OtherType"),
        (r#"{"resourceType":"Bundle","type":7}"#, "WrongType"),
        (r#"{"resourceType":"Bundle","type":"batch","type":"transaction"}"#, "AmbiguousKey"),
        (r#"{"resourceType":"Bundle","type":"batch","entry":{}}"#, "WrongType"),
    ] {
        assert_eq!(of(json, &LIMITS), Err(expected.to_owned()), "{json}");
    }
    assert_eq!(of(r#"{"resourceType":"Bundle","type":"transaction"}"#, &LIMITS), Ok(()));
    let two = bundle("batch", "{},{}");
    assert_eq!(of(&two, &Limits { entries_max: 2, ..LIMITS }), Ok(()));
    let error = Err("TooManyEntries".to_owned());
    assert_eq!(of(&two, &Limits { entries_max: 1, ..LIMITS }), error);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(of(&bundle("batch", &deep), &LIMITS), Err("TooDeep".to_owned()));
}

/// Links in which an entry named `urn:uuid:A`, `https://s.example/Patient/1` or `urn:oid:1.2` is Patient/p,
/// and the identifier a|b is Patient/q.
fn links() -> Links {
    let mut links = Links::default();
    for full_url in ["urn:uuid:A", "https://s.example/Patient/1", "urn:oid:1.2"] {
        let patient = resource_type("Patient");
        links.name(full_url, Resolved { resource_type: patient, id: id("p"), version: Some(3) });
    }
    links.resolve("Patient?identifier=a|b", resource_type("Patient"), id("q"));
    links
}

#[test]
fn references_become_what_they_stand_for() {
    let xhtml = |url: &str| {
        format!(
            r#""text":{{"div":"<a href=\"{url}\" title='{url}'>{url}</a><img alt=\"\" src = '{url}'/>"}}"#
        )
    };
    let narrative = |url: &str, kept: &str| {
        format!(
            r#""text":{{"div":"<a href=\"{url}\" title='{kept}'>{kept}</a><img alt=\"\" src = '{url}'/>"}}"#
        )
    };
    let table = [
        (r#""subject":{"reference":"urn:uuid:a"}"#, r#""subject":{"reference":"Patient/p"}"#),
        (
            r#""subject":{"reference" : "URN:UUID:\u0041"}"#,
            r#""subject":{"reference" : "Patient/p"}"#,
        ),
        (
            r#""subject":{"\u0072eference":"urn:uuid:a"}"#,
            r#""subject":{"\u0072eference":"Patient/p"}"#,
        ),
        (r#""subject":{"reference":"urn:oid:1.2"}"#, r#""subject":{"reference":"Patient/p"}"#),
        (
            r#""subject":{"reference":"https://s.example/Patient/1"}"#,
            r#""subject":{"reference":"Patient/p"}"#,
        ),
        (r#""subject":{"reference":"Patient/1"}"#, r#""subject":{"reference":"Patient/p"}"#),
        (
            r#""subject":{"reference":"Patient/1/_history/9"}"#,
            r#""subject":{"reference":"Patient/p/_history/3"}"#,
        ),
        (r#""subject":{"reference":"urn:uuid:a#x"}"#, r#""subject":{"reference":"Patient/p#x"}"#),
        (
            r#""subject":{"reference":"Patient?identifier=a|b"}"#,
            r#""subject":{"reference":"Patient/q"}"#,
        ),
        (r##""subject":{"reference":"#x"}"##, ""),
        (r#""subject":{"reference":"Patient/2"}"#, ""),
        (r#""subject":{"reference":"https://t.example/Patient/1"}"#, ""),
        (r#""contained":[{"resourceType":"DetectedIssue","reference":"urn:uuid:b"}]"#, ""),
        (r#""subject":{"display":"urn:uuid:a"}"#, ""),
        (
            r#""contained":[{"resourceType":"Group","member":[{"entity":{"reference":"urn:uuid:a"}}]}]"#,
            r#""contained":[{"resourceType":"Group","member":[{"entity":{"reference":"Patient/p"}}]}]"#,
        ),
        (r#""identifier":[{"system":"urn:ietf:rfc:3986","value":"urn:uuid:a"}]"#, ""),
        (
            r#""extension":[{"url":"x","valueUri":"urn:uuid:a"}]"#,
            r#""extension":[{"url":"x","valueUri":"Patient/p"}]"#,
        ),
        (r#""extension":[{"url":"x","valueString":"urn:uuid:a"}]"#, ""),
        (r#""extension":[{"url":"x","valueCanonical":"urn:uuid:a"}]"#, ""),
        (r#""extension":[{"url":"x","valueUri":"urn:uuid:b"}]"#, ""),
        // What a definition is called, even where it is its full URL.
        (r#""url":"urn:uuid:a""#, ""),
        (r#""extension":[{"url":"urn:uuid:a","valueInteger":1}]"#, ""),
        (r#""modifierExtension":[{"url":"urn:uuid:a"}]"#, ""),
        (r#""contained":[{"resourceType":"ValueSet","url":"urn:uuid:a"}]"#, ""),
        (r#""item":[{"definition":"urn:uuid:a#x"}]"#, ""),
        (r#""element":[{"fixedUri":"urn:uuid:a","patternUri":"urn:uuid:a"}]"#, ""),
        // Canonicals that are called as elements of type uri are.
        (r#""constraint":[{"source":"urn:uuid:a"}]"#, ""),
        (r#""dependsOn":[{"uri":"urn:uuid:a","system":"urn:uuid:a"}]"#, ""),
        (r#""codeSystem":[{"uri":"urn:uuid:a"}]"#, ""),
        (r#""unmapped":{"url":"urn:uuid:a"},"structure":[{"url":"urn:uuid:a"}]"#, ""),
        (r#""group":[{"source":"urn:uuid:a"}]"#, r#""group":[{"source":"Patient/p"}]"#),
        (r#""instantiates":["urn:uuid:a"]"#, r#""instantiates":["Patient/p"]"#),
        (
            r#""content":[{"attachment":{"url":"urn:uuid:a#1"}}]"#,
            r#""content":[{"attachment":{"url":"Patient/p#1"}}]"#,
        ),
        (
            r#""instantiatesUri":["urn:uuid:a",1.50,"urn:uuid:a"]"#,
            r#""instantiatesUri":["Patient/p",1.50,"Patient/p"]"#,
        ),
        (&xhtml("urn:uuid:a"), &narrative("Patient/p", "urn:uuid:a")),
        (
            r#""text":{"div":"<p>a=\"urn:uuid:a\" href=\"urn:uuid:a\"</p><p xhref=\"urn:uuid:a\"/>"}"#,
            "",
        ),
    ];
    for (before, after) in table {
        let after = if after.is_empty() { before } else { after };
        let resource =
            |fields: &str| format!("{{ \"resourceType\" : \"Basic\",\t{fields} , \"v\":1.50}}\n");
        let edited = links().rewrite(&resource(before), Some("https://s.example/Basic/7"));
        let edited = edited.expect(before);
        assert_eq!(edited.json, resource(after));
        assert_eq!(edited.undo(), resource(before));
    }
}

#[test]
fn what_a_statement_instantiates_is_a_definition() {
    let statement = r#"{"resourceType":"CapabilityStatement","instantiates":["urn:uuid:a"]}"#;
    assert_eq!(links().rewrite(statement, None).unwrap().json, statement);
}

#[test]
fn references_that_could_never_be_found_are_refused() {
    let rewrite = |fields: &str| {
        let resource = format!(r#"{{"resourceType":"Basic",{fields}}}"#);
        links().rewrite(&resource, None).map(drop)
    };
    let path = |text: &str| text.to_owned();
    let error = LinkError::NotInBundle { path: path("Basic.subject.reference") };
    assert_eq!(rewrite(r#""subject":{"reference":"urn:uuid:b"}"#), Err(error));
    let error = LinkError::NotInBundle { path: path("Basic.author[1].reference") };
    assert_eq!(rewrite(r#""author":[1,{"reference":"urn:oid:9"}]"#), Err(error));
    let error = LinkError::NotResolved { path: path("Basic.subject.reference") };
    assert_eq!(rewrite(r#""subject":{"reference":"Patient?identifier=c"}"#), Err(error));
    let absolute = r#""subject":{"reference":"https://t.example/Patient?identifier=a|b"}"#;
    let error = LinkError::NotResolved { path: path("Basic.subject.reference") };
    assert_eq!(rewrite(absolute), Err(error));
    assert!(matches!(rewrite(r#""a":1,"a":2"#), Err(LinkError::Input(_))));
    assert_eq!(rewrite(r#""url":"urn:uuid:b""#), Ok(()));
    // Without a server of its own, an entry's relative references are not the Bundle's.
    let relative = r#"{"resourceType":"Basic","subject":{"reference":"Patient/1"}}"#;
    assert_eq!(links().rewrite(relative, Some("urn:uuid:c")).expect("it stays").splices, []);

    let mut unknown = Links::default();
    let patient = Resolved { resource_type: resource_type("Patient"), id: id("p"), version: None };
    unknown.name("urn:uuid:a", patient);
    let versioned = r#"{"resourceType":"Basic","subject":{"reference":"urn:uuid:a/_history/1"}}"#;
    let error = LinkError::VersionNotKnown { path: path("Basic.subject.reference") };
    assert_eq!(unknown.rewrite(versioned, None), Err(error));
}

#[test]
fn a_document_is_stored_as_it_was_signed() {
    let document = r#"{"resourceType":"Bundle","type":"document","entry":[{"fullUrl":"urn:uuid:a","resource":{"resourceType":"Composition","subject":{"reference":"urn:uuid:zz"}}}]}"#;
    assert_eq!(links().rewrite(document, None).expect("it stays").splices, []);
}

#[test]
fn short_names_do_not_make_large_resources() {
    let mut links = Links::default();
    let long = Resolved {
        resource_type: resource_type("Patient"),
        id: id(&"p".repeat(64)),
        version: None,
    };
    links.name("a:b", long);
    let uris = vec![r#""a:b""#; 10_000].join(",");
    let resource = format!(r#"{{"resourceType":"Basic","instantiatesUri":[{uris}]}}"#);
    assert!(matches!(links.rewrite(&resource, None), Err(LinkError::TooLarge { .. })));
}

/// A key that would take hours if it were read again for each string below it.
#[test]
fn a_long_key_is_read_once() {
    let strings = vec![r#""a""#; 200_000].join(",");
    for letter in ["k", "\\u006b"] {
        let key = letter.repeat(1_000_000 / letter.len());
        let json = format!(r#"{{"resourceType":"Basic","{key}":[{strings}]}}"#);
        assert_eq!(links().rewrite(&json, None).expect("it is a resource").splices, []);
        assert!(conditions(&json, None).expect("it is a resource").is_empty());
    }
}

#[test]
fn conditions_are_listed_once_before_they_are_resolved() {
    let resource = r#"{"resourceType":"Basic","subject":{"reference":"Patient?identifier=a|b"},
        "author":{"reference":"Practitioner?identifier=c%7Cd"},"display":"Patient?x=y",
        "other":[{"reference":"Patient?identifier=a|b"},{"reference":"Foo?x=y"},{"reference":"Patient?"}]}"#;
    let found = conditions(resource, None).expect("they can be read");
    let texts: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(texts, ["Patient?identifier=a|b", "Practitioner?identifier=c%7Cd"]);
    let query = &found[texts[1]].query;
    assert_eq!(query.identifier(), Some(("c".to_owned(), "d".to_owned())));
    let broken = r#"{"resourceType":"Basic","subject":{"reference":"Patient?identifier=%zz"}}"#;
    assert!(matches!(conditions(broken, None), Err(LinkError::NotResolved { .. })));
    let absolute =
        r#"{"resourceType":"Basic","subject":{"reference":"https://a.example/Patient?_id=1"}}"#;
    let base = Some("https://a.example");
    let found = conditions(absolute, base).expect("it is ours");
    assert_eq!(found.keys().collect::<Vec<_>>(), ["https://a.example/Patient?_id=1"]);
    for other in [None, Some("https://a.example/fhir")] {
        assert!(matches!(conditions(absolute, other), Err(LinkError::NotResolved { .. })));
    }
    let everything = r#"{"resourceType":"Basic","subject":{"reference":"Patient?_format=json"}}"#;
    assert!(matches!(conditions(everything, None), Err(LinkError::NotResolved { .. })));
    let many: Vec<_> =
        (0..1_001).map(|at| format!(r#"{{"reference":"Patient?_id={at}"}}"#)).collect();
    let many = format!(r#"{{"resourceType":"Basic","subject":[{}]}}"#, many.join(","));
    assert_eq!(conditions(&many, None), Err(LinkError::TooManyConditions));
}

#[test]
fn a_condition_may_mean_what_the_same_bundle_sends() {
    let patient = |value: &str| {
        format!(
            r#"{{"request":{{"method":"POST","url":"Patient"}},"resource":{{"resourceType":"Patient","identifier":[{{"value":"1"}},{{"system":"urn:mrn","value":"{value}"}},7]}}}}"#
        )
    };
    let delete = r#"{"request":{"method":"DELETE","url":"Patient/1"}}"#;
    let entries = [delete, &patient("a7"), &patient("8"), &patient("8")].join(",");
    let json = bundle("transaction", &entries);
    let sent = Sent::of(&transaction(&json).entries);
    let matching = |of: &str, query: &str| {
        let query = Query::parse(query).expect(query);
        let condition = Condition { resource_type: resource_type(of), query };
        sent.matching(&condition).collect::<Vec<_>>()
    };
    assert_eq!(matching("Patient", "identifier=urn:mrn%7Ca7"), [1]);
    // As a search would find it (R4 Search, "token").
    assert_eq!(matching("Patient", "identifier=urn:mrn|A7"), [1]);
    assert_eq!(matching("Patient", "identifier=urn:mrn|8"), [2, 3]);
    assert_eq!(matching("Patient", "identifier=|1"), [1, 2, 3]);
    for none in [
        "identifier=urn:mrn|9",
        "identifier=URN:MRN|a7",
        "identifier=a7",
        "identifier=urn:mrn|a7&name=a",
    ] {
        assert!(matching("Patient", none).is_empty(), "{none}");
    }
    assert!(matching("Group", "identifier=urn:mrn|a7").is_empty());
}

#[test]
fn an_id_and_a_meta_are_put_where_they_belong() {
    let table = [
        (r#"{"resourceType":"Basic"}"#, r#"{"resourceType":"Basic","id":"7"}"#),
        (
            r#" { "id" : "\u0061" , "resourceType" : "Basic" } "#,
            r#" { "id" : "7" , "resourceType" : "Basic" } "#,
        ),
        (
            r#"{"v":1.50,"resourceType" :"Basic" ,"x":{"id":"y"}}"#,
            r#"{"v":1.50,"resourceType" :"Basic","id":"7" ,"x":{"id":"y"}}"#,
        ),
        (r#"{"resourceType":"Basic","\u0069d":"a"}"#, r#"{"resourceType":"Basic","\u0069d":"7"}"#),
    ];
    for (before, after) in table {
        let edited = with_id(before, &id("7")).expect(before);
        assert_eq!(edited.json, after);
        assert_eq!(edited.undo(), before);
    }
    let meta = r#""versionId":"3","lastUpdated":"t""#;
    let table = [
        (
            r#"{"resourceType":"Basic"}"#.to_owned(),
            format!(r#"{{"resourceType":"Basic","meta":{{{meta}}}}}"#),
        ),
        (
            r#"{"meta": { } ,"resourceType":"Basic"}"#.to_owned(),
            format!(r#"{{"meta": {{{meta} }} ,"resourceType":"Basic"}}"#),
        ),
        (
            r#"{"m\u0065ta":{"tag":[]},"resourceType":"Basic"}"#.to_owned(),
            format!(r#"{{"m\u0065ta":{{{meta},"tag":[]}},"resourceType":"Basic"}}"#),
        ),
        (
            r#"{"resourceType":"Basic","meta":{"lastUpdated":7, "versionId":"1"}}"#.to_owned(),
            r#"{"resourceType":"Basic","meta":{"lastUpdated":"t", "versionId":"3"}}"#.to_owned(),
        ),
        (
            r#"{"resourceType":"Basic","meta":{"tag":[],"versionId":"1"}}"#.to_owned(),
            r#"{"resourceType":"Basic","meta":{"lastUpdated":"t","tag":[],"versionId":"3"}}"#
                .to_owned(),
        ),
    ];
    for (before, after) in table {
        let edited = with_meta(&before, 3, "t").expect(&before);
        assert_eq!(edited.json, after);
        assert_eq!(edited.undo(), before);
        let value: Value = serde_json::from_str(&edited.json).expect(&before);
        assert_eq!(value["meta"]["versionId"], "3");
    }
    for refused in [
        "",
        "[]",
        "{}",
        r#"{"resourceType":"Basic","id":7}"#,
        r#"{"resourceType":"Basic","id":"a","\u0069d":"b"}"#,
    ] {
        assert!(with_id(refused, &id("7")).is_err(), "{refused}");
    }
    assert!(with_meta(r#"{"resourceType":"Basic","meta":[]}"#, 3, "t").is_err());
}

/// Name and bytes of each Synthea transaction; none, said aloud, where the folder is absent.
fn synthea() -> Vec<(String, Vec<u8>)> {
    let folder = match env::var_os("KEEPWELL_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let Ok(files) = fs::read_dir(folder.join("synthea")) else {
        println!("SKIPPED: no synthea/ in {}; set KEEPWELL_DATA", folder.display());
        return Vec::new();
    };
    let paths = files.map(|file| file.expect("the folder is readable").path());
    let paths = paths.filter(|path| path.extension().is_some_and(|it| it == "json"));
    paths
        .map(|path| {
            let name = path.file_name().expect("it was listed").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("the file is readable"))
        })
        .collect()
}

/// Every number of a document, as it is written.
fn numbers(json: &str) -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Number(number) => found.push(number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::from_str(json).expect("it is JSON"), &mut found);
    found
}

/// Every `Reference.reference` of a document.
fn references(json: &str) -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Object(fields) => {
                found.extend(fields.get("reference").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| collect(value, found));
            }
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::from_str(json).expect("it is JSON"), &mut found);
    found
}

#[test]
fn transactions_of_others_keep_every_byte_but_their_references() {
    let mut rewritten = 0;
    // The lists of hospitals and practitioners are what patients' bundles refer to.
    for (name, bytes) in &synthea() {
        let text = std::str::from_utf8(bytes).expect(name);
        let transaction = transaction(text);
        let (mut links, mut stored) = (Links::default(), BTreeSet::new());
        for entry in &transaction.entries {
            let body = entry.action.body().expect(name);
            let new = format!("{}-{}", entry.index, "x".repeat(30));
            stored.insert(format!("{}/{new}", body.resource_type));
            let resolved =
                Resolved { resource_type: body.resource_type, id: id(&new), version: Some(1) };
            links.name(entry.full_url.as_deref().expect(name), resolved);
        }
        for entry in &transaction.entries {
            let body = entry.action.body().expect(name);
            for (reference, condition) in conditions(body.json, None).expect(name) {
                links.resolve(&reference, condition.resource_type, id("found"));
                stored.insert(format!("{}/found", condition.resource_type));
            }
            let edited = links.rewrite(body.json, entry.full_url.as_deref()).expect(name);
            rewritten += edited.splices.len();
            assert_eq!(edited.undo(), body.json, "{name}");
            assert_eq!(numbers(&edited.json), numbers(body.json), "{name}");
            assert_eq!(outside(&edited), outside_of(body.json, &edited), "{name}");
            for reference in references(&edited.json) {
                assert!(
                    reference.starts_with('#') || stored.contains(&reference),
                    "{name} {reference}"
                );
            }
            let named = with_id(&edited.json, &id("new")).expect(name);
            assert_eq!(named.undo(), edited.json, "{name}");
        }
    }
    println!("{rewritten} references rewritten");
    assert!(rewritten == 0 || rewritten > 5_000);
}

/// What an edited text has outside its splices.
fn outside(edited: &Edited) -> String {
    let (mut kept, mut rest, mut moved) = (String::new(), edited.json.as_str(), 0);
    for splice in &edited.splices {
        let (before, behind) = rest.split_at(splice.range.start - moved);
        kept.push_str(before);
        rest = &behind[splice.new.len()..];
        moved = splice.range.end;
    }
    kept + rest
}

/// What a source has outside the splices that were made of it.
fn outside_of(source: &str, edited: &Edited) -> String {
    let (mut kept, mut from) = (String::new(), 0);
    for splice in &edited.splices {
        kept.push_str(&source[from..splice.range.start]);
        from = splice.range.end;
    }
    kept + &source[from..]
}

#[test]
fn every_resource_of_a_transaction_stands_in_the_answer_byte_for_byte() {
    for (name, bytes) in synthea().iter().take(3) {
        let text = std::str::from_utf8(bytes).expect(name);
        let transaction = transaction(text);
        let raws: Vec<&RawValue> = (transaction.entries.iter())
            .map(|entry| entry.action.body().expect(name).json)
            .map(|json| serde_json::from_str(json).expect(name))
            .collect();
        let url = |at| format!("https://keepwell.example/fhir/Basic/{at}");
        let urls: Vec<_> = (0..raws.len()).map(url).collect();
        let answers = raws.iter().zip(&urls).map(|(raw, url)| Answer {
            full_url: Some(url),
            resource: Some(raw),
            response: Response { version: Some(1), ..Response::of(Status::CREATED) },
        });
        let json = transaction_response(&answers.collect::<Vec<_>>());
        let mut at = 0;
        for raw in &raws {
            at += json[at..].find(raw.get()).expect(name) + raw.get().len();
        }
        if raws.iter().any(|raw| raw.get().contains("\"Patient\"")) {
            let bundle = split(json.as_bytes(), 64 << 20).expect(name);
            assert_eq!(bundle.bundle_type.as_deref(), Some("transaction-response"));
            assert_eq!(bundle.resources.len(), raws.len());
        }
    }
}

/// Any JSON, with keys and texts that this crate gives a meaning to.
fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("urn:uuid:A".to_owned()),
        Just("https://s.example/Patient/1".to_owned()),
        Just(r#"<a href='urn:uuid:a'>\"</a>"#.to_owned()),
        Just("Patient/1/_history/2".to_owned()),
        any::<String>(),
    ];
    let key = prop_oneof![
        Just("reference".to_owned()),
        Just("url".to_owned()),
        Just("div".to_owned()),
        Just("id".to_owned()),
        Just("meta".to_owned()),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null)
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|fields: BTreeMap<_, _>| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// What a literal under `key` becomes, if it is a reference that the links know.
fn expected(key: &str, text: &str) -> Option<&'static str> {
    match text {
        "urn:uuid:A" | "https://s.example/Patient/1" if matches!(key, "reference" | "url") => {
            Some("Patient/p")
        }
        // Below the server of the entry's own full URL.
        "Patient/1/_history/2" if key == "reference" => Some("Patient/p/_history/3"),
        _ => None,
    }
}

/// Holds `edited` to being `source` but for the references in it.
fn differs_in_references_alone(key: &str, source: &Value, edited: &Value) {
    match (source, edited) {
        (Value::Object(source), Value::Object(edited)) => {
            assert!(source.keys().eq(edited.keys()));
            source.iter().for_each(|(key, value)| {
                differs_in_references_alone(key, value, &edited[key]);
            });
        }
        (Value::Array(source), Value::Array(edited)) => {
            assert_eq!(source.len(), edited.len());
            source
                .iter()
                .zip(edited)
                .for_each(|(one, other)| differs_in_references_alone(key, one, other));
        }
        (Value::String(source), Value::String(edited)) if key == "div" => {
            let hyperlink = source == r#"<a href='urn:uuid:a'>\"</a>"#;
            assert_eq!(*edited, if hyperlink { r#"<a href='Patient/p'>\"</a>"# } else { source });
        }
        (Value::String(source), Value::String(edited)) => {
            assert_eq!(edited, expected(key, source).unwrap_or(source), "{key}");
        }
        _ => assert_eq!(source, edited),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_edited_stays_json_and_can_be_undone(value in json(), pretty in any::<bool>()) {
        let mut resource = serde_json::json!({"resourceType": "Basic"});
        resource["content"] = value;
        let text = if pretty { serde_json::to_string_pretty(&resource) } else { serde_json::to_string(&resource) };
        let text = text.expect("a value is JSON");
        if let Ok(edited) = links().rewrite(&text, Some("https://s.example/Basic/7")) {
            prop_assert_eq!(edited.undo(), text.clone());
            let json: Value = serde_json::from_str(&edited.json).expect("it stays JSON");
            differs_in_references_alone("", &resource, &json);
            prop_assert_eq!(outside(&edited), outside_of(&text, &edited));
            // What was rewritten names nothing in the Bundle any more, so doing it again changes nothing.
            let again = links().rewrite(&edited.json, None).expect("it was read before");
            prop_assert_eq!(again.splices, []);
        }
        for edited in [with_id(&text, &id("7")), with_meta(&text, 3, "t")].into_iter().flatten() {
            prop_assert_eq!(edited.undo(), text.clone());
            prop_assert!(serde_json::from_str::<Value>(&edited.json).is_ok());
        }
    }

    #[test]
    fn no_input_is_too_strange(text in any::<String>(), entries in json()) {
        let _ = parse(text.as_bytes(), &LIMITS);
        let _ = links().rewrite(&text, None);
        let _ = conditions(&text, None);
        let entries = bundle("batch", &entries.to_string());
        let _ = parse(entries.as_bytes(), &LIMITS);
        let _ = Query::parse(&text);
    }
}

#[test]
fn the_body_of_a_single_request_is_read_as_strictly() {
    let read = |json: &str| Body::parse(json.as_bytes(), 100).map(drop);
    let json = r#" {"resourceType":"Patient","id":"1","multipleBirthInteger":2} "#;
    let body = Body::parse(json.as_bytes(), 100).expect("it can be read");
    assert_eq!(body.json, json.trim());
    assert_eq!(body.must_be(resource_type("Patient")), Ok(()));
    assert!(matches!(body.must_be(resource_type("Group")), Err(EntryError::TypeMismatch { .. })));
    assert_eq!(body.must_have(&id("1")), Ok(()));
    assert_eq!(body.must_have(&id("2")), Err(EntryError::IdMismatch));
    for refused in [
        "",
        "[]",
        "{}",
        "{",
        r#"{"resourceType":"Foo"}"#,
        r#"{"resourceType":"Group","a":[{"b":1,"b":1}]}"#,
    ] {
        assert!(read(refused).is_err(), "{refused}");
    }
    assert!(read(&" ".repeat(101)).is_err());
}

#[test]
fn an_entry_that_is_no_interaction_does_not_lend_the_bundle_its_status() {
    for entry in [
        r#"{"request":{"method":"GET","url":"Foo"}}"#,
        r#"{"request":{"method":"PUT","url":"metadata"}}"#,
        r#"{"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Foo"}}"#,
    ] {
        let json = bundle("transaction", entry);
        let error = parse(json.as_bytes(), &LIMITS).expect_err(entry);
        assert_eq!(Outcome::from(error).status().code(), 400, "{entry}");
    }
    let error = Body::parse(br#"{"resourceType":"Foo"}"#, 100).expect_err("R4 has none");
    let outcome = Outcome::from(error);
    assert_eq!(outcome.status().code(), 400);
    assert!(outcome.to_json().contains("\"invalid\""));
}

#[test]
fn conditions_that_everything_meets_are_none() {
    check(
        r#"
        {"request":{"method":"DELETE","url":"Patient?_format=json"}} => Interaction
        {"request":{"method":"DELETE","url":"Patient?_count=1&name=&code=,"}} => Interaction
        {"request":{"method":"DELETE","url":"Patient?_include:iterate=Patient:organization"}} => Interaction
        {"request":{"method":"DELETE","url":"Patient?_format=json&_id=1"}} => ok
        {"request":{"method":"POST","url":"Patient","ifNoneExist":"_pretty=true&_sort=_id"},"resource":{"resourceType":"Patient"}} => Interaction
        "#,
    );
    let resource = r#"{"resourceType":"Basic","subject":{"reference":"Patient?_format=json"}}"#;
    assert!(links().rewrite(resource, None).is_err());
}

#[test]
fn conditional_actions_keep_their_condition() {
    let json = bundle(
        "transaction",
        r#"{"request":{"method":"POST","url":"Patient","ifNoneExist":"identifier=urn:mrn|7"},"resource":{"resourceType":"Patient"}}"#,
    );
    let transaction = transaction(&json);
    let Action::Create { if_none_exist, .. } = &transaction.entries[0].action else {
        panic!("no create")
    };
    let identifier = if_none_exist.as_ref().and_then(Query::identifier);
    assert_eq!(identifier, Some(("urn:mrn".to_owned(), "7".to_owned())));
}
