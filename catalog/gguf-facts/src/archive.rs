//! What an archive of a runtime is, judged as the supervisor judges it before it unpacks one.

use std::io::Read;

use runtime_archive::{EntryName, Reason, read};
use serde::Serialize;

/// Bytes of a program that say for which machine it is (elf(5)).
const HEAD_BYTES: u64 = 20;

/// What is in it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Facts {
    /// How its program begins.
    program_head: Vec<u8>,
    /// Its name in the archive.
    program: String,
    /// Files that are unpacked, the program among them.
    files: u64,
}

/// Why an archive is none of a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the archive holds what may not be unpacked, no `llama-server`, or several")]
pub(crate) struct Malformed;

/// Reads the facts of an archive of so many bytes, to its end.
///
/// # Errors
/// [`Malformed`]; memory stays small whatever the archive claims.
pub(crate) fn facts(archive: &mut impl Read, bytes: u64) -> Result<Facts, Malformed> {
    let mut files = 0;
    let mut programs = Vec::new();
    let layout = read(archive, bytes, |name, _, file| {
        files += 1;
        if is_program(name) {
            let mut head = Vec::new();
            let begins = file.take(HEAD_BYTES).read_to_end(&mut head);
            begins.map_err(|_| Reason::MalformedArchive)?;
            programs.push(head);
        }
        Ok(())
    });
    let program = layout.map_err(|_| Malformed)?.program.as_str().to_owned();
    // One, says the layout.
    let program_head = programs.pop().ok_or(Malformed)?;
    Ok(Facts { program_head, program, files })
}

fn is_program(name: &EntryName) -> bool {
    name.segments().next_back() == Some(runtime_archive::PROGRAM)
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, bytes) in files {
            let mut header = Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o755);
            archive.append_data(&mut header, name, *bytes).expect("an entry");
        }
        archive.into_inner().and_then(GzEncoder::finish).expect("an archive")
    }

    fn facts_of(archive: &[u8]) -> Result<Facts, Malformed> {
        facts(&mut &*archive, archive.len() as u64)
    }

    #[test]
    fn an_archive_says_where_its_program_is_and_how_it_begins() {
        let program = [&b"\x7fELF"[..], &[7; 100]].concat();
        let archive = packed(&[
            ("b1/AUTHORS", b"many"),
            ("b1/llama-server", &program),
            ("b1/LICENSE", b"MIT"),
        ]);
        let program_head = program[..20].to_vec();
        let program = "b1/llama-server".to_owned();
        assert_eq!(facts_of(&archive), Ok(Facts { program_head, program, files: 3 }));
    }

    #[test]
    fn an_archive_that_would_not_be_unpacked_or_is_cut_anywhere_is_refused() {
        let good = packed(&[("b1/llama-server", b"x")]);
        assert!(facts_of(&good).is_ok());
        for length in 0..good.len() {
            assert_eq!(facts_of(&good[..length]), Err(Malformed), "{length}");
        }
        for bad in [
            packed(&[("b1/llama-cli", b"x")]),
            packed(&[("b1/llama-server", b"x"), ("b2/llama-server", b"x")]),
            packed(&[("b1/llama-server", b"x"), ("a name/of two words", b"x")]),
            packed(&[("b1/llama-server", &[0; 1 << 20])]),
        ] {
            assert_eq!(facts_of(&bad), Err(Malformed));
        }
    }
}
