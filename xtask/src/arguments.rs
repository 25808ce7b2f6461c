//! Command-line arguments of our own commands: `--flag`, `--option VALUE` and plain words.

use crate::process::Failure;

/// What one command understands.
pub(crate) struct Grammar {
    pub(crate) help: &'static str,
    pub(crate) flags: &'static [&'static str],
    pub(crate) options: &'static [&'static str],
    /// Whether plain words may follow.
    pub(crate) words: bool,
}

/// What was given.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Given {
    flags: Vec<String>,
    options: Vec<(String, String)>,
    pub(crate) words: Vec<String>,
}

impl Grammar {
    /// Reads `arguments`, or answers `--help` and returns nothing.
    pub(crate) fn read(&self, arguments: &[String]) -> Result<Option<Given>, Failure> {
        let mut given = Given::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if matches!(argument.as_str(), "-h" | "--help") {
                println!("{}", self.help);
                return Ok(None);
            } else if self.flags.contains(&argument.as_str()) {
                given.flags.push(argument.clone());
            } else if self.options.contains(&argument.as_str()) {
                let value = arguments
                    .next()
                    .ok_or_else(|| Failure::new(format!("`{argument}` needs a value after it")))?;
                given.options.push((argument.clone(), value.clone()));
            } else if self.words && !argument.starts_with('-') {
                given.words.push(argument.clone());
            } else {
                return Err(Failure::new(format!(
                    "`{argument}` means nothing here; `--help` says what does"
                )));
            }
        }
        Ok(Some(given))
    }
}

impl Given {
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|given| given == flag)
    }

    /// Every value given for `option`, in order.
    pub(crate) fn all(&self, option: &str) -> Vec<&str> {
        self.options
            .iter()
            .filter(|(name, _)| name == option)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAMMAR: Grammar =
        Grammar { help: "", flags: &["--list"], options: &["--only"], words: false };

    fn read(line: &str) -> Result<Option<Given>, Failure> {
        GRAMMAR.read(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_repeat_and_flags_do_not_take_values() {
        let given = read("--only fmt --list --only deny").unwrap().unwrap();
        assert!(given.has("--list"));
        assert_eq!(given.all("--only"), ["fmt", "deny"]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--onyl fmt", "fmt", "--only"] {
            assert!(read(line).is_err(), "{line} was taken");
        }
        assert_eq!(read("--help").unwrap(), None);
    }
}
