//! Names within an archive, none of which leaves it.

use crate::Reason;
use crate::bounds::{MAX_ARCHIVE_DEPTH, MAX_ARCHIVE_NAME_BYTES};

/// A name that lies beneath the directory it is unpacked into: segments of letters, digits and
/// `.`, `_`, `+`, `-`, never `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName(String);

impl EntryName {
    /// The segments, the last one being the file's own name.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The segments with `/` between them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Follows a relative name from a directory; where it would leave the archive it is refused.
pub(super) fn resolve<'a>(mut from: Vec<&'a str>, name: &'a [u8]) -> Result<Vec<&'a str>, Reason> {
    let name = std::str::from_utf8(name).map_err(|_| Reason::MalformedArchive)?;
    // Absolute names begin with an empty segment; a directory's may end with one.
    let name = name.strip_suffix('/').unwrap_or(name);
    for segment in name.split('/') {
        match segment {
            "." => {}
            ".." => {
                from.pop().ok_or(Reason::MalformedArchive)?;
            }
            _ if is_plain(segment) => from.push(segment),
            _ => return Err(Reason::MalformedArchive),
        }
    }
    Ok(from)
}

fn is_plain(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    !segment.is_empty() && segment.bytes().all(plain)
}

pub(super) fn name_of(segments: &[&str]) -> Result<EntryName, Reason> {
    let name = segments.join("/");
    let fits =
        (1..=MAX_ARCHIVE_DEPTH).contains(&segments.len()) && name.len() <= MAX_ARCHIVE_NAME_BYTES;
    if fits { Ok(EntryName(name)) } else { Err(Reason::MalformedArchive) }
}
