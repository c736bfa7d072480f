//! What an archive of a runtime may hold, and what becomes of it (contract 8): regular files and
//! directories beneath one directory, aliases of those files, one program. Everything else, and
//! everything ambiguous, makes the whole archive [`Reason::MalformedArchive`].

mod name;
mod unpacked;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use self::name::EntryName;
use self::name::{name_of, resolve};
pub use self::unpacked::UnpackedFiles;
use crate::Reason;
use crate::bounds::{MAX_ARCHIVE_ENTRIES, MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO};

/// The program that an archive must hold once, in whatever directory.
pub const PROGRAM: &str = "llama-server";
/// Set-user-ID, set-group-ID and sticky bits.
const SPECIAL_MODES: u32 = 0o7000;

/// An entry as the archive has it.
#[derive(Debug, Clone)]
pub struct UntrustedEntry<'a> {
    /// Its name, `/` between the segments.
    pub name: Cow<'a, [u8]>,
    /// What it says it is.
    pub kind: EntryKind<'a>,
    /// Its mode bits.
    pub mode: u32,
}

/// What an entry says it is. Devices, FIFOs, sparse files and whatever else there may be have no
/// kind here.
#[derive(Debug, Clone)]
pub enum EntryKind<'a> {
    /// So many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// The same file as another entry, named from the root of the archive.
    HardLink(Cow<'a, [u8]>),
    /// Another entry, named from the link's own directory.
    SymbolicLink(Cow<'a, [u8]>),
}

/// What is to be done with an entry at once.
#[derive(Debug, PartialEq, Eq)]
pub enum Unpack {
    /// A new file of so many bytes; directories above it are made as they are needed.
    File(EntryName, u64),
    /// Nothing, or nothing yet.
    Nothing,
}

/// What is left to be done when all entries were seen.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// The program.
    pub program: EntryName,
    /// More names of files: the name, and the file's first one.
    pub aliases: Vec<(EntryName, EntryName)>,
}

/// Judges the entries of one archive, in order.
#[derive(Debug)]
pub struct ArchiveSurvey {
    archive_bytes: u64,
    entries: usize,
    unpacked_bytes: u64,
    names: BTreeMap<EntryName, Named>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    File,
    Directory,
    AliasOf(EntryName),
}

impl ArchiveSurvey {
    /// Of an archive of this size.
    #[must_use]
    pub fn of(archive_bytes: u64) -> Self {
        Self { archive_bytes, entries: 0, unpacked_bytes: 0, names: BTreeMap::new() }
    }

    /// Judges the next entry.
    ///
    /// # Errors
    /// [`Reason::MalformedArchive`].
    pub fn judge(&mut self, entry: &UntrustedEntry<'_>) -> Result<Unpack, Reason> {
        self.counts()?;
        if entry.mode & SPECIAL_MODES != 0 {
            return Err(Reason::MalformedArchive);
        }
        match &entry.kind {
            EntryKind::Directory => {
                let segments = resolve(Vec::new(), &entry.name)?;
                if !segments.is_empty() {
                    self.directory(name_of(&segments)?)?;
                }
                Ok(Unpack::Nothing)
            }
            EntryKind::File(bytes) => {
                let name = self.fresh(&entry.name)?;
                self.weighs(*bytes)?;
                self.names.insert(name.clone(), Named::File);
                Ok(Unpack::File(name, *bytes))
            }
            EntryKind::HardLink(target) => {
                let name = self.fresh(&entry.name)?;
                let target = name_of(&resolve(Vec::new(), target)?)?;
                self.names.insert(name, Named::AliasOf(target));
                Ok(Unpack::Nothing)
            }
            EntryKind::SymbolicLink(target) => {
                let name = self.fresh(&entry.name)?;
                let mut beside: Vec<&str> = name.segments().collect();
                beside.pop();
                let target = name_of(&resolve(beside, target)?)?;
                self.names.insert(name, Named::AliasOf(target));
                Ok(Unpack::Nothing)
            }
        }
    }

    /// Ends the survey.
    ///
    /// # Errors
    /// [`Reason::MalformedArchive`] unless every alias leads to a file and there is one program.
    pub fn finish(self) -> Result<Layout, Reason> {
        let mut aliases = Vec::new();
        for (name, named) in &self.names {
            if let Named::AliasOf(target) = named {
                aliases.push((name.clone(), self.file_behind(target)?));
            }
        }
        let mut programs = self.names.iter().filter(|(name, named)| {
            **named == Named::File && name.segments().next_back() == Some(PROGRAM)
        });
        match (programs.next(), programs.next()) {
            (Some((program, _)), None) => Ok(Layout { program: program.clone(), aliases }),
            (None | Some(_), _) => Err(Reason::MalformedArchive),
        }
    }

    fn file_behind(&self, target: &EntryName) -> Result<EntryName, Reason> {
        let mut name = target;
        // As many steps as there are names: more would be a circle.
        for _ in 0..=self.names.len() {
            match self.names.get(name) {
                Some(Named::File) => return Ok(name.clone()),
                Some(Named::AliasOf(next)) => name = next,
                Some(Named::Directory) | None => break,
            }
        }
        Err(Reason::MalformedArchive)
    }

    fn counts(&mut self) -> Result<(), Reason> {
        self.entries += 1;
        if self.entries <= MAX_ARCHIVE_ENTRIES { Ok(()) } else { Err(Reason::MalformedArchive) }
    }

    fn weighs(&mut self, bytes: u64) -> Result<(), Reason> {
        self.unpacked_bytes = self.unpacked_bytes.saturating_add(bytes);
        let most = self.archive_bytes.saturating_mul(MAX_UNPACKED_RATIO).min(MAX_UNPACKED_BYTES);
        if self.unpacked_bytes <= most { Ok(()) } else { Err(Reason::MalformedArchive) }
    }

    /// A name that nothing has yet, in directories that are none of something else.
    fn fresh(&mut self, name: &[u8]) -> Result<EntryName, Reason> {
        let segments = resolve(Vec::new(), name)?;
        let name = name_of(&segments)?;
        if self.names.contains_key(&name) {
            return Err(Reason::MalformedArchive);
        }
        if segments.len() > 1 {
            self.directory(name_of(&segments[..segments.len() - 1])?)?;
        }
        Ok(name)
    }

    fn directory(&mut self, name: EntryName) -> Result<(), Reason> {
        let segments: Vec<&str> = name.segments().collect();
        for end in 1..=segments.len() {
            let above = name_of(&segments[..end])?;
            if *self.names.entry(above).or_insert(Named::Directory) != Named::Directory {
                return Err(Reason::MalformedArchive);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::{MAX_ARCHIVE_DEPTH, MAX_ARCHIVE_NAME_BYTES};

    const ARCHIVE_BYTES: u64 = 1000;

    fn entry<'a>(name: &'a str, kind: EntryKind<'a>) -> UntrustedEntry<'a> {
        UntrustedEntry { name: name.as_bytes().into(), kind, mode: 0o755 }
    }

    fn survey(entries: &[(&str, EntryKind<'_>)]) -> Result<Layout, Reason> {
        let mut survey = ArchiveSurvey::of(ARCHIVE_BYTES);
        for (name, kind) in entries {
            survey.judge(&entry(name, kind.clone()))?;
        }
        survey.finish()
    }

    fn soft(target: &str) -> EntryKind<'_> {
        EntryKind::SymbolicLink(target.as_bytes().into())
    }

    fn hard(target: &str) -> EntryKind<'_> {
        EntryKind::HardLink(target.as_bytes().into())
    }

    fn with<'a>(more: &[(&'a str, EntryKind<'a>)]) -> Result<Layout, Reason> {
        survey(&[&[("b1/llama-server", EntryKind::File(9))], more].concat())
    }

    #[test]
    fn a_release_of_llama_cpp_is_laid_out_as_it_is() {
        let layout = survey(&[
            ("./", EntryKind::Directory),
            ("./b1/", EntryKind::Directory),
            ("./b1/LICENSE", EntryKind::File(3)),
            ("./b1/libllama.so", soft("libllama.so.0")),
            ("./b1/libllama.so.0", soft("libllama.so.0.0.1")),
            ("./b1/libllama.so.0.0.1", EntryKind::File(5)),
            ("./b1/bin/../also", hard("b1/LICENSE")),
            ("./b1/llama-server", EntryKind::File(9)),
        ])
        .unwrap();
        assert_eq!(layout.program.as_str(), "b1/llama-server");
        let aliases: Vec<_> =
            layout.aliases.iter().map(|(name, file)| (name.as_str(), file.as_str())).collect();
        let wanted = [
            ("b1/also", "b1/LICENSE"),
            ("b1/libllama.so", "b1/libllama.so.0.0.1"),
            ("b1/libllama.so.0", "b1/libllama.so.0.0.1"),
        ];
        assert_eq!(aliases, wanted);
    }

    #[test]
    fn names_and_links_that_lead_out_or_are_strange_are_refused() {
        let long = "x".repeat(MAX_ARCHIVE_NAME_BYTES + 1);
        let deep = ["d"; MAX_ARCHIVE_DEPTH + 1].join("/");
        let names = [
            "",
            "/",
            "/etc/x",
            "..",
            "../x",
            "b1/../../x",
            "a//b",
            "a\\b",
            "a b",
            "é",
            "a\0",
            &long,
            &deep,
        ];
        for name in names {
            assert_eq!(
                with(&[(name, EntryKind::File(1))]),
                Err(Reason::MalformedArchive),
                "{name}"
            );
            assert_eq!(with(&[("b1/l", soft(name))]), Err(Reason::MalformedArchive), "-> {name}");
            assert_eq!(with(&[("b1/l", hard(name))]), Err(Reason::MalformedArchive), "=> {name}");
        }
        for target in ["../../x", "missing", "..", ".", "l"] {
            assert_eq!(
                with(&[("b1/l", soft(target))]),
                Err(Reason::MalformedArchive),
                "-> {target}"
            );
        }
        let circle = [("b1/a", soft("b")), ("b1/b", soft("a"))];
        assert_eq!(with(&circle), Err(Reason::MalformedArchive));
    }

    #[test]
    fn a_name_is_one_thing_once() {
        for again in [
            [("b1/llama-server", EntryKind::File(1))],
            [("./b1/x/../llama-server", EntryKind::File(1))],
            [("b1/llama-server", EntryKind::Directory)],
            [("b1", EntryKind::File(1))],
            [("b1/llama-server/x", EntryKind::File(1))],
            [("b1/llama-server", soft("llama-server"))],
        ] {
            assert_eq!(with(&again), Err(Reason::MalformedArchive), "{again:?}");
        }
        // Through a link nothing is written.
        let through = [("b1/dir", soft("..")), ("b1/dir/x", EntryKind::File(1))];
        assert_eq!(with(&through), Err(Reason::MalformedArchive));
        assert!(with(&[("b1/", EntryKind::Directory), ("b1", EntryKind::Directory)]).is_ok());
    }

    #[test]
    fn there_is_one_program_and_it_is_no_alias() {
        assert_eq!(survey(&[("b1/other", EntryKind::File(1))]), Err(Reason::MalformedArchive));
        let second = [("b2/llama-server", EntryKind::File(1))];
        assert_eq!(with(&second), Err(Reason::MalformedArchive));
        let alias = [("b1/real", EntryKind::File(1)), ("b1/llama-server", soft("real"))];
        assert_eq!(survey(&alias), Err(Reason::MalformedArchive));
    }

    #[test]
    fn special_modes_are_refused() {
        for mode in [0o4755, 0o2755, 0o1777] {
            let special = UntrustedEntry { mode, ..entry("b1/x", EntryKind::File(1)) };
            let judged = ArchiveSurvey::of(ARCHIVE_BYTES).judge(&special);
            assert_eq!(judged, Err(Reason::MalformedArchive), "{mode:o}");
        }
    }

    #[test]
    fn sizes_and_counts_are_bounded() {
        let room = ARCHIVE_BYTES * MAX_UNPACKED_RATIO - 9;
        assert!(with(&[("x", EntryKind::File(room))]).is_ok());
        assert_eq!(with(&[("x", EntryKind::File(room + 1))]), Err(Reason::MalformedArchive));
        let both = [("x", EntryKind::File(room)), ("y", EntryKind::File(u64::MAX))];
        assert_eq!(with(&both), Err(Reason::MalformedArchive));
        let mut large = ArchiveSurvey::of(u64::MAX);
        let huge = large.judge(&entry("x", EntryKind::File(MAX_UNPACKED_BYTES + 1)));
        assert_eq!(huge, Err(Reason::MalformedArchive));

        let mut many = ArchiveSurvey::of(ARCHIVE_BYTES);
        for _ in 0..MAX_ARCHIVE_ENTRIES {
            many.judge(&entry("d", EntryKind::Directory)).unwrap();
        }
        assert_eq!(many.judge(&entry("d", EntryKind::Directory)), Err(Reason::MalformedArchive));
    }
}
