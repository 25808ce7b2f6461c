//! Which patients of several inputs are one.
//!
//! A patient's resources come in many files, and each file calls the patient by some name. Files that are
//! loaded together are of one system: `Patient/7` is one patient, whichever of them says so.
//!
//! ```text
//! Patient resource   full URL, Patient/id                      ──> names ───────┐ equal: one patient
//!                    identifiers                               ──> identifiers  │
//! reference          Patient/7, https://a/Patient/7, urn:uuid: ──> names ───────┘
//!                    system|value                              ──> identifiers: the one patient who has it
//! ```
//!
//! # Invariants
//!
//! * Only a name makes two patients one, never what they are like: a wrong chart harms, a second one does not.
//! * An id that stands at several servers joins nothing across them; nor does an identifier that several
//!   patients have.
//!
//! Not here: whose a resource is inside its input ([`crate::bundle`]).

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    bundle::{Bundle, Owner, Resource, normal, unversioned},
    tree::Tree,
};

/// A conditional reference by an identifier.
const BY_IDENTIFIER: &str = "Patient?identifier=";

/// What one input calls a patient.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Names {
    /// URLs, `Patient/id`, and references as written.
    pub names: BTreeSet<String>,
    /// Business identifiers, `system|value`. Where there is no name they refer to a patient who has them.
    pub identifiers: BTreeSet<String>,
}

impl Names {
    /// What `bundle` calls `owner`, who is one of its patients. Of a Patient resource without id and full
    /// URL it says nothing, and neither of one by an identifier without a system.
    pub fn of(bundle: &Bundle<'_>, owner: &Owner) -> Self {
        match owner {
            Owner::Here(index) => Self::of_resource(&bundle.resources[*index]),
            Owner::Elsewhere(reference) => Self::of_reference(reference),
            Owner::Several | Owner::Nobody => Self::default(),
        }
    }

    fn of_resource(patient: &Resource<'_>) -> Self {
        let full_url = patient.full_url.as_deref().map(|url| normal(unversioned(url)).into_owned());
        let mut names: BTreeSet<_> = full_url.into_iter().collect();
        if let Some(id) = &patient.id {
            let relative = format!("Patient/{id}");
            // With its server the id says more, and alone it might be another server's.
            if !names.iter().any(|url| on_server(url).is_some_and(|(_, it)| it == relative)) {
                names.insert(relative);
            }
        }
        if names.is_empty() {
            return Self::default();
        }
        Self { names, identifiers: identifiers(patient.json) }
    }

    fn of_reference(reference: &str) -> Self {
        let identifier = match reference.split_once(BY_IDENTIFIER) {
            Some((_, identifier)) => Some(identifier),
            None => Some(reference).filter(|it| it.contains('|')),
        };
        match identifier.filter(|it| !it.starts_with('|')) {
            Some(identifier) => Self {
                names: BTreeSet::new(),
                identifiers: BTreeSet::from([identifier.to_string()]),
            },
            // Without its system an identifier could be anyone's; as a condition it is one patient's all the same.
            None if reference.starts_with('|') => Self::default(),
            None => Self {
                names: BTreeSet::from([normal(unversioned(reference)).into_owned()]),
                identifiers: BTreeSet::new(),
            },
        }
    }
}

fn identifiers(patient: &str) -> BTreeSet<String> {
    let tree: Option<Tree> = serde_json::from_str(patient).ok();
    let items = tree.as_ref().map_or(&[][..], |tree| tree.items_of("identifier"));
    let text = |item: &Tree| {
        let system = item.text_of("system").filter(|it| !it.is_empty())?;
        Some(format!("{system}|{}", item.text_of("value")?))
    };
    items.iter().filter_map(text).collect()
}

/// A patient's absolute URL as its server and `Patient/id`.
fn on_server(url: &str) -> Option<(&str, &str)> {
    let server = &url[..url.rfind("/Patient/")?];
    server.contains("://").then(|| (server, &url[server.len() + 1..]))
}

/// Says which of `known` are one patient: for each the place of the first that is the same patient.
pub fn join(known: &[Names]) -> Vec<usize> {
    let servers = servers(known);
    let mut same = Same((0..known.len()).collect());
    let mut named = BTreeMap::new();
    for (index, names) in known.iter().enumerate() {
        for name in &names.names {
            let first = *named.entry(short(name, &servers)).or_insert(index);
            same.unite(first, index);
        }
    }
    let (having, referring): (Vec<_>, Vec<_>) =
        (0..known.len()).partition(|index| !known[*index].names.is_empty());
    let mut have: BTreeMap<&String, BTreeSet<usize>> = BTreeMap::new();
    for index in having {
        for identifier in &known[index].identifiers {
            have.entry(identifier).or_default().insert(same.first(index));
        }
    }
    let mut referred = BTreeMap::new();
    for index in referring {
        for identifier in &known[index].identifiers {
            let whose = have.get(identifier).filter(|it| it.len() == 1);
            let first = whose.and_then(BTreeSet::first).copied();
            let first = first.unwrap_or_else(|| *referred.entry(identifier).or_insert(index));
            same.unite(first, index);
        }
    }
    (0..known.len()).map(|index| same.first(index)).collect()
}

/// The servers at which each `Patient/id` stands.
fn servers(known: &[Names]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut servers: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (server, id) in known.iter().flat_map(|it| &it.names).filter_map(|name| on_server(name)) {
        servers.entry(id).or_default().insert(server);
    }
    servers
}

/// A name without its server, where there is but one.
fn short<'a>(name: &'a str, servers: &BTreeMap<&str, BTreeSet<&str>>) -> &'a str {
    match on_server(name) {
        Some((_, id)) if servers.get(id).is_some_and(|it| it.len() == 1) => id,
        Some(_) | None => name,
    }
}

/// For each place an earlier one that is the same, or itself.
struct Same(Vec<usize>);

impl Same {
    fn first(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::bundle::split;

    /// Reads lines of `what an input says of a patient => the line of the first that is the same one`.
    /// A `Patient` has its full URL, id and identifiers behind it, `-` for none; others are references.
    fn check(table: &str) {
        let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
        let (known, expected): (Vec<_>, Vec<usize>) = lines
            .map(|line| {
                let (input, first) = line.rsplit_once("=>").unwrap();
                (names(input.trim()), first.trim().parse::<usize>().unwrap())
            })
            .unzip();
        assert_eq!(join(&known), expected, "{table}");
        // Whoever comes first, the same are one.
        let turned: Vec<_> = known.iter().rev().cloned().collect();
        let turned = join(&turned);
        for a in 0..known.len() {
            for b in 0..known.len() {
                let last = known.len() - 1;
                let is_one = turned[last - a] == turned[last - b];
                assert_eq!(is_one, expected[a] == expected[b], "{a} {b}: {table}");
            }
        }
    }

    fn names(input: &str) -> Names {
        let Some(patient) = input.strip_prefix("Patient ") else {
            return Names::of_reference(input);
        };
        let words: Vec<_> = patient.split_whitespace().collect();
        let id = match words[1] {
            "-" => String::new(),
            id => format!(r#""id":"{id}","#),
        };
        let identifiers: Vec<_> = words[2..]
            .iter()
            .map(|it| it.split_once('|').unwrap())
            .map(|(system, value)| format!(r#"{{"system":"{system}","value":"{value}"}}"#))
            .collect();
        let resource =
            format!(r#"{{"resourceType":"Patient",{id}"identifier":[{}]}}"#, identifiers.join(","));
        let full_url = match words[0] {
            "-" => String::new(),
            url => format!(r#""fullUrl":"{url}","#),
        };
        let bundle =
            format!(r#"{{"resourceType":"Bundle","entry":[{{{full_url}"resource":{resource}}}]}}"#);
        let bundle = split(bundle.as_bytes(), 1 << 20).unwrap();
        Names::of(&bundle, &Owner::Here(0))
    }

    #[test]
    fn equal_names_are_one_patient() {
        check(
            "
            Patient - 7                           => 0
            Patient - 8                           => 1
            Patient/7                             => 0
            Patient/7/_history/2                  => 0
            https://a.example/fhir/Patient/8      => 1
            Patient/9                             => 5
            Patient/9                             => 5
            ",
        );
        check(
            "
            Patient urn:uuid:AB12 7               => 0
            urn:uuid:ab12                         => 0
            Patient/7                             => 0
            urn:uuid:ab13                         => 3
            ",
        );
    }

    #[test]
    fn an_id_at_several_servers_joins_nothing_across_them() {
        check(
            "
            Patient https://a.example/Patient/7 7 => 0
            Patient https://b.example/Patient/7 7 => 1
            https://b.example/Patient/7           => 1
            https://c.example/Patient/7           => 3
            Patient/7                             => 4
            Patient https://a.example/Patient/8 8 => 5
            Patient/8                             => 5
            ",
        );
    }

    #[test]
    fn two_names_of_one_resource_join_what_has_either() {
        check(
            "
            urn:uuid:ab12                         => 0
            Patient/7                             => 0
            Patient/8                             => 2
            Patient urn:uuid:ab12 7               => 0
            ",
        );
    }

    #[test]
    fn an_identifier_is_whose_it_is_alone() {
        check(
            "
            Patient - 7 urn:mrn|1 urn:ssn|9       => 0
            Patient - 8 urn:mrn|2 urn:ssn|9       => 1
            urn:mrn|2                             => 1
            Patient?identifier=urn:mrn|1          => 0
            https://a/Patient?identifier=urn:mrn|1 => 0
            urn:ssn|9                             => 5
            urn:ssn|9                             => 5
            urn:mrn|3                             => 7
            |2                                    => 8
            |2                                    => 9
            Patient?identifier=|2                 => 10
            Patient?identifier=|2                 => 10
            ",
        );
    }

    #[test]
    fn what_has_no_name_is_nobody_elses() {
        check(
            "
            Patient - - urn:mrn|1                 => 0
            Patient - - urn:mrn|1                 => 1
            Patient - 7 urn:mrn|1                 => 2
            ",
        );
        assert_eq!(join(&[]), vec![0; 0]);
    }
}
