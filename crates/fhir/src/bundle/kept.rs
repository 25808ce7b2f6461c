//! Whom a Bundle is about that is kept as one resource: a document, a message, an answer that somebody got.
//!
//! # Invariants
//!
//! * Where two patients are named in it, or one who does not stand in it beside one who does, it is several's.
//! * One whose only patient stands in it is nobody's: who that is here, the transaction says in which it comes.
//! * What stands in a Bundle inside it counts as its own.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use super::{Link, Links, Owner, absolute, names_patient, normal, one_owner, unversioned};
use crate::{transaction::restful, tree::Tree};

/// A resource in it, with the URL that names it there.
struct Inner<'a> {
    full_url: Option<&'a str>,
    tree: &'a Tree,
}

impl Inner<'_> {
    fn is_patient(&self) -> bool {
        self.tree.text_of("resourceType") == Some("Patient")
    }

    /// What it is called in the Bundle: other versions of it are called so too.
    fn name(&self, place: usize) -> String {
        match (self.full_url, self.tree.text_of("id")) {
            (Some(url), _) => normal(unversioned(url)).into_owned(),
            (None, Some(id)) => format!("Patient/{id}"),
            (None, None) => format!("#{place}"),
        }
    }

    fn server(&self) -> Option<&str> {
        Some(restful(self.full_url?)?.0)
    }

    fn has_identifier(&self, name: &str) -> bool {
        self.tree.items_of("identifier").iter().any(|it| {
            let system = it.text_of("system").unwrap_or_default();
            it.text_of("value").is_some_and(|value| format!("{system}|{value}") == name)
        })
    }
}

/// Whom `bundle`, a Bundle that is kept as one, is about.
pub(super) fn owner_of(bundle: &Tree) -> Owner {
    let mut inside = Vec::new();
    collect(bundle, &mut inside);
    let patients = inside.iter().enumerate().filter(|(_, it)| it.is_patient());
    let patients: BTreeMap<_, _> = patients.map(|(at, it)| (it.name(at), it)).collect();
    if patients.len() > 1 {
        return Owner::Several;
    }
    let patient = patients.first_key_value();
    let is_inside: BTreeSet<_> =
        inside.iter().filter_map(|it| Some(normal(unversioned(it.full_url?)))).collect();
    let mut owners = BTreeSet::new();
    for inner in &inside {
        let Some(links) = Links::read(inner.tree) else { return Owner::Several };
        for link in &links.patients {
            let (name, is_here) = match link {
                Link::Contained => continue,
                Link::Identifier(name) => {
                    (name.clone(), patient.is_some_and(|(_, it)| it.has_identifier(name)))
                }
                Link::Reference(reference) => {
                    let reference = unversioned(reference);
                    let url = absolute(inner.server(), reference);
                    let url = normal(&url);
                    let by_id = patient.and_then(|(_, it)| it.tree.text_of("id"));
                    let is_by_id = by_id.is_some_and(|id| reference == format!("Patient/{id}"));
                    let may_be = names_patient(reference) || url.starts_with("urn:");
                    let is_here = is_inside.contains(&url) || is_by_id || !may_be;
                    (url.into_owned(), is_here)
                }
            };
            if !is_here {
                owners.insert(Owner::Elsewhere(name));
            }
        }
    }
    let owner = one_owner(owners);
    let is_elsewhere = matches!(owner, Owner::Elsewhere(_));
    if is_elsewhere && patient.is_some() { Owner::Several } else { owner }
}

fn collect<'a>(bundle: &'a Tree, inside: &mut Vec<Inner<'a>>) {
    for entry in bundle.items_of("entry") {
        let Some(tree) = entry.field("resource") else { continue };
        if tree.text_of("resourceType") == Some("Bundle") {
            collect(tree, inside);
        } else {
            inside.push(Inner { full_url: entry.text_of("fullUrl"), tree });
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned as _;

    use super::{Owner, format, owner_of};
    use crate::{bundle::whole, tree::Tree};

    const A: &str =
        r#"{"resourceType":"Patient","id":"a","identifier":[{"system":"s","value":"7"}]}"#;
    const B: &str = r#"{"resourceType":"Patient","id":"b"}"#;

    fn observation(subject: &str) -> alloc::string::String {
        format!(r#"{{"resourceType":"Observation","subject":{subject}}}"#)
    }

    fn owner(entries: &[(&str, &str)]) -> Owner {
        let entries: alloc::vec::Vec<_> = entries
            .iter()
            .map(|(url, resource)| match *url {
                "" => format!(r#"{{"resource":{resource}}}"#),
                url => format!(r#"{{"fullUrl":"{url}","resource":{resource}}}"#),
            })
            .collect();
        let bundle = format!(
            r#"{{"resourceType":"Bundle","type":"document","entry":[{}]}}"#,
            entries.join(",")
        );
        let read = whole(bundle.as_bytes(), bundle.len()).unwrap();
        let tree: Tree = serde_json::from_str(&bundle).unwrap();
        assert_eq!(read.owner, owner_of(&tree));
        assert_eq!(read.json, bundle);
        read.owner
    }

    #[test]
    fn a_kept_bundle_is_about_whom_it_names() {
        let of = |reference: &str| observation(&format!(r#"{{"reference":"{reference}"}}"#));
        let elsewhere = |name: &str| Owner::Elsewhere(name.to_owned());
        let (to_a, to_b) = (of("Patient/a"), of("Patient/b"));
        assert_eq!(owner(&[]), Owner::Nobody);
        assert_eq!(owner(&[("", A), ("", &to_a)]), Owner::Nobody, "whoever that is");
        assert_eq!(owner(&[("", &to_a)]), elsewhere("Patient/a"));
        assert_eq!(owner(&[("", &to_a), ("", &to_b)]), Owner::Several);
        assert_eq!(owner(&[("", A), ("", B)]), Owner::Several);
        assert_eq!(owner(&[("", A), ("", &to_b)]), Owner::Several);
        assert_eq!(owner(&[("", A), ("", A)]), Owner::Nobody, "two versions of one");
        assert_eq!(owner(&[("", &of("Group/a"))]), Owner::Nobody);
        let by_7 = observation(r#"{"identifier":{"system":"s","value":"7"}}"#);
        assert_eq!(owner(&[("", A), ("", &by_7)]), Owner::Nobody);
        assert_eq!(owner(&[("", B), ("", &by_7)]), Owner::Several);
        let (url, to_url) = (
            "urn:uuid:0C3151BD-1CBF-4D64-B04D-CD9187A4C6E0",
            of("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"),
        );
        assert_eq!(owner(&[(url, A), ("", &to_url)]), Owner::Nobody);
        assert_eq!(owner(&[("", A), ("", &to_url)]), Owner::Several, "one who is not in it");
        let far = ("http://far.example/Observation/1", to_b.as_str());
        assert_eq!(owner(&[far]), elsewhere("http://far.example/Patient/b"));
        assert_eq!(owner(&[("http://far.example/Patient/b", B), far]), Owner::Nobody);
    }

    #[test]
    fn what_is_in_a_bundle_inside_counts() {
        let inner = format!(r#"{{"resourceType":"Bundle","entry":[{{"resource":{A}}}]}}"#);
        assert_eq!(owner(&[("", &inner)]), Owner::Nobody);
        assert_eq!(owner(&[("", &inner), ("", B)]), Owner::Several);
    }

    #[test]
    fn a_reference_that_is_too_long_is_nobodys_to_follow() {
        let long = observation(&format!(r#"{{"reference":"Patient/{}"}}"#, "x".repeat(2_000)));
        assert_eq!(owner(&[("", &long)]), Owner::Several);
    }
}
