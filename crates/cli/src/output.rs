//! What a command prints: text for people, or one JSON value on a line.

use std::fmt::Display;

use serde_json::{Value, json};

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether people read it.
    pub(crate) const fn is_text(self) -> bool {
        !self.json
    }

    /// Prints a result.
    pub(crate) fn result(self, text: &str, value: &Value) {
        if self.json { println!("{value}") } else { println!("{text}") }
    }

    /// Prints what only programs want to know: people were told already.
    pub(crate) fn json(self, value: &Value) {
        if self.json {
            println!("{value}");
        }
    }

    /// Prints what only people want to know.
    pub(crate) fn say(self, text: &str) {
        if self.is_text() {
            println!("{text}");
        }
    }

    /// Tells of something that did not stop the command. Whoever reads the results, as text or as JSON,
    /// does not stumble over it.
    pub(crate) fn warn(self, text: &str) {
        eprintln!("keepwell: warning: {text}");
    }

    /// Prints why a command failed, with its causes unless the message has them already.
    pub(crate) fn failure(self, failure: &impl Display) {
        if self.json {
            println!("{}", json!({ "error": failure.to_string().trim_end() }));
        } else {
            eprintln!("keepwell: {failure}");
        }
    }
}
