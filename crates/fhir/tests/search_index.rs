//! The superset guarantee, over every parameter of every type: what a query finds, it finds by its keys too.
//!
//! A resource gets one value where a parameter looks, as the CapabilityStatement says, and is asked for that very
//! value in every way that must find it.

use keepwell_fhir::search::{
    Entry, Handling, Key, Options, Query, keys,
    table::{self, Kind, Parameter},
};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

const BASE: &str = "https://us.example/fhir";
/// 2024-06-01T00:00:00Z.
const NOW_MS: u64 = 1_717_200_000_000;
const LAST_UPDATED: &str = "2024-05-01T08:00:00.5Z";

/// Texts with whatever has a meaning in a query, or is not what it was once it is normalised.
const WORDS: &[&str] = &[
    "a",
    "A b",
    "É\u{301}",
    "İstanbul",
    "ﬁn",
    "\u{fdfa}",
    "Straße",
    "राम",
    "x\u{1d15e}",
    "a|b",
    "a,b",
    "a$b",
    "\\",
    "a\\",
    "\\,|$",
    "-",
    " a",
    "gt5",
    "%2C",
    "a+b",
    "true",
    "Patient/1",
    "http://s.example/x",
    "http://s.example/x|1",
    "\u{0}",
];

const DATES: &[&str] = &[
    "2024",
    "2024-05",
    "2024-05-01",
    "2024-02-29",
    "0001",
    "9999-12-31",
    "1969-12-31T23:59:59.999Z",
    "2024-05-01T08:00:00Z",
    "2024-05-01T08:00:00.123456789012+14:00",
    "2024-05-01T08:00:60-11:30",
];

const NUMBERS: &[&str] = &["0", "5", "5.40", "1e2", "1.5e-9", "100000000000000000000.000001"];

/// Every parameter that is served, with its type.
fn served() -> Vec<(&'static str, &'static Parameter)> {
    let types = table::resource_types();
    types.flat_map(|kind| table::parameters(kind).map(move |it| (kind, it))).collect()
}

/// What a value is made of.
#[derive(Clone, Debug)]
struct Words {
    one: String,
    other: String,
    third: String,
    date: &'static str,
    number: &'static str,
    /// Which of its kind's forms the value has.
    form: usize,
}

fn word() -> impl Strategy<Value = String> {
    let long = proptest::sample::select(&["é", "ab", "a,"][..]).prop_map(|it| it.repeat(200));
    let known = proptest::sample::select(WORDS).prop_map(str::to_owned);
    prop_oneof![8 => known, 1 => long, 2 => ".{1,12}"]
}

fn words() -> impl Strategy<Value = Words> {
    let texts = (word(), word(), word());
    let others = (proptest::sample::select(DATES), proptest::sample::select(NUMBERS), 0_usize..60);
    (texts, others).prop_map(|((one, other, third), (date, number, form))| Words {
        one,
        other,
        third,
        date,
        number,
        form,
    })
}

/// `text` as a value of a query (R4 Search, "Escaping").
fn escaped(text: &str) -> String {
    let escape = |letter: char| match letter {
        '\\' | ',' | '|' | '$' => vec!['\\', letter],
        _ => vec![letter],
    };
    text.chars().flat_map(escape).collect()
}

/// A value, and the modifiers and values that must find it.
type Asked = (Value, Vec<(String, String)>);

fn asked(value: Value, queries: Vec<(&str, String)>) -> Asked {
    let queries = queries.into_iter().map(|(modifier, value)| (modifier.to_owned(), value));
    (value, queries.collect())
}

fn value(parameter: &Parameter, words: &Words) -> Asked {
    match parameter.kind {
        Kind::Token => token(parameter, words),
        Kind::Reference => reference(parameter, words),
        Kind::Date => date(words),
        Kind::String => string(words),
        Kind::Uri => uri(words),
        Kind::Number | Kind::Quantity => number(parameter, words),
        Kind::Composite => (Value::Null, Vec::new()),
    }
}

fn token(parameter: &Parameter, words: &Words) -> Asked {
    let Words { one: system, other: code, third: text, .. } = words;
    let [s, c, t] = [system, code, text].map(|it| escaped(it));
    let is_identifier = parameter.modifiers().any(|it| it == "of-type");
    let whole = vec![("", format!("{s}|{c}")), ("", format!("{s}|")), ("", c.clone())];
    match words.form % 5 {
        0 => asked(json!({"system": system, "code": code}), whole),
        1 => {
            let concept = json!({"coding": [{"code": "y"}, {"system": system, "code": code, "display": text}]});
            asked(concept, [&whole[..], &[("text", t)]].concat())
        }
        2 => asked(json!(code), vec![("", c)]),
        3 => asked(json!({"code": code}), vec![("", c.clone()), ("", format!("|{c}"))]),
        _ => {
            let kind = json!({"coding": [{"system": system, "code": code}], "text": text});
            let mut queries = vec![("", t.clone()), ("text", t.clone())];
            if is_identifier {
                queries.push(("of-type", format!("{s}|{c}|{t}")));
            }
            asked(json!({"type": kind, "value": text}), queries)
        }
    }
}

fn reference(parameter: &Parameter, words: &Words) -> Asked {
    // Whatever else it may refer to, a path that is narrowed to a type finds that one.
    let path = paths(parameter);
    let narrowed = path.split(" | ").next().and_then(|it| it.split_once("->")).map(|(_, it)| it);
    let kind = narrowed.or(parameter.targets().next()).unwrap_or("Patient");
    let here = format!("{kind}/7");
    let mut ways = vec![("", "7".to_owned()), ("", here.clone()), ("", format!("{BASE}/{here}"))];
    if parameter.targets().any(|it| it == kind) {
        ways.extend([(kind, "7".to_owned()), (kind, here.clone())]);
    }
    let far = format!("https://b.example/fhir/{here}");
    match words.form % 6 {
        0 => asked(json!({"reference": here}), ways),
        1 => {
            ways.push(("", format!("{here}/_history/2")));
            asked(json!({"reference": format!("{BASE}/{here}/_history/2")}), ways)
        }
        2 => asked(json!({"reference": far.clone()}), vec![("", far)]),
        3 => {
            let ways = vec![("", "urn:uuid:ab".to_owned()), ("", "URN:UUID:AB".to_owned())];
            asked(json!({"reference": "urn:uuid:AB", "type": kind}), ways)
        }
        4 => {
            let url = format!("https://b.example/fhir/{kind}/q");
            let versioned = format!("{url}|1");
            asked(json!(versioned.clone()), vec![("", escaped(&versioned)), ("", url)])
        }
        _ => {
            let Words { one: system, other: value, .. } = words;
            let own = format!("{}|{}", escaped(system), escaped(value));
            let identifier = json!({"system": system, "value": value});
            asked(json!({"identifier": identifier, "type": kind}), vec![("identifier", own)])
        }
    }
}

fn date(words: &Words) -> Asked {
    let date = words.date;
    let all = ["", "eq", "ge", "le", "ap"].map(|prefix| ("", format!("{prefix}{date}")));
    match words.form % 3 {
        0 => asked(json!(date), all.to_vec()),
        1 => asked(json!({"start": date, "end": date}), all.to_vec()),
        _ => asked(
            json!({"start": date}),
            vec![("", format!("gt{date}")), ("", format!("ge{date}"))],
        ),
    }
}

fn string(words: &Words) -> Asked {
    let text = &words.one;
    let own = escaped(text);
    let upper: String = own.chars().flat_map(char::to_uppercase).collect();
    let mut ways = vec![("", own.clone()), ("exact", own.clone()), ("contains", own)];
    if text.is_ascii() {
        ways.push(("", upper));
    }
    match words.form % 3 {
        0 => asked(json!(text), ways),
        1 => asked(json!({"given": ["zz", text], "family": words.other}), ways),
        _ => asked(json!({"line": [text], "city": words.other}), ways),
    }
}

fn uri(words: &Words) -> Asked {
    let own = escaped(&words.one);
    let mut ways = vec![("", own.clone()), ("below", own.clone()), ("above", own)];
    // A canonical URL without a version stands for each of its versions.
    let unversioned = words.one.split('|').next().filter(|it| !it.is_empty());
    ways.extend(unversioned.map(|it| ("", escaped(it))));
    asked(json!(words.one), ways)
}

fn number(parameter: &Parameter, words: &Words) -> Asked {
    let number: Value = serde_json::from_str(words.number).expect("it is a number");
    let ways = ["", "eq", "ge", "le", "ap"].map(|prefix| format!("{prefix}{}", words.number));
    if parameter.kind == Kind::Number {
        return asked(number, ways.map(|it| ("", it)).to_vec());
    }
    let Words { one: system, other: code, .. } = words;
    let unit = format!("|{}|{}", escaped(system), escaped(code));
    let ways = ways.into_iter().flat_map(|it| [("", [&it, &*unit].concat()), ("", it)]);
    asked(json!({"value": number, "system": system, "code": code}), ways.collect())
}

/// Where the parameter looks, as a CapabilityStatement says it.
fn paths(parameter: &Parameter) -> String {
    let text = parameter.documentation();
    let paths = text.strip_prefix("Looks at ").and_then(|it| it.split_once(". Modifiers"));
    paths.map(|(paths, _)| paths.to_owned()).unwrap_or_default()
}

/// A resource with `value` where the first of the parameter's paths leads.
fn resource(kind: &str, parameter: &Parameter, value: Value) -> Value {
    let paths = paths(parameter);
    let path = paths.split(" | ").next().unwrap_or_default();
    let path = path.split_once("->").map_or(path, |(path, _)| path).trim_end_matches('?');
    let mut steps = Vec::new();
    let mut depth = 0;
    for letter in path.chars() {
        depth += i32::from("([".contains(letter)) - i32::from(")]".contains(letter));
        match (letter, depth, steps.last_mut()) {
            ('.', 0, _) => steps.push(String::new()),
            (_, _, None) => steps.push(letter.to_string()),
            (_, _, Some(step)) => step.push(letter),
        }
    }
    let mut resource = steps.iter().rev().fold(value, |inner, step| put(step, inner));
    if !resource.is_object() {
        // The id and the time of the version stand in no element.
        resource = json!({});
    }
    resource["resourceType"] = kind.into();
    resource
}

/// An object in which `step` leads to `inner`.
fn put(step: &str, mut inner: Value) -> Value {
    let (name, rest) = step.split_at(step.find(['(', '[']).unwrap_or(step.len()));
    let rest = rest.trim_end_matches([')', ']']);
    if let Some(types) = rest.strip_prefix('[') {
        let fhir_type = types.split(',').next().unwrap_or_default();
        let (first, others) = fhir_type.split_at(1);
        return json!({ format!("{name}{}{others}", first.to_uppercase()): inner });
    }
    if let Some(wanted) = rest.strip_prefix('(') {
        let (field, wanted) = wanted.split_once('=').unwrap_or(("url", wanted));
        if inner.is_object() {
            inner[field] = wanted.into();
        }
        return json!({ name: [{"use": "other"}, inner] });
    }
    json!({ name: [inner] })
}

/// The query, if it is one.
fn parse(kind: &str, name: &str, value: &str) -> Option<Query> {
    let pairs = [(name.to_owned(), value.to_owned())];
    let options = Options { base: BASE, now_ms: NOW_MS, handling: Handling::Strict };
    Query::parse(kind, &pairs, options).ok()
}

/// Whether an index with `held` gives what `query` asks of it.
fn is_hit(query: &Query, held: &[(&str, Key)]) -> bool {
    query.probes().iter().all(|(parameter, probes)| {
        let own = held.iter().filter(|(name, _)| name == parameter);
        own.into_iter().any(|(_, key)| probes.iter().any(|probe| probe.hits(key)))
    })
}

/// A filter by a fixed field overwrites what the value has there, so that not every query finds it.
fn is_filtered(parameter: &Parameter) -> bool {
    paths(parameter).split(" | ").next().is_some_and(|it| it.ends_with(')') || it.ends_with('?'))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_asked_for_by_its_own_value_is_found_and_hit(
        at in any::<Index>(), words in words(), second in words(), noise in word(),
    ) {
        let served = served();
        let (kind, parameter) = at.get(&served);
        let (own, queries) = value(parameter, &words);
        let (_, others) = value(parameter, &second);
        let resource = resource(kind, parameter, own);
        let entry = Entry::new(&resource, "7", LAST_UPDATED);
        let held = keys(&entry, BASE);
        let is_own = !matches!(parameter.name, "_id" | "_lastUpdated") && !is_filtered(parameter);
        for (modifier, value) in &queries {
            let colon = if modifier.is_empty() { "" } else { ":" };
            let name = format!("{}{colon}{modifier}", parameter.name);
            // Whatever else is asked for beside it, it is found by one of several.
            for value in [value.clone(), format!("{value},{}", escaped(&noise)), format!(",{value},")] {
                let Some(query) = parse(kind, &name, &value) else {
                    let is_alone = !value.contains(',');
                    prop_assert!(!is_alone || !is_own, "{kind}?{name}={value} is refused");
                    continue;
                };
                let is_match = query.matches(&entry);
                prop_assert!(is_match || !is_own, "{kind}?{name}={value} does not find {resource}");
                prop_assert!(!is_match || is_hit(&query, &held), "{kind}?{name}={value}: {held:?}");
                let again = parse_form(kind, &query.canonical());
                prop_assert_eq!(again, Some(query));
            }
        }
        // Values of another resource, with every modifier, find it or not; what they find, they hit.
        let modifiers: Vec<_> = parameter.modifiers().chain(["", "Patient"]).collect();
        for (_, value) in others.iter().chain(&queries) {
            for modifier in &modifiers {
                let name = format!("{}:{modifier}", parameter.name);
                if let Some(query) = parse(kind, name.trim_end_matches(':'), value) {
                    let is_match = query.matches(&entry);
                    prop_assert!(!is_match || is_hit(&query, &held), "{kind}?{name}={value}: {held:?}");
                }
            }
        }
    }
}

fn parse_form(kind: &str, query: &str) -> Option<Query> {
    let pairs = keepwell_fhir::search::form::decode(query).ok()?;
    let options = Options { base: BASE, now_ms: NOW_MS, handling: Handling::Strict };
    Query::parse(kind, &pairs, options).ok()
}
