//! Programs of the distribution, to compare with. Unpacked into the cache and never installed: an
//! installed nginx or haproxy would be started as a service.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use super::apt;
use super::cache::Cache;
use crate::process::{find_program, must_succeed};
use crate::report::Report;

/// A program, its package, and where that puts it.
#[derive(Debug, Clone, Copy)]
struct Program {
    name: &'static str,
    package: &'static str,
    place: &'static str,
}

const PROXIES: [Program; 2] = [
    Program { name: "nginx", package: "nginx", place: "usr/sbin/nginx" },
    Program { name: "haproxy", package: "haproxy", place: "usr/sbin/haproxy" },
];
const DOWNLOADERS: [Program; 1] =
    [Program { name: "aria2c", package: "aria2", place: "usr/bin/aria2c" }];

/// Where the proxies lie.
#[derive(Debug, Clone)]
pub(crate) struct Proxies {
    /// `nginx`.
    pub(crate) nginx: PathBuf,
    /// `haproxy`.
    pub(crate) haproxy: PathBuf,
}

/// Proxies of the machine, else unpacked ones.
///
/// # Errors
/// When they are missing and packages cannot be fetched.
pub(crate) fn proxies(report: &mut Report, cache: &Cache) -> Result<Proxies> {
    let [nginx, haproxy] = ensure(report, cache, "proxies", PROXIES)?;
    Ok(Proxies { nginx, haproxy })
}

/// `aria2c` of the machine, else an unpacked one.
///
/// # Errors
/// When it is missing and packages cannot be fetched.
pub(crate) fn aria2c(report: &mut Report, cache: &Cache) -> Result<PathBuf> {
    let [aria2c] = ensure(report, cache, "downloaders", DOWNLOADERS)?;
    Ok(aria2c)
}

fn ensure<const N: usize>(
    report: &mut Report,
    cache: &Cache,
    set: &str,
    programs: [Program; N],
) -> Result<[PathBuf; N]> {
    let dir = cache.path(set);
    let unpacked = programs.map(|program| dir.join(program.name));
    let found = |program: Program| {
        let unpacked = dir.join(program.name);
        find_program(program.name).or_else(|| unpacked.is_file().then_some(unpacked))
    };
    if let Some(found) = programs.map(found).into_iter().collect::<Option<Vec<_>>>() {
        return found.try_into().map_err(|_| anyhow!("as many as were asked for"));
    }
    let names = programs.map(|program| program.name).join(", ");
    let step = report.begin_long(&format!("Unpack {names}"), "once a machine, never installed");
    let partial = cache.path(&format!("{set}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let (archives, root) = (partial.join("archives"), partial.join("root"));
    for dir in [&archives.join("partial"), &root] {
        fs::create_dir_all(dir)?;
    }
    apt::download(&programs.map(|program| program.package), &archives)?;
    for archive in fs::read_dir(&archives)? {
        let archive = archive?.path();
        if archive.extension().is_some_and(|kind| kind == "deb") {
            must_succeed(Command::new("dpkg-deb").arg("-x").args([&archive, &root]))?;
        }
    }
    fs::remove_dir_all(&archives)?;
    for program in programs {
        write_wrapper(&partial.join(program.name), program, &dir.join("root"), &libraries(&root)?)?;
    }
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::rename(&partial, &dir)?;
    report.done(step, &names);
    Ok(unpacked)
}

/// Directories of shared libraries beneath the root, without it.
fn libraries(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for base in ["usr/lib", "lib"] {
        let Ok(entries) = fs::read_dir(root.join(base)) else { continue };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.contains("-linux-") {
                found.push(format!("{base}/{name}"));
            }
        }
    }
    Ok(found)
}

fn write_wrapper(path: &Path, program: Program, root: &Path, libraries: &[String]) -> Result<()> {
    let root = root.to_str().context("the cache has a name that is no text")?;
    let libraries: Vec<_> = libraries.iter().map(|dir| format!("{root}/{dir}")).collect();
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{root}/{}' \"$@\"\n",
        libraries.join(":"),
        program.place
    );
    fs::write(path, script)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
