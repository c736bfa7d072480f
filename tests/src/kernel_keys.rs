//! The kernel keyring as another program of the same user reaches it.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Takes the user's persistent keyring, as the kernel lets any program of the user, finds a key
/// and acts on it. `none`: there is no such key, or it is dead.
const PROGRAM: &str = "\
import ctypes, errno, platform, sys
libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY, KEYCTL = {'x86_64': (248, 250), 'aarch64': (217, 219)}[platform.machine()]
JOIN, REVOKE, SEARCH, READ, INVALIDATE, PERSISTENT = 1, 3, 10, 11, 21, 22
def call(number, *arguments):
    wide = [ctypes.c_long(it) if isinstance(it, int) else it for it in arguments]
    answer = libc.syscall(number, *wide)
    if answer < 0:
        raise OSError(ctypes.get_errno(), 'refused')
    return answer
act, key, value = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
call(KEYCTL, JOIN, None)
ring = call(KEYCTL, PERSISTENT, -1, -3)
try:
    if act == 'replace':
        call(ADD_KEY, b'user', key, value, len(value), ring)
        sys.exit()
    number = call(KEYCTL, SEARCH, ring, b'user', key, 0)
    if act == 'read':
        room = ctypes.create_string_buffer(32768)
        length = call(KEYCTL, READ, number, room, len(room))
        sys.stdout.write(room.raw[:length].decode())
    else:
        call(KEYCTL, {'revoke': REVOKE, 'invalidate': INVALIDATE}[act], number)
except OSError as error:
    if error.errno not in (errno.ENOKEY, errno.EKEYREVOKED, errno.EKEYEXPIRED):
        raise
    sys.stdout.write('none')
";

/// The profile of a world on the kernel keyring: keys are the user's, not the world's.
pub(crate) fn profile(world: &str) -> String {
    format!("{world}-{}", std::process::id())
}

/// The keys of one world of this process. Dropping it removes them.
#[derive(Debug)]
pub struct KernelKeys(String);

impl KernelKeys {
    /// Those of the world of this name, which are there, or will be.
    #[must_use]
    pub fn of(world: &str) -> Self {
        Self(format!("companion/{}", profile(world)))
    }

    /// The value of an account, if there is one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn read(&self, account: &str) -> Result<Option<String>> {
        Ok(Some(self.act("read", account, "")?).filter(|value| value != "none"))
    }

    /// Puts another value in the place of an account's.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn replace(&self, account: &str, value: &str) -> Result<()> {
        self.act("replace", account, value).map(drop)
    }

    /// Revokes the key of an account.
    ///
    /// # Errors
    /// When there is none, or the kernel refuses.
    pub fn revoke(&self, account: &str) -> Result<()> {
        ensure!(self.act("revoke", account, "")?.is_empty(), "no such key");
        Ok(())
    }

    fn act(&self, act: &str, account: &str, value: &str) -> Result<String> {
        let output = Command::new("/usr/bin/python3")
            .args(["-c", PROGRAM, act, &format!("{}:{account}", self.0), value])
            .env_clear()
            .stdin(Stdio::null())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).context("no text")
    }
}

impl Drop for KernelKeys {
    fn drop(&mut self) {
        for account in ["accessToken", "refreshToken", "sessionMeta", "loopbackToken"] {
            let _ = self.act("invalidate", &format!("companion.{account}"), "");
        }
    }
}
