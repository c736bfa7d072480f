//! Strict reading of `application/x-www-form-urlencoded` text.

use zeroize::Zeroizing;

use crate::Reason;
use crate::limits::{MAX_QUERY_BYTES, MAX_QUERY_PARAMETERS};

/// Decoded parameters in their order; values are overwritten when dropped.
pub(crate) struct Parameters(Vec<(String, Zeroizing<String>)>);

impl Parameters {
    /// Decodes a query.
    ///
    /// # Errors
    /// `malformed_input` when it is too long or has too many parameters, a name comes twice, a
    /// pair has no `=` or no name, a percent sign is not followed by two hexadecimal digits, or
    /// the decoded text is not UTF-8 or holds a control character.
    pub(crate) fn parse(query: &str) -> Result<Self, Reason> {
        if query.is_empty() {
            return Ok(Self(Vec::new()));
        }
        if query.len() > MAX_QUERY_BYTES || query.split('&').count() > MAX_QUERY_PARAMETERS {
            return Err(Reason::MalformedInput);
        }
        let mut parameters: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(Reason::MalformedInput)?;
            let name = decode(name)?;
            if name.is_empty() || parameters.iter().any(|(known, _)| *known == *name) {
                return Err(Reason::MalformedInput);
            }
            parameters.push((name.to_string(), decode(value)?));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn decode(text: &str) -> Result<Zeroizing<String>, Reason> {
    let mut bytes = text.bytes();
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next())? << 4 | hex_digit(bytes.next())?,
            plain => plain,
        });
    }
    let text = std::str::from_utf8(&decoded).map_err(|_| Reason::MalformedInput)?;
    if text.chars().any(char::is_control) {
        return Err(Reason::MalformedInput);
    }
    Ok(Zeroizing::new(text.to_owned()))
}

fn hex_digit(byte: Option<u8>) -> Result<u8, Reason> {
    match byte {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        Some(_) | None => Err(Reason::MalformedInput),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Parameters;
    use crate::Reason;

    #[test]
    fn well_formed_queries_are_decoded() {
        let parameters = Parameters::parse("code=a%2Bb%C3%A9&state=x+y&empty=&eq=a=b").unwrap();
        assert_eq!(parameters.get("code"), Some("a+bé"));
        assert_eq!(parameters.get("state"), Some("x y"));
        assert_eq!(parameters.get("empty"), Some(""));
        assert_eq!(parameters.get("eq"), Some("a=b"));
        assert_eq!(parameters.get("absent"), None);
        assert_eq!(Parameters::parse("").unwrap().get("state"), None);
    }

    #[test]
    fn anything_else_is_malformed() {
        let long = format!("a={}", "x".repeat(super::MAX_QUERY_BYTES));
        let many = (0..=super::MAX_QUERY_PARAMETERS).map(|n| format!("p{n}=1"));
        let many = many.collect::<Vec<_>>().join("&");
        for query in [
            "state=a&state=b",
            "state=a&st%61te=b",
            "state",
            "=a",
            "a=1&&b=2",
            "a=1&",
            "a=%",
            "a=%2",
            "a=%zz",
            "a=%ff",
            "a=%00",
            "a=%0d%0a",
            &long,
            &many,
        ] {
            assert_eq!(Parameters::parse(query).err(), Some(Reason::MalformedInput), "{query}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(query in "\\PC{0,200}") {
            let _ = Parameters::parse(&query);
        }
    }
}
