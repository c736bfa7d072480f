//! Raw system calls: the attempts must reach the kernel as they are, past any wrapper.
#![expect(unsafe_code, reason = "attempts are raw system calls")]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::c_long;

/// One system call. Arguments that are addresses point to values that the caller keeps.
pub(crate) fn call<const N: usize>(number: c_long, arguments: [usize; N]) -> io::Result<c_long> {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: every caller in this program passes numbers, null, or the addresses of values that
    // outlive the call and are as long as the call reads or writes.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// The same, when the answer does not matter.
pub(crate) fn attempt<const N: usize>(number: c_long, arguments: [usize; N]) -> io::Result<()> {
    call(number, arguments).map(|_| ())
}

/// The same, when the answer is a descriptor.
pub(crate) fn open<const N: usize>(number: c_long, arguments: [usize; N]) -> io::Result<()> {
    let descriptor = call(number, arguments)?;
    attempt(libc::SYS_close, [descriptor as usize])
}

pub(crate) fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// Ends a process that hangs, whatever it hangs on.
pub(crate) fn end_after_a_minute() {
    // SAFETY: alarm(2) takes a number and touches no memory.
    unsafe { libc::alarm(60) };
}

/// getpid by the 32-bit entry of x86-64, whose numbers mean other calls.
#[cfg(target_arch = "x86_64")]
pub(crate) fn getpid_by_int80() -> i32 {
    let mut answer: i32 = 20;
    // SAFETY: the kernel clobbers no register but eax here, r8 to r11 on older kernels.
    unsafe {
        std::arch::asm!("int 0x80", inout("eax") answer, out("r8") _, out("r9") _, out("r10") _,
            out("r11") _);
    }
    answer
}

/// vfork by its own number. The child ends before it touches anything it shares.
#[cfg(target_arch = "x86_64")]
pub(crate) fn vfork() -> io::Result<usize> {
    let answer: isize;
    // SAFETY: the child runs on this stack and memory, and does nothing but exit; the kernel
    // clobbers rcx and r11.
    unsafe {
        std::arch::asm!("syscall", "test rax, rax", "jnz 2f", "xor edi, edi", "mov eax, 60",
            "syscall", "2:", inout("rax") libc::SYS_vfork as isize => answer, out("rdi") _,
            out("rcx") _, out("r11") _);
    }
    usize::try_from(answer).map_err(|_| io::Error::from_raw_os_error(-answer as i32))
}

/// A `sockaddr_un`; a name that begins with a zero byte is an abstract one.
pub(crate) fn unix_address(name: &[u8]) -> (libc::sockaddr_un, usize) {
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
    for (to, from) in address.sun_path.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    (address, 2 + name.len())
}

pub(crate) fn loopback(port: u16) -> (libc::sockaddr_in, usize) {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    (address, size_of::<libc::sockaddr_in>())
}

/// A message header with nothing in it.
pub(crate) fn empty_message() -> libc::msghdr {
    // SAFETY: all zero is a valid msghdr: null pointers with lengths of zero.
    unsafe { std::mem::zeroed() }
}

pub(crate) fn address_of<T: ?Sized>(value: &T) -> usize {
    (&raw const *value).cast::<()>() as usize
}

pub(crate) fn address_of_mut<T: ?Sized>(value: &mut T) -> usize {
    (&raw mut *value).cast::<()>() as usize
}
