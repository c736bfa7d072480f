//! What the jail's tests let it become instead of `llama-server`: it prints what it finds itself
//! to be. As `supervise` it is the supervisor, confined as that one is, that starts the jail.
#![expect(clippy::print_stdout, reason = "the test reads it")]

#[cfg(target_os = "linux")]
mod facts;
#[cfg(target_os = "linux")]
mod supervisor;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [_, "supervise", directory] => supervisor::start_the_jail(directory.as_ref()),
        [_, "supervise-and-die", directory] => {
            supervisor::start_the_jail_and_die(directory.as_ref())
        }
        [_, "stay", ..] => facts::stay(),
        _ => facts::print(&arguments),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("there is no jail here");
}
