//! Which program asks, as far as programs of one owner can be told apart: by the name that may
//! stand behind the token, `TOKEN.NAME`. It gives no right and takes none; the queue is shared
//! fairly by it.

use crate::limits::MAX_CLIENT_NAME_BYTES;

/// A client. All who give the token alone are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId([u8; MAX_CLIENT_NAME_BYTES]);

impl ClientId {
    /// Whoever gives no name.
    pub const UNNAMED: Self = Self([0; MAX_CLIENT_NAME_BYTES]);

    /// Takes a name: 1 to 32 bytes out of `A-Z a-z 0-9 - _`; `None` for every other.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.iter().all(is_plain) {
            return None;
        }
        let mut id = [0; MAX_CLIENT_NAME_BYTES];
        id.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self(id))
    }

    /// Parts a presented token into the token itself and who presents it. A token has no dot in
    /// it; what stands behind the first one must be a name, else nothing was presented that could
    /// be right.
    pub(crate) fn part(presented: &[u8]) -> Option<(&[u8], Self)> {
        match presented.iter().position(|byte| *byte == b'.') {
            None => Some((presented, Self::UNNAMED)),
            Some(at) => Some((&presented[..at], Self::named(&presented[at + 1..])?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ClientId;

    #[test]
    fn a_name_is_short_and_plain() {
        for name in ["a", "chat-1", "A_b-9", &"x".repeat(32)] {
            assert!(ClientId::named(name.as_bytes()).is_some(), "{name}");
        }
        for name in ["", "a.b", "a b", "ä", "a\0", "a/b", &"x".repeat(33)] {
            assert!(ClientId::named(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn different_names_are_different_clients_and_no_name_is_one_of_its_own() {
        let (token, nobody) = ClientId::part(b"token").expect("parted");
        let (same, a) = ClientId::part(b"token.a").expect("parted");
        let (_, b) = ClientId::part(b"token.b").expect("parted");
        assert_eq!((token, same), (&b"token"[..], &b"token"[..]));
        assert!(nobody != a && a != b && a == ClientId::named(b"a").expect("a name"));
        for presented in ["token.", "token.a.b", ".", "token.a b"] {
            assert!(ClientId::part(presented.as_bytes()).is_none(), "{presented}");
        }
    }
}
