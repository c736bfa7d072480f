//! `Range: bytes=…` with one part (RFC 9110 section 14.1.2).

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteRange {
    /// Offset of its first byte.
    pub(super) first: u64,
    /// Bytes in it.
    pub(super) length: u64,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The file: no range, or one that a server may ignore (other units, several parts,
    /// malformed).
    Whole,
    /// One part.
    Part(ByteRange),
    /// A part beyond the end.
    Unsatisfiable,
}

impl ByteRange {
    /// Value of `Content-Range` in a file of `length` bytes.
    pub(super) fn content_range(self, length: u64) -> String {
        format!("bytes {}-{}/{length}", self.first, self.first + self.length - 1)
    }
}

/// Reads the value of a `Range` header for a file of `length` bytes.
pub(super) fn parse(value: &str, length: u64) -> Asked {
    let part = value.strip_prefix("bytes=").and_then(|set| set.trim().split_once('-'));
    let Some((first, last)) = part else { return Asked::Whole };
    let (first, last) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last),
        (Some(first), None) if last.is_empty() => (first, u64::MAX),
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 {
                return Asked::Unsatisfiable;
            }
            (length.saturating_sub(suffix), u64::MAX)
        }
        _ => return Asked::Whole,
    };
    if first >= length {
        return Asked::Unsatisfiable;
    }
    Asked::Part(ByteRange { first, length: last.min(length - 1) - first + 1 })
}

/// Digits only: no sign, no space.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_cut_to_the_file_and_everything_odd_means_the_whole() {
        let part = |first, length| Asked::Part(ByteRange { first, length });
        for (value, asked) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=10-19", part(10, 10)),
            ("bytes=10-", part(10, 90)),
            ("bytes=99-", part(99, 1)),
            ("bytes=90-1000", part(90, 10)),
            ("bytes=-10", part(90, 10)),
            ("bytes=-1000", part(0, 100)),
            ("bytes=100-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=5-4", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("items=0-1", Asked::Whole),
        ] {
            assert_eq!(parse(value, 100), asked, "{value}");
        }
        assert_eq!(ByteRange { first: 10, length: 90 }.content_range(100), "bytes 10-99/100");
    }
}
