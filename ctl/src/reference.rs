//! `docs/reference.md` is what the program says of itself: `COMPANION_WRITE_REFERENCE=1` with this
//! test writes it anew.

use std::path::Path;

use clap::{Command, CommandFactory as _};

use crate::cli::Cli;

const HEAD: &str = "\
# Reference

Every command of `companionctl`, as `--help` prints it; a test compares this page with the program.
The flags of the first one go with each of them.
";

#[test]
fn the_reference_is_what_the_program_says_of_itself() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md");
    let mut program = Cli::command();
    program.build();
    let mut told = HEAD.to_owned();
    tell(&mut told, &program, "companionctl", true);
    if std::env::var_os("COMPANION_WRITE_REFERENCE").is_some() {
        std::fs::write(&page, &told).expect("it is written");
    }
    let kept = std::fs::read_to_string(&page).expect("docs/reference.md");
    assert_eq!(told, kept, "COMPANION_WRITE_REFERENCE=1 with this test writes it anew");
}

fn tell(page: &mut String, command: &Command, name: &str, with_global_flags: bool) {
    let hide = |arg: clap::Arg| {
        let own = with_global_flags || !arg.is_global_set();
        if own { arg } else { arg.hide(true) }
    };
    let help = command.clone().bin_name(name).mut_args(hide).render_long_help().to_string();
    let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.join("\n")));
    for inner in command.get_subcommands().filter(|it| it.get_name() != "help") {
        tell(page, inner, &format!("{name} {}", inner.get_name()), false);
    }
}
