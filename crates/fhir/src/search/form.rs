//! `application/x-www-form-urlencoded`: how a query stands in a URL or in the body of `POST _search`.
//!
//! # Invariants
//!
//! * What is encoded is decoded to the same pairs, and two equal lists of pairs have one encoding.

use alloc::{string::String, vec::Vec};

use super::SearchError;
use crate::interaction;

/// Pairs of one query.
pub const PAIRS_MAX: usize = 128;
/// Bytes of one query, as it is sent.
pub const QUERY_BYTES_MAX: usize = 64 * 1024;

/// The pairs of `query`, decoded, in their order. A pair without `=` has an empty value.
pub fn decode(query: &str) -> Result<Vec<(String, String)>, SearchError> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(SearchError::TooMany { what: "bytes of a query", most: QUERY_BYTES_MAX });
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    if pairs.clone().count() > PAIRS_MAX {
        return Err(SearchError::TooMany { what: "parameters", most: PAIRS_MAX });
    }
    let decode = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((interaction::decode(name, true)?, interaction::decode(value, true)?))
    };
    pairs.map(decode).collect::<Option<_>>().ok_or(SearchError::NotAForm)
}

/// One text for each list of pairs: all but letters, digits and what a URL's query lets stand is escaped.
pub fn encode(pairs: &[(String, String)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        escape(name, &mut query);
        query.push('=');
        escape(value, &mut query);
    }
    query
}

fn escape(text: &str, query: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,*$".contains(&byte) {
            query.push(char::from(byte));
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            query.extend(['%', DIGITS[high], DIGITS[low]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;

    #[test]
    fn a_form_is_decoded_or_refused() {
        let check = |query: &str, expected: &str| {
            let decoded = match decode(query) {
                Ok(pairs) => {
                    let pairs = pairs.iter().map(|(name, value)| format!("{name}={value};"));
                    pairs.collect::<String>()
                }
                Err(error) => error.to_string(),
            };
            assert!(decoded.starts_with(expected), "{query}: {decoded}");
        };
        check("", "");
        check("&&a=1&&b", "a=1;b=;");
        check("name%3Aexact=J%c3%BCrgen+M", "name:exact=Jürgen M;");
        check("a=b=c%26", "a=b=c&;");
        check("code=http://loinc.org|8480-6", "code=http://loinc.org|8480-6;");
        check("a=%", "the query is not");
        check("a=%f", "the query is not");
        check("a=%zz", "the query is not");
        check("a=%ff", "the query is not");
        check("a=%+1", "the query is not");
        check(&"a&".repeat(PAIRS_MAX + 1), "more than 128 parameters");
        check(&"a".repeat(QUERY_BYTES_MAX + 1), "more than 65536 bytes");
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        let pairs = [("name:exact", "Jürgen & Söhne"), ("x", "%+=é\u{0}"), ("d", "a|b\\,c")];
        let pairs: Vec<_> = pairs.map(|(a, b)| (a.to_string(), b.to_string())).into();
        assert_eq!(decode(&encode(&pairs)), Ok(pairs));
    }
}
