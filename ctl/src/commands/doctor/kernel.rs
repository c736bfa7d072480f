//! What the launcher needs of the kernel.

use std::os::unix::net::UnixStream;

use confine::{ConfineError, Confinement};

use super::check::Check;

pub(super) fn check() -> Check {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let names_peers =
        UnixStream::pair().and_then(|(end, _other)| peer_socket::peer_credentials(&end)).is_ok();
    judge(&release, names_peers)
}

fn judge(release: &str, names_peers: bool) -> Check {
    if names_peers {
        Check::ok("kernel", format!("Linux {release} names the peer of a socket for good."))
    } else {
        Check::fail(
            "kernel",
            format!("Linux {release} does not name the peer of a socket for good (SO_PEERPIDFD)."),
            "Boot Linux 6.5 or newer.",
        )
    }
}

pub(super) fn check_confinement() -> Check {
    judge_confinement(confine::supported())
}

fn judge_confinement(supported: Result<Confinement, ConfineError>) -> Check {
    match supported {
        Ok(Confinement { landlock_abi, gaps }) => {
            let gaps = if gaps.is_empty() {
                String::new()
            } else {
                format!(" A newer kernel closes more: {}.", gaps.join("; "))
            };
            Check::ok(
                "confinement",
                format!("The kernel has seccomp and Landlock ABI {landlock_abi}.{gaps}"),
            )
        }
        Err(error) => Check::fail(
            "confinement",
            format!("The processes cannot be confined: {error}."),
            "Boot a kernel that has both, with `landlock` in `lsm=`: \
             `cat /sys/kernel/security/lsm` shows what is on.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn a_kernel_that_cannot_name_peers_fails() {
        assert_eq!(judge("6.18.1", true).state, State::Ok);
        let old = judge("6.1.0", false);
        assert_eq!(old.state, State::Fail);
        assert!(old.meaning.contains("6.1.0") && old.mend.unwrap().contains("6.5"));
    }

    /// Every kernel of today leaves a gap that the second layer covers: it is named and no fault.
    #[test]
    fn each_gap_is_named_and_a_missing_layer_fails() {
        let full = Confinement { landlock_abi: 9, gaps: Vec::new() };
        assert!(judge_confinement(Ok(full)).meaning.ends_with("ABI 9."));
        let old = Confinement { landlock_abi: 3, gaps: vec!["this".into(), "that".into()] };
        let old = judge_confinement(Ok(old));
        assert_eq!(old.state, State::Ok);
        assert!(old.meaning.ends_with("closes more: this; that."));
        for missing in [ConfineError::LandlockMissing, ConfineError::SeccompMissing] {
            assert_eq!(judge_confinement(Err(missing)).state, State::Fail);
        }
    }
}
