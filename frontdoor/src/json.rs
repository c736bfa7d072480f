//! Strict JSON, so that what is checked here is what the runtime reads: one object, UTF-8, no
//! member twice in any object, no deeper than 64, nothing after it, no number out of range, no
//! lone surrogate. And no member that speaks to the server instead of the model.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use frontdoor_core::Reason;
use frontdoor_core::guard::Refusal;
use frontdoor_core::limits::MAX_JSON_DEPTH;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Members of the outermost object that are refused, and why.
const REFUSED: &[(&str, &str)] = &[
    ("id_slot", "picks the slot, and so the cached prompt, of another request"),
    ("slot_id", "the same under its older name"),
    ("sse_ping_interval", "turns off the pings that tell who waits that a silent stream lives"),
    ("lora", "switches adapters of the server"),
    ("chat_parser", "has the server load a parser that the client made"),
    ("verbose", "has the server tell its own settings"),
];

/// Members that hold media: by a URL in one of them the server would fetch from the network or
/// read a file. Media comes as `data:` or base64.
const MEDIA: &[&str] =
    &["image_url", "video_url", "audio_url", "input_audio", "input_video", "source"];
const MEDIA_TEXT: &[&str] = &["url", "data"];
/// With which `llama-server` begins to fetch or read; and so does whatever has a scheme and `//`.
const FETCHING: &[&str] = &["http", "file:"];

/// Where messages are, and what within them is data of tools, to be left alone.
const CONVERSATION: &[&str] = &["messages", "input"];
const TOOL_DATA: &[&str] = &["input", "arguments", "parameters"];

/// Judges a body.
///
/// # Errors
/// `malformed_body`; `field_not_allowed` with the name of the field, a word of the lists above.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Refusal> {
    let refused = Cell::new(None);
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let root = Node { place: Place::Outermost, depth: 0, refused: &refused };
    let read = root.deserialize(&mut json).and_then(|()| json.end());
    match read {
        Ok(()) => Ok(()),
        Err(_) if refused.get().is_some() => {
            Err(Refusal { field: refused.get(), ..Reason::FieldNotAllowed.into() })
        }
        Err(_) => Err(Reason::MalformedBody.into()),
    }
}

/// Whether a text where media is names a place to take it from. No base64 does, and a `data:` URL
/// only behind its scheme. Space before it is let go by, as some readers of URLs do.
fn is_fetched(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    let begins = |known: &&str| {
        text.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known))
    };
    let is_of_a_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    FETCHING.iter().any(begins) || text.trim_start_matches(is_of_a_scheme).starts_with("://")
}

/// What a value is, by the names on the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outermost,
    Conversation,
    /// Beneath the member of this name.
    Media(&'static str),
    Data,
}

impl Place {
    fn member(self, name: &str) -> Self {
        let known = |names: &[&'static str]| names.iter().copied().find(|known| *known == name);
        match self {
            Self::Outermost if known(CONVERSATION).is_some() => Self::Conversation,
            Self::Conversation if known(TOOL_DATA).is_some() => Self::Data,
            Self::Conversation => known(MEDIA).map_or(Self::Conversation, Self::Media),
            Self::Media(field) if known(MEDIA_TEXT).is_some() => Self::Media(field),
            Self::Outermost | Self::Media(_) | Self::Data => Self::Data,
        }
    }
}

/// One value of the document.
#[derive(Clone, Copy)]
struct Node<'r> {
    place: Place,
    depth: usize,
    refused: &'r Cell<Option<&'static str>>,
}

impl Node<'_> {
    fn refuse<E: serde::de::Error>(self, field: &'static str) -> E {
        self.refused.set(Some(field));
        E::custom("refused")
    }

    fn within<E: serde::de::Error>(self, place: Place) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > MAX_JSON_DEPTH {
            return Err(E::custom("too deep"));
        }
        Ok(Self { place, depth, ..self })
    }

    fn scalar<E: serde::de::Error>(self) -> Result<(), E> {
        if self.place == Place::Outermost { Err(E::custom("not an object")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("strict JSON")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.place {
            Place::Media(field) if is_fetched(text) => Err(self.refuse(field)),
            Place::Outermost | Place::Conversation | Place::Media(_) | Place::Data => self.scalar(),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.scalar::<A::Error>()?;
        let item = self.within(self.place)?;
        while items.next_element_seed(item)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let member = self.within::<A::Error>(self.place)?;
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key_seed(Name)? {
            let refused = REFUSED.iter().find(|(known, _)| *known == name);
            if let (Place::Outermost, Some((field, _))) = (self.place, refused) {
                return Err(self.refuse(field));
            }
            let place = self.place.member(&name);
            if !names.insert(name) {
                return Err(A::Error::custom("a member twice"));
            }
            members.next_value_seed(Node { place, ..member })?;
        }
        Ok(())
    }
}

/// A member's name, borrowed where it can be.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
#[path = "tests/json.rs"]
mod tests;
