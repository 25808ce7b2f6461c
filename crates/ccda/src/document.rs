//! A document of CDA as a tree, before anything in it has a meaning.
//!
//! # Invariants
//!
//! * What would make reading slow (depth, attributes of one element, namespaces, nodes) is counted over the bytes before
//!   a tree is made of them. A document type is refused wherever it stands, so there are no entities to expand.
//! * Elements are known by namespace and name; prefixes mean nothing.
//! * Where two elements have one `ID`, no reference to it means anything.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};

use roxmltree::{Node, NodeId, ParsingOptions};

use crate::{
    limits::{
        ATTRIBUTES_MAX, DEPTH_MAX, DOCUMENT_BYTES_MAX, NAMESPACES_MAX, NODES_MAX, TEXT_BYTES_MAX,
    },
    refusal::Refusal,
};

/// The namespace of CDA.
const V3: &str = "urn:hl7-org:v3";
/// The namespace of what HL7 added for the United States.
const SDTC: &str = "urn:hl7-org:sdtc";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// A document that is CDA about one patient.
#[derive(Debug)]
pub struct Document<'a> {
    bytes: &'a [u8],
    tree: roxmltree::Document<'a>,
    /// What an `ID` stands for; nothing where it stands twice.
    ids: BTreeMap<String, Option<NodeId>>,
}

impl<'a> Document<'a> {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] where it is no UTF-8, no XML, larger than its limits, no CDA, or not about one patient.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(Refusal::TooLarge { bytes: bytes.len() });
        }
        let text = core::str::from_utf8(bytes).map_err(|_| Refusal::Encoding)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        check_encoding(text)?;
        check_shape(text)?;
        let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
        let tree =
            roxmltree::Document::parse_with_options(text, options).map_err(|it| refused(&it))?;
        let mut ids = BTreeMap::new();
        for node in tree.descendants().filter(Node::is_element) {
            if let Some(id) = node.attribute("ID") {
                ids.entry(id.to_string()).and_modify(|it| *it = None).or_insert(Some(node.id()));
            }
        }
        let document = Self { bytes, tree, ids };
        document.check_patients()?;
        Ok(document)
    }

    fn check_patients(&self) -> Result<(), Refusal> {
        let root = self.root();
        if !root.is(V3, "ClinicalDocument") {
            return Err(Refusal::NotCda);
        }
        match root.all("recordTarget").count() {
            1 => Ok(()),
            many => Err(Refusal::Patients(many)),
        }
    }

    /// The bytes, as they came.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn root(&self) -> Element<'_> {
        Element(self.tree.root_element())
    }

    /// What `#id` refers to.
    pub(crate) fn referred(&self, reference: &str) -> Option<Element<'_>> {
        let id = self.ids.get(reference.trim().strip_prefix('#')?)?;
        self.tree.get_node((*id)?).map(Element)
    }
}

/// Refuses whoever declares another encoding than UTF-8, of which ASCII is a part.
fn check_encoding(text: &str) -> Result<(), Refusal> {
    let Some(declaration) = text.strip_prefix("<?xml").and_then(|it| it.split_once("?>")) else {
        return Ok(());
    };
    let Some((_, encoding)) = declaration.0.split_once("encoding") else { return Ok(()) };
    let encoding = encoding.trim_start().trim_start_matches('=').trim();
    let encoding = encoding.trim_matches(['"', '\'']).split(['"', '\'']).next().unwrap_or_default();
    let is_known = ["utf-8", "utf8", "us-ascii"].iter().any(|it| it.eq_ignore_ascii_case(encoding));
    if is_known { Ok(()) } else { Err(Refusal::Encoding) }
}

/// Counts what a tree would take time and memory for.
fn check_shape(text: &str) -> Result<(), Refusal> {
    let (mut rest, mut depth, mut nodes) = (text, 0_usize, 0_usize);
    let mut namespaces = 0;
    let nodes_max = usize::try_from(NODES_MAX).unwrap_or(usize::MAX);
    while let Some(at) = rest.find('<') {
        // A text before it, and itself.
        nodes += 2;
        rest = &rest[at..];
        let after = |end: &str| {
            rest.find(end).and_then(|at| rest.get(at + end.len()..)).ok_or(Refusal::NotXml)
        };
        if rest.starts_with("<!--") {
            rest = after("-->")?;
        } else if rest.starts_with("<![CDATA[") {
            rest = after("]]>")?;
        } else if rest.starts_with("<?") {
            rest = after("?>")?;
        } else if rest.starts_with("<!") {
            return Err(Refusal::Dtd);
        } else if rest.starts_with("</") {
            depth = depth.checked_sub(1).ok_or(Refusal::NotXml)?;
            rest = after(">")?;
        } else {
            let tag = Tag::of(rest)?;
            namespaces += tag.namespaces;
            depth += usize::from(!tag.is_empty);
            rest = &rest[tag.bytes..];
        }
        if depth > DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        if namespaces > NAMESPACES_MAX {
            return Err(Refusal::TooManyNamespaces);
        }
        if nodes > 2 * nodes_max {
            return Err(Refusal::TooManyNodes);
        }
    }
    Ok(())
}

/// How much of a start tag there is.
struct Tag {
    bytes: usize,
    namespaces: usize,
    is_empty: bool,
}

impl Tag {
    fn of(text: &str) -> Result<Self, Refusal> {
        let (mut quote, mut attributes) = (None, 0);
        for (at, byte) in text.bytes().enumerate() {
            match (quote, byte) {
                (Some(open), _) if byte == open => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'=') => attributes += 1,
                (None, b'>') => {
                    let tag = &text[..at];
                    let namespaces = tag.matches("xmlns").count();
                    return Ok(Self { bytes: at + 1, namespaces, is_empty: tag.ends_with('/') });
                }
                (None, _) => {}
            }
            if attributes > ATTRIBUTES_MAX {
                return Err(Refusal::TooManyAttributes);
            }
        }
        Err(Refusal::NotXml)
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other errors of the parser, whichever it has, are of what is no XML"
)]
fn refused(error: &roxmltree::Error) -> Refusal {
    use roxmltree::Error as E;
    match error {
        E::NodesLimitReached => Refusal::TooManyNodes,
        E::NamespacesLimitReached => Refusal::TooManyNamespaces,
        E::AttributesLimitReached => Refusal::TooManyAttributes,
        E::DtdDetected => Refusal::Dtd,
        E::UnknownEntityReference(..) | E::MalformedEntityReference(_) => Refusal::Entity,
        _ => Refusal::NotXml,
    }
}

/// An element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'d>(Node<'d, 'd>);

impl<'d> Element<'d> {
    fn is(self, namespace: &str, name: &str) -> bool {
        self.0.has_tag_name((namespace, name))
    }

    pub(crate) fn name(self) -> &'d str {
        if self.0.tag_name().namespace() == Some(V3) { self.0.tag_name().name() } else { "" }
    }

    /// All elements in it.
    pub(crate) fn children(self) -> impl Iterator<Item = Element<'d>> {
        self.0.children().filter(Node::is_element).map(Element)
    }

    /// Those of a name.
    pub(crate) fn all(self, name: &'static str) -> impl Iterator<Item = Element<'d>> {
        self.children().filter(move |it| it.is(V3, name))
    }

    /// The first of a name.
    pub(crate) fn child(self, name: &'static str) -> Option<Element<'d>> {
        self.all(name).next()
    }

    /// The first of a name that HL7 added.
    pub(crate) fn added(self, name: &'static str) -> Option<Element<'d>> {
        self.children().find(|it| it.is(SDTC, name))
    }

    /// The first at the end of a path.
    pub(crate) fn at(self, path: &[&'static str]) -> Option<Element<'d>> {
        path.iter().try_fold(self, |it, name| it.child(name))
    }

    /// An attribute, without spaces around it; nothing where it is empty.
    pub(crate) fn attribute(self, name: &str) -> Option<&'d str> {
        self.0.attribute(name).map(str::trim).filter(|it| !it.is_empty())
    }

    /// The name of the type that `xsi:type` gives it.
    pub(crate) fn kind(self) -> &'d str {
        let kind = self.0.attribute((XSI, "type")).unwrap_or_default().trim();
        kind.rsplit(':').next().unwrap_or_default()
    }

    /// The value is missing, and this is why.
    pub(crate) fn null_flavor(self) -> Option<&'d str> {
        self.attribute("nullFlavor")
    }

    /// Whether it follows this template, of whatever version.
    pub(crate) fn follows(self, root: &str) -> bool {
        self.all("templateId").any(|it| it.attribute("root") == Some(root))
    }

    /// The roots of the templates that it follows.
    pub(crate) fn templates(self) -> impl Iterator<Item = &'d str> {
        self.all("templateId").filter_map(|it| it.attribute("root"))
    }

    /// All elements below it.
    pub(crate) fn below(self) -> impl Iterator<Item = Element<'d>> {
        self.0.descendants().skip(1).filter(Node::is_element).map(Element)
    }

    /// All text in it, spaces made one: without elements, so no script either. Nothing where there is none.
    pub(crate) fn text(self) -> Result<Option<String>, TooLong> {
        let mut words: Vec<&str> = Vec::new();
        let mut bytes = 0;
        for node in self.0.descendants().filter(Node::is_text) {
            for word in node.text().unwrap_or_default().split_whitespace() {
                bytes += word.len() + 1;
                if bytes > TEXT_BYTES_MAX {
                    return Err(TooLong);
                }
                words.push(word);
            }
        }
        Ok((!words.is_empty()).then(|| words.join(" ")))
    }
}

/// A text is longer than [`TEXT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooLong;

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::*;

    fn document(inside: &str) -> String {
        format!(
            "<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><recordTarget/>{inside}</ClinicalDocument>"
        )
    }

    #[test]
    fn documents_that_harm_are_refused() {
        let deep = "<a>".repeat(DEPTH_MAX) + &"</a>".repeat(DEPTH_MAX);
        let attributes: String = (0..=ATTRIBUTES_MAX).map(|it| format!(" a{it}=\"\"")).collect();
        let namespaces: String =
            (0..=NAMESPACES_MAX).map(|it| format!("<a xmlns:n{it}=\"u\"/>")).collect();
        let body = document("");
        let laughs = "<!DOCTYPE a [<!ENTITY l \"ha\"><!ENTITY m \"&l;&l;&l;&l;&l;&l;&l;&l;\">]>";
        let outside = "<!DOCTYPE a SYSTEM \"file:///etc/passwd\">";
        for (text, refusal) in [
            (String::new(), Refusal::NotXml),
            (String::from("MSH|^~\\&|"), Refusal::NotXml),
            (String::from("{}"), Refusal::NotXml),
            (format!("{laughs}{body}"), Refusal::Dtd),
            (format!("{outside}{body}"), Refusal::Dtd),
            (document("<!ELEMENT a ANY>"), Refusal::Dtd),
            (document("&l;"), Refusal::Entity),
            (document("&nbsp;"), Refusal::Entity),
            (document("<a>"), Refusal::NotXml),
            (document("</a>"), Refusal::NotXml),
            (document("<a b=\"1\" b=\"2\"/>"), Refusal::NotXml),
            (document("<p:a/>"), Refusal::NotXml),
            (document(&deep), Refusal::TooDeep),
            (document(&format!("<a{attributes}/>")), Refusal::TooManyAttributes),
            (document(&namespaces), Refusal::TooManyNamespaces),
            (format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{body}"), Refusal::Encoding),
            (format!("<?xml version='1.0' encoding='UTF-16'?>{body}"), Refusal::Encoding),
            (body.replace("urn:hl7-org:v3", "urn:hl7-org:v2"), Refusal::NotCda),
            (body.replace(" xmlns=\"urn:hl7-org:v3\"", ""), Refusal::NotCda),
            (body.replace("<recordTarget/>", ""), Refusal::Patients(0)),
            (document("<recordTarget/>"), Refusal::Patients(2)),
        ] {
            let head: String = text.chars().take(60).collect();
            assert_eq!(Document::read(text.as_bytes()).err(), Some(refusal), "{head}");
        }
        let large = alloc::vec![b' '; DOCUMENT_BYTES_MAX + 1];
        let bytes = large.len();
        assert_eq!(Document::read(&large).err(), Some(Refusal::TooLarge { bytes }));
        assert_eq!(Document::read(b"\xff\xfe<\0a\0").err(), Some(Refusal::Encoding));
        assert_eq!(Document::read(b"<a>\xe4</a>").err(), Some(Refusal::Encoding));
    }

    #[test]
    fn what_harms_nobody_is_read() {
        let body = document("<title>a &lt; b<!-- not <this --><![CDATA[ & c]]></title><?x <y?>");
        for text in [
            body.clone(),
            format!("\u{feff}{body}"),
            format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<?xml-stylesheet href=\"x\"?>{body}"
            ),
            body.replace("<", "<v3:")
                .replace("<v3:/", "</v3:")
                .replace("xmlns=", "xmlns:v3=")
                .replace("<v3:!", "<!")
                .replace("<v3:?", "<?")
                .replace("<v3:this", "<this")
                .replace("<v3:y", "<y"),
        ] {
            let document = Document::read(text.as_bytes()).expect(&text);
            let title = document.root().child("title").expect("it has a title");
            assert_eq!(title.text(), Ok(Some(String::from("a < b & c"))), "{text}");
        }
    }

    #[test]
    fn an_id_that_stands_twice_means_nothing() {
        let text = document("<a ID=\"x\"/><b ID=\"y\">once</b><c ID=\"x\"/>");
        let document = Document::read(text.as_bytes()).expect("it is CDA");
        assert!(document.referred("#x").is_none() && document.referred("y").is_none());
        let found = document.referred("#y").expect("it stands once");
        assert_eq!(found.text(), Ok(Some(String::from("once"))));
    }
}
