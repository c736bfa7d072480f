//! Server-sent events (HTML standard, section 9.2), read incrementally: pieces may be cut
//! anywhere, within a line end and within a character.

use crate::refusal::Refusal;

/// Longest event that is taken, in bytes.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The reader's state between two pieces.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: String,
    has_data: bool,
    last_was_cr: bool,
    started: bool,
}

impl Events {
    /// Takes a piece of the body and gives the data of each event that it completes.
    ///
    /// # Errors
    /// `unexpected_answer` for an event over the bound or one that is not UTF-8.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<String>, Refusal> {
        let mut complete = Vec::new();
        for &byte in piece {
            let after_cr = std::mem::replace(&mut self.last_was_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => complete.extend(self.end_line()?),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
                return Err(Refusal::new("unexpected_answer"));
            }
        }
        Ok(complete)
    }

    fn end_line(&mut self) -> Result<Option<String>, Refusal> {
        let line = std::mem::take(&mut self.line);
        let mut line = std::str::from_utf8(&line).map_err(|_| Refusal::new("unexpected_answer"))?;
        if !std::mem::replace(&mut self.started, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return Ok(std::mem::take(&mut self.has_data).then_some(data));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push('\n');
            }
            self.data.push_str(value.strip_prefix(' ').unwrap_or(value));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        pieces.iter().flat_map(|piece| events.push(piece).expect("events")).collect()
    }

    #[test]
    fn events_end_at_a_blank_line_whatever_the_line_end() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("data: a{end}{end}: ping{end}{end}data:b{end}data: c{end}{end}");
            assert_eq!(read(&[text.as_bytes()]), ["a", "b\nc"]);
        }
    }

    #[test]
    fn comments_other_fields_and_an_unfinished_event_give_nothing() {
        assert!(read(&[b"\xef\xbb\xbf: hello\n\nevent: x\nid: 3\n\ndata: cut"]).is_empty());
        assert_eq!(read(&[b"\xef\xbb\xbfdata: first\n\n"]), ["first"]);
        assert_eq!(read(&[b"data\n\n"]), [""]);
        assert_eq!(read(&[b"data:  two spaces\n\n"]), [" two spaces"]);
    }

    #[test]
    fn an_endless_or_undecodable_event_is_refused() {
        let mut events = Events::default();
        assert!(events.push(&vec![b'x'; MAX_EVENT_BYTES + 1]).is_err());
        let mut events = Events::default();
        let line = [b"data: ".as_slice(), &[b'y'; 1000], b"\n"].concat();
        assert!((0..2000).any(|_| events.push(&line).is_err()));
        assert!(Events::default().push(b"data: \xff\n").is_err());
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_changes_nothing(
            words in proptest::collection::vec("[a-zäß日🙂 :]{0,12}", 0..8),
            cuts in proptest::collection::vec(0_usize..400, 0..10),
            end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        ) {
            let text: String =
                words.iter().map(|word| format!("data: {word}{end}{end}")).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> =
                cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), words);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _any = Events::default().push(&bytes);
        }
    }
}
