//! The blocks of a Markdown page.

const FENCE: &str = "```";

/// A fenced block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// The word behind the fence.
    pub language: &'a str,
    /// The lines between the fences.
    pub text: &'a str,
    /// The nearest heading above it, without its marks.
    pub heading: &'a str,
}

/// A command of a console block, and what is shown for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// As it is typed; of several lines where one ends with a backslash.
    pub command: String,
    /// The lines below it, empty where none are.
    pub shown: String,
}

/// The fenced blocks of a page, in their order. A fence within a list is none.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let (mut heading, mut open) = ("", None);
    let mut at = 0;
    for line in page.split_inclusive('\n') {
        let (start, trimmed) = (at, line.trim_end());
        at += line.len();
        match (trimmed.strip_prefix(FENCE), open) {
            (Some(language), None) => open = Some((language, at)),
            (Some(""), Some((language, from))) => {
                blocks.push(Block { language, text: &page[from..start], heading });
                open = None;
            }
            (None, None) if trimmed.starts_with('#') => {
                heading = trimmed.trim_start_matches('#').trim();
            }
            (_, _) => {}
        }
    }
    blocks
}

/// What stands beneath a heading, up to the next one.
#[must_use]
pub fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (mut from, mut at, mut within) = (None, 0, false);
    for line in page.split_inclusive('\n') {
        let start = at;
        at += line.len();
        within ^= line.starts_with(FENCE);
        if line.starts_with('#') && !within {
            match from {
                Some(from) => return &page[from..start],
                None if line.trim_start_matches('#').trim() == heading => from = Some(at),
                None => {}
            }
        }
    }
    from.map_or("", |from| &page[from..])
}

impl<'a> Block<'a> {
    /// The name that the first line gives the block, in a comment of its language, when it is to
    /// be a file.
    #[must_use]
    pub fn file_name(&self) -> Option<&'a str> {
        let first = self.text.lines().next()?;
        let name = first.strip_prefix("# ").or_else(|| first.strip_prefix("// "))?;
        (!name.contains(char::is_whitespace) && name.contains('.')).then_some(name)
    }

    /// The commands of a console block.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut goes_on = false;
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    steps.push(Step { command: command.to_owned(), shown: String::new() });
                }
                (None, Some(step)) if goes_on => {
                    step.command.push('\n');
                    step.command.push_str(line);
                }
                (None, Some(step)) => {
                    step.shown.push_str(line);
                    step.shown.push('\n');
                }
                (None, None) => {}
            }
            goes_on = steps.last().is_some_and(|it| it.shown.is_empty()) && line.ends_with('\\');
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# One\n\ntext\n\n```console\n$ first \\\n    more\nshown\n$ second\n```\n\
                        ## Two\n```python\n# a.py\n# Not a heading\n```\n";

    #[test]
    fn blocks_have_their_language_their_heading_and_their_lines() {
        let found = blocks(PAGE);
        let [console, python] = found[..] else { panic!("{found:?}") };
        assert_eq!((console.language, console.heading), ("console", "One"));
        assert_eq!((python.heading, python.file_name()), ("Two", Some("a.py")));
        assert_eq!(python.text, "# a.py\n# Not a heading\n");
        assert_eq!(console.file_name(), None);
    }

    #[test]
    fn a_section_goes_to_the_next_heading_and_a_remark_in_a_block_is_none() {
        assert!(
            section(PAGE, "One").starts_with("\ntext") && section(PAGE, "One").ends_with("```\n")
        );
        assert!(section(PAGE, "Two").contains("# Not a heading"));
        assert_eq!(section(PAGE, "Three"), "");
    }

    #[test]
    fn a_command_has_its_lines_and_what_it_shows() {
        let steps = blocks(PAGE)[0].steps();
        let [first, second] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!((&*first.command, &*first.shown), ("first \\\n    more", "shown\n"));
        assert_eq!((&*second.command, &*second.shown), ("second", ""));
    }
}
