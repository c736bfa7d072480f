//! nginx and haproxy of the distribution, to compare with. Unpacked into the cache and never
//! installed: an installed one would be started as a service.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::apt;
use super::cache::Cache;
use crate::process::{find_program, must_succeed};
use crate::report::Report;

/// The programs, which are also the names of their packages.
const PROXIES: [&str; 2] = ["nginx", "haproxy"];

/// Where they lie.
#[derive(Debug, Clone)]
pub(crate) struct Proxies {
    /// `nginx`.
    pub(crate) nginx: PathBuf,
    /// `haproxy`.
    pub(crate) haproxy: PathBuf,
}

/// Those of the machine, else unpacked ones.
///
/// # Errors
/// When they are missing and packages cannot be fetched.
pub(crate) fn ensure(report: &mut Report, cache: &Cache) -> Result<Proxies> {
    let dir = cache.path("proxies");
    let found =
        |name: &str| find_program(name).or_else(|| Some(dir.join(name)).filter(|p| p.is_file()));
    if let [Some(nginx), Some(haproxy)] = PROXIES.map(found) {
        return Ok(Proxies { nginx, haproxy });
    }
    let step = report.begin_long("Unpack nginx and haproxy", "once a machine, never started");
    let partial = cache.path("proxies.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let (archives, root) = (partial.join("archives"), partial.join("root"));
    for dir in [&archives.join("partial"), &root] {
        fs::create_dir_all(dir)?;
    }
    apt::download(&PROXIES, &archives)?;
    for archive in fs::read_dir(&archives)? {
        let archive = archive?.path();
        if archive.extension().is_some_and(|kind| kind == "deb") {
            must_succeed(Command::new("dpkg-deb").arg("-x").args([&archive, &root]))?;
        }
    }
    fs::remove_dir_all(&archives)?;
    for name in PROXIES {
        write_wrapper(&partial.join(name), name, &dir.join("root"), &libraries(&root)?)?;
    }
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::rename(&partial, &dir)?;
    report.done(step, "nginx, haproxy");
    Ok(Proxies { nginx: dir.join("nginx"), haproxy: dir.join("haproxy") })
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

fn write_wrapper(path: &Path, name: &str, root: &Path, libraries: &[String]) -> Result<()> {
    let root = root.to_str().context("the cache has a name that is no text")?;
    let libraries: Vec<_> = libraries.iter().map(|dir| format!("{root}/{dir}")).collect();
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{root}/usr/sbin/{name}' \"$@\"\n",
        libraries.join(":")
    );
    fs::write(path, script)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
