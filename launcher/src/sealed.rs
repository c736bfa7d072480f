//! Bytes for another process, as a file in memory that nobody can change any more.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// A sealed file of these bytes, read from its start (memfd_create(2), F_ADD_SEALS).
pub(crate) fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL;
    let mut file = File::from(memfd_create(name, flags)?);
    file.write_all(bytes)?;
    file.rewind()?;
    fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charter_can_be_read_and_never_be_changed() {
        let mut file = File::from(sealed("words", b"plain words").unwrap());
        assert!(file.write_all(b"other").is_err());
        assert!(file.set_len(0).is_err());
        assert_eq!(io::read_to_string(&file).unwrap(), "plain words");
    }
}
