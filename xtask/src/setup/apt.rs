//! Debian packages, installed when they are missing and it may.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{find_program, must_succeed, output_of};
use crate::report::Report;

/// A program and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    program: &'static str,
    package: &'static str,
}

/// For a private session bus with a Secret Service.
pub(crate) const SESSION: [Need; 3] = [
    Need { program: "dbus-daemon", package: "dbus" },
    Need { program: "gnome-keyring-daemon", package: "gnome-keyring" },
    Need { program: "secret-tool", package: "libsecret-tools" },
];

/// For the guides, which tests run, for the hostile pages that they open, for a look at what a
/// process asks of the kernel, and for servers of other makes.
pub(crate) const TESTS: [Need; 5] = [
    Need { program: "strace", package: "strace" },
    Need { program: "curl", package: "curl" },
    Need { program: "chromium", package: "chromium" },
    Need { program: "keepassxc", package: "keepassxc" },
    Need { program: "openssl", package: "openssl" },
];

/// For building `llama-server`.
pub(crate) const BUILD: [Need; 2] = [
    Need { program: "cmake", package: "cmake" },
    Need { program: "ninja", package: "ninja-build" },
];

/// Installs the packages of programs that are not there.
///
/// # Errors
/// When it may not: the message names the packages.
pub(crate) fn ensure(report: &mut Report, needs: &[Need]) -> Result<()> {
    let packages = missing(needs, |program| find_program(program).is_some());
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let Some(prefix) = privilege() else {
        bail!(
            "these packages are missing, and this user may not install them: {list}\n\
               install them first, on Debian or Ubuntu by: sudo apt-get install {list}"
        );
    };
    let step = report.begin_long("Install packages", &list);
    apt_get(prefix, &["update", "-q"]).context("the package lists cannot be fetched")?;
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(&packages);
    apt_get(prefix, &install).with_context(|| format!("cannot install {list}"))?;
    report.done(step, &list);
    Ok(())
}

/// Fetches packages, and what they need and this machine lacks, into a directory with a directory
/// `partial` in it. Nothing is installed.
///
/// # Errors
/// When it may not, or they cannot be fetched.
pub(crate) fn download(packages: &[&str], archives: &Path) -> Result<()> {
    let list = packages.join(" ");
    let prefix = privilege()
        .with_context(|| format!("missing, and this user may not fetch packages: {list}"))?;
    apt_get(prefix, &["update", "-q"]).context("the package lists cannot be fetched")?;
    let directory = format!("Dir::Cache::archives={}", archives.display());
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends", "--download-only"];
    install.extend(["-o", &directory, "-o", "APT::Sandbox::User=root"]);
    install.extend(packages);
    apt_get(prefix, &install).with_context(|| format!("cannot fetch {list}"))
}

fn apt_get(prefix: &[&str], arguments: &[&str]) -> Result<()> {
    let mut words = prefix.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    let mut command = Command::new(words.next().copied().unwrap_or("env"));
    command.args(words).args(arguments);
    must_succeed(&mut command)
}

fn missing(needs: &[Need], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    needs.iter().filter(|need| !is_there(need.program)).map(|need| need.package).collect()
}

/// The words before `apt-get` with which this user may install; nothing when it may not.
fn privilege() -> Option<&'static [&'static str]> {
    find_program("apt-get")?;
    if nix::unistd::geteuid().is_root() {
        return Some(&[]);
    }
    output_of(Command::new("sudo").args(["-n", "true"]))?;
    Some(&["sudo", "-n"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_packages_of_absent_programs_are_named() {
        assert_eq!(
            missing(&SESSION, |program| program == "dbus-daemon"),
            ["gnome-keyring", "libsecret-tools"]
        );
        assert_eq!(missing(&BUILD, |_| true), [""; 0]);
    }
}
