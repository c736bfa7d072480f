//! Tells the program when it was built (reproducible-builds.org/specs/source-date-epoch).

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let built = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or_else(|_| String::new(), |since| since.as_secs().to_string())
    });
    println!("cargo::rustc-env=COMPANION_BUILT_AT={built}");
}
