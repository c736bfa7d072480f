//! The same attempts by a process that nothing confines: there they must succeed, or they would
//! prove nothing elsewhere. It holds connections, as the captured processes do.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use captured::{Aims, attempt_all, report};

fn main() -> io::Result<()> {
    let aims = Aims::beside_this_program()?;
    let held = (TcpStream::connect(("127.0.0.1", aims.port))?, UnixStream::pair()?);
    report(&attempt_all(&aims));
    drop(held);
    Ok(())
}
