//! The graphics card, by its device nodes and its driver's own file: NVML is the supervisor's.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, access};

use super::check::Check;

/// What lies there of an NVIDIA card, the only kind whose memory is measured.
#[derive(Debug, Clone, Copy)]
struct Facts {
    driver: bool,
    node: bool,
    /// This user may open the node.
    usable: bool,
}

pub(super) fn check() -> Check {
    let node = fs::read_dir("/dev").into_iter().flatten().flatten().find(|entry| {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("nvidia"));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    });
    judge(Facts {
        driver: Path::new("/proc/driver/nvidia/version").exists(),
        node: node.is_some(),
        usable: node
            .is_some_and(|node| access(node.path(), Access::READ_OK | Access::WRITE_OK).is_ok()),
    })
}

fn judge(facts: Facts) -> Check {
    let unmeasured = |what: &str, mend: &str| {
        Check::warn("gpu", format!("{what} Its memory cannot be measured."), mend)
    };
    match facts {
        Facts { driver: false, node: false, .. } => {
            Check::ok("gpu", "No NVIDIA card is seen: models compute on the processor.")
        }
        Facts { driver: true, node: true, usable: true } => {
            Check::ok("gpu", "An NVIDIA card and its driver are there.")
        }
        Facts { driver: true, node: true, usable: false } => unmeasured(
            "An NVIDIA card is there, and this user may not open it.",
            "Join its group: `sudo usermod -aG video \"$USER\"`, then log in again.",
        ),
        Facts { driver: true, node: false, .. } => unmeasured(
            "The NVIDIA driver is loaded, and there is no device node.",
            "Make them: `sudo nvidia-modprobe -u -c=0`.",
        ),
        Facts { driver: false, node: true, .. } => unmeasured(
            "There is an NVIDIA device node, and no driver.",
            "Load it: `sudo modprobe nvidia`.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn a_card_is_there_whole_or_not_at_all() {
        for (driver, node, usable, state, mend) in [
            (false, false, false, State::Ok, ""),
            (true, true, true, State::Ok, ""),
            (true, true, false, State::Warn, "usermod"),
            (true, false, false, State::Warn, "nvidia-modprobe"),
            (false, true, true, State::Warn, "modprobe nvidia"),
        ] {
            let check = judge(Facts { driver, node, usable });
            assert_eq!(check.state, state, "{check:?}");
            assert!(check.mend.unwrap_or_default().contains(mend));
        }
    }
}
