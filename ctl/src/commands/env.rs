//! `companionctl env`: what an OpenAI client needs, for the shell.

use std::process::ExitCode;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::endpoint::{Access, variables};
use crate::output::Output;
use crate::refusal::Failure;

pub(crate) async fn run(context: &Context, out: &Output) -> Result<ExitCode, Failure> {
    let access = Access::ask(context).await?;
    let key = access.token.expose_for_environment();
    let variables = variables(&access, key, |name| std::env::var(name).ok());
    if out.is_json() {
        out.object(&as_json(variables))?;
    } else {
        for (name, value) in &variables {
            out.line(&format!("export {name}={}", quoted(value)))?;
        }
    }
    if !access.takes_requests() {
        out.remark("Not available yet: requests are refused until `companionctl start ID`.");
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(variables: Vec<(&'static str, String)>) -> Map<String, Value> {
    variables.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
}

/// Quotes a value for POSIX shells (POSIX.1-2024, Shell Command Language 2.2.2).
fn quoted(value: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if !value.is_empty() && value.chars().all(is_safe) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_values_stay_readable_and_all_others_are_quoted() {
        assert_eq!(quoted("http://127.0.0.1:4711/v1"), "http://127.0.0.1:4711/v1");
        assert_eq!(quoted("http://[::1]:4711/v1"), "'http://[::1]:4711/v1'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a'b; rm -rf $HOME"), r"'a'\''b; rm -rf $HOME'");
    }

    #[test]
    fn json_has_the_two_names() {
        let map =
            as_json(vec![("OPENAI_BASE_URL", "u".to_owned()), ("OPENAI_API_KEY", "k".to_owned())]);
        assert_eq!(map["OPENAI_BASE_URL"], "u");
        assert_eq!(map["OPENAI_API_KEY"], "k");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_shell_reads_back_exactly_the_value(value in "[ -~äß\n\t]{0,40}") {
            let script = format!("printf %s {}", quoted(&value));
            let output = std::process::Command::new("sh").arg("-c").arg(script).output();
            prop_assert_eq!(output.expect("sh runs").stdout, value.into_bytes());
        }
    }
}
