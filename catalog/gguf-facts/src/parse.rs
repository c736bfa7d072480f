//! A bounded reader of GGUF metadata (ggml, docs/gguf.md): the header and its key-value pairs,
//! never the tensors.

use std::io::Read;

use serde::Serialize;

/// Most metadata that is read, in bytes: tokenizers take some tens of mebibytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Most key-value pairs.
const MAX_PAIRS: u64 = 64 * 1024;
/// Longest key, in bytes (docs/gguf.md).
const MAX_KEY_BYTES: u64 = 65_535;
/// Longest text that is kept, in bytes.
const MAX_TEXT_BYTES: u64 = 1024;
/// How deep arrays may lie within arrays.
const MAX_DEPTH: u32 = 4;

/// What a model file says of itself; each `None` where it is silent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Facts {
    /// Family, as the runtime names it.
    pub(crate) architecture: Option<String>,
    /// Tokens it was trained for.
    pub(crate) context_length: Option<u64>,
    /// Quantization of most of its weights.
    pub(crate) quantization: Option<&'static str>,
    /// SPDX expression or name.
    pub(crate) license: Option<String>,
    /// Its own name.
    pub(crate) name: Option<String>,
}

/// Why a file is no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    /// It does not begin as a GGUF of version 2 or 3.
    #[error("not a GGUF file of version 2 or 3")]
    NotGguf,
    /// It ends within its metadata.
    #[error("the GGUF metadata ends early")]
    Truncated,
    /// A value that no GGUF has.
    #[error("the GGUF metadata is malformed")]
    Malformed,
    /// More than is read.
    #[error("the GGUF metadata is too large")]
    TooLarge,
}

/// Reads the facts from the beginning of a file.
///
/// # Errors
/// [`ParseError`]; memory stays small whatever the file claims.
pub(crate) fn facts(file: &mut impl Read) -> Result<Facts, ParseError> {
    let mut reader = Reader { file, left: MAX_BYTES };
    if reader.array::<4>().map_err(|_| ParseError::NotGguf)? != *b"GGUF" {
        return Err(ParseError::NotGguf);
    }
    if !(2..=3).contains(&reader.u32()?) {
        return Err(ParseError::NotGguf);
    }
    let _tensors = reader.u64()?;
    let pairs = reader.u64()?;
    if pairs > MAX_PAIRS {
        return Err(ParseError::TooLarge);
    }
    let mut facts = Facts::default();
    let mut lengths = Vec::new();
    for _ in 0..pairs {
        let key = reader.text(MAX_KEY_BYTES)?;
        let value = reader.value(0)?;
        match (key.as_str(), value) {
            ("general.architecture", Value::Text(text)) => facts.architecture = Some(text),
            ("general.license", Value::Text(text)) => facts.license = Some(text),
            ("general.name", Value::Text(text)) => facts.name = Some(text),
            ("general.file_type", Value::Number(number)) => facts.quantization = named(number),
            (key, Value::Number(number)) if key.ends_with(".context_length") => {
                lengths.push((key.to_owned(), number));
            }
            _ => {}
        }
    }
    let wanted = facts.architecture.as_ref().map(|name| format!("{name}.context_length"));
    let found = lengths.into_iter().find(|(key, _)| Some(key) == wanted.as_ref());
    facts.context_length = found.map(|(_, number)| number);
    Ok(facts)
}

/// A value, as far as anybody asks for it.
enum Value {
    Number(u64),
    Text(String),
    Other,
}

struct Reader<'a, R> {
    file: &'a mut R,
    left: u64,
}

impl<R: Read> Reader<'_, R> {
    fn value(&mut self, depth: u32) -> Result<Value, ParseError> {
        let kind = self.u32()?;
        self.value_of(kind, depth)
    }

    fn value_of(&mut self, kind: u32, depth: u32) -> Result<Value, ParseError> {
        match kind {
            0 => Ok(Value::Number(u64::from(self.array::<1>()?[0]))),
            2 => Ok(Value::Number(u64::from(u16::from_le_bytes(self.array()?)))),
            4 => Ok(Value::Number(u64::from(self.u32()?))),
            10 => Ok(Value::Number(self.u64()?)),
            // Signed and floating numbers, and booleans: nobody asks for them.
            1 | 7 => self.skip(1),
            3 => self.skip(2),
            5 | 6 => self.skip(4),
            11 | 12 => self.skip(8),
            8 => self.string(),
            9 => self.elements(depth),
            _ => Err(ParseError::Malformed),
        }
    }

    fn elements(&mut self, depth: u32) -> Result<Value, ParseError> {
        if depth >= MAX_DEPTH {
            return Err(ParseError::Malformed);
        }
        let (kind, count) = (self.u32()?, self.u64()?);
        let width: u64 = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            _ => 0,
        };
        if width > 0 {
            return self.skip(count.checked_mul(width).ok_or(ParseError::TooLarge)?);
        }
        // Each element takes bytes of the budget, which is what ends this.
        for _ in 0..count {
            self.value_of(kind, depth + 1)?;
        }
        Ok(Value::Other)
    }

    /// A text that is short and printable, or one that is passed over.
    fn string(&mut self) -> Result<Value, ParseError> {
        let length = self.u64()?;
        if length > MAX_TEXT_BYTES {
            return self.skip(length);
        }
        let bytes = self.bytes(length)?;
        match String::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => Ok(Value::Text(text)),
            Ok(_) | Err(_) => Ok(Value::Other),
        }
    }

    fn text(&mut self, most: u64) -> Result<String, ParseError> {
        let length = self.u64()?;
        if length > most {
            return Err(ParseError::Malformed);
        }
        String::from_utf8(self.bytes(length)?).map_err(|_| ParseError::Malformed)
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, ParseError> {
        self.spend(length)?;
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(length).read_to_end(&mut bytes);
        match read {
            Ok(read) if read as u64 == length => Ok(bytes),
            Ok(_) | Err(_) => Err(ParseError::Truncated),
        }
    }

    fn skip(&mut self, length: u64) -> Result<Value, ParseError> {
        self.spend(length)?;
        match std::io::copy(&mut self.file.by_ref().take(length), &mut std::io::sink()) {
            Ok(read) if read == length => Ok(Value::Other),
            Ok(_) | Err(_) => Err(ParseError::Truncated),
        }
    }

    fn spend(&mut self, length: u64) -> Result<(), ParseError> {
        self.left = self.left.checked_sub(length).ok_or(ParseError::TooLarge)?;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        self.spend(N as u64)?;
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|_| ParseError::Truncated)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, ParseError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ParseError> {
        self.array().map(u64::from_le_bytes)
    }
}

/// The name of a `general.file_type` (llama.cpp, `enum llama_ftype`).
fn named(file_type: u64) -> Option<&'static str> {
    const NAMES: [(u64, &str); 30] = [
        (0, "F32"),
        (1, "F16"),
        (2, "Q4_0"),
        (3, "Q4_1"),
        (7, "Q8_0"),
        (8, "Q5_0"),
        (9, "Q5_1"),
        (10, "Q2_K"),
        (11, "Q3_K_S"),
        (12, "Q3_K_M"),
        (13, "Q3_K_L"),
        (14, "Q4_K_S"),
        (15, "Q4_K_M"),
        (16, "Q5_K_S"),
        (17, "Q5_K_M"),
        (18, "Q6_K"),
        (19, "IQ2_XXS"),
        (20, "IQ2_XS"),
        (21, "Q2_K_S"),
        (22, "IQ3_XS"),
        (23, "IQ3_XXS"),
        (24, "IQ1_S"),
        (25, "IQ4_NL"),
        (26, "IQ3_S"),
        (27, "IQ3_M"),
        (28, "IQ2_S"),
        (29, "IQ2_M"),
        (30, "IQ4_XS"),
        (31, "IQ1_M"),
        (32, "BF16"),
    ];
    NAMES.iter().find(|(number, _)| *number == file_type).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn pair(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        [&text(key)[..], &kind.to_le_bytes(), value].concat()
    }

    fn file(pairs: &[Vec<u8>]) -> Vec<u8> {
        let count = (pairs.len() as u64).to_le_bytes();
        let head = [&b"GGUF"[..], &3_u32.to_le_bytes(), &7_u64.to_le_bytes(), &count].concat();
        [head, pairs.concat()].concat()
    }

    fn model() -> Vec<u8> {
        let tokens = [&8_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &text("a"), &text("b")];
        let scores = [&6_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &[0; 8]];
        file(&[
            pair("llama.context_length", 4, &2048_u32.to_le_bytes()),
            pair("other.context_length", 4, &1_u32.to_le_bytes()),
            pair("tokenizer.ggml.tokens", 9, &tokens.concat()),
            pair("tokenizer.ggml.scores", 9, &scores.concat()),
            pair("general.architecture", 8, &text("llama")),
            pair("general.file_type", 4, &15_u32.to_le_bytes()),
            pair("general.license", 8, &text("apache-2.0")),
            pair("general.name", 8, &text("evil\u{1b}[2J")),
        ])
    }

    fn read(bytes: &[u8]) -> Result<Facts, ParseError> {
        facts(&mut &bytes[..])
    }

    #[test]
    fn a_model_says_what_it_is_and_its_name_cannot_steer_a_terminal() {
        let expected = Facts {
            architecture: Some("llama".to_owned()),
            context_length: Some(2048),
            quantization: Some("Q4_K_M"),
            license: Some("apache-2.0".to_owned()),
            name: None,
        };
        assert_eq!(read(&model()), Ok(expected));
        assert_eq!(read(&file(&[])), Ok(Facts::default()));
    }

    #[test]
    fn what_is_no_model_is_refused_by_its_fault() {
        for bytes in [&b""[..], b"GGU", b"ELF!....", b"GGUF\x01\0\0\0", b"GGUF\x04\0\0\0"] {
            assert!(matches!(read(bytes), Err(ParseError::NotGguf)), "{bytes:?}");
        }
        assert_eq!(read(&file(&[pair("k", 13, &[])])), Err(ParseError::Malformed));
        assert_eq!(
            read(&file(&[pair("k", 8, &u64::MAX.to_le_bytes())])),
            Err(ParseError::TooLarge)
        );
        let endless = [&4_u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
        assert_eq!(read(&file(&[pair("k", 9, &endless)])), Err(ParseError::TooLarge));
        let nested = [&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes()].concat().repeat(5);
        assert_eq!(read(&file(&[pair("k", 9, &nested)])), Err(ParseError::Malformed));
        let mut many = file(&[]);
        many[16..24].copy_from_slice(&(MAX_PAIRS + 1).to_le_bytes());
        assert_eq!(read(&many), Err(ParseError::TooLarge));
    }

    #[test]
    fn a_model_cut_anywhere_is_refused() {
        let whole = model();
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            tail in proptest::collection::vec(any::<u8>(), 0..256),
        ) {
            let mut bytes = model();
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = read(&bytes);
            let _ = read(&[b"GGUF\x03\0\0\0", &tail[..]].concat());
        }
    }
}
