//! The page that says what is served is what the code that serves says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{env, fs};

use keepwell_gateway::capability::document::document;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fhir.md");

#[test]
fn the_page_is_as_the_code() {
    if env::var_os("KEEPWELL_GOLDEN").is_some_and(|it| it == "write") {
        fs::write(PAGE, document()).unwrap();
    }
    let page = fs::read_to_string(PAGE).unwrap();
    assert!(page == document(), "docs/fhir.md is out of date; its first lines say how to write it");
}
