//! Form and query fields, each at most once (RFC 6749 section 3.1).

use std::collections::BTreeMap;

use super::answers::OAuthError;

/// Decoded `application/x-www-form-urlencoded` fields.
#[derive(Debug)]
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Parses them; a repeated name is an invalid request.
    pub(super) fn parse(encoded: &[u8]) -> Result<Self, OAuthError> {
        let mut fields = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(encoded).into_owned() {
            if fields.insert(name, value).is_some() {
                return Err(OAuthError::InvalidRequest);
            }
        }
        Ok(Self(fields))
    }

    /// A field that may be missing; an empty one counts as missing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A field that must be there.
    pub(super) fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or(OAuthError::InvalidRequest)
    }
}
